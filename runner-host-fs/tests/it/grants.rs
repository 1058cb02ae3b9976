//! What a grant may say, and what is told of one that may not: when the program is loaded, with the words to write.

use runner_core::{ErrorKind, Executor, Grants};
use runner_host_fs::HostFs;
use serde_json::{Value, json};

use crate::support::{STD, Tree, executor};

async fn refused(executor: &Executor, grant: Value) -> (ErrorKind, String) {
    let grants = Grants::none().grant("fs", grant);
    let error = executor.load(runner_guests::get(STD), &grants).await.expect_err("it is refused");
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn a_grant_that_cannot_be_had_says_what_to_write() {
    let executor = executor(Tree::memory());
    let told = [
        (json!({ "mounts": { "data": {} } }), "mount `data`: expected a path from `/` on, found `data`"),
        (json!({ "mounts": { "": {} } }), "mount ``: expected a path from `/` on, found ``"),
        (json!({ "mounts": { "/../x": {} } }), "mount `/../x`: path `../x` leads out of its directory"),
        (
            json!({ "mounts": { "/data": { "volume": "other" } } }),
            "mount `/data`: a volume named `other` is granted, this host has `tree`",
        ),
        (
            json!({ "mounts": { "/data": { "prefix": "../up" } } }),
            "mount `/data`: prefix `../up`: path `../up` leads out of its directory",
        ),
        (json!({ "mounts": { "/data": { "prefix": "shop" } } }), "mount `/data`: prefix `/shop` is not served"),
        (json!({ "mounts": { "/a": {}, "/a/": {} } }), "mount `/a/`: it is the same place as `/a`"),
    ];
    for (grant, words) in told {
        assert_eq!(refused(&executor, grant.clone()).await, (ErrorKind::Invalid, words.to_owned()), "{grant}");
    }
    let unfit = [
        (json!({}), "missing field `mounts`"),
        (json!({ "mount": {} }), "unknown field `mount`"),
        (json!({ "mounts": { "/data": { "mode": "sometimes" } } }), "unknown variant `sometimes`"),
    ];
    for (grant, words) in unfit {
        let (kind, found) = refused(&executor, grant).await;
        let expected = format!("grant for `fs` does not fit its schema: {words}");
        assert!(kind == ErrorKind::Invalid && found.starts_with(&expected), "{found}");
    }
}

#[tokio::test]
async fn a_host_without_volumes_says_so() {
    let executor = Executor::builder().capability(HostFs::new()).build().expect("it starts");
    let (_, words) = refused(&executor, json!({ "mounts": { "/data": {} } })).await;
    assert_eq!(words, "mount `/data`: a volume is granted, this host has none");
    let nothing = Grants::none().grant("fs", json!({ "mounts": {} }));
    assert!(executor.load(runner_guests::get(STD), &nothing).await.is_ok(), "no mount is none too many");
}

#[tokio::test]
async fn what_is_not_granted_is_closed_and_says_what_to_grant() {
    let executor = executor(Tree::memory());
    let explained = executor.explain(runner_guests::get(STD), &Grants::none()).await.expect("it is explained");
    let text = format!("{explained:?}");
    assert!(text.contains("capability `fs` serves it: grant it with"), "{text}");
    assert!(text.contains(r#"{\"fs\":{\"mounts\":{\"/data\":{\"prefix\":\"shop\"}}}}"#), "{text}");
}
