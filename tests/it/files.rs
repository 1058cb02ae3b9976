//! The SDK's face for files, by a guest that uses every function of it: the same from every target, over the host's own
//! capability.

use runner_core::{Ending, Executor, Failure, Grants, Program, Service};
use runner_host_fs::{Follow, HostFs, MemoryFs, VPath, Vfs, VfsExt};
use serde_json::{Value, json};

const TARGETS: [&str; 3] = ["sdk-files.wasm", "sdk-files-p1.wasm", "sdk-files-p2.wasm"];

/// The guest with mounts of two volumes.
struct Lent {
    files: MemoryFs,
    uploads: MemoryFs,
    program: Program,
    /// It is there as long as its program is.
    _executor: Executor,
}

impl Lent {
    async fn new(guest: &str, mounts: Value) -> Self {
        let (files, uploads) = (MemoryFs::default(), MemoryFs::default());
        let host = HostFs::new().volume("files", files.clone()).volume("uploads", uploads.clone());
        let executor = Executor::builder().capability(host).build().expect("it starts");
        let grants = Grants::none().grant("fs", json!({ "mounts": mounts }));
        let program = executor.load(runner_guests::get(guest), &grants).await.expect("the guest loads");
        Lent { files, uploads, program, _executor: executor }
    }

    /// A part of one volume to write to, at once, and the other one whole, to be read. One more lies below the first.
    async fn at_data(guest: &str) -> Self {
        let lent = Self::new(
            guest,
            json!({
                "/data": { "prefix": "shop", "mode": "on-sync" },
                "/data/deep": { "prefix": "deep", "mode": "on-sync" },
                "/in": { "volume": "uploads", "mode": "read-only" },
            }),
        )
        .await;
        put(&lent.uploads, "/greeting", b"hello").await;
        put(&lent.uploads, "/bytes", &[0xff]).await;
        lent
    }

    async fn call(&self, task: &str, args: Value) -> Result<Value, Box<Failure>> {
        said(task, self.program.call(task).args(args).run().await.expect("the host does its part").ending)
    }

    /// Calls the tasks of a table, and compares what came of each. A line is `task arguments => result`, or
    /// `=> no code: message` of one that says no and need not be tried again. Arguments and results are JSON.
    async fn check(&self, guest: &str, table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (asked, expected) = line.split_once(" => ").expect("a task and what comes of it");
            let (task, args) = asked.split_once(' ').expect("a task and its arguments");
            match self.call(task, parsed(args)).await {
                Ok(value) => {
                    assert!(!expected.starts_with("no "), "{guest}: {asked}: gave {value}");
                    assert_eq!(value, parsed(expected), "{guest}: {asked}");
                }
                Err(failure) => {
                    let Failure { code, message, retryable, .. } = *failure;
                    assert_eq!(format!("no {code}: {message}"), expected, "{guest}: {asked}");
                    assert!(!retryable, "{guest}: {asked}");
                }
            }
        }
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn said(task: &str, ending: Ending) -> Result<Value, Box<Failure>> {
    match ending {
        Ending::Returned(value) => Ok(value),
        Ending::Failed(failure) => Err(failure),
        other => panic!("`{task}`: {other:?}"),
    }
}

async fn put(volume: &MemoryFs, path: &str, bytes: &[u8]) {
    volume.write(&VPath::new(path).expect("a path"), bytes.to_vec().into()).await.expect("there is room");
}

async fn put_dir(volume: &MemoryFs, path: &str) {
    volume.create_dir_all(&VPath::new(path).expect("a path")).await.expect("there is room");
}

/// What lies in a volume; `None` where there is no file.
async fn bytes(volume: &MemoryFs, path: &str) -> Option<Vec<u8>> {
    let bytes = volume.read(&VPath::new(path).expect("a path"), 3 << 20).await;
    bytes.ok().map(|bytes| bytes.to_vec())
}

/// The same as text.
async fn found(volume: &MemoryFs, path: &str) -> Option<String> {
    bytes(volume, path).await.map(|bytes| String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn files_are_written_read_copied_renamed_and_removed() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            mounts [] => ["/data", "/data/deep", "/in"]
            exists ["/data/a"] => false
            write ["/data/a", "hello"] => null
            text ["/data/a"] => "hello"
            append ["/data/a", ", you"] => null
            read ["//data/./a"] => [104, 101, 108, 108, 111, 44, 32, 121, 111, 117]
            append ["/data/new", "x"] => null
            text ["/data/new"] => "x"
            copy ["/data/a", "/data/b"] => 10
            text ["/data/b"] => "hello, you"
            copy ["/data/a", "/data/./a"] => no fs-invalid: cannot copy `/data/a` to `/data/./a`: they are one file
            text ["/data/a"] => "hello, you"
            copy ["/in/greeting", "/data/a"] => 5
            text ["/data/a"] => "hello"
            metadata ["/data/a"] => { "bytes": 5, "names": 1 }
            metadata ["/data"] => "directory"
            rename ["/data/b", "/data/a"] => null
            text ["/data/a"] => "hello, you"
            exists ["/data/b"] => false
            write ["/data/a", ""] => null
            text ["/data/a"] => ""
            remove_file ["/data/a"] => null
            exists ["/data/a"] => false
            create_new ["/data/a", "one"] => null
            create_new ["/data/a", "two"] => no fs-already-exists: cannot open `/data/a`: there is something of this name already
            lines ["/in/greeting"] => ["hello"]
        "#;
        lent.check(guest, table).await;
        assert_eq!(found(&lent.files, "/shop/a").await.as_deref(), Some("one"), "{guest}");
        assert_eq!(found(&lent.files, "/shop/new").await.as_deref(), Some("x"), "{guest}");
    }
}

#[tokio::test]
async fn a_large_file_goes_both_ways_and_to_another_mount() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            fill ["/data/large", 2500001] => 2500001
            copy ["/data/large", "/data/deep/large"] => 2500001
            metadata ["/data/deep/large"] => { "bytes": 2500001, "names": 1 }
        "#;
        lent.check(guest, table).await;
        let (one, other) = (bytes(&lent.files, "/shop/large").await, bytes(&lent.files, "/deep/large").await);
        assert_eq!(one.as_ref().map(Vec::len), Some(2_500_001), "{guest}");
        assert!(one == other, "{guest}");
    }
}

#[tokio::test]
async fn directories_are_made_listed_and_removed() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            create_dir ["/data/d"] => null
            create_dir ["/data/d"] => no fs-already-exists: cannot make the directory `/data/d`: there is something of this name already
            create_dir ["/data/e/f"] => no fs-not-found: cannot make the directory `/data/e/f`: there is nothing of this name
            create_dir_all ["/data/d/e/f"] => null
            create_dir_all ["/data/d/e/f"] => null
            create_dir_all ["/data"] => null
            create_dir_all ["/in"] => null
            write ["/data/a", "x"] => null
            write ["/data/d/e/file", "x"] => null
            symlink ["../../a", "/data/d/e/link"] => null
            create_dir_all ["/data/a/x"] => no fs-not-directory: cannot make the directory `/data/a/x`: it is no directory, or lies in what is none
            list ["/data"] => ["/data/a", "/data/d/", "/data/deep/"]
            list ["/data/d/e/"] => ["/data/d/e/f/", "/data/d/e/file", "/data/d/e/link@"]
            list ["/data/deep"] => []
            walk ["/data"] => [["/data/a", "/data/d/", "/data/d/e/", "/data/d/e/f/", "/data/d/e/file", "/data/d/e/link", "/data/deep/"], 2]
            walk ["/data/d/e/f"] => [[], 0]
            walk ["/data/a"] => no fs-not-directory: cannot list `/data/a`: it is no directory, or lies in what is none
            walk ["/data/none"] => no fs-not-found: cannot list `/data/none`: there is nothing of this name
            walk ["/"] => no fs-no-mount: cannot list `/`: it lies in none of the mounts: `/data`, `/data/deep`, `/in`
            rename ["/data/d", "/data/d/e/into"] => no fs-invalid: cannot rename `/data/d` to `/data/d/e/into`: a directory does not go into itself
            list ["/data/a"] => no fs-not-directory: cannot list `/data/a`: it is no directory, or lies in what is none
            remove_dir ["/data/d"] => no fs-not-empty: cannot remove the directory `/data/d`: the directory is not empty
            remove_dir ["/data/a"] => no fs-not-directory: cannot remove the directory `/data/a`: it is no directory, or lies in what is none
            remove_file ["/data/d"] => no fs-is-directory: cannot remove `/data/d`: it is a directory
            rename ["/data/d/e", "/data/moved"] => null
            list ["/data/moved/f"] => []
            remove_dir ["/data/moved/f"] => null
            create_dir_all ["/data/moved/g/h"] => null
            remove_dir_all ["/data/moved"] => null
            exists ["/data/moved"] => false
            text ["/data/a"] => "x"
            remove_dir_all ["/data/a"] => no fs-not-directory: cannot list `/data/a`: it is no directory, or lies in what is none
            remove_dir_all ["/data/gone"] => no fs-not-found: cannot look at `/data/gone`: there is nothing of this name
            symlink ["d", "/data/link"] => null
            remove_dir_all ["/data/link"] => null
            list ["/data"] => ["/data/a", "/data/d/", "/data/deep/"]
            write ["/data/deep/kept", "x"] => null
            walk ["/data"] => [["/data/a", "/data/d/", "/data/deep/", "/data/deep/kept"], 2]
            remove_dir ["/data"] => no fs-busy: cannot remove the directory `/data`: it is the place of a mount
            remove_dir_all ["/data"] => no fs-busy: cannot remove the directory `/data`: it is the place of a mount
            remove_dir_all ["/data/deep"] => no fs-busy: cannot remove the directory `/data/deep`: it is the place of a mount
            list ["/data/deep"] => ["/data/deep/kept"]
        "#;
        lent.check(guest, table).await;
        assert_eq!(found(&lent.files, "/deep/kept").await.as_deref(), Some("x"), "{guest}");
    }
}

#[tokio::test]
async fn links_are_made_read_and_followed_within_their_mount() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            write ["/data/a", "hello"] => null
            symlink ["a", "/data/s"] => null
            read_link ["/data/s"] => "a"
            read_link ["/data/a"] => no fs-invalid: cannot read the link `/data/a`: it is no link
            text ["/data/s"] => "hello"
            metadata ["/data/s"] => { "bytes": 5, "names": 1 }
            symlink_metadata ["/data/s"] => "link"
            create_new ["/data/s", "x"] => no fs-already-exists: cannot open `/data/s`: there is something of this name already
            hard_link ["/data/a", "/data/h"] => null
            metadata ["/data/h"] => { "bytes": 5, "names": 2 }
            append ["/data/h", ", you"] => null
            text ["/data/a"] => "hello, you"
            copy ["/data/a", "/data/h"] => no fs-invalid: cannot copy `/data/a` to `/data/h`: they are one file
            hard_link ["/data/a", "/data/deep/h"] => no fs-other-mount: cannot link `/data/a` to `/data/deep/h`: the two lie in different mounts
            rename ["/data/a", "/data/deep/a"] => no fs-other-mount: cannot rename `/data/a` to `/data/deep/a`: the two lie in different mounts
            symlink ["/etc/passwd", "/data/t"] => no fs-not-permitted: cannot make the link `/data/t`: nobody may do that, such as leave the mount
            symlink ["../../x", "/data/up"] => null
            text ["/data/up"] => no fs-not-permitted: cannot open `/data/up`: nobody may do that, such as leave the mount
        "#;
        lent.check(guest, table).await;
    }
}

#[tokio::test]
async fn times_are_set_of_paths_links_and_open_files() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            write ["/data/a", "hello"] => null
            set_times ["/data/a", 1000000000, 1100000000] => null
            times ["/data/a"] => [1000000000, 1100000000]
            set_times ["/data/a", null, 1200000000] => null
            times ["/data/a"] => [1000000000, 1200000000]
            set_times ["/data/a", null, null] => null
            times ["/data/a"] => [1000000000, 1200000000]
            symlink ["a", "/data/s"] => null
            set_link_times ["/data/s", 1, 2] => null
            times ["/data/s"] => [1, 2]
            times ["/data/a"] => [1000000000, 1200000000]
            set_times ["/data/s", 0, null] => null
            times ["/data/a"] => [0, 1200000000]
            times ["/data/s"] => [1, 2]
            create_dir ["/data/d"] => null
            set_times ["/data/d", 3, 4] => null
            times ["/data/d"] => [3, 4]
            set_times ["/data", 5, 6] => null
            times ["/data"] => [5, 6]
            steps ["/data/a", "rw", [{ "write": "x" }, { "set-modified": 7 }, { "set-times": [8, null] }]] => [1, null, null]
            times ["/data/a"] => [8, 7]
            text ["/data/a"] => "xello"
            set_times ["/data/none", 1, 2] => no fs-not-found: cannot set the times of `/data/none`: there is nothing of this name
            set_times ["/data/a/b", 1, 2] => no fs-not-directory: cannot set the times of `/data/a/b`: it is no directory, or lies in what is none
            set_times ["/data/a", 1, 20000000000] => no fs-invalid: cannot set the times of `/data/a`: it makes no sense
            set_times ["/in/greeting", 1, 2] => no fs-read-only: cannot set the times of `/in/greeting`: the mount is granted for reading only
            steps ["/in/greeting", "r", [{ "set-modified": 1 }]] => no fs-read-only: cannot set the times of `/in/greeting`: the mount is granted for reading only
            set_times ["/etc/passwd", 1, 2] => no fs-no-mount: cannot set the times of `/etc/passwd`: it lies in none of the mounts: `/data`, `/data/deep`, `/in`
            times ["/data/a"] => [8, 7]
            touch ["/data/a"] => null
        "#;
        lent.check(guest, table).await;
        let now = lent.call("times", json!(["/data/a"])).await.expect("it is there");
        let year_2020 = 1_577_836_800;
        assert!(now[0].as_u64() > Some(year_2020) && now[1].as_u64() > Some(year_2020), "{guest}: {now}");
    }
    // A draft publishes them with the rest, or none.
    for guest in TARGETS {
        let lent = Lent::new(guest, json!({ "/data": { "prefix": "shop" } })).await;
        put_dir(&lent.files, "/shop").await;
        put(&lent.files, "/shop/a", b"x").await;
        lent.check(guest, r#"set_times ["/data/a", null, 9] => null"#).await;
        let stat = lent.files.stat(&VPath::new("/shop/a").expect("a path"), Follow::No).await.expect("it is there");
        assert_eq!(stat.modified_ns, 9_000_000_000, "{guest}");
    }
}

#[tokio::test]
async fn an_open_file_has_a_place() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            steps ["/data/f", "rwc", [{ "write": "0123456789" }, { "seek-start": 2 }, { "read": 3 }, { "seek-current": -1 }, { "write": "xy" }, { "seek-end": -4 }, "rest", { "read": 1 }]] => [10, 2, "234", 4, 2, 6, "6789", ""]
            steps ["/data/f", "rw", [{ "read-at": [3, 4] }, { "write-at": ["!", 12] }, { "seek-current": 0 }, { "seek-start": 9 }, "rest", { "read-at": [1, 99] }]] => ["xy6", 1, 0, 9, "9__!", ""]
            steps ["/data/f", "rw", [{ "set-len": 4 }, "look", "sync-all", "sync-data", "rest", { "set-len": 6 }, "rest"]] => [null, { "bytes": 4, "names": 1 }, null, null, "0123", null, "__"]
            steps ["/data/f", "rw", [{ "write-all-at": ["45", 4] }, { "read-exact-at": [6, 0] }, { "set-len": 4 }]] => [null, "012345", null]
            steps ["/data/f", "r", [{ "read-exact-at": [3, 2] }]] => no fs-too-short: cannot read `/data/f`: expected 3 bytes from 2 on, found 2
            steps ["/data/f", "wt", ["look"]] => [{ "bytes": 0, "names": 1 }]
            steps ["/data/f", "ra", [{ "write": "012" }, { "seek-current": 0 }, "rest", { "seek-start": 1 }, { "read": 1 }, { "write": "34" }, { "read": 1 }, { "write-at": ["Z", 0] }, { "seek-start": 0 }, "rest"]] => [3, 3, "", 1, "1", 2, "", 1, 0, "Z1234"]
            steps ["/data/f", "r", [{ "write": "x" }]] => no fs-not-opened: cannot write `/data/f`: it is not open for this
            steps ["/data/f", "r", [{ "set-len": 1 }]] => no fs-not-opened: cannot set the length of `/data/f`: it is not open for this
            steps ["/data/f", "w", [{ "read": 1 }]] => no fs-not-opened: cannot read `/data/f`: it is not open for this
            steps ["/data/f", "r", [{ "seek-current": -1 }]] => no fs-invalid: cannot seek in `/data/f`: -1 from 0 is no place
            steps ["/data/f", "", []] => no fs-invalid: cannot open `/data/f`: expected it to be opened for reading, writing or appending
            steps ["/data/f", "rt", []] => no fs-invalid: cannot open `/data/f`: what is made or emptied must be opened for writing
            steps ["/data/f", "at", []] => no fs-invalid: cannot open `/data/f`: what is appended to cannot be emptied
            steps ["/data", "r", ["look"]] => ["directory"]
            steps ["/data", "r", [{ "read": 1 }]] => no fs-is-directory: cannot read `/data`: it is a directory
        "#;
        lent.check(guest, table).await;
        assert_eq!(found(&lent.files, "/shop/f").await.as_deref(), Some("Z1234"), "{guest}");
    }
}

#[tokio::test]
async fn each_refusal_is_a_failure_with_a_code_that_names_the_path() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            write ["/data/a", "x"] => null
            text ["/data/nothing"] => no fs-not-found: cannot open `/data/nothing`: there is nothing of this name
            write ["/data/no/x", "x"] => no fs-not-found: cannot open `/data/no/x`: there is nothing of this name
            text ["/data/a/b"] => no fs-not-directory: cannot open `/data/a/b`: it is no directory, or lies in what is none
            text ["/data"] => no fs-is-directory: cannot read `/data`: it is a directory
            lines ["/data"] => no fs-is-directory: cannot read `/data`: it is a directory
            copy ["/data", "/data/b"] => no fs-is-directory: cannot read `/data`: it is a directory
            write ["/data", "x"] => no fs-is-directory: cannot open `/data`: it is a directory
            text ["/in/bytes"] => no fs-not-text: cannot read `/in/bytes` as text: it is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0
            read ["/etc/passwd"] => no fs-no-mount: cannot open `/etc/passwd`: it lies in none of the mounts: `/data`, `/data/deep`, `/in`
            list ["/"] => no fs-no-mount: cannot list `/`: it lies in none of the mounts: `/data`, `/data/deep`, `/in`
            exists ["/database"] => no fs-no-mount: cannot look at `/database`: it lies in none of the mounts: `/data`, `/data/deep`, `/in`
            read ["data/a"] => no fs-invalid: cannot open `data/a`: expected a path from `/` on
            read [""] => no fs-invalid: cannot open ``: expected a path from `/` on
            read ["/data/../etc/passwd"] => no fs-not-permitted: cannot open `/data/../etc/passwd`: nobody may do that, such as leave the mount
            read ["/data/deep/../a"] => no fs-not-permitted: cannot open `/data/deep/../a`: nobody may do that, such as leave the mount
            write ["/data/../in/x", "x"] => no fs-not-permitted: cannot open `/data/../in/x`: nobody may do that, such as leave the mount
            rename ["/data/a", "/data/../a"] => no fs-not-permitted: cannot rename `/data/a` to `/data/../a`: nobody may do that, such as leave the mount
            create_dir ["/data/d"] => null
            text ["/data/d/../a"] => "x"
        "#;
        lent.check(guest, table).await;
        for name in ["n".repeat(256), "a\0b".to_owned()] {
            let path = format!("/data/{name}");
            let Failure { code, message, .. } =
                *lent.call("write", json!([path, "x"])).await.expect_err("no such name");
            assert_eq!(code, "fs-invalid", "{guest}: {message}");
        }
    }
}

#[tokio::test]
async fn a_mount_that_may_only_be_read_is_read() {
    for guest in TARGETS {
        let lent = Lent::at_data(guest).await;
        let table = r#"
            text ["/in/greeting"] => "hello"
            list ["/in"] => ["/in/bytes", "/in/greeting"]
            write ["/in/greeting", "x"] => no fs-read-only: cannot open `/in/greeting`: the mount is granted for reading only
            append ["/in/greeting", "x"] => no fs-read-only: cannot open `/in/greeting`: the mount is granted for reading only
            write ["/in/new", "x"] => no fs-read-only: cannot open `/in/new`: the mount is granted for reading only
            create_dir_all ["/in/x/y"] => no fs-read-only: cannot make the directory `/in/x/y`: the mount is granted for reading only
            remove_file ["/in/greeting"] => no fs-read-only: cannot remove `/in/greeting`: the mount is granted for reading only
            rename ["/in/greeting", "/in/x"] => no fs-read-only: cannot rename `/in/greeting` to `/in/x`: the mount is granted for reading only
            symlink ["greeting", "/in/x"] => no fs-read-only: cannot make the link `/in/x`: the mount is granted for reading only
        "#;
        lent.check(guest, table).await;
        assert_eq!(found(&lent.uploads, "/greeting").await.as_deref(), Some("hello"), "{guest}");
    }
}

#[tokio::test]
async fn a_quota_refuses_what_is_too_much_and_leaves_what_was_there() {
    for guest in TARGETS {
        let mounts = json!({ "/data": { "prefix": "shop", "bytes": 100_000, "files": 3, "file_bytes": 60_000 } });
        let lent = Lent::new(guest, mounts).await;
        let table = r#"
            fill ["/data/f", 60000] => 60000
            fill ["/data/f", 60001] => no fs-too-large: cannot write `/data/f`: the file would be larger than it may be
            append ["/data/f", "x"] => no fs-too-large: cannot append to `/data/f`: the file would be larger than it may be
            metadata ["/data/f"] => { "bytes": 60000, "names": 1 }
            fill ["/data/g", 60000] => no fs-full: cannot write `/data/g`: what was granted is used up
            exists ["/data/g"] => false
            fill ["/data/g", 40000] => 40000
            append ["/data/g", "x"] => no fs-full: cannot append to `/data/g`: what was granted is used up
            remove_file ["/data/g"] => null
            write ["/data/1", "x"] => null
            write ["/data/2", "x"] => null
            write ["/data/3", "x"] => no fs-full: cannot open `/data/3`: what was granted is used up
            create_dir ["/data/3"] => no fs-full: cannot make the directory `/data/3`: what was granted is used up
            list ["/data"] => ["/data/1", "/data/2", "/data/f"]
        "#;
        lent.check(guest, table).await;
        assert_eq!(found(&lent.files, "/shop/f").await.map(|text| text.len()), Some(60_000), "{guest}");
    }
}

#[tokio::test]
async fn what_a_call_has_written_is_there_when_it_has_returned_and_not_where_it_failed() {
    for guest in TARGETS {
        let lent = Lent::new(guest, json!({ "/data": { "prefix": "shop" } })).await;
        lent.check(guest, r#"write ["/data/a", "one"] => null"#).await;
        assert_eq!(found(&lent.files, "/shop/a").await.as_deref(), Some("one"), "{guest}");
        let failing = r#"
            write_and_fail ["/data/a", "two"] => no changed-my-mind: it is not wanted any more
            write_and_fail ["/data/b", "two"] => no changed-my-mind: it is not wanted any more
            text ["/data/a"] => "one"
        "#;
        lent.check(guest, failing).await;
        assert_eq!(found(&lent.files, "/shop/a").await.as_deref(), Some("one"), "{guest}");
        assert_eq!(found(&lent.files, "/shop/b").await, None, "{guest}");
        // Somebody else's change is seen by the next call.
        put(&lent.files, "/shop/a", b"three").await;
        lent.check(guest, r#"text ["/data/a"] => "three""#).await;
    }
}

#[tokio::test]
async fn the_calls_of_a_live_instance_are_published_together_when_it_closes() {
    for guest in TARGETS {
        let lent = Lent::new(guest, json!({ "/data": { "prefix": "shop" } })).await;
        let mut instance = lent.program.instance().start().await.expect("it starts");
        for (text, all) in [("one", "one"), (", two", "one, two")] {
            for (task, args, expected) in
                [("append", json!(["/data/log", text]), Value::Null), ("text", json!(["/data/log"]), json!(all))]
            {
                let outcome = instance.call(task).args(args).run().await.expect("the host does its part");
                assert_eq!(said(task, outcome.ending), Ok(expected), "{guest}");
            }
            assert_eq!(found(&lent.files, "/shop/log").await, None, "{guest}");
        }
        instance.close().await.expect("it closes");
        assert_eq!(found(&lent.files, "/shop/log").await.as_deref(), Some("one, two"), "{guest}");
    }
}

#[tokio::test]
async fn a_module_without_the_grant_loads_and_is_told_what_to_have_granted() {
    for guest in TARGETS {
        let host = HostFs::new().volume("files", MemoryFs::default());
        let executor = Executor::builder().capability(host).build().expect("it starts");
        let needs =
            executor.explain(runner_guests::get(guest), &Grants::none()).await.expect("it is explained").imports;
        let files: Vec<_> = needs.iter().filter(|need| need.name.starts_with("wasi:filesystem/")).collect();
        assert!(!files.is_empty(), "{guest}: {needs:?}");
        for need in files {
            let Service::Closed { capability, .. } = &need.service else { panic!("{guest}: {need:?}") };
            assert_eq!(capability.as_deref(), Some("fs"), "{guest}: {}", need.name);
        }
        let none = "there is no mount: whoever runs the module grants some with `fs`";
        for grants in [Grants::none(), Grants::none().grant("fs", json!({ "mounts": {} }))] {
            let program = executor.load(runner_guests::get(guest), &grants).await.expect("the guest loads");
            for (task, args, doing) in [
                ("text", json!(["/data/a"]), "open"),
                ("write", json!(["/data/a", "x"]), "open"),
                ("exists", json!(["/data/a"]), "look at"),
            ] {
                let outcome = program.call(task).args(args).run().await.expect("the host does its part");
                let failure = said(task, outcome.ending).expect_err("nothing is granted");
                assert_eq!((failure.code.as_str(), failure.retryable), ("fs-no-mount", false), "{guest}");
                assert_eq!(failure.message, format!("cannot {doing} `/data/a`: {none}"), "{guest}");
            }
        }
    }
}
