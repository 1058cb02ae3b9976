//! What the README shows is what was compiled. Its walk is walked in the server's tests.

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_shows_the_example_as_it_is_compiled() {
    let example = include_str!("../../examples/fetch.rs");
    let (_, program) = example.split_once("print_stdout)]\n").expect("the lints of the workspace come first");
    assert!(README.contains(&format!("```rust\n{program}```")), "the README shows another program:\n{program}");
}

#[test]
fn the_readmes_grant_is_one() {
    let (_, rest) = README.split_once("```json\n").expect("a grant in JSON");
    let (text, _) = rest.split_once("```").expect("its end");
    let grants: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let grant: runner_host_http::Grant = serde_json::from_value(grants["http"].clone()).expect("a grant");
    assert_eq!((grant.allow.len(), grant.secrets.len()), (1, 1));
}
