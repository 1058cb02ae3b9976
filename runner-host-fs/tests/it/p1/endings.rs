//! What becomes of files when a command ends, by the guest that uses `std::fs`, as a core module.

use runner_core::{Ending, Limits};
use serde_json::{Value, json};

use super::door::stock_command;
use crate::support::{Lent, Tree, check, lines, rows, table};

const STD: &str = "files-p1";

fn no(code: &str) -> Value {
    json!({ "err": code })
}

/// Steps of an ordinary program, with what comes of each.
fn ordinary() -> Value {
    rows!([
        [["exists", "/data/a"], false],
        [["put", "/data/a", "hello"], "ok"],
        [["get", "/data/a"], "hello"],
        [["copy", "/data/a", "/data/b"], 5],
        [["link", "/data/a", "/data/c"], "ok"],
        [["put", "/data/c", "one file"], "ok"],
        [["get", "/data/a"], "one file"],
        [["ls", "/data"], ["a", "b", "c"]],
        [["rename", "/data/b", "/data/a"], "ok"],
        [["get", "/data/a"], "hello"],
        [["mkdirs", "/data/d/e/f"], "ok"],
        [["many", "/data/d/e/", 300], "ok"],
        [["rmdir", "/data/d"], no("notempty")],
        [["rename", "/data/d/e", "/data/g"], "ok"],
        [["rmtree", "/data/g"], "ok"],
        [["rmtree", "/data/d"], "ok"],
        [["ls", "/data"], ["a", "c"]],
        [["get", "/data/nothing"], no("noent")],
        [["get", "/data/../etc"], no("perm")],
        [["get", "/other"], no("noent")],
        [["open", "f", "/data/f", "rwc"], "ok"],
        [["write", "f", "0123456789"], "ok"],
        [["seek", "f", "start", 2], 2],
        [["read", "f", 3], "234"],
        [["seek", "f", "end", -4], 6],
        [["rest", "f"], "6789"],
        [["fill", "f", "x", 200_000], "ok"],
        [["fstat", "f"], 200_010],
        [["set-len", "f", 3], "ok"],
        [["set-times", "f", 1_000, 2_000], "ok"],
        [["ftimes", "f"], [1_000, 2_000]],
        [["sync", "f"], "ok"],
        [["sync-data", "f"], "ok"],
        [["close", "f"], "ok"],
        [["times", "/data/f"], [1_000, 2_000]],
        [["get", "/data/f"], "012"],
        [["open", "log", "/data/log", "ac"], "ok"],
        [["write", "log", "one "], "ok"],
        [["write", "log", "two"], "ok"],
        [["get", "/data/log"], "one two"],
        [["open", "f", "/data/f", "wn"], no("exist")],
    ])
}

#[tokio::test]
async fn an_ordinary_program_uses_files() {
    check(STD, ordinary()).await;
}

#[tokio::test]
async fn an_ordinary_program_finds_the_same_on_wasmtime() {
    let folder = tempfile::tempdir().expect("a folder");
    let (steps, expected) = table(ordinary());
    let printed = stock_command(runner_guests::get(STD), folder.path(), &steps.to_string()).await;
    let came: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    for ((step, came), expected) in steps.as_array().expect("steps").iter().zip(&came).zip(&expected) {
        assert_eq!(came, expected, "{step}");
    }
    assert_eq!(came.len(), expected.len(), "every step was done");
}

#[tokio::test]
async fn what_a_command_wrote_is_there_when_it_has_returned() {
    let tree = Tree::memory();
    let lent = Lent::at_data(STD, &tree).await;
    for code in [None, Some(0)] {
        let mut steps = vec![json!(["put", "/data/a", format!("{code:?}")])];
        steps.extend(code.map(|code| json!(["exit", code])));
        let outcome = lent.outcome(&Value::Array(steps)).await;
        assert!(matches!(outcome.ending, Ending::Returned(_)), "{:?}", outcome.ending);
        assert_eq!(tree.text("/a").await, Some(format!("{code:?}")));
    }
    assert_eq!(tree.ends(), ["commit", "commit"]);
}

#[tokio::test]
async fn what_a_command_wrote_that_failed_is_gone() {
    let tree = Tree::memory();
    let lent = Lent::at_data(STD, &tree).await;
    let written = json!(["put", "/data/a", "x"]);

    let outcome = lent.outcome(&json!([written, ["exit", 7]])).await;
    assert!(matches!(&outcome.ending, Ending::Failed(failure) if failure.exit_code == Some(7)), "{:?}", outcome.ending);
    assert_eq!(lines(&outcome), [json!("ok")]);

    let outcome = lent.outcome(&json!([written, ["panic"]])).await;
    assert!(matches!(outcome.ending, Ending::Trapped(_)), "{:?}", outcome.ending);

    let limits = Limits { deadline: std::time::Duration::from_millis(300), ..Limits::default() };
    let outcome = lent.run(&json!([written, ["spin"]]), limits).await.expect("the host does its part");
    assert!(matches!(outcome.ending, Ending::Exhausted(_)), "{:?}", outcome.ending);

    assert_eq!(tree.text("/a").await, None);
    assert_eq!(tree.ends(), ["discard", "discard", "discard"]);
}

#[tokio::test]
async fn a_command_that_lost_a_race_is_told_to_its_caller() {
    let tree = Tree::memory();
    let lent = Lent::at_data(STD, &tree).await;
    tree.overtake();
    let mut host = super::door::Host::ours(&lent.executor, json!({}), "", Limits::default()).await;
    assert_eq!(super::steps::run(&mut host, "open 3 a c").await, "4");
    let error = host.close().await.expect_err("somebody else was first");
    assert_eq!(error.kind(), runner_core::ErrorKind::Conflict);
}

#[tokio::test]
async fn a_program_that_is_granted_no_files_has_none() {
    let executor = crate::support::executor(Tree::memory());
    let program = executor.load(runner_guests::get(STD), &runner_core::Grants::none()).await.expect("it loads");
    let steps = json!([["get", "/data/a"], ["put", "/data/a", "x"]]).to_string();
    let outcome = program.command().stdin(steps).run().await.expect("the host does its part");
    assert_eq!(lines(&outcome), [no("noent"), no("noent")]);
}
