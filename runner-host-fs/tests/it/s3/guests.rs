//! What becomes of a guest's call where the bucket, or the time that its host gives it, is not enough for the commit.

use std::time::Duration;

use runner_core::{Bounds, ErrorKind, Executor, Limits};
use runner_host_fs::{HostFs, Mode};
use runner_s3::{Fault, Kind, Rule};
use serde_json::json;

use super::Store;
use crate::p1::door::Host;
use crate::p1::steps::run;
use crate::support::{Lent, STD, executor};

#[tokio::test]
async fn a_commit_that_takes_longer_than_its_host_waits_is_nothing_or_left_to_the_next_call() {
    for begun in [false, true] {
        let store = Store::new().await;
        let bounds = Bounds { close_grace: Duration::from_millis(200), ..Bounds::default() };
        let fs = HostFs::new().volume("tree", store.volume.clone());
        let executor = Executor::builder().bounds(bounds).capability(fs).build().expect("it starts");
        let lent = Lent::of(STD, executor, json!({ "/data": {} })).await;
        // The first write is that of the record.
        let never = Rule::new(Fault::Delay(Duration::from_secs(3_600))).kind(Kind::PutObject);
        store.proxy.script([never.skip(u64::from(begun)).always()]);
        let steps = json!([["put", "/data/one", "1"], ["put", "/data/two", "2"]]);
        let error = lent.run(&steps, Limits::default()).await.expect_err("nobody waits so long");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("`fs` did not close within 200ms"), "{error}");
        store.proxy.calm();
        let expected: &[&str] = if begun { &["one", "two"] } else { &[] };
        assert_eq!(store.call(Mode::ReadOnly).names("/").await, expected, "begun: {begun}");
        assert_eq!(store.keys(), expected, "begun: {begun}: no record is left");
    }
}

#[tokio::test]
async fn who_closes_a_file_is_told_that_it_could_not_be_published() {
    for left_open in [false, true] {
        let store = Store::new().await;
        store.put("file", "old");
        let executor = executor(store.volume.clone());
        let mount = json!({ "mode": "on-sync" });
        let mut host = Host::ours(&executor, mount, "", Limits::default()).await;
        assert_eq!(run(&mut host, "open 3 file - rw ''").await, "4");
        assert_eq!(run(&mut host, "write 4 new").await, "3");
        store.put("file", "a stranger's");
        if !left_open {
            assert_eq!(run(&mut host, "close 4").await, "io");
            assert_eq!(run(&mut host, "close 4").await, "badf", "it is closed all the same");
        }
        let error = host.close().await.expect_err("what was written is not there");
        assert_eq!(error.kind(), ErrorKind::Conflict, "left open: {left_open}: {error}");
        assert_eq!(store.bytes("file").as_deref(), Some("a stranger's"));
    }
}
