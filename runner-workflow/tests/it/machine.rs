//! The machine by itself: what it asks for, and that a run state is a value like any other.

use proptest::prelude::*;
use runner_workflow::{
    Command, Definition, Ending, Event, Execution, Happened, Invocation, Key, Limits, RunError, RunState, WaitingOn,
};
use serde_json::{Value, json};

fn begin(definition: &Value, input: Value) -> (Definition, RunState) {
    let definition = Definition::from_value(definition).unwrap();
    let run = RunState::new(&definition, Execution::new("m", "r", input, 0), Limits::default()).unwrap();
    (definition, run)
}

/// Of runs that fit their definition.
fn advance(definition: &Definition, run: RunState, event: Event) -> (RunState, Vec<Command>) {
    runner_workflow::advance(definition, run, event).unwrap()
}

const fn event(now_ms: i64, happened: Happened) -> Event {
    Event { now_ms, seed: 7, happened }
}

fn invocations(commands: &[Command]) -> Vec<&Invocation> {
    commands
        .iter()
        .filter_map(|command| match command {
            Command::Invoke(invocation) | Command::StartChild(invocation) => Some(invocation),
            _ => None,
        })
        .collect()
}

#[test]
fn a_task_is_asked_for_with_all_that_its_doer_needs() {
    let state = json!({"Type": "Task", "Resource": "wasm:m@1#f", "TimeoutSeconds": 60, "HeartbeatSeconds": 10, "End": true,
        "Parameters": {"a": 1}, "Retry": [{"ErrorEquals": ["E"], "IntervalSeconds": 2}]});
    let (definition, run) = begin(&json!({"StartAt": "T", "States": {"T": state}}), json!({}));
    let (run, commands) = advance(&definition, run, event(1000, Happened::Started));
    let [asked] = invocations(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((asked.state.as_str(), asked.resource.text(), &asked.arguments), ("T", "wasm:m@1#f", &json!({"a": 1})));
    assert_eq!((asked.attempt, asked.timeout_seconds, asked.heartbeat_seconds), (1, Some(60), Some(10)));
    let timers: Vec<i64> = commands
        .iter()
        .filter_map(|command| if let Command::SetTimer { at_ms, .. } = command { Some(*at_ms) } else { None })
        .collect();
    assert_eq!(timers, [61_000, 11_000]);
    assert_eq!(run.waiting()[0].until_ms, Some(11_000));

    let failed = Happened::TaskFailed { task: asked.task.clone(), error: Some("E".into()), cause: None };
    let (run, commands) = advance(&definition, run, event(2000, failed.clone()));
    assert_eq!((&run.waiting()[0].on, run.waiting()[0].until_ms), (&WaitingOn::Retry, Some(4000)));
    let Some(Command::SetTimer { timer, .. }) = commands.last() else { panic!("{commands:?}") };
    let (run, commands) = advance(&definition, run, event(4000, Happened::TimerFired { timer: timer.clone() }));
    let [again] = invocations(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!(again.attempt, 2);
    assert_ne!(again.idempotency_key, asked.idempotency_key);

    // The first try's answer comes late, twice: it changes nothing.
    let (same, commands) = advance(&definition, run.clone(), event(5000, failed));
    assert_eq!((same.waiting(), commands), (run.waiting(), Vec::new()));
    let done = Happened::TaskSucceeded { task: again.task.clone(), output: json!(5) };
    let (run, commands) = advance(&definition, run, event(5000, done.clone()));
    let ending = Ending::Succeeded { output: json!(5) };
    assert_eq!((run.ending(), commands.last()), (Some(&ending), Some(&Command::Finish(ending.clone()))));
    assert_eq!(advance(&definition, run.clone(), event(6000, done)), (run, Vec::new()));
}

#[test]
fn a_heartbeat_moves_its_timer() {
    let state = json!({"Type": "Task", "Resource": "wasm:m#f", "HeartbeatSeconds": 10, "End": true});
    let (definition, run) = begin(&json!({"StartAt": "T", "States": {"T": state}}), json!({}));
    let (run, commands) = advance(&definition, run, event(0, Happened::Started));
    let task = invocations(&commands)[0].task.clone();
    let (_, commands) = advance(&definition, run, event(8000, Happened::TaskHeartbeat { task }));
    assert!(
        matches!(&commands[..], [Command::CancelTimer(_), Command::SetTimer { at_ms: 18_000, .. }]),
        "{commands:?}"
    );
}

#[test]
fn a_child_workflow_and_a_token_are_asked_for_as_such() {
    let start = |resource: &str| {
        let state = json!({"Type": "Task", "Resource": resource, "End": true, "Parameters": {"t.$": "$$.Task.Token"}});
        let (definition, run) = begin(&json!({"StartAt": "T", "States": {"T": state}}), json!({}));
        advance(&definition, run, event(0, Happened::Started)).1
    };
    let commands = start("wasm:m#f.waitForTaskToken");
    let asked = invocations(&commands)[0];
    assert_eq!(asked.token.as_deref(), asked.arguments["t"].as_str());
    let state = json!({"Type": "Task", "Resource": "workflow:other", "End": true});
    let (definition, run) = begin(&json!({"StartAt": "T", "States": {"T": state}}), json!({}));
    let (_, commands) = advance(&definition, run, event(0, Happened::Started));
    assert!(commands.iter().any(|command| matches!(command, Command::StartChild(_))), "{commands:?}");
}

#[test]
fn a_long_way_without_a_task_is_gone_in_parts() {
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "B"},
        "B": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericLessThan": 2000, "Next": "A"}], "Default": "C"},
        "C": {"Type": "Succeed"},
    }});
    let (definition, mut run) = begin(&definition, json!({"n": 0}));
    let (mut happened, mut parts) = (Happened::Started, 0);
    while run.ending().is_none() {
        let weight = run.to_json().len();
        assert!(weight < 2000, "{weight}");
        let commands;
        (run, commands) = advance(&definition, run, event(0, happened));
        assert_eq!(run.ending().is_none(), commands.last() == Some(&Command::Continue));
        (happened, parts) = (Happened::Continued, parts + 1);
    }
    assert_eq!(run.ending(), Some(&Ending::Succeeded { output: json!({"n": 2000}) }));
    assert_eq!(parts, 5);
}

#[test]
fn a_run_that_is_stopped_cancels_what_is_under_way() {
    let task = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "wasm:m#f", "TimeoutSeconds": 5, "End": true}}});
    let map = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": task, "End": true}}});
    let (definition, run) = begin(&map, json!([1, 2]));
    let (run, commands) = advance(&definition, run, event(0, Happened::Started));
    let tasks: Vec<&Key> = invocations(&commands).iter().map(|asked| &asked.task).collect();
    let (run, commands) =
        advance(&definition, run, event(0, Happened::Stopped { error: Some("E".into()), cause: None }));
    let cancelled =
        |wanted: &Key| commands.iter().any(|command| matches!(command, Command::CancelTask(key) if key == wanted));
    assert!(tasks.len() == 2 && tasks.into_iter().all(cancelled), "{commands:?}");
    assert_eq!(commands.iter().filter(|command| matches!(command, Command::CancelTimer(_))).count(), 2);
    assert!(matches!(run.ending(), Some(Ending::Aborted(_))));
}

#[test]
fn a_run_that_failed_goes_on_from_there() {
    let task = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "wasm:m#f", "End": true}}});
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"v": 1}, "Next": "P"},
        "P": {"Type": "Parallel", "Next": "B", "Branches": [
            {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$", "End": true, "ItemProcessor": task}}},
            {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9, "End": true}}},
        ]},
        "B": {"Type": "Pass", "Parameters": {"v.$": "$v", "m.$": "$[0]", "again.$": "$$.Execution.RedriveCount"}, "End": true},
    }});
    let (definition, run) = begin(&definition, json!([0, 1, 2]));
    let (run, commands) = advance(&definition, run, event(0, Happened::Started));
    let asked: Vec<Invocation> = invocations(&commands).into_iter().cloned().collect();
    let done = |task: &Key, output: Value| Happened::TaskSucceeded { task: task.clone(), output };
    let (run, _) = advance(&definition, run, event(1, done(&asked[0].task, json!("first"))));
    let failed = Happened::TaskFailed { task: asked[1].task.clone(), error: Some("E".into()), cause: None };
    let (run, _) = advance(&definition, run, event(2, failed));
    assert!(matches!(run.ending(), Some(Ending::Failed(_))));

    let run = RunState::from_json(&run.to_json(), &definition).unwrap();
    let (mut run, commands) = advance(&definition, run, event(3, Happened::Redriven));
    let again: Vec<Key> = invocations(&commands).iter().map(|asked| asked.task.clone()).collect();
    assert_eq!(again.len(), 2, "what was done is not done again");
    for task in &again {
        (run, _) = advance(&definition, run, event(4, done(task, json!("again"))));
    }
    let timer = commands.iter().find_map(|command| match command {
        Command::SetTimer { timer, at_ms: 9003 } => Some(timer.clone()),
        _ => None,
    });
    let (run, _) =
        advance(&definition, run, event(9003, Happened::TimerFired { timer: timer.expect("it waits anew") }));
    let output = json!({"v": 1, "m": ["first", "again", "again"], "again": 1});
    assert_eq!(run.ending(), Some(&Ending::Succeeded { output }));
    assert_eq!(advance(&definition, run.clone(), event(9004, Happened::Redriven)), (run, Vec::new()));
}

#[test]
fn machines_as_deep_as_a_text_has_them_go_through_json() {
    let task = json!({"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": "wasm:m#f", "End": true}}});
    let around = |inner: Value, depth: usize| {
        let name = format!("S{depth}");
        json!({"StartAt": name, "States": {&name: {"Type": "Parallel", "Branches": [inner], "End": true}}})
    };
    let deepest = (0..31).fold(task, around);
    let refused = Definition::from_value(&around(deepest.clone(), 31)).unwrap_err();
    assert_eq!(refused.complaints()[0].code.name(), "TOO_DEEPLY_NESTED");
    let (definition, run) = begin(&deepest, json!({}));
    let (run, commands) = advance(&definition, run, event(0, Happened::Started));
    let run = RunState::from_json(&run.to_json(), &definition).unwrap();
    let task = invocations(&commands)[0].task.clone();
    let (run, _) = advance(&definition, run, event(0, Happened::TaskSucceeded { task, output: json!(1) }));
    assert!(matches!(run.ending(), Some(Ending::Succeeded { .. })), "{:?}", run.ending());
}

#[test]
fn a_key_is_a_text_and_back() {
    for text in ["#1", "0#2", "0.31.2#17"] {
        assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
    }
    for refused in ["", "1", "a#1", "1.#2", "1#-1"] {
        assert!(refused.parse::<Key>().is_err(), "{refused}");
    }
}

/// A workflow with everything that can be waited for, side by side.
fn everything() -> Value {
    json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "End": true,
            "ItemProcessor": {"StartAt": "T", "States": {
                "T": {"Type": "Task", "Resource": "wasm:m#f", "TimeoutSeconds": 50, "ResultPath": "$.r", "Assign": {"seen.$": "$"},
                    "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 2, "JitterStrategy": "FULL"}],
                    "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "U"}], "Next": "U"},
                "U": {"Type": "Pass", "Parameters": {"i.$": "$$.Map.Item.Index", "id.$": "States.UUID()"}, "End": true},
            }}}}},
        {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 20, "Next": "K"},
            "K": {"Type": "Task", "Resource": "wasm:m#k.waitForTaskToken", "HeartbeatSeconds": 30, "End": true,
                "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "Z"}]},
            "Z": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $uuid() & $string($states.input.Error) %}", "End": true}}},
    ]}}})
}

/// All pointers into a value, its own included.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            (0..).zip(items).for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), found))
        }
        Value::Object(fields) => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            fields.iter().for_each(|(name, field)| pointers(field, &format!("{at}/{}", escaped(name)), found));
        }
        _ => {}
    }
}

#[test]
fn a_run_goes_on_with_the_definition_that_it_began_with() {
    let with = |name: &str, state: Value| json!({"StartAt": name, "States": {name: state}});
    let task = json!({"Type": "Task", "Resource": "wasm:m#f", "End": true});
    let (definition, run) = begin(&with("T", task.clone()), json!({}));
    let (run, _) = advance(&definition, run, event(0, Happened::Started));
    let branch = with("T", task.clone());
    let others = [
        (with("U", task), "T", "the definition has no such state in its place"),
        (
            with("T", json!({"Type": "Task", "Resource": "wasm:m#f", "End": true, "Retry": [{"ErrorEquals": ["E"]}]})),
            "T",
            "the definition's state has 1 retriers, of which the run counts 0",
        ),
        (
            with("T", json!({"Type": "Wait", "Seconds": 1, "End": true})),
            "T",
            "the definition's state is a Wait, which does not do what the run does there",
        ),
        (
            with("P", json!({"Type": "Parallel", "Branches": [branch], "End": true})),
            "T",
            "the definition has no such state in its place",
        ),
    ];
    for (other, state, found) in others {
        let other = Definition::from_value(&other).unwrap();
        let misfit = runner_workflow::advance(&other, run.clone(), event(1, Happened::Continued)).unwrap_err();
        assert_eq!(misfit.state(), state);
        let expected = format!(
            "the run is in the state `{state}`, and {found}: a run goes on with the version of the definition that it began with"
        );
        assert_eq!(misfit.to_string(), expected);
        let Err(RunError::Misfit(read)) = RunState::from_json(&run.to_json(), &other) else { panic!("{found}") };
        assert_eq!(read, misfit);
    }
    let Err(RunError::Json(_)) = RunState::from_json("{}", &definition) else { panic!("it is no run") };
}

/// Runs to the end, letting chance choose what happens next of all that can; each choice also says how much time passes. Where
/// texts are wanted it goes through JSON at every step, and each is kept.
fn drive(choices: &[(u8, u8)], mut texts: Option<&mut Vec<String>>) -> (Vec<Command>, RunState) {
    let input = json!({"items": [{"a": 1}, {"a": 2}, {"a": 3}]});
    let (definition, mut run) = begin(&everything(), input);
    let (mut now, mut happened, mut log) = (0, Some(Happened::Started), Vec::new());
    let mut tasks: Vec<Key> = Vec::new();
    let mut timers: Vec<(i64, Key)> = Vec::new();
    let mut choices = choices.iter().copied().cycle();
    while let Some(next) = happened.take() {
        if let Some(texts) = &mut texts {
            let text = run.to_json();
            run = RunState::from_json(&text, &definition).unwrap();
            assert_eq!(run.to_json(), text);
            texts.push(text);
        }
        let commands;
        (run, commands) = advance(&definition, run, event(now, next));
        for command in &commands {
            match command {
                Command::Invoke(asked) => tasks.push(asked.task.clone()),
                Command::CancelTask(key) => tasks.retain(|task| task != key),
                Command::SetTimer { timer, at_ms } => timers.push((*at_ms, timer.clone())),
                Command::CancelTimer(key) => timers.retain(|(_, timer)| timer != key),
                _ => {}
            }
        }
        log.extend(commands);
        let (choice, wait) = choices.next().unwrap();
        timers.sort();
        let may_wait = !timers.is_empty() && (tasks.is_empty() || choice % 4 == 0);
        happened = if may_wait {
            let (at, timer) = timers.remove(0);
            now = now.max(at) + i64::from(wait);
            Some(Happened::TimerFired { timer })
        } else if tasks.is_empty() {
            None
        } else {
            let task = tasks.remove(usize::from(choice) % tasks.len());
            Some(match choice % 3 {
                0 => Happened::TaskFailed { task, error: Some("E".into()), cause: Some("c".into()) },
                _ => Happened::TaskSucceeded { task, output: json!({"choice": choice}) },
            })
        };
    }
    (log, run)
}

proptest! {
    #[test]
    fn a_number_comes_back_from_json_as_it_went(number in any::<f64>().prop_filter("JSON has no others", |number| number.is_finite())) {
        let (definition, run) = begin(&json!({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}), json!(number));
        prop_assert_eq!(RunState::from_json(&run.to_json(), &definition).unwrap(), run);
    }

    #[test]
    fn a_run_that_goes_through_json_at_every_step_asks_for_the_same(choices in prop::collection::vec(any::<(u8, u8)>(), 1..40)) {
        let (straight, run) = drive(&choices, None);
        prop_assert_eq!(drive(&choices, Some(&mut Vec::new())), (straight.clone(), run.clone()));
        // Whatever the order, it ends, once, and leaves nothing under way.
        prop_assert!(run.ending().is_some(), "{:?}", run.waiting());
        let finished = straight.iter().filter(|command| matches!(command, Command::Finish(_))).count();
        prop_assert_eq!(finished, 1);
        let ids: Vec<u64> = straight.iter().filter_map(|command| match command {
            Command::Record(event) => Some(event.id),
            _ => None,
        }).collect();
        prop_assert_eq!(&ids, &(1..=ids.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_whose_json_was_changed_is_refused_or_goes_on(
        choices in prop::collection::vec(any::<(u8, u8)>(), 1..20),
        step in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..7_usize), 1..4),
    ) {
        let mut texts = Vec::new();
        drive(&choices, Some(&mut texts));
        let mut changed: Value = serde_json::from_str(&texts[step.index(texts.len())]).unwrap();
        for (place, by) in changes {
            let mut all = Vec::new();
            pointers(&changed, "", &mut all);
            let by = [json!(null), json!(0), json!(u64::MAX), json!("T"), json!([]), json!({}), json!("M")][by].clone();
            *changed.pointer_mut(&all[place.index(all.len())]).unwrap() = by;
        }
        let definition = Definition::from_value(&everything()).unwrap();
        let Ok(run) = RunState::from_json(&changed.to_string(), &definition) else { return Ok(()) };
        let mut all = vec![Happened::Started, Happened::Continued, Happened::Redriven];
        all.push(Happened::Stopped { error: None, cause: None });
        for waiting in run.waiting() {
            if let WaitingOn::Task(task) = waiting.on {
                all.push(Happened::TaskSucceeded { task: task.clone(), output: json!(1) });
                all.push(Happened::TaskHeartbeat { task: task.clone() });
                all.push(Happened::TaskTimedOut { task: task.clone() });
                all.push(Happened::TimerFired { timer: task });
            }
        }
        for happened in all {
            advance(&definition, run.clone(), event(i64::MAX, happened));
        }
    }

    #[test]
    fn the_order_of_answers_does_not_change_the_output(order in Just((0..6_u64).collect::<Vec<_>>()).prop_shuffle()) {
        let task = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "wasm:m#f", "End": true}}});
        let map = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": task, "End": true}}});
        let (definition, run) = begin(&map, json!([0, 1, 2, 3, 4, 5]));
        let (mut run, commands) = advance(&definition, run, event(0, Happened::Started));
        let asked: Vec<Invocation> = invocations(&commands).into_iter().cloned().collect();
        for place in order {
            let Invocation { task, arguments, .. } = asked[usize::try_from(place).unwrap()].clone();
            (run, _) = advance(&definition, run, event(0, Happened::TaskSucceeded { task, output: arguments }));
        }
        prop_assert_eq!(run.ending(), Some(&Ending::Succeeded { output: json!([0, 1, 2, 3, 4, 5]) }));
    }
}
