//! What a text means, and what it may not mean.

use runner_host_fs::{ErrorKind, NAME_BYTES_MAX, PATH_BYTES_MAX, VPath};

#[track_caller]
fn check(text: &str, expected: Result<&str, ErrorKind>) {
    let found = VPath::new(text).map(|path| path.to_string()).map_err(|error| error.kind());
    assert_eq!(found.as_deref().map_err(|kind| *kind), expected, "{text:?}");
}

#[test]
fn a_path_is_parsed_from_the_root() {
    for text in ["/", ".", "/.", "./", "a/..", "//"] {
        match text {
            // The second `/` is a path of its own that begins with one.
            "//" => check(text, Err(ErrorKind::NotPermitted)),
            _ => check(text, Ok("/")),
        }
    }
    for text in ["/a/b", "a/b", "a//b", "a/./b", "./a/b/", "a/x/../b", "x/../a/b/.", "a/b///"] {
        check(text, Ok("/a/b"));
    }
    check("...", Ok("/..."));
    check("a\\..\\b", Ok("/a\\..\\b"));
}

#[test]
fn a_path_does_not_leave_the_root() {
    for text in ["..", "/..", "a/../..", "a/b/../../../a/b", "../a", "./.."] {
        check(text, Err(ErrorKind::NotPermitted));
    }
}

#[test]
fn what_is_no_path_is_refused() {
    check("", Err(ErrorKind::NotFound));
    check("a\0b", Err(ErrorKind::IllegalName));
    check(&"n".repeat(NAME_BYTES_MAX + 1), Err(ErrorKind::NameTooLong));
    VPath::new(&"n".repeat(NAME_BYTES_MAX)).expect("a name may be so long");
    let long = "a/".repeat(PATH_BYTES_MAX / 2);
    check(&format!("{long}a"), Err(ErrorKind::NameTooLong));
    VPath::new(&long[..PATH_BYTES_MAX - 1]).expect("a path may be so long");
    assert_eq!(VPath::from_bytes(b"a/\xff").expect_err("no text").kind(), ErrorKind::IllegalName);
    assert_eq!(VPath::from_bytes("a/é".as_bytes()).expect("a text").to_string(), "/a/é");
}

#[test]
fn a_directory_is_not_left_from_within() {
    let dir = VPath::new("/a/b").expect("a path");
    assert_eq!(dir.join("c/../d").expect("it stays within").to_string(), "/a/b/d");
    assert_eq!(dir.join("c/..").expect("it stays within"), dir);
    for text in ["..", "c/../..", "../b", "/a/b/c"] {
        assert_eq!(dir.join(text).expect_err("it leads out").kind(), ErrorKind::NotPermitted, "{text}");
    }
    for name in ["", ".", "..", "c/d", "c/", "/"] {
        dir.child(name).expect_err(name);
    }
}

#[test]
fn paths_are_in_the_order_of_a_walk() {
    let mut paths = ["/b", "/a.b", "/a/b", "/a", "/", "/a/b/c", "/a/a"].map(|text| VPath::new(text).expect("a path"));
    paths.sort();
    assert_eq!(paths.map(|path| path.to_string()), ["/", "/a", "/a/a", "/a/b", "/a/b/c", "/a.b", "/b"]);
}

#[test]
fn a_path_is_taken_apart_and_put_together() {
    let path = VPath::new("/a/b/c").expect("a path");
    let at = |text: &str| VPath::new(text).expect("a path");
    assert_eq!((path.parent(), path.name()), (Some(at("a/b")), Some("c")));
    assert_eq!((VPath::root().parent(), VPath::root().name()), (None, None));
    assert_eq!(path.strip(&at("a")), Some(at("b/c")));
    assert_eq!(path.strip(&path), Some(VPath::root()));
    assert_eq!(path.strip(&at("a/b/cc")), None);
    assert_eq!(at("ab").strip(&at("a")), None, "a name is not the beginning of one");
    assert!(path.starts_with(&VPath::root()) && path.starts_with(&at("a/b")) && !at("a/bc").starts_with(&at("a/b")));
    assert_eq!(at("b/c").below(&at("a")).expect("it is short"), path);
}
