//! The WIT packages: one copy of each, which host and guest read, and which the guest's crate takes along.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

/// The WIT files below a folder, links included.
fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "wit") {
            found.push(path);
        }
    }
}

/// The `wit` folders of our crates.
fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).expect("the root is there");
    let crates = entries.map(|entry| entry.expect("an entry").path());
    let ours = crates.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("runner-")));
    ours.map(|path| path.join("wit")).filter(|path| path.is_dir()).collect()
}

#[test]
fn each_wit_package_is_one_copy_that_host_and_guest_read() {
    let mut found = Vec::new();
    folders().iter().for_each(|folder| texts(folder, &mut found));
    let mut copies: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for path in found {
        // A package of several files says its name in one of them; those are nobody's but the host's.
        let text = fs::read_to_string(&path).expect("text");
        let Some(package) = text.lines().find(|line| line.starts_with("package ")) else { continue };
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        copies.entry((package.to_owned(), file)).or_default().push(path);
    }
    let shared: Vec<_> = copies.iter().filter(|(_, paths)| paths.len() > 1).map(|((package, _), _)| package).collect();
    for package in ["runner:kv@0.1.0;", "wasi:config@0.2.0-rc.1;", "wasi:logging@0.1.0-draft;"] {
        assert!(
            shared.iter().any(|line| line.ends_with(package)),
            "host and guest do not share `{package}`: {shared:?}"
        );
    }
    for ((package, _), paths) in &copies {
        let files = paths.iter().map(|path| path.canonicalize().expect("the link leads to a file"));
        let files = BTreeSet::from_iter(files);
        assert_eq!(files.len(), 1, "`{package}` lies in several files, make links of all but one: {paths:?}");
    }
}

#[test]
fn the_guest_s_crate_takes_its_wit_packages_along() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["package", "--allow-dirty", "--no-verify", "--list", "-p", "runner-sdk-guest"];
    let output = Command::new(cargo).current_dir(root()).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8_lossy(&output.stdout);
    let (home, mut found) = (root().join("runner-sdk-guest"), Vec::new());
    texts(&home.join("wit"), &mut found);
    for path in found {
        let path = path.strip_prefix(&home).expect("below it").to_string_lossy().into_owned();
        assert!(listed.lines().any(|line| line == path), "the archive lacks `{path}`:\n{listed}");
    }
}
