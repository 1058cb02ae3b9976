//! What a store must do to be written to, and what of the settings is refused.

use runner_host_fs::conformance::{self, Can};
use runner_host_fs::{ErrorKind, Mode, S3Fs, S3Settings, VPath, VfsExt, View, Volume};
use runner_s3::{BUCKET, Fault, Kind, Proxy, Rule, Server};

use super::{at, call, connect, kind, settings};

#[tokio::test]
async fn a_store_that_overwrites_whatever_the_condition_is_read_and_not_written() {
    let server = Server::start();
    server.put(BUCKET, "data/file", "bytes");
    let proxy = Proxy::before(&server.endpoint());
    proxy.ignore_preconditions(true);
    let volume = connect(settings(&proxy.endpoint())).await;
    assert_eq!(server.objects(BUCKET).len(), 1, "the probe leaves nothing");
    assert!(server.uploads(BUCKET).is_empty(), "the probe leaves nothing");
    for mode in [Mode::OnSuccess, Mode::OnSync] {
        let view = View { mode, ..View::all() };
        let error = volume.check(&view).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains("`If-None-Match: *`") && error.to_string().contains("last_writer_wins"),
            "{error}"
        );
        assert!(volume.open(&view).is_err());
    }
    let reader = View { mode: Mode::ReadOnly, ..View::all() };
    assert_eq!(call(&volume, reader).get("file").await.as_deref(), Ok("bytes"));

    let settings = S3Settings { last_writer_wins: true, ..settings(&proxy.endpoint()) };
    let volume = connect(settings).await;
    let (one, other) = (call(&volume, View::all()), call(&volume, View::all()));
    one.put("file", "one").await;
    other.put("file", "other").await;
    other.put("second", "other").await;
    other.commit().await;
    one.commit().await;
    let object = server.get(BUCKET, "data/file").expect("it is there");
    assert_eq!(object.content.bytes(), "one", "as was asked for by name");
    assert_eq!(server.objects(BUCKET).len(), 2);
}

#[tokio::test]
async fn who_may_only_read_can_read() {
    let server = Server::start();
    server.put(BUCKET, "data/file", "bytes");
    let proxy = Proxy::before(&server.endpoint());
    let denied = Fault::Answer { status: 403, code: "AccessDenied" };
    proxy.script([Kind::PutObject, Kind::DeleteObject].map(|kind| Rule::new(denied.clone()).kind(kind).always()));
    let volume = connect(settings(&proxy.endpoint())).await;
    assert_eq!(kind(volume.check(&View::all())), Err(ErrorKind::Denied));
    assert_eq!(call(&volume, View { mode: Mode::ReadOnly, ..View::all() }).get("file").await.as_deref(), Ok("bytes"));
}

#[tokio::test]
async fn what_is_not_there_is_told_when_it_is_connected_to() {
    let server = Server::start();
    let other = S3Settings { bucket: "another".to_owned(), ..settings(&server.endpoint()) };
    let error = S3Fs::connect(other).await.err().expect("there is no such bucket");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    let mut stranger = settings(&server.endpoint());
    stranger.credentials.as_mut().expect("they are given").secret_key = "guessed".to_owned();
    assert_eq!(kind(S3Fs::connect(stranger).await.map(drop)), Err(ErrorKind::Denied));
}

#[tokio::test]
async fn a_prefix_that_no_key_can_have_is_refused_when_it_is_granted() {
    let server = Server::start();
    let volume = connect(settings(&server.endpoint())).await;
    for prefix in ["a/.runner", &["d".repeat(200), "d".repeat(200), "d".repeat(200)].join("/")] {
        let view = View { prefix: at(prefix), ..View::all() };
        assert_eq!(kind(volume.check(&view)), Err(ErrorKind::Invalid), "{prefix}");
    }
}

#[test]
fn an_address_says_which_bucket_and_how() {
    let parse = |text: &str| text.parse::<S3Settings>().map_err(|error| error.kind());
    let amazon = parse("s3://photos").expect("it is one");
    assert_eq!((amazon.bucket.as_str(), amazon.prefix.as_str(), amazon.path_style), ("photos", "", false));
    let own = parse("s3://photos/a/b/?endpoint=http%3A%2F%2Flocalhost%3A9000&region=eu-1&last-writer-wins")
        .expect("it is one");
    assert_eq!((own.prefix.as_str(), own.endpoint.as_deref()), ("a/b", Some("http://localhost:9000")));
    assert!(own.path_style && own.last_writer_wins && own.region.as_deref() == Some("eu-1"));
    assert!(!parse("s3://photos?endpoint=http://x&path-style=false").expect("it is one").path_style);
    for wrong in ["photos", "s3://", "s3:///a", "s3://photos?colour=red", "s3://photos?path-style=perhaps"] {
        assert_eq!(parse(wrong).map(drop), Err(ErrorKind::Invalid), "{wrong}");
    }
    let secret = super::settings(&Server::start().endpoint());
    assert!(!format!("{secret:?}").contains("runner-secret"), "a key is not shown");
}

#[tokio::test]
async fn seaweedfs_is_a_tree_and_the_next_call_finds_what_one_has_made_of_it() {
    let seaweed = runner_s3::seaweed::start();
    let volume = connect(settings(&seaweed.endpoint())).await;
    let made = call(&volume, View::all());
    conformance::all(made.files.clone(), Can { hard_links: false }).await;
    // It takes a backslash in a key for a slash: the names that are to have any character are others then, or a directory that
    // came about meanwhile, as a conflict says.
    made.files.remove_dir_all(&VPath::new("/conformance names").expect("it is a path")).await.expect("it is there");
    let expected = made.tree().await;
    made.commit().await;
    let found = call(&volume, View { mode: Mode::ReadOnly, ..View::all() }).tree().await;
    for (one, other) in expected.iter().zip(&found) {
        assert_eq!(one, other);
    }
    assert_eq!(found.len(), expected.len());
}

#[tokio::test]
async fn rclone_is_refused_for_writing_since_it_overwrites() {
    let rclone = runner_s3::rclone::start();
    let volume = connect(settings(&rclone.endpoint())).await;
    let error = volume.check(&View::all()).expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(volume.check(&View { mode: Mode::ReadOnly, ..View::all() }).is_ok());
}
