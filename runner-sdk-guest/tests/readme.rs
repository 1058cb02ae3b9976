//! What the README shows is what was compiled.

/// The documentation in the crate's sources, as `cargo test` compiles its examples, without what they hide.
fn documented() -> String {
    let sources = [
        include_str!("../src/lib.rs"),
        include_str!("../src/config.rs"),
        include_str!("../src/fs.rs"),
        include_str!("../src/http.rs"),
        include_str!("../src/kv.rs"),
        include_str!("../src/log.rs"),
    ];
    let lines = sources.iter().flat_map(|source| source.lines()).filter_map(|line| line.trim().strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).filter(|line| !line.starts_with("# fn main"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_guest_in_the_readme_stands_in_the_documentation_too() {
    let (documented, mut found) = (documented(), 0);
    for block in include_str!("../README.md").split("```rust\n").skip(1) {
        let (code, _) = block.split_once("```").expect("its end");
        assert!(documented.contains(code), "no example of the crate's documentation is:\n{code}");
        found += 1;
    }
    assert!(found >= 6, "the README has {found} examples");
}
