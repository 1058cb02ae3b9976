//! What passes when it is tried again, and what does not. Waiting winds the clock and takes no time.

use std::sync::Arc;
use std::time::Duration;

use runner_host_fs::{Clock, ErrorKind, ManualClock, Mode, S3Fs, S3Retry, VfsExt, View};
use runner_s3::{BUCKET, Chance, Fault, Kind, Rule};

use super::{Store, at, call, kind, long, settings};

fn faults() -> Vec<Fault> {
    vec![
        Fault::internal_error(),
        Fault::slow_down(),
        Fault::conflict(),
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ResetInUpload { bytes: 10 },
        Fault::ResetInBody { bytes: 1 },
        Fault::Truncate { bytes: 1 },
        Fault::Twice,
        Fault::TooSkewed { seconds: 3_600 },
        Fault::Skew { seconds: 86_400 },
    ]
}

#[tokio::test]
async fn whatever_befalls_one_request_of_a_call_the_call_goes_well() {
    for fault in faults() {
        for kind in [Kind::ListObjectsV2, Kind::GetObject, Kind::PutObject, Kind::DeleteObject] {
            let store = Store::new().await;
            store.put("old", "bytes of the old one");
            store.put("gone", "");
            store.proxy.script([Rule::new(fault.clone()).kind(kind)]);
            let call = store.call(Mode::OnSuccess);
            assert_eq!(call.get("old").await.as_deref(), Ok("bytes of the old one"), "{fault} at {kind}");
            call.put("old", "bytes of the new one").await;
            call.put("new", "bytes that are new").await;
            call.files.remove_file(&at("gone")).await.expect("it is removed");
            call.session.commit().await.unwrap_or_else(|error| panic!("{fault} at {kind}: {error}"));
            assert_eq!(store.keys(), ["new", "old"], "{fault} at {kind}");
            assert_eq!(store.bytes("old").as_deref(), Some("bytes of the new one"), "{fault} at {kind}");
        }
    }
}

#[tokio::test]
async fn whatever_befalls_an_upload_it_is_whole() {
    let bytes = long(20 << 20);
    for fault in faults() {
        for kind in [Kind::CreateMultipartUpload, Kind::UploadPart, Kind::CompleteMultipartUpload] {
            let store = Store::new().await;
            store.proxy.script([Rule::new(fault.clone()).kind(kind)]);
            let call = store.call(Mode::OnSuccess);
            call.put("large", &bytes).await;
            call.session.commit().await.unwrap_or_else(|error| panic!("{fault} at {kind}: {error}"));
            assert!(store.bytes("large").as_deref() == Some(&bytes), "{fault} at {kind}");
            assert_eq!(store.keys(), ["large"], "{fault} at {kind}");
        }
    }
}

#[tokio::test]
async fn a_run_of_faults_leaves_each_file_old_or_new() {
    for seed in 0..20 {
        let store = Store::new().await;
        for number in 0..10 {
            store.put(&format!("{number}"), &format!("old {number}"));
        }
        store.proxy.chance(Chance { seed, one_in: 4, faults: faults() });
        let call = store.call(Mode::OnSuccess);
        let run = async {
            for number in 0..10 {
                let path = at(&format!("{number}"));
                let bytes = call.files.read(&path, 100).await?;
                assert_eq!(bytes, format!("old {number}"), "seed {seed}");
                call.files.write(&path, format!("new {number}").into()).await?;
            }
            call.session.commit().await
        };
        let done = run.await;
        store.proxy.calm();
        let next = store.call(Mode::OnSuccess);
        let mut new = 0;
        for number in 0..10 {
            let text = next.get(&format!("{number}")).await.expect("it is read");
            assert!(text == format!("old {number}") || text == format!("new {number}"), "seed {seed}: {text}");
            new += usize::from(text.starts_with("new"));
        }
        assert!(new == 0 || new == 10, "seed {seed}: {new} of 10 are new, though {done:?}");
        assert!(done.is_err() || new == 10, "seed {seed}: what went well is there");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_an_error_within_the_tries_and_the_pauses_of_a_request() {
    let store = Store::new().await;
    store.put("file", "bytes");
    let clock = Arc::new(ManualClock::at_ns(0));
    let retry = S3Retry { attempts: 4, ..S3Retry::default() };
    let settings = runner_host_fs::S3Settings { retry, ..settings(&store.proxy.endpoint()) };
    let volume = S3Fs::connect_with_clock(settings, clock.clone()).await.expect("it is there");
    let call = call(&volume, View::all());
    assert_eq!(call.names("/").await, ["file"]);
    store.proxy.log().reset();
    store.proxy.script([Rule::new(Fault::slow_down()).kind(Kind::GetObject).always()]);
    let error = call.files.read(&at("file"), 100).await.expect_err("it does not pass");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("503 SlowDown") && error.to_string().contains("data/file"), "{error}");
    assert_eq!(store.asked().get("GetObject").copied().unwrap_or_default(), 4);
    assert_eq!((call.usage("s3_get"), call.usage("s3_retry")), (4, 3));
    let waited = Duration::from_nanos(clock.now_ns());
    assert!(waited <= Duration::from_millis(50 + 100 + 200), "{waited:?}");
    store.proxy.calm();
    assert_eq!(call.get("file").await.as_deref(), Ok("bytes"), "and what was not read is not remembered");
}

#[tokio::test]
async fn a_call_has_a_budget_of_tries() {
    let store = Store::with(|mut settings| {
        settings.retry.per_call = 5;
        settings
    });
    let store = store.await;
    for number in 0..10 {
        store.put(&format!("{number}"), "bytes");
    }
    let call = store.call(Mode::OnSuccess);
    call.names("/").await;
    store.proxy.script([Rule::new(Fault::internal_error()).kind(Kind::GetObject).always()]);
    // Not in their order: nothing is fetched ahead.
    for number in (0..10).rev() {
        assert_eq!(call.get(&format!("{number}")).await, Err(ErrorKind::Io));
    }
    assert_eq!((call.usage("s3_get"), call.usage("s3_retry")), (10 + 5, 5));
    assert_eq!(store.call(Mode::OnSuccess).names("/").await.len(), 10, "another call has its own");
}

#[tokio::test]
async fn a_page_that_was_asked_for_ahead_and_failed_is_no_try_of_the_call() {
    // The root, and three pages of the directory; those after them are asked for while the one before is looked at.
    let ahead = 4..6;
    for fault in [Fault::internal_error(), Fault::slow_down(), Fault::ResetBefore, Fault::Truncate { bytes: 1 }] {
        for index in ahead.clone() {
            let store = Store::with(|mut settings| {
                settings.retry.per_call = 0;
                settings
            });
            let store = store.await;
            store.server.generate(BUCKET, runner_s3::Generated::numbered("data/dir/", 5_000, 3));
            store.proxy.script([Rule::new(fault.clone()).kind(Kind::ListObjectsV2).skip(index)]);
            let call = store.call(Mode::OnSuccess);
            assert_eq!(call.names("dir").await.len(), 5_000, "{fault} at {index}");
            assert_eq!(
                (call.usage("s3_retry"), call.usage("s3_list")),
                (0, 7),
                "{fault} at {index}: it is asked again"
            );
        }
    }
    // What fails then as well is tried again as ever, and is an error when there are no more tries.
    for (per_call, expected) in [(2, Ok(())), (1, Err(ErrorKind::Io))] {
        let store = Store::with(|mut settings| {
            settings.retry.per_call = per_call;
            settings
        });
        let store = store.await;
        store.server.generate(BUCKET, runner_s3::Generated::numbered("data/dir/", 5_000, 3));
        store.proxy.script([Rule::new(Fault::slow_down()).kind(Kind::ListObjectsV2).skip(ahead.start).times(3)]);
        let call = store.call(Mode::OnSuccess);
        assert_eq!(kind(call.files.list_all(&at("dir")).await.map(drop)), expected, "{per_call} tries");
        assert_eq!(call.usage("s3_retry"), u64::from(per_call));
    }
}

#[tokio::test]
async fn what_takes_too_long_is_tried_again() {
    let store = Store::with(|mut settings| {
        settings.retry.attempt = Duration::from_secs(2);
        settings
    });
    let store = store.await;
    store.put("file", &long(100_000));
    let slow = Fault::Slow { bytes: 1_000, pause: Duration::from_millis(60) };
    store.proxy.script([Rule::new(slow).kind(Kind::GetObject)]);
    let call = store.call(Mode::OnSuccess);
    assert_eq!(call.get("file").await, Ok(long(100_000)));
    assert_eq!((call.usage("s3_get"), call.usage("s3_retry")), (2, 1));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_gone_on_with_behind_the_blocks_that_came() {
    let (store, bytes) = (Store::new().await, long(1 << 20));
    store.put("file", &bytes);
    store.proxy.script([Rule::new(Fault::Truncate { bytes: 600_000 }).kind(Kind::GetObject)]);
    let call = store.call(Mode::OnSuccess);
    assert!(call.get("file").await.as_deref() == Ok(&bytes));
    assert_eq!((call.usage("s3_get"), call.usage("s3_retry"), call.usage("s3_bytes_in")), (2, 1, 1 << 20));
    let gets = store.proxy.log().requests().into_iter().filter(|request| request.kind == Kind::GetObject);
    let ranges: Vec<_> = gets.filter_map(|request| request.range.clone()).collect();
    // Two blocks of 256 KiB came; of the third only a part did.
    assert_eq!(ranges, ["bytes=0-1048575", "bytes=524288-1048575"]);
}

#[tokio::test]
async fn who_may_not_is_told_at_once() {
    let store = Store::new().await;
    store.put("file", "bytes");
    let call = store.call(Mode::OnSuccess);
    store.proxy.script([Rule::new(Fault::Answer { status: 403, code: "AccessDenied" }).kind(Kind::GetObject).always()]);
    let error = call.files.read(&at("file"), 100).await.expect_err("it is denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("403 AccessDenied"), "{error}");
    assert_eq!((call.usage("s3_get"), call.usage("s3_retry")), (1, 0));
    assert_eq!(kind(call.files.write(&at("new"), "x".into()).await), Ok(()));
    assert_eq!(store.server.objects(BUCKET).len(), 1);
}
