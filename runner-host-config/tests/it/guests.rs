//! What arrives in a guest, by every name of the interface, and what does not.

use runner_core::{Ending, ErrorKind, Grants, Limit, LimitKind, Limits, Service};
use runner_host_config::Config;
use serde_json::json;

use crate::support::{FACES, executor, host, outcome, read, read_all, reader};

#[tokio::test]
async fn values_of_the_grant_and_named_ones_of_the_host_arrive() {
    let program =
        reader(json!({ "values": { "GREETING": "hello", "": "empty key", "void": "" }, "names": ["region"] })).await;
    for face in FACES {
        assert_eq!(read(&program, face, "GREETING").await, json!("hello"), "{face}");
        assert_eq!(read(&program, face, "region").await, json!("north"), "{face}");
        assert_eq!(read(&program, face, "").await, json!("empty key"), "{face}");
        assert_eq!(read(&program, face, "void").await, json!(""), "{face}: an empty value is a value");
        let all = json!([["", "empty key"], ["GREETING", "hello"], ["region", "north"], ["void", ""]]);
        assert_eq!(read_all(&program, face).await, all, "{face}: in the order of the keys");
    }
}

#[tokio::test]
async fn what_was_not_granted_looks_like_what_is_not_there() {
    let program = reader(json!({ "values": { "GREETING": "hello" }, "names": ["region"] })).await;
    for face in FACES {
        // The host has it; it has something like it; nobody has it.
        for key in ["tier", "Region", "REGION", "region ", " region", "region\0", "greeting", "GREETINg", "absent"] {
            assert_eq!(read(&program, face, key).await, json!(null), "{face} {key:?}");
        }
    }
    let nothing = reader(json!({})).await;
    for face in FACES {
        assert_eq!(read(&nothing, face, "region").await, json!(null), "{face}");
        assert_eq!(read_all(&nothing, face).await, json!([]), "{face}");
    }
}

#[tokio::test]
async fn a_value_of_the_grant_comes_before_the_hosts() {
    let program = reader(json!({ "values": { "region": "south" }, "names": ["region", "tier"] })).await;
    assert_eq!(read(&program, "store", "region").await, json!("south"));
    assert_eq!(read_all(&program, "store").await, json!([["region", "south"], ["tier", "free"]]));
}

#[tokio::test]
async fn two_programs_of_one_host_read_each_its_own() {
    let executor = executor(host());
    let guest = runner_guests::get("config-reader");
    let load = async |who: &str| {
        let grants = Grants::none().grant("config", json!({ "values": { "who": who } }));
        executor.load(guest, &grants).await.expect("it loads")
    };
    let (first, second) = (load("first").await, load("second").await);
    assert_eq!(read(&first, "store", "who").await, json!("first"));
    assert_eq!(read(&second, "store", "who").await, json!("second"));
}

#[tokio::test]
async fn every_name_of_the_interface_is_served() {
    let granted = Grants::none().grant("config", json!({}));
    let explained = executor(Config::default()).explain(runner_guests::get("config-reader"), &granted).await;
    let explained = explained.expect("explained");
    let mut served: Vec<_> =
        explained.imports.iter().filter(|import| import.name.starts_with("wasi:config/")).collect();
    served.sort_by_key(|import| &import.name);
    let names: Vec<_> = served.iter().map(|import| import.name.as_str()).collect();
    let all = ["wasi:config/runtime@0.2.0-draft", "wasi:config/store@0.2.0-draft", "wasi:config/store@0.2.0-rc.1"];
    assert_eq!(names, all);
    for import in served {
        assert_eq!(import.service, Service::Granted { capability: "config".to_owned() }, "{}", import.name);
    }
}

#[tokio::test]
async fn without_a_grant_a_guest_does_not_load_and_the_error_says_what_to_grant() {
    let error = executor(host()).load(runner_guests::get("config-reader"), &Grants::none()).await;
    let error = error.expect_err("nothing is granted");
    assert_eq!(error.kind(), ErrorKind::Denied);
    for words in [
        "import `wasi:config/store@0.2.0-rc.1`",
        "is not granted: capability `config` serves it: grant it with {\"config\":{\"values\":{\"GREETING\":\"hello\"}",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn calls_and_bytes_stand_in_the_usage_and_have_their_limit() {
    let program = reader(json!({ "values": { "GREETING": "hello" }, "names": ["region"] })).await;
    for (function, args, bytes_in) in [
        ("read", json!(["store", "GREETING"]), 5),
        ("read", json!(["runtime-draft", "region"]), 5),
        ("read", json!(["store", "absent"]), 0),
        ("read-all", json!(["store"]), 24),
        ("read-all", json!(["store-draft"]), 24),
    ] {
        let outcome = outcome(&program, function, args.clone()).await;
        let (id, used) = &outcome.usage.capabilities[0];
        assert_eq!((id.as_str(), used.calls, used.bytes_in, used.bytes_out), ("config", 1, bytes_in, 0), "{args}");
    }
    for (host_bytes, returns) in [(24, true), (23, false)] {
        let limits = Limits { host_bytes, ..Limits::default() };
        let outcome = program.call("read-all").args(json!(["store"])).limits(limits).run().await.expect("it runs");
        assert_eq!(outcome.ending.is_returned(), returns, "{host_bytes}");
        if !returns {
            let limit = Limit { kind: LimitKind::HostBytes, allowed: host_bytes };
            assert_eq!(outcome.ending, Ending::Exhausted(limit));
        }
    }
}
