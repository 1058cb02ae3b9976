//! What the README shows is what was compiled.

#[test]
fn the_readme_shows_the_example_as_it_is_compiled() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../../examples/scratch.rs");
    let (_, program) = example.split_once("print_stdout)]\n").expect("the lints of the workspace come first");
    assert!(readme.contains(&format!("```rust\n{program}```")), "the README shows another program:\n{program}");
}
