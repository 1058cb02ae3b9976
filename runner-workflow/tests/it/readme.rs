//! What is shown is what was compiled.

#[test]
fn the_front_page_shows_the_example() {
    let (readme, example) = (include_str!("../../README.md"), include_str!("../../examples/total.rs"));
    let (_, code) = example.split_once("\n\n").unwrap();
    assert!(readme.contains(code), "README.md and examples/total.rs differ");
}
