//! What AWS's spellings are done by: the envelope says it.

use super::*;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:111111111111:function:charge";
const MACHINE: &str = "arn:aws:states:us-east-1:111111111111:stateMachine:child";

/// Puts a workflow of one state with an envelope's `resources`, and has it run.
async fn run(host: &Host, state: Value, resources: Value, input: Value) -> Described {
    let definition = json!({ "StartAt": "A", "States": { "A": state } });
    let envelope = json!({ "definition": definition, "resources": resources });
    host.workflows.put("w", &envelope.to_string()).await.expect("it is put");
    let id = host.execute("w", input).await;
    host.ended(&id).await
}

fn output(described: Described) -> Value {
    match described.ending {
        Some(Ending::Succeeded { output }) => output,
        other => panic!("{other:?}"),
    }
}

fn failure(described: Described) -> (String, String) {
    match described.ending {
        Some(Ending::Failed(Failure { error: Some(error), cause: Some(cause), .. })) => (error, cause),
        other => panic!("{other:?}"),
    }
}

fn invoke(name: &str) -> Value {
    let mut state = task("arn:aws:states:::lambda:invoke");
    state["Parameters"] = json!({ "FunctionName.$": name, "Payload.$": "$.order" });
    state
}

#[tokio::test]
async fn a_function_is_found_by_its_arn_or_its_name_whatever_the_version() {
    let folder = folder();
    let host = Host::new(folder.path());
    for key in [FUNCTION, "charge"] {
        let resources = json!({ key: "app:echo" });
        for called in [FUNCTION.to_owned(), format!("{FUNCTION}:prod"), "charge".to_owned(), "charge:7".to_owned()] {
            let input = json!({ "f": called, "order": { "n": 1 } });
            let result = output(run(&host, invoke("$.f"), resources.clone(), input).await);
            assert_eq!(result["Payload"], json!({ "n": 1 }), "{key} as {called}");
            assert_eq!(result["StatusCode"], 200);
        }
        for called in [FUNCTION.to_owned(), format!("{FUNCTION}:prod")] {
            let result = output(run(&host, task(&called), resources.clone(), json!({ "n": 2 })).await);
            assert_eq!(result, json!({ "n": 2 }), "{key} as {called}");
        }
    }
    let mut bare = task("arn:aws:states:::lambda:invoke");
    bare["Parameters"] = json!({ "FunctionName": "charge" });
    assert_eq!(output(run(&host, bare, json!({ "charge": "app:echo" }), json!(1)).await)["Payload"], json!({}));
}

#[tokio::test]
async fn a_function_fails_as_one_of_lambda_does() {
    let folder = folder();
    let host = Host::new(folder.path());
    let resources = json!({ FUNCTION: "app:fail" });
    let cause = json!({ "errorMessage": "it does", "errorType": "App.Failed" });
    for state in [task(FUNCTION), invoke("$.f")] {
        let input = json!({ "f": FUNCTION, "order": 1 });
        let (error, found) = failure(run(&host, state, resources.clone(), input).await);
        assert_eq!((error.as_str(), found.parse::<Value>().expect("JSON")), ("App.Failed", cause.clone()));
    }
    for (input, error, says) in [
        (json!({ "f": "other", "order": 1 }), "Lambda.ResourceNotFoundException", "nothing for the function `other`"),
        (json!({ "f": 7, "order": 1 }), "Runner.Invalid", "have no text `FunctionName`"),
    ] {
        let (found, cause) = failure(run(&host, invoke("$.f"), resources.clone(), input).await);
        assert_eq!(found, error);
        assert!(cause.contains(says), "{cause}");
    }
}

#[tokio::test]
async fn what_is_named_before_a_run_and_is_not_there_is_refused_when_it_is_put() {
    let folder = folder();
    let host = Host::new(folder.path());
    let mut literal = task("arn:aws:states:::lambda:invoke");
    literal["Parameters"] = json!({ "FunctionName": "other", "Payload": {} });
    let mut starts = task("arn:aws:states:::states:startExecution");
    starts["Parameters"] = json!({ "StateMachineArn": MACHINE });
    let dynamic = json!({ "charge": "app:echo" });
    for (state, rest, says) in [
        (literal, json!({ "resources": dynamic }), "nothing for the function `other`"),
        (starts.clone(), json!({}), "no workflow for the state machine"),
        (starts, json!({ "resources": { MACHINE: "app:echo" } }), "no workflow for the state machine"),
        (task(FUNCTION), json!({}), "nothing for the function"),
        (invoke("$.f"), json!({ "resources": { "charge": "nobody:does" } }), "resource `charge`: nobody does it"),
        (task("app:echo"), json!({ "tasks": { "app:eko": {} } }), "`tasks` says what `app:eko` may use"),
        (task(FUNCTION), json!({ "resources": { FUNCTION: "workflow:w.sync" } }), "ends with `.sync`"),
    ] {
        let mut envelope = json!({ "definition": { "StartAt": "A", "States": { "A": state } } });
        for (field, value) in rest.as_object().expect("fields") {
            envelope[field] = value.clone();
        }
        let refused = host.workflows.put("w", &envelope.to_string()).await.expect_err("it is refused");
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains(says), "{says}: {refused}");
    }
    let fits = json!({
        "definition": { "StartAt": "A", "States": { "A": invoke("$.f") } },
        "resources": dynamic, "tasks": { "app:echo": {} },
    });
    host.workflows.put("w", &fits.to_string()).await.expect("it is put");
}

fn starts(suffix: &str) -> Value {
    let mut state = task(&format!("arn:aws:states:::states:startExecution{suffix}"));
    state["Parameters"] = json!({ "StateMachineArn": MACHINE, "Input": { "n": 1 } });
    state
}

#[tokio::test]
async fn an_execution_of_a_state_machine_is_a_child_and_is_told_as_aws_does() {
    let folder = folder();
    let host = Host::new(folder.path());
    let resources = json!({ MACHINE: "workflow:child" });
    host.put("child", "A", json!({ "A": task("app:echo") })).await;
    let result = output(run(&host, starts(""), resources.clone(), json!(1)).await);
    let child = result["ExecutionArn"].as_str().expect("its id").to_owned();
    assert_eq!(host.output(&child).await, json!({ "n": 1 }));

    let result = output(run(&host, starts(".sync:2"), resources.clone(), json!(1)).await);
    let (input, status) = (&result["Input"], &result["Status"]);
    assert_eq!((input, &result["Output"], status), (&json!({ "n": 1 }), &json!({ "n": 1 }), &json!("SUCCEEDED")));
    let result = output(run(&host, starts(".sync"), resources.clone(), json!(1)).await);
    assert_eq!((&result["Input"], &result["Output"]), (&json!("{\"n\":1}"), &json!("{\"n\":1}")));

    host.put("child", "A", json!({ "A": task("app:fail") })).await;
    let (error, cause) = failure(run(&host, starts(".sync:2"), resources.clone(), json!(1)).await);
    let cause: Value = cause.parse().expect("JSON");
    assert_eq!(
        (error.as_str(), &cause["Status"], &cause["Error"]),
        ("States.TaskFailed", &json!("FAILED"), &json!("App.Failed"))
    );
    host.workflows.remove("child").await.expect("it is there");
    let (error, _) = failure(run(&host, starts(".sync:2"), resources, json!(1)).await);
    assert_eq!(error, "StepFunctions.StateMachineDoesNotExistException");
}

#[tokio::test]
async fn a_child_has_the_name_that_it_is_given_and_nobody_elses() {
    let folder = folder();
    let host = Host::new(folder.path());
    let resources = json!({ MACHINE: "workflow:child" });
    host.put("child", "A", json!({ "A": task("app:echo") })).await;
    let mut named = starts(".sync:2");
    named["Parameters"]["Name"] = json!("order-7");
    let result = output(run(&host, named.clone(), resources.clone(), json!(1)).await);
    assert_eq!(result["Name"], "order-7");
    // The next execution asks for the same name: whoever waits would wait for somebody else's child.
    let (error, cause) = failure(run(&host, named, resources, json!(1)).await);
    assert_eq!(error, "StepFunctions.ExecutionAlreadyExistsException");
    assert!(cause.contains("order-7"), "{cause}");
}

#[tokio::test]
async fn a_child_by_an_arn_is_stopped_with_who_waits() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    let resources = json!({ MACHINE: "workflow:child" });
    host.put("child", "A", json!({ "A": task("app:hang") })).await;
    let mut named = starts(".sync:2");
    named["Parameters"]["Name"] = json!("order-7");
    let envelope = json!({ "definition": { "StartAt": "A", "States": { "A": named } }, "resources": resources });
    host.workflows.put("w", &envelope.to_string()).await.expect("it is put");
    let id = host.execute("w", json!(1)).await;
    until("its child hangs", async || host.doer.count("app:hang") == 1).await;
    host = host.again().await;
    let children = Search { workflow: Some("child".into()), ..Search::default() };
    host.workflows.stop(&id, None, None).await.expect("it runs");
    until("its child is stopped", async || {
        let page = host.workflows.executions(children.clone(), NonZeroU32::MAX).await.expect("they are listed");
        let found: Vec<_> = page.found.iter().map(|child| (child.name.as_str(), child.status)).collect();
        found == [("order-7", Status::Aborted)]
    })
    .await;
}

#[tokio::test]
async fn a_child_may_bring_its_token_back() {
    let folder = folder();
    let host = Host::new(folder.path());
    let resources = json!({ MACHINE: "workflow:child" });
    let mut ask = task("app:ask.waitForTaskToken");
    ask["Parameters"] = json!({ "token.$": "$$.Task.Token", "of": "inner" });
    host.put("child", "A", json!({ "A": ask })).await;
    let mut state = starts(".waitForTaskToken");
    state["Parameters"]["Input"] = json!({ "token.$": "$$.Task.Token" });
    let envelope = json!({ "definition": { "StartAt": "A", "States": { "A": state } }, "resources": resources });
    host.workflows.put("w", &envelope.to_string()).await.expect("it is put");
    let id = host.execute("w", json!(1)).await;
    until("its child runs", async || host.doer.asked().tokens.contains_key("inner")).await;
    let page =
        host.workflows.executions(Search { workflow: Some("child".into()), ..Search::default() }, NonZeroU32::MAX);
    let child = page.await.expect("they are listed").found[0].id.clone();
    let token = host.workflows.describe(&child).await.expect("it is there").input["token"].clone();
    host.workflows
        .task_done(token.as_str().expect("a token"), Done::Succeeded(json!("yes")))
        .await
        .expect("it is waited for");
    assert_eq!(host.output(&id).await, json!("yes"));
}
