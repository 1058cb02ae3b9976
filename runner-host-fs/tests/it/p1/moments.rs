//! `poll_oneoff`: moments, files and streams.

use std::time::Duration;

use runner_core::{Ending, LimitKind, Limits};
use serde_json::json;

use super::door::Host;
use super::steps::{check_with, run};
use crate::support::{Tree, executor};

#[tokio::test]
async fn files_and_streams_are_ready_together() {
    check_with(
        "given",
        &[
            ("open 3 a c rw", "4", ""),
            ("write 4 abc", "3", ""),
            ("poll write:4", "write:4=0,1", ""),
            ("poll read:4", "read:4=0,0 hangup", "read:4=0,1 hangup"),
            ("seek 4 1 set", "1", ""),
            // How much there is; wasmtime says that there is something.
            ("poll read:4", "read:4=0,2", "read:4=0,1"),
            ("poll read:0 write:1 write:2", "read:0=0,1 write:1=0,1 write:2=0,1", ""),
            ("poll read:0 write:4", "read:0=0,1 write:4=0,1", ""),
            // Who asks for a moment as well does not wait for it.
            ("poll clock:60000000000 write:1", "write:1=0,1", ""),
            ("poll read:4 wall:60000000000", "read:4=0,2", "read:4=0,1"),
            ("poll moment:max write:4", "write:4=0,1", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_waited_for_is_said() {
    check_with(
        "given",
        &[
            ("open 3 a c r", "4", ""),
            ("open 3 a '' w", "5", ""),
            ("poll", "inval", ""),
            ("poll read:9", "badf", ""),
            ("poll write:9", "badf", ""),
            ("poll write:1 read:9", "badf", ""),
            ("poll read:3", "badf", ""),
            ("poll write:3", "badf", ""),
            ("poll read:1", "badf", ""),
            ("poll write:0", "badf", ""),
            ("poll read:5", "badf", "read:5=0,1 hangup"),
            ("poll write:4", "badf", "write:4=0,1"),
            ("poll processor:1", "inval", ""),
            ("poll nothing:1", "inval", ""),
            ("call poll_oneoff 32768 65536 0 0", "inval", ""),
            ("call poll_oneoff 0 65536 1025 0", "inval", ""),
            ("call poll_oneoff 131050 65536 1 0", "fault", "stopped"),
        ],
    )
    .await;
}

async fn ours(limits: Limits) -> Host {
    let host = Host::ours(&executor(Tree::memory()), json!({ "mode": "on-sync" }), "", limits).await;
    // From now on: to load a module takes time.
    tokio::time::pause();
    host
}

/// On tokio's clock, which nobody waits for here.
#[tokio::test]
async fn a_guest_waits_until_the_first_of_its_moments() {
    let mut host = ours(Limits { deadline: Duration::from_secs(100_000), ..Limits::default() }).await;
    let before = tokio::time::Instant::now();
    assert_eq!(run(&mut host, "poll clock:3600000000000").await, "clock:3600000000000=0");
    assert_eq!(before.elapsed().as_secs(), 3_600);
    assert_eq!(run(&mut host, "poll clock:9000000000 wall:2000000000 clock:5000000000").await, "wall:2000000000=0");
    assert_eq!(before.elapsed().as_secs(), 3_602);
    assert_eq!(run(&mut host, "poll clock:1000000000 wall:1000000000").await, "clock:1000000000=0 wall:1000000000=0");
    assert_eq!(before.elapsed().as_secs(), 3_603);
    // A moment that has come is told beside what is ready, and nobody waits.
    assert_eq!(run(&mut host, "poll clock:0 write:1 clock:7").await, "clock:0=0 write:1=0,1");
    assert_eq!(run(&mut host, "poll clock:0 clock:7").await, "clock:0=0");
    assert_eq!(run(&mut host, "poll moment:0 clock:7").await, "moment:0=0");
    assert_eq!(before.elapsed().as_secs(), 3_603);
}

/// The moment is one of the guest's own clock, as `clock_time_get` tells it.
#[tokio::test]
async fn a_moment_is_one_of_the_guests_clock() {
    let mut host = ours(Limits { deadline: Duration::from_secs(1_000_000), ..Limits::default() }).await;
    for (clock, word) in [(0, "wall-moment"), (1, "moment")] {
        assert_eq!(host.call("clock_time_get", &[clock, 0, 0]).await, Ok(0));
        let then = host.load(0).await + 50_000_000_000_000;
        let before = tokio::time::Instant::now();
        assert_eq!(run(&mut host, &format!("poll {word}:{then}")).await, format!("{word}:{then}=0"));
        // What it took to ask was real time.
        let waited = before.elapsed().as_secs();
        assert!((49_000..=50_000).contains(&waited), "{word}: {waited} s");
        // What lies behind is not waited for.
        let past = then - 50_000_000_000_001;
        assert_eq!(run(&mut host, &format!("poll {word}:{past}")).await, format!("{word}:{past}=0"));
        assert_eq!(before.elapsed().as_secs(), waited);
    }
}

#[tokio::test]
async fn the_deadline_stops_a_guest_that_waits() {
    let mut host = ours(Limits { deadline: Duration::from_secs(5), ..Limits::default() }).await;
    host.store(32 << 10, 1).await;
    host.store((32 << 10) + 8, 0).await;
    host.store((32 << 10) + 16, 1).await;
    host.store((32 << 10) + 24, 60_000_000_000).await;
    host.store((32 << 10) + 40, 0).await;
    let before = tokio::time::Instant::now();
    let ending = host.outcome("poll_oneoff", &[32 << 10, 64 << 10, 1, 0]).await.ending;
    assert!(matches!(ending, Ending::Exhausted(limit) if limit.kind == LimitKind::Deadline), "{ending:?}");
    assert_eq!(before.elapsed().as_secs(), 5);
}
