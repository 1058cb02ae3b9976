//! Each fault of files, where a guest sees it; directories of this machine; and the wrapper, which without faults is the volume
//! that it wraps.

use std::sync::Arc;
use std::time::Duration;

use runner_host_fs::conformance::{self, VolumeCan};
use runner_host_fs::{LocalFs, MemoryFs, Volume};
use runner_test::{
    Done, Ending, Fault, Faulty, FileErrorKind, Host, LimitKind, Limits, Mode, Mount, Operation, Program, Value, json,
};

async fn program(host: &Host) -> Program {
    host.load(runner_guests::get("sdk-files.wasm")).await.expect("the guest loads")
}

/// A host with files at `/data`, of which there is one, and a guest that does everything to files.
async fn files() -> (Host, Program) {
    let host = Host::builder().files("/data").build().expect("the host starts");
    host.files("/data").write("a", "one");
    let program = program(&host).await;
    (host, program)
}

async fn run(program: &Program, task: &str, arguments: Value) -> Done {
    program.call(task, arguments).await.expect("the host does its part")
}

#[tokio::test]
async fn a_volume_without_faults_is_the_volume_that_it_wraps() {
    let new = async || {
        let faulty = Faulty::new(MemoryFs::default());
        // One that is slow, and one that never happens, change nothing either.
        faulty.fail(Fault::delay(Duration::from_micros(1)).every(100));
        faulty.fail(Fault::unavailable().path("no such path"));
        Arc::new(faulty) as Arc<dyn Volume>
    };
    conformance::volume(new, VolumeCan::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let number = std::sync::atomic::AtomicU64::new(0);
    let new = async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let place = folder.path().join(number);
        std::fs::create_dir(&place).expect("it is made");
        let local: Arc<dyn Volume> = Arc::new(LocalFs::open(place).expect("it opens"));
        Arc::new(Faulty::new(local)) as Arc<dyn Volume>
    };
    conformance::volume(new, VolumeCan::default()).await;
}

#[tokio::test]
async fn files_that_are_away_do_nothing_until_they_are_mended() {
    let (host, program) = files().await;
    let data = host.files("/data");
    data.fail(Fault::unavailable());
    let done = run(&program, "write", json!(["/data/b", "two"])).await;
    assert!(done.assert_failed("fs-io").retryable);
    data.assert_paths(["a"]).assert_holds("a", "one");
    assert!(data.faults_happened() > 0);
    data.mend();
    run(&program, "write", json!(["/data/b", "two"])).await.assert_returned(json!(null));
    data.assert_holds("b", "two").assert_paths(["a", "b"]);
    assert_eq!(data.faults_happened(), 0);
}

#[tokio::test]
async fn each_operation_fails_with_the_error_that_the_test_gives() {
    use Operation::{Create, List, Open, Read, Remove, Rename, Stat, Sync, Write};
    let (host, program) = files().await;
    let data = host.files("/data");
    let synced = json!(["/data/a", "rw", [{ "write": "x" }, "sync-all"]]);
    for (operation, kind, task, arguments, code) in [
        (Open, FileErrorKind::Denied, "text", json!(["/data/a"]), "fs-not-permitted"),
        (Read, FileErrorKind::Io, "text", json!(["/data/a"]), "fs-io"),
        (Stat, FileErrorKind::NotFound, "metadata", json!(["/data/a"]), "fs-not-found"),
        (List, FileErrorKind::Io, "list", json!(["/data"]), "fs-io"),
        (Create, FileErrorKind::NoSpace, "create_dir", json!(["/data/d"]), "fs-full"),
        (Create, FileErrorKind::ReadOnly, "write", json!(["/data/new", "x"]), "fs-read-only"),
        (Write, FileErrorKind::Quota, "append", json!(["/data/a", "x"]), "fs-full"),
        (Write, FileErrorKind::TooLarge, "write", json!(["/data/a", "x"]), "fs-too-large"),
        (Remove, FileErrorKind::Busy, "remove_file", json!(["/data/a"]), "fs-busy"),
        (Rename, FileErrorKind::CrossDevice, "rename", json!(["/data/a", "/data/b"]), "fs-other-mount"),
        (Sync, FileErrorKind::Io, "steps", synced, "fs-io"),
    ] {
        data.fail(Fault::error(kind).on([operation]));
        run(&program, task, arguments).await.assert_failed(code);
        assert_eq!(data.faults_happened(), 1, "{operation:?}");
        data.mend();
        data.assert_paths(["a"]).assert_holds("a", "one");
    }
}

#[tokio::test]
async fn a_fault_happens_with_the_paths_and_the_numbers_that_it_is_for() {
    let (host, program) = files().await;
    let data = host.files("/data");
    let append = async |path: &str| {
        let done = run(&program, "append", json!([format!("/data/{path}"), "x"])).await;
        done.outcome.ending.is_returned()
    };
    let full = || Fault::error(FileErrorKind::NoSpace).on([Operation::Write]);
    for (fault, paths, expected) in [
        (full(), "aaa", [false, false, false]),
        (full().path("b"), "aba", [true, false, true]),
        (full().path("./b"), "aba", [true, false, true]),
        (full().after(1), "aaa", [true, false, false]),
        (full().after(1).times(1), "aba", [true, false, true]),
        (full().every(2), "aaa", [true, false, true]),
        (full().path("b").times(1), "abb", [true, false, true]),
        (Fault::unavailable().reads(), "aaa", [true, true, true]),
        (Fault::unavailable().writes(), "aaa", [false, false, false]),
        (Fault::unavailable().writes().path("c"), "aba", [true, true, true]),
    ] {
        let shown = format!("{fault:?} {paths}");
        data.fail(fault);
        let mut found = Vec::new();
        for path in paths.chars() {
            found.push(append(&path.to_string()).await);
        }
        assert_eq!(found, expected, "{shown}");
        data.mend();
    }
    // Both names of a rename are met, and a directory by its own.
    data.create_dir("d");
    data.fail(Fault::unavailable().on([Operation::Rename]).path("z"));
    run(&program, "rename", json!(["/data/a", "/data/z"])).await.assert_failed("fs-io");
    data.fail(Fault::unavailable().on([Operation::List]).path("d"));
    run(&program, "list", json!(["/data/d"])).await.assert_failed("fs-io");
    run(&program, "list", json!(["/data"])).await.assert_returned(json!(["/data/a", "/data/b", "/data/d/"]));
    data.fail(Fault::unavailable().on([Operation::List]).path("."));
    run(&program, "list", json!(["/data"])).await.assert_failed("fs-io");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_work_done() {
    let host = Host::builder().mount("/data", Mount { mode: Mode::OnSync, ..Mount::default() }).build();
    let host = host.expect("the host starts");
    let program = program(&host).await;
    host.files("/data").fail(Fault::answer_lost().on([Operation::Create]).times(1));
    run(&program, "create_dir", json!(["/data/d"])).await.assert_failed("fs-io");
    host.files("/data").assert_paths(["d/"]);
    run(&program, "create_dir", json!(["/data/d"])).await.assert_failed("fs-already-exists");
}

/// Why the host could not do its part of a call.
async fn refused(program: &Program, task: &str, arguments: Value) -> runner_core::Error {
    let outcome = program.core().call(task).args(arguments).run().await;
    outcome.expect_err("what the guest wrote is not published")
}

#[tokio::test]
async fn what_is_not_published_is_an_error_of_the_call_and_nothing_of_it_is_there() {
    let (host, program) = files().await;
    let data = host.files("/data");
    let write = json!(["/data/a", "two"]);
    data.fail(Fault::unavailable().on([Operation::Commit]).times(1));
    let error = refused(&program, "write", write.clone()).await;
    assert_eq!(error.kind(), runner_core::ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the files are away, as the test wants it"), "{error}");
    data.assert_holds("a", "one");
    // Whoever has changed nothing has nothing to publish.
    data.fail(Fault::unavailable().on([Operation::Commit]));
    run(&program, "text", json!(["/data/a"])).await.assert_returned(json!("one"));
    assert_eq!(data.faults_happened(), 1);
    data.mend();
    // All was done, and its answer is lost.
    data.fail(Fault::answer_lost().on([Operation::Commit]).path("a"));
    refused(&program, "write", write).await;
    data.assert_holds("a", "two");
}

#[tokio::test]
async fn somebody_who_is_faster_makes_a_commit_fail_and_its_next_attempt_succeed() {
    let (host, program) = files().await;
    let data = host.files("/data");
    for (path, before) in [("a", Some("one")), ("b", None)] {
        data.fail(Fault::conflict().path(path).times(1));
        let write = json!([format!("/data/{path}"), "two"]);
        let error = refused(&program, "write", write.clone()).await;
        assert_eq!(error.kind(), runner_core::ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(path), "{error}");
        assert_eq!(data.read(path).as_deref(), before.map(str::as_bytes), "{path}");
        run(&program, "write", write).await.assert_returned(json!(null));
        data.assert_holds(path, "two");
        data.mend();
    }
    // It is for who changes the path, and for no other.
    data.fail(Fault::conflict().path("a"));
    run(&program, "write", json!(["/data/b", "three"])).await.assert_returned(json!(null));
    run(&program, "text", json!(["/data/a"])).await.assert_returned(json!("two"));
    assert_eq!(data.faults_happened(), 0);
}

#[tokio::test]
async fn slow_and_silent_files_take_wound_time_and_no_more_than_the_deadline() {
    let (host, program) = files().await;
    let (data, hour) = (host.files("/data"), Duration::from_secs(3_600));
    data.fail(Fault::delay(hour).on([Operation::Read]).times(1));
    tokio::time::pause();
    let limits = Limits { deadline: 3 * hour, ..Limits::default() };
    let done = program.call("text", json!(["/data/a"])).limits(limits).await.expect("it runs");
    done.assert_returned(json!("one"));
    assert!(done.outcome.usage.host >= hour, "{done}");
    data.fail(Fault::silent().on([Operation::Open]).path("a").times(1));
    run(&program, "text", json!(["/data/a"])).await.assert_exhausted(LimitKind::Deadline);
    run(&program, "text", json!(["/data/a"])).await.assert_returned(json!("one"));
}

#[tokio::test]
async fn a_fault_is_of_one_folder_by_its_own_paths_and_of_all_that_mount_it() {
    let part = Mount { volume: Some("/data".to_owned()), prefix: "part".to_owned(), ..Mount::default() };
    let host = Host::builder().files("/data").files("/other").mount("/part", part).build().expect("it starts");
    let program = program(&host).await;
    host.files("/data").fail(Fault::unavailable().path("part/f"));
    run(&program, "write", json!(["/part/f", "x"])).await.assert_failed("fs-io");
    run(&program, "write", json!(["/other/f", "x"])).await.assert_returned(json!(null));
    run(&program, "write", json!(["/part/g", "x"])).await.assert_returned(json!(null));
    host.files("/data").assert_paths(["part/g"]);
}

#[tokio::test]
async fn the_faces_of_core_modules_and_components_meet_the_same_faults() {
    for guest in ["sdk-files-p1.wasm", "sdk-files-p2.wasm", "sdk-files.wasm"] {
        let host = Host::builder().files("/data").build().expect("the host starts");
        let program = host.load(runner_guests::get(guest)).await.expect("the guest loads");
        host.files("/data").fail(Fault::error(FileErrorKind::NoSpace).on([Operation::Write]).after(1));
        // It is emptied, which is the first, and filled.
        run(&program, "write", json!(["/data/f", "x"])).await.assert_failed("fs-full");
    }
}

#[tokio::test]
async fn files_of_a_directory_are_there_for_the_guest_and_for_the_test_and_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_folder = |path: &str| folder.path().join(path);
    std::fs::write(in_folder("before"), "was there").expect("it is written");
    let seen = Mount { volume: Some("/data".to_owned()), mode: Mode::ReadOnly, ..Mount::default() };
    let small = Mount { file_bytes: Some(10), ..Mount::default() };
    // In either order, a mount says how.
    let host = Host::builder().directory("/data", folder.path()).mount("/data", small).mount("/seen", seen);
    let host = host.build().expect("the host starts");
    let program = program(&host).await;
    let data = host.files("/data");
    data.assert_holds("before", "was there");
    data.write("orders/1", "one");
    run(&program, "text", json!(["/seen/orders/1"])).await.assert_returned(json!("one"));
    run(&program, "write", json!(["/data/orders/2", "two"])).await.assert_returned(json!(null));
    run(&program, "write", json!(["/data/f", "more than ten bytes"])).await.assert_failed("fs-too-large");
    run(&program, "write_and_fail", json!(["/data/f", "three"])).await.assert_failed("changed-my-mind");
    data.assert_paths(["before", "orders/1", "orders/2"]);
    data.fail(Fault::conflict());
    refused(&program, "write", json!(["/data/orders/2", "three"])).await;
    data.mend();
    data.assert_holds("orders/2", "two");
    assert!(data.remove("before") && !in_folder("before").exists());
    assert_eq!(std::fs::read(in_folder("orders/2")).expect("it stays"), b"two");
    let outcome = program.core().call("text").args(json!(["/data/orders/2"])).run().await.expect("it runs");
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_with_its_path() {
    let error = Host::builder().directory("/data", "/nowhere/at/all").build().expect_err("it is not there");
    let words = error.to_string();
    assert!(words.contains("directory for `/data`") && words.contains("/nowhere/at/all"), "{words}");
}

#[tokio::test]
#[should_panic(expected = "the fault is none of files, and would never happen there")]
async fn a_fault_of_a_key_is_none_of_files() {
    files().await.0.files("/data").fail(Fault::unavailable().key("a"));
}

#[tokio::test]
#[should_panic(expected = "the fault is none of files, and would never happen there")]
async fn a_fault_of_what_stores_alone_do_is_none_of_files() {
    files().await.0.files("/data").fail(Fault::unavailable().on([Operation::Get]));
}

#[tokio::test]
#[should_panic(expected = "the fault is none of a store, and would never happen there")]
async fn an_error_of_files_is_none_of_a_store() {
    let host = Host::builder().kv("default").build().expect("the host starts");
    host.kv("default").fail(Fault::error(FileErrorKind::NoSpace));
}

#[test]
#[should_panic(expected = "path `../a`")]
fn a_path_that_is_none_is_told() {
    let _ = Fault::unavailable().path("../a");
}
