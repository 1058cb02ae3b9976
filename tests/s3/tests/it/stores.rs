//! The table against each store, and each store's deviations by name: one that is new fails the test, and so does one that is gone.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use runner_s3::{BUCKET, Endpoint, Proxy, Server, rclone, seaweed};

use crate::support::{body, client, read, said};
use crate::table::{Bed, checks};

/// Asks a store everything; gives what differs from what S3 answers, by the check's name.
async fn differences(endpoint: &Endpoint) -> BTreeMap<&'static str, String> {
    let s3 = client(endpoint);
    let (mut found, mut held) = (BTreeMap::new(), 0);
    for (number, check) in checks().into_iter().enumerate() {
        let bed = Bed { s3: s3.clone(), at: format!("check-{number:03}/") };
        let outcome = AssertUnwindSafe((check.run)(bed)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            format!("panicked: {}", said.unwrap_or_default().chars().take(300).collect::<String>())
        });
        if outcome == check.expected {
            held += 1;
        } else {
            eprintln!("{}: expected `{}`, found `{outcome}`", check.name, check.expected);
            assert!(found.insert(check.name, outcome).is_none(), "two checks are called `{}`", check.name);
        }
    }
    eprintln!("{held} checks hold, {} do not", found.len());
    assert!(held + found.len() >= 40);
    found
}

#[track_caller]
fn assert_differences(found: &BTreeMap<&'static str, String>, named: &[(&'static str, &str)]) {
    let named: BTreeMap<_, _> = named.iter().map(|(name, outcome)| (*name, (*outcome).to_owned())).collect();
    assert_eq!(*found, named);
}

/// What SeaweedFS 4.48 does otherwise: its keys are paths of a file system, of which it lists a directory where its name stands.
const SEAWEED: &[(&str, &str)] = &[
    ("a key of 1,024 bytes", "400 KeyTooLongError"),
    ("a key with a backslash", "read, listed: [\"check-089/a/b\"]"),
    ("a key with a dot for a folder", "400 InvalidRequest"),
    ("a key with a slash first", "read, listed: [\"check-092/a\"]"),
    ("a key with dots for the folder above", "400 InvalidRequest"),
    ("a key with two slashes", "read, listed: [\"check-091/a/b\"]"),
    ("a listing behind a key", "a! b c/x/y d"),
    ("a listing by delimiter behind a key within a folder", "a! a/ b c/ d"),
    ("a listing by delimiter in pages of one", "a/ | a! | b | c/ | d"),
    ("a listing in pages", "a/1 a/2 | a! b | c/x/y d"),
    ("a listing is in the order of bytes", "B a/b a-b a0 ü"),
    ("a write if unchanged, of what is not there", "412 PreconditionFailed"),
    ("an upload that is aborted twice", "ok, ok"),
    ("an upload that is completed twice", "1, 1"),
    ("metadata of 3 KiB", "ok"),
];

#[tokio::test]
async fn the_server_in_process_answers_as_s3_does() {
    let server = Server::start();
    assert_differences(&differences(&server.endpoint()).await, &[]);
}

#[tokio::test]
async fn the_server_in_process_answers_through_the_proxy_as_s3_does() {
    let server = Server::start();
    let proxy = Proxy::before(&server.endpoint());
    assert_differences(&differences(&proxy.endpoint()).await, &[]);
    assert_eq!(proxy.counts(), server.counts());
}

#[tokio::test]
async fn seaweedfs_answers_as_s3_does_but_for_what_is_named() {
    let seaweed = seaweed::start();
    assert_differences(&differences(&seaweed.endpoint()).await, SEAWEED);
}

#[tokio::test]
async fn seaweedfs_answers_through_the_proxy_as_it_does_without() {
    let seaweed = seaweed::start();
    let proxy = Proxy::before(&seaweed.endpoint());
    assert_differences(&differences(&proxy.endpoint()).await, SEAWEED);
}

/// What a probe has to find out: 200, and the object is overwritten.
async fn overwrites_though_it_must_not(endpoint: &Endpoint) -> String {
    let s3 = client(endpoint);
    let put = |text: &str| s3.put_object().bucket(BUCKET).key("probe").body(body(text.as_bytes()));
    put("first").send().await.unwrap();
    let second = said(&put("second").if_none_match("*").send().await);
    let third = said(&put("third").if_match("\"00000000000000000000000000000000\"").send().await);
    let kept = read(s3.get_object().bucket(BUCKET).key("probe").send().await).await;
    format!("{second}, {third}, {kept}")
}

#[tokio::test]
async fn rclone_ignores_preconditions() {
    let rclone = rclone::start();
    assert_eq!(overwrites_though_it_must_not(&rclone.endpoint()).await, "ok, ok, third");
}

#[tokio::test]
async fn the_server_in_process_ignores_preconditions_when_it_is_told_to() {
    let server = Server::start();
    let refused = "412 PreconditionFailed, 412 PreconditionFailed, first";
    assert_eq!(overwrites_though_it_must_not(&server.endpoint()).await, refused);
    server.ignore_preconditions(true);
    assert_eq!(overwrites_though_it_must_not(&server.endpoint()).await, "ok, ok, third");
}

#[tokio::test]
async fn the_proxy_takes_preconditions_out_and_signs_anew() {
    let server = Server::start();
    let seaweed = seaweed::start();
    for store in [server.endpoint(), seaweed.endpoint()] {
        let proxy = Proxy::before(&store);
        let refused = "412 PreconditionFailed, 412 PreconditionFailed, first";
        assert_eq!(overwrites_though_it_must_not(&proxy.endpoint()).await, refused);
        proxy.ignore_preconditions(true);
        assert_eq!(overwrites_though_it_must_not(&proxy.endpoint()).await, "ok, ok, third");
    }
}
