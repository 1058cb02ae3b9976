//! Stores: the public suite, and what is the SQLite file's own.

use std::sync::Arc;

use runner_workflow::conformance;
use runner_workflow::store::{SqliteStore, Store};
use runner_workflow::{Error, ErrorKind};

#[tokio::test]
async fn a_file_of_sqlite_is_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("store")).expect("it opens");
    conformance::all(Arc::new(store)).await;
}

#[tokio::test]
async fn a_file_is_kept_and_one_process_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = SqliteStore::open(&path).expect("it opens");
    store.put_workflow("kept", "text", 1).await.expect("it is put");
    let refused = SqliteStore::open(&path).map(drop).expect_err("somebody has it");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("is in use"), "{refused}");
    drop(store);
    let store = SqliteStore::open(&path).expect("it is free");
    assert_eq!(store.workflow("kept", None).await.expect("it is read").expect("it is there").text, "text");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |path: &std::path::Path, says: &str| {
        let before = std::fs::read(path).expect("it is there");
        let refused: Error = SqliteStore::open(path).map(drop).expect_err("it is none of ours");
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(std::fs::read(path).expect("it is there"), before);
    };
    let text = folder.path().join("text");
    std::fs::write(
        &text,
        "no database, but longer than the head of one, which has a hundred bytes, so that it is read as such",
    )
    .expect("it is written");
    check(&text, "is not an SQLite database");
    let newer = folder.path().join("newer");
    let connection = rusqlite::Connection::open(&newer).expect("it opens");
    connection.pragma_update(None, "application_id", 0x524e_5746).expect("it is set");
    connection.pragma_update(None, "user_version", 99).expect("it is set");
    drop(connection);
    check(&newer, "version 99");
    let other = folder.path().join("other");
    let connection = rusqlite::Connection::open(&other).expect("it opens");
    connection.execute_batch("CREATE TABLE t (a)").expect("it is made");
    drop(connection);
    check(&other, "of another program");
    let nowhere = SqliteStore::open(folder.path().join("no/where")).map(drop).expect_err("there is no such folder");
    assert_eq!(nowhere.kind(), ErrorKind::Unavailable);
}
