//! Counts visits. Its tests are run by the kit's own: some pass, and some do not, as their names say.

use runner::{Failure, kv};

/// How often a page was visited, this time included.
///
/// ```
/// assert_eq!(visits::visit("a page".to_owned()), Ok(1));
/// ```
#[runner::task]
pub fn visit(page: String) -> Result<i64, Failure> {
    log::info!("visit of {page}");
    Ok(kv::open("default")?.increment(&page, 1)?)
}

#[cfg(test)]
mod tests {
    use super::visit;

    #[test]
    fn good_visits_are_counted() {
        assert_eq!(visit("home".to_owned()), Ok(1));
        assert_eq!(visit("home".to_owned()), Ok(2));
        assert_eq!(visit("other".to_owned()), Ok(1));
    }

    #[test]
    fn good_stores_are_empty_at_the_beginning() {
        assert_eq!(visit("home".to_owned()), Ok(1));
    }

    fn files_are_empty() {
        assert_eq!(std::fs::read_dir("/data").unwrap().count(), 0);
        std::fs::write("/data/orders", "one").unwrap();
        assert_eq!(std::fs::read_to_string("/data/orders").unwrap(), "one");
        assert!(std::fs::write("/orders", "one").is_err());
    }

    #[test]
    fn good_files_are_empty_at_the_beginning() {
        files_are_empty();
    }

    #[test]
    fn good_files_are_empty_for_each_test() {
        files_are_empty();
    }

    #[test]
    fn good_tests_see_what_cargo_says_of_the_package_and_no_more() {
        assert_eq!(std::env::var("CARGO_PKG_NAME").as_deref(), Ok("visits"));
        assert_eq!(std::env::var("KIT_NAMED").as_deref(), Ok("named"));
        assert!(std::env::var("KIT_UNNAMED").is_err());
        assert!(std::env::var("PATH").is_err());
        assert!(std::fs::read_dir("/").is_err());
    }

    #[test]
    fn good_results_pass() -> Result<(), String> {
        println!("said by one that passes");
        Ok(())
    }

    #[test]
    #[ignore = "for later"]
    fn good_but_ignored() {
        println!("said by one that was ignored");
    }

    #[test]
    #[should_panic]
    fn good_at_panicking() {
        panic!("as it should");
    }

    #[test]
    fn bad_assertions_fail() {
        println!("said before");
        assert_eq!(visit("home".to_owned()), Ok(7), "one visit is not seven");
    }

    #[test]
    fn bad_results_fail() -> Result<(), String> {
        Err("it says no".to_owned())
    }

    #[test]
    fn bad_exits_fail() {
        std::process::exit(0);
    }

    #[test]
    fn bad_recursion_meets_its_limit() {
        fn down(depth: u64) -> u64 {
            if std::hint::black_box(depth) == u64::MAX { 0 } else { down(depth + 1) + std::hint::black_box(1) }
        }
        assert_eq!(down(0), 0);
    }
}
