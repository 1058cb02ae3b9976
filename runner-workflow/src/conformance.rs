//! What every store must do. A store is done when [`all`] returns.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use runner_workflow::conformance;
//! use runner_workflow::store::SqliteStore;
//!
//! let folder = tempfile::tempdir()?;
//! conformance::all(Arc::new(SqliteStore::open(folder.path().join("store"))?)).await;
//! # Ok(())
//! # }
//! ```

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::error::ErrorKind;
use crate::store::{Create, Created, Digest, Line, Page, Search, Status, Step, Store, Summary, Version};

/// Runs the whole suite against an empty store, which is empty of executions afterwards. It panics where the store is wrong, and
/// says how.
pub async fn all(store: Arc<dyn Store>) {
    let store = &*store;
    workflows_have_versions(store).await;
    a_name_is_given_once(store).await;
    a_step_is_kept_from_its_revision_on(store).await;
    what_is_refused_changes_nothing(store).await;
    of_writers_at_once_one_wins(store).await;
    a_history_is_read_in_pages(store).await;
    values_are_kept_once(store).await;
    what_is_due_and_owed_is_found(store).await;
    executions_are_searched_for(store).await;
    what_has_ended_goes_when_it_is_time(store).await;
    a_removed_workflow_stays_for_its_executions(store).await;
    assert_eq!(executions(store, Search::default(), 1).await.found, [], "nothing is left");
}

fn limit(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("it is not zero")
}

fn id(number: u32) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

fn line(number: u64) -> Line {
    Line { number, text: format!("{{\"entry\":{number},\"text\":\"a \\n ü\"}}") }
}

fn step(state: &str) -> Step {
    Step {
        status: Status::Running,
        ended_ms: None,
        state: state.to_owned(),
        owes: false,
        due_ms: None,
        history: Vec::new(),
        values: Vec::new(),
    }
}

fn new(workflow: &str, number: u32, step: Step) -> Create {
    Create {
        id: id(number),
        workflow: workflow.to_owned(),
        version: 1,
        name: format!("name-{number}"),
        started_ms: i64::from(number),
        input: Digest::of(&number.to_string()),
        step,
    }
}

async fn create(store: &dyn Store, new: Create) {
    let id = new.id.clone();
    assert_eq!(store.create(new).await.expect("it is kept"), Created::New, "{id}");
}

async fn commit(store: &dyn Store, number: u32, revision: u64, step: Step) {
    store.commit(&id(number), revision, Arc::new(step)).await.unwrap_or_else(|error| panic!("{number}: {error}"));
}

async fn executions(store: &dyn Store, search: Search, most: u32) -> Page<Summary> {
    store.executions(search, limit(most)).await.expect("they are searched for")
}

/// Ends an execution at a time, so that it goes.
async fn end(store: &dyn Store, number: u32, ended_ms: i64) {
    let kept = store.execution(&id(number)).await.expect("it is read").expect("it is there");
    let ended = Step { status: Status::Succeeded, ended_ms: Some(ended_ms), ..step("ended") };
    commit(store, number, kept.revision, ended).await;
}

async fn clear(store: &dyn Store) {
    for summary in executions(store, Search::default(), 1_000).await.found {
        let number = summary.id.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
        if summary.ended_ms.is_none() {
            end(store, number, 0).await;
        }
    }
    while store.remove_ended(i64::MAX, limit(1_000)).await.expect("they are removed") {}
}

async fn workflows_have_versions(store: &dyn Store) {
    assert_eq!(store.workflow("a", None).await.expect("it is read"), None);
    for (name, text, version) in [("b", "{}", 1), ("a", "one", 1), ("a", "two", 2), ("c", "", 1), ("a", "two", 3)] {
        let put = store.put_workflow(name, text, 7).await.expect("it is put");
        assert_eq!(put, version, "{name}");
    }
    let newest = store.workflow("a", None).await.expect("it is read").expect("it is there");
    assert_eq!((newest.version.version, newest.text.as_str(), newest.version.created_ms), (3, "two", 7));
    let first = store.workflow("a", Some(1)).await.expect("it is read").expect("it is there");
    assert_eq!((first.version.version, first.text.as_str()), (1, "one"));
    assert_eq!(store.workflow("a", Some(4)).await.expect("it is read"), None);
    let names = |page: Page<Version>| page.found.into_iter().map(|one| (one.name, one.version)).collect::<Vec<_>>();
    let page = store.workflows(None, limit(2)).await.expect("they are listed");
    assert!(page.more);
    assert_eq!(names(page), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let page = store.workflows(Some("b"), limit(2)).await.expect("they are listed");
    assert!(!page.more);
    assert_eq!(names(page), [("c".to_owned(), 1)]);
    assert!(store.remove_workflow("c").await.expect("it is removed"));
    assert!(!store.remove_workflow("c").await.expect("it is gone"));
    assert_eq!(store.workflow("c", None).await.expect("it is read"), None);
    assert_eq!(store.workflow("c", Some(1)).await.expect("it is read"), None, "nothing needs it");
    assert_eq!(store.put_workflow("c", "again", 8).await.expect("it is put"), 2, "a number is given once");
    for name in ["a", "b", "c"] {
        assert!(store.remove_workflow(name).await.expect("it is removed"));
    }
    assert_eq!(names(store.workflows(None, limit(2)).await.expect("they are listed")), []);
    assert_eq!(store.put_workflow("w", "w", 0).await.expect("it is put"), 1, "for what follows");
    assert_eq!(store.put_workflow("v", "v", 0).await.expect("it is put"), 1);
}

async fn a_name_is_given_once(store: &dyn Store) {
    create(store, new("w", 1, step("one"))).await;
    let again = Create { id: id(2), input: Digest::of("other"), ..new("w", 1, step("two")) };
    match store.create(again).await.expect("it is answered") {
        Created::Exists(summary, input) => {
            assert_eq!((summary.id, input), (id(1), Digest::of("1")), "the first one has the name");
            assert_eq!((summary.workflow.as_str(), summary.version, summary.started_ms), ("w", 1, 1));
        }
        Created::New => panic!("a name is given once"),
    }
    assert_eq!(store.execution(&id(2)).await.expect("it is read"), None);
    create(store, Create { name: "name-1".to_owned(), ..new("v", 3, step("of another workflow")) }).await;
    for missing in [Create { version: 2, ..new("w", 4, step("")) }, new("none", 4, step(""))] {
        let refused = store.create(missing).await.expect_err("there is no such version");
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
    clear(store).await;
}

async fn a_step_is_kept_from_its_revision_on(store: &dyn Store) {
    create(store, new("w", 1, step("one"))).await;
    let kept = store.execution(&id(1)).await.expect("it is read").expect("it is there");
    assert_eq!((kept.revision, kept.state.as_str(), kept.summary.status), (1, "one", Status::Running));
    let long = "x".repeat(3_000_000) + "\nü";
    commit(store, 1, 1, step(&long)).await;
    let kept = store.execution(&id(1)).await.expect("it is read").expect("it is there");
    assert_eq!((kept.revision, kept.state), (2, long));
    for revision in [0, 1, 3, u64::MAX] {
        let refused = store.commit(&id(1), revision, Arc::new(step("other"))).await.expect_err("it is at another");
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{revision}");
    }
    let refused = store.commit(&id(2), 1, Arc::new(step(""))).await.expect_err("it is not there");
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    let ended = Step { status: Status::TimedOut, ended_ms: Some(9), ..step("ended") };
    commit(store, 1, 2, ended).await;
    let kept = store.execution(&id(1)).await.expect("it is read").expect("it is there");
    assert_eq!((kept.summary.status, kept.summary.ended_ms, kept.revision), (Status::TimedOut, Some(9), 3));
    commit(store, 1, 3, step("again")).await;
    let kept = store.execution(&id(1)).await.expect("it is read").expect("it is there");
    assert_eq!((kept.summary.status, kept.summary.ended_ms), (Status::Running, None));
    clear(store).await;
}

async fn what_is_refused_changes_nothing(store: &dyn Store) {
    create(store, new("w", 1, Step { history: vec![line(1)], ..step("one") })).await;
    let before = store.execution(&id(1)).await.expect("it is read");
    for numbers in [vec![1], vec![3], vec![2, 4], vec![0], vec![2, 2]] {
        let value = (Digest::of("v"), "v".to_owned());
        let wrong = Step {
            status: Status::Failed,
            due_ms: Some(1),
            owes: true,
            history: numbers.iter().map(|number| line(*number)).collect(),
            values: vec![value],
            ..step("two")
        };
        let refused = store.commit(&id(1), 1, Arc::new(wrong)).await.expect_err("a history has no gap");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{numbers:?}");
    }
    assert_eq!(store.execution(&id(1)).await.expect("it is read"), before);
    assert_eq!(store.history(&id(1), 0, limit(9)).await.expect("it is read").found, [line(1)]);
    assert_eq!(store.values(&id(1), &[Digest::of("v")]).await.expect("they are read"), [None]);
    assert_eq!(store.next_due().await.expect("it is read"), None);
    assert_eq!(store.owing(None, limit(9)).await.expect("it is read").found, [""; 0]);
    clear(store).await;
}

async fn of_writers_at_once_one_wins(store: &dyn Store) {
    create(store, new("w", 1, step("0"))).await;
    for revision in 1..20 {
        let texts: Vec<_> = (0..8).map(|writer| format!("{revision} {writer}")).collect();
        let id = id(1);
        let commits = texts.iter().map(|text| store.commit(&id, revision, Arc::new(step(text))));
        let done = futures::future::join_all(commits).await;
        let won: Vec<_> = texts.iter().zip(&done).filter(|(_, done)| done.is_ok()).map(|(text, _)| text).collect();
        let kept = store.execution(&id).await.expect("it is read").expect("it is there");
        assert_eq!(won, [&kept.state], "one of eight");
        assert!(done.iter().flat_map(|done| done.as_ref().err()).all(|error| error.kind() == ErrorKind::Conflict));
    }
    clear(store).await;
}

async fn a_history_is_read_in_pages(store: &dyn Store) {
    create(store, new("w", 1, Step { history: (1..=3).map(line).collect(), ..step("") })).await;
    create(store, new("w", 2, Step { history: vec![line(1)], ..step("") })).await;
    commit(store, 1, 1, step("")).await;
    commit(store, 1, 2, Step { history: vec![line(4)], ..step("") }).await;
    commit(store, 1, 3, Step { history: (5..=9).map(line).collect(), ..step("") }).await;
    for after in 0..=10 {
        for most in 1..=10 {
            let page = store.history(&id(1), after, limit(most)).await.expect("it is read");
            let expected: Vec<_> = (after + 1..=9).take(most as usize).map(line).collect();
            assert_eq!(page.more, 9_u64.saturating_sub(after) > u64::from(most), "{most} behind {after}");
            assert_eq!(page.found, expected, "{most} behind {after}");
        }
    }
    assert_eq!(store.history(&id(2), 0, limit(9)).await.expect("it is read").found, [line(1)]);
    assert_eq!(store.history(&id(3), 0, limit(9)).await.expect("it is read").found, []);
    clear(store).await;
}

async fn values_are_kept_once(store: &dyn Store) {
    let value = |text: &str| (Digest::of(text), text.to_owned());
    let large = "v".repeat(1_000_000);
    create(store, new("w", 1, Step { values: vec![value("a"), value(&large)], ..step("") })).await;
    commit(store, 1, 1, Step { values: vec![value("a"), value("b")], ..step("") }).await;
    create(store, new("w", 2, step(""))).await;
    let digests = [Digest::of("b"), Digest::of("none"), Digest::of(&large), Digest::of("b")];
    let found = store.values(&id(1), &digests).await.expect("they are read");
    assert_eq!(found, [Some("b".to_owned()), None, Some(large), Some("b".to_owned())], "in the order of the question");
    assert_eq!(store.values(&id(2), &[Digest::of("a")]).await.expect("they are read"), [None], "each has its own");
    clear(store).await;
}

async fn what_is_due_and_owed_is_found(store: &dyn Store) {
    assert_eq!(store.next_due().await.expect("it is read"), None);
    for (number, due_ms) in [(1, Some(30)), (2, None), (3, Some(10)), (4, Some(20))] {
        create(store, new("w", number, Step { due_ms, owes: number != 3, ..step("") })).await;
    }
    assert_eq!(store.next_due().await.expect("it is read"), Some(10));
    let due = async |now_ms, most| store.due(now_ms, limit(most)).await.expect("it is read");
    assert_eq!(due(9, 9).await, [""; 0]);
    assert_eq!(due(20, 9).await, [id(3), id(4)], "what has waited longest is first");
    assert_eq!(due(99, 1).await, [id(3)]);
    let owing = async |after: Option<String>, most| {
        let page = store.owing(after.as_deref(), limit(most)).await.expect("it is read");
        (page.found, page.more)
    };
    assert_eq!(owing(None, 2).await, (vec![id(1), id(2)], true));
    assert_eq!(owing(Some(id(2)), 2).await, (vec![id(4)], false));
    commit(store, 3, 1, step("")).await;
    commit(store, 1, 1, Step { due_ms: Some(15), owes: false, ..step("") }).await;
    assert_eq!(store.next_due().await.expect("it is read"), Some(15));
    assert_eq!(due(99, 9).await, [id(1), id(4)]);
    assert_eq!(owing(None, 9).await, (vec![id(2), id(4)], false));
    clear(store).await;
}

async fn executions_are_searched_for(store: &dyn Store) {
    for number in 1..=6 {
        let workflow = if number % 2 == 0 { "v" } else { "w" };
        create(store, new(workflow, number, step(""))).await;
    }
    create(store, Create { name: "other".to_owned(), ..new("w", 7, step("")) }).await;
    for number in [2, 5] {
        end(store, number, 9).await;
    }
    let found = async |search: Search, most: u32| {
        let page = executions(store, search, most).await;
        let numbers = page.found.iter().map(|one| one.started_ms).collect::<Vec<_>>();
        (numbers, page.more)
    };
    let all = Search::default;
    assert_eq!(found(all(), 9).await, (vec![7, 6, 5, 4, 3, 2, 1], false), "the newest first");
    assert_eq!(found(all(), 3).await, (vec![7, 6, 5], true));
    assert_eq!(found(Search { after: Some(id(5)), ..all() }, 3).await, (vec![4, 3, 2], true));
    assert_eq!(found(Search { workflow: Some("v".into()), ..all() }, 9).await, (vec![6, 4, 2], false));
    assert_eq!(found(Search { status: Some(Status::Succeeded), ..all() }, 9).await, (vec![5, 2], false));
    assert_eq!(found(Search { name_prefix: Some("name-".into()), ..all() }, 2).await, (vec![6, 5], true));
    assert_eq!(found(Search { name_prefix: Some("o".into()), ..all() }, 2).await, (vec![7], false));
    assert_eq!(found(Search { name_prefix: Some("%".into()), ..all() }, 2).await, (vec![], false));
    let between = Search { started_from_ms: Some(2), started_before_ms: Some(5), ..all() };
    assert_eq!(found(between.clone(), 9).await, (vec![4, 3, 2], false));
    let running = Search { status: Some(Status::Running), workflow: Some("v".into()), ..between };
    assert_eq!(found(running, 9).await, (vec![4], false));
    clear(store).await;
}

async fn what_has_ended_goes_when_it_is_time(store: &dyn Store) {
    let history: Vec<_> = (1..=100).map(line).collect();
    for number in 1..=4 {
        create(store, new("w", number, Step { history: history.clone(), ..step("") })).await;
    }
    for more in 0..50 {
        let value = format!("value {more}");
        let (number, value) = (101 + more, (Digest::of(&value), value));
        commit(store, 1, more + 1, Step { history: vec![line(number)], values: vec![value], ..step("") }).await;
    }
    for (number, ended_ms) in [(1, 10), (2, 20)] {
        end(store, number, ended_ms).await;
    }
    let owing = Step { status: Status::Failed, ended_ms: Some(5), owes: true, ..step("") };
    commit(store, 3, 1, owing).await;
    assert!(!store.remove_ended(10, limit(100)).await.expect("it is looked"), "nothing ended before");
    let mut times = 0;
    while store.remove_ended(20, limit(7)).await.expect("they are removed") {
        times += 1;
        assert!(times < 100, "it comes to an end");
    }
    assert!(times > 10, "a long one goes in pieces: {times}");
    assert_eq!(store.execution(&id(1)).await.expect("it is read"), None);
    assert_eq!(store.history(&id(1), 0, limit(9)).await.expect("it is read").found, []);
    for number in 2..=4 {
        let page = store.history(&id(number), 0, limit(200)).await.expect("it is read");
        assert_eq!(page.found.len(), 100, "{number} is there");
    }
    // The name is free again.
    create(store, Create { id: id(9), ..new("w", 1, step("")) }).await;
    assert_eq!(store.history(&id(9), 0, limit(9)).await.expect("it is read").found, []);
    commit(store, 3, 2, Step { status: Status::Failed, ended_ms: Some(5), ..step("") }).await;
    clear(store).await;
}

async fn a_removed_workflow_stays_for_its_executions(store: &dyn Store) {
    create(store, new("w", 1, step(""))).await;
    assert_eq!(store.put_workflow("w", "newer", 1).await.expect("it is put"), 2);
    assert!(store.remove_workflow("w").await.expect("it is removed"));
    assert_eq!(store.workflow("w", None).await.expect("it is read"), None);
    assert_eq!(store.workflow("w", Some(2)).await.expect("it is read"), None, "no execution has it");
    let kept = store.workflow("w", Some(1)).await.expect("it is read").expect("an execution has it");
    assert_eq!(kept.text, "w");
    clear(store).await;
    assert_eq!(store.workflow("w", Some(1)).await.expect("it is read"), None, "it has gone with the execution");
    assert_eq!(store.put_workflow("w", "again", 1).await.expect("it is put"), 3);
    store.remove_workflow("w").await.expect("it is removed");
    store.remove_workflow("v").await.expect("it is removed");
}
