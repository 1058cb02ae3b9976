//! The real program: what its command line refuses, how it compiles strangers' modules, how it ends.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::running::{Running, client, program};

#[tokio::test]
async fn another_address_than_the_loopback_wants_a_token() {
    let data = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner-server"));
    command.args(["--listen", "0.0.0.0:0", "--data"]).arg(data.path()).env_remove("RUNNER_TOKEN").kill_on_drop(true);
    let refused = timeout(Duration::from_secs(20), command.output()).await.unwrap().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("listening on 0.0.0.0:0 lets others run code here: give a token"), "{said}");

    let file = data.path().join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let mut running = Running::start(command.arg("--token-file").arg(&file).stderr(Stdio::piped())).await;
    let port = running.address.rsplit(':').next().unwrap().to_owned();
    running.address = format!("http://127.0.0.1:{port}");
    let asked = running.client.get(running.url("/v1/modules"));
    assert_eq!(asked.try_clone().unwrap().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(asked.bearer_auth("secret").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_command_line_that_cannot_be_meant_is_refused() {
    let data = TempDir::new().unwrap();
    for (args, words) in [
        (&["--allow-origin", "example.com"][..], "origin `example.com`: expected"),
        (&["--allow-origin", "*"], "origin `*`: expected"),
        (&["--allow-origin", "https://example.com/page"], "without a path"),
        (&["--token", ""], "the token is empty"),
        (&["--token", "two words"], "not visible ASCII"),
        (&["--page", "/nowhere/at/all"], "directory `/nowhere/at/all`"),
        (&["--config", "region"], "expected NAME=VALUE"),
        (&["--files", "/data"], "expected dir:PATH or s3://BUCKET/PREFIX, found `/data`"),
        (&["--files", "dir:"], "expected dir:PATH"),
        (&["--files", "ftp://host/x"], "expected dir:PATH"),
        (&["--files", "s3:photos"], "bucket `s3:photos`: expected `s3://bucket/prefix`"),
        (&["--files", "s3:///photos"], "expected the name of a bucket behind `s3://`"),
        (&["--files-cache-bytes", "some"], "invalid value 'some' for '--files-cache-bytes <BYTES>'"),
        (&["--files", "s3://photos?path=style"], "`path` is no setting"),
        (&["--calls", "0"], "bound `calls` is 0"),
        (&["--otlp", "https://example.com:4318"], "collector `https://example.com:4318`: expected http://HOST:PORT"),
        (&["--otlp", "127.0.0.1:4318"], "collector `127.0.0.1:4318`: expected http://HOST:PORT"),
        (&["--otlp", "not a url"], "collector `not a url`: expected http://HOST:PORT"),
        (&["--otlp-host-calls"], "--otlp <URL>"),
    ] {
        let output = timeout(Duration::from_secs(20), program(data.path()).args(args).output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn secrets_come_from_a_file_of_the_user_s_own_and_from_the_environment() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("secrets");
    std::fs::write(&file, "API_KEY=from-the-file\n# none\nTOKEN=of-the-file\n").unwrap();
    let with = |mode: u32| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = program(data.path());
        command
            .arg("--secrets")
            .arg(&file)
            .env("RUNNER_SECRET_TOKEN", "of-the-environment")
            .env("RUNNER_SECRET_B", "x");
        command
    };
    let refused = timeout(Duration::from_secs(20), with(0o644).output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("mode 0644, expected 0600: others may read them"), "{said}");

    let running = Running::start(&mut with(0o600)).await;
    let told = running.client.get(running.url("/v1/secrets")).send().await.unwrap().text().await.unwrap();
    assert_eq!(told, r#"{"secrets":["API_KEY","B","TOKEN"]}"#);
}

#[tokio::test]
async fn files_are_kept_where_the_command_line_says_else_in_the_data_directory() {
    let (data, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let folder = other.path().join("new/folder");
    let named = ["--files".to_owned(), format!("dir:{}", folder.display())];
    for (args, folder) in [(&named[..], folder.clone()), (&[], data.path().join("files"))] {
        let mut running = Running::start(program(data.path()).args(args)).await;
        let put = running.client.put(running.url("/v1/files/shop/a.txt")).body("kept").send();
        assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
        assert_eq!(std::fs::read_to_string(folder.join("shop/a.txt")).unwrap(), "kept");
        assert!(running.terminate().await.success());
        let running = Running::start(program(data.path()).args(args)).await;
        let told = running.client.get(running.url("/v1/files/shop/a.txt")).send().await.unwrap();
        assert_eq!(told.text().await.unwrap(), "kept");
    }
}

#[tokio::test]
async fn files_are_kept_in_a_bucket_where_the_command_line_says() {
    let (data, store) = (TempDir::new().unwrap(), runner_s3::Server::start());
    let endpoint = store.endpoint();
    let address = |bucket: &str| format!("s3://{bucket}/kept/here?endpoint={}", endpoint.url);
    let with = |bucket: &str| {
        let mut command = program(data.path());
        command.args(["--files", &address(bucket)]).envs(endpoint.environment());
        command
    };
    let refused = timeout(Duration::from_secs(60), with("no-such-bucket").output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(&format!("files in `{}`", address("no-such-bucket"))), "{said}");

    let mut running = Running::start(&mut with(&endpoint.bucket)).await;
    let put = running.client.put(running.url("/v1/files/shop/in.txt")).body("kept").send();
    assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(store.get(&endpoint.bucket, "kept/here/shop/in.txt").unwrap().content.bytes(), "kept");

    let guest = runner_guests::get("files-p2");
    let put = running.client.put(running.url("/v1/modules/writer")).body(guest).send();
    assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
    let grants = json!({ "fs": { "mounts": { "/data": { "prefix": "shop" } } } });
    let granted = running.client.put(running.url("/v1/modules/writer/grants")).body(grants.to_string()).send();
    assert!(granted.await.unwrap().status().is_success());
    let steps = json!([["get", "/data/in.txt"], ["put", "/data/out.txt", "written"]]).to_string();
    let asked = json!({ "stdin": steps }).to_string();
    let told = running.client.post(running.url("/v1/modules/writer/call")).body(asked).send().await.unwrap();
    let outcome: Value = told.json().await.unwrap();
    assert_eq!(outcome["stdout"], "\"kept\"\n\"ok\"\n", "{outcome}");
    let usage = &outcome["usage"]["capabilities"]["fs"];
    assert_eq!(usage["report"]["added"], json!(["/data/out.txt"]), "{outcome}");
    assert_eq!(store.get(&endpoint.bucket, "kept/here/shop/out.txt").unwrap().content.bytes(), "written");
    assert!(running.terminate().await.success());

    let mut running = Running::start(&mut with(&endpoint.bucket)).await;
    let told = running.client.get(running.url("/v1/files/shop/out.txt")).send().await.unwrap();
    assert_eq!(told.text().await.unwrap(), "written");
    assert!(running.terminate().await.success());

    // A store that loses what two write at once is not begun with, unless one says that it may.
    store.ignore_preconditions(true);
    let refused = timeout(Duration::from_secs(60), with(&endpoint.bucket).output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the store does not heed conditions of writes"), "{said}");
    assert!(said.contains("last-writer-wins"), "{said}");
    let mut command = program(data.path());
    let last = format!("{}&last-writer-wins=true", address(&endpoint.bucket));
    let running = Running::start(command.args(["--files", &last]).envs(endpoint.environment())).await;
    let put = running.client.put(running.url("/v1/files/shop/in.txt")).body("new").send();
    assert!(put.await.unwrap().status().is_success());
}

#[tokio::test]
async fn what_was_read_of_a_bucket_is_kept_on_this_machine_in_so_many_bytes() {
    let (data, store) = (TempDir::new().unwrap(), runner_s3::Server::start());
    let endpoint = store.endpoint();
    store.put(&endpoint.bucket, "shop/large", vec![b'l'; 3 << 20]);
    let address = format!("s3://{}?endpoint={}", endpoint.bucket, endpoint.url);
    let kept = || {
        let files = std::fs::read_dir(data.path().join("files-cache")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    // What an earlier server has kept goes where a later one may keep less.
    for (bytes, most) in [("0", 0), ("10000000", 10_000_000), ("1000000", 1_000_000), ("0", 0)] {
        let mut command = program(data.path());
        let args = ["--files", &address, "--files-cache-bytes", bytes];
        let mut running = Running::start(command.args(args).envs(endpoint.environment())).await;
        for _ in 0..2 {
            let told = running.client.get(running.url("/v1/files/shop/large")).send().await.unwrap();
            assert_eq!(told.bytes().await.unwrap().len(), 3 << 20);
        }
        assert!(kept() <= most, "{bytes}: {}", kept());
        if most > 3 << 20 {
            assert!(kept() >= 1 << 20, "{bytes}: {}", kept());
        }
        assert!(running.terminate().await.success());
    }
}

#[tokio::test]
async fn a_call_under_way_finishes_when_the_server_is_told_to_end() {
    let data = TempDir::new().unwrap();
    let mut running = Running::start(&mut program(data.path())).await;
    let put = running.client.put(running.url("/v1/modules/spin")).body(runner_guests::wat("spin")).send();
    assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
    let asked = json!({ "limits": { "deadline_ms": 1_500 } }).to_string();
    let call = running.client.post(running.url("/v1/modules/spin/call")).body(asked);
    let call = tokio::spawn(call.send());
    running.in_flight(2).await;
    let status = running.terminate().await;
    assert!(status.success(), "{status}");
    let outcome: Value = call.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(outcome["ending"]["limit"], "deadline");
    assert!(client().get(running.url("/healthz")).send().await.is_err());
}

#[tokio::test]
async fn a_client_gets_what_a_handler_sent_before_it_broke_off() {
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let put = running.client.put(running.url("/v1/modules/hello")).body(runner_guests::get("http-hello.wasm")).send();
    assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
    let mut response = running.client.get(running.url("/v1/modules/hello/http/trap-late")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.chunk().await.unwrap().unwrap(), "the first half, ");
    assert!(response.chunk().await.is_err(), "and is told that there should have been more");
}

#[tokio::test]
async fn told_twice_to_end_it_ends_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT)] {
        let data = TempDir::new().unwrap();
        let mut running = Running::start(&mut program(data.path())).await;
        let asked = json!({ "limits": { "deadline_ms": 60_000 } }).to_string();
        let put = running.client.put(running.url("/v1/modules/spin")).body(runner_guests::wat("spin")).send();
        assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
        let call = running.client.post(running.url("/v1/modules/spin/call")).body(asked);
        let call = tokio::spawn(call.send());
        running.in_flight(2).await;
        running.signal(first);
        // It heard: nobody else gets in, and the call goes on.
        timeout(Duration::from_secs(10), async { while client().get(running.url("/healthz")).send().await.is_ok() {} })
            .await
            .unwrap();
        assert!(running.child.try_wait().unwrap().is_none() && !call.is_finished());
        running.signal(second);
        assert_eq!(running.ended().await.code(), Some(1));
        assert!(call.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn an_idle_server_holds_34_mib_at_most_before_and_after_a_thousand_calls() {
    // Of these 3 are pages of the program, which is a third larger by the client of Amazon's for buckets, and 5 are what carries
    // workflows on: pages of the program, a file of SQLite's, and threads that read it.
    const KIB_MAX: u64 = 34 << 10;
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let fresh = running.memory_kib("VmRSS");
    let put = running.client.put(running.url("/v1/modules/gcd")).body(runner_guests::wat("gcd")).send();
    assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
    let call = || async {
        let call = running.client.post(running.url("/v1/modules/gcd/call")).body(r#"{ "args": [48, 36] }"#);
        let outcome: Value = call.send().await.unwrap().json().await.unwrap();
        assert_eq!(outcome["ending"]["value"], 12);
    };
    for _ in 0..125 {
        futures::future::join_all((0..8).map(|_| call())).await;
    }
    let used = running.memory_kib("VmRSS");
    assert!(fresh <= KIB_MAX && used <= KIB_MAX, "{fresh} KiB, then {used} KiB");
}

#[tokio::test]
async fn many_who_read_a_large_module_at_once_share_a_bound_on_memory() {
    const MODULE_BYTES: usize = 60 << 20;
    const READERS: usize = 20;
    // 512 MiB of modules on their way, and the server itself.
    const KIB_MAX: u64 = 640 << 10;
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let mut module = wasm_encoder::Module::new();
    module.section(&wasm_encoder::CustomSection { name: "large".into(), data: vec![0; MODULE_BYTES].into() });
    let module = module.finish();
    let put = running.client.put(running.url("/v1/modules/large")).body(module).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let read = || running.client.get(running.url("/v1/modules/large")).send();
    let answers = futures::future::join_all((0..READERS).map(|_| read())).await;
    let statuses: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status()).collect();
    // On a slow machine some may wait longer than they are patient.
    assert!(statuses.iter().all(|status| [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(status)));
    assert!(statuses.contains(&StatusCode::OK), "{statuses:?}");
    let peak = running.memory_kib("VmHWM");
    assert!(peak <= KIB_MAX, "{peak} KiB");
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_stores_keeps_what_it_confirmed_and_nothing_half() {
    const BYTES: usize = 256 << 10;
    let data = TempDir::new().unwrap();
    let module = |number: usize| {
        format!("(module (func (export \"f\") (result i32) i32.const {number}) (; {} ;))", "x".repeat(BYTES))
    };
    let mut confirmed = Vec::new();
    for round in 0..3 {
        let mut running = Running::start(&mut program(data.path())).await;
        let mut puts = tokio::task::JoinSet::new();
        for number in (0..8).map(|put| round * 8 + put) {
            let put = running.client.put(running.url("/v1/modules/f")).body(module(number));
            puts.spawn(async move {
                let answer: Value = put.send().await.ok()?.json().await.ok()?;
                Some((answer["version"].as_u64()?, number))
            });
        }
        // Some are stored, the others are on their way.
        for _ in 0..=round {
            confirmed.extend(puts.join_next().await.unwrap().unwrap());
        }
        running.signal(Signal::KILL);
        running.ended().await;
        confirmed.extend(puts.join_all().await.into_iter().flatten());
    }
    assert!(confirmed.len() >= 3 && confirmed.len() < 24, "{confirmed:?}");

    let running = Running::start(&mut program(data.path())).await;
    let call = async |reference: &str| -> Value {
        let call = running.client.post(running.url(&format!("/v1/modules/{reference}/call")));
        call.send().await.unwrap().json().await.unwrap()
    };
    for (version, number) in confirmed {
        assert_eq!(call(&format!("f@{version}")).await["ending"], json!({ "kind": "returned", "value": number }));
    }
    let list: Value = running.client.get(running.url("/v1/modules")).send().await.unwrap().json().await.unwrap();
    for module in list["modules"].as_array().unwrap() {
        assert_eq!(call(module["id"].as_str().unwrap()).await["ending"]["kind"], "returned", "{module}");
        assert!(module["size_bytes"].as_u64().unwrap() > BYTES as u64);
    }
    assert_eq!(std::fs::read_dir(data.path().join("modules/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_second_process_finds_modules_and_compiled_code_and_logs_no_token() {
    let data = TempDir::new().unwrap();
    let mut first = Running::start(program(data.path()).env("RUNNER_TOKEN", "very-secret")).await;
    let put = first.client.put(first.url("/v1/modules/gcd")).bearer_auth("very-secret").body(runner_guests::wat("gcd"));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    assert!(first.terminate().await.success());
    let said = first.log.await.unwrap();
    assert!(said.contains("/v1/modules/gcd") && said.contains("201") && !said.contains("very-secret"), "{said}");

    let second = Running::start(&mut program(data.path())).await;
    let call = second
        .client
        .post(second.url("/v1/modules/gcd/call"))
        .body(json!({ "args": { "a": 48, "b": 36 } }).to_string());
    let outcome: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(outcome["ending"]["value"], 12);
    assert_eq!(outcome["usage"]["compile_us"], 0);
}
