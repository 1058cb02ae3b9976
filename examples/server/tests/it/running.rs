//! The real program, started and ended.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A server that runs, and is killed with this.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// Every line of the log, once the server has ended. Somebody must read it, or the server waits to write.
    pub(crate) log: JoinHandle<String>,
    pub(crate) address: String,
    pub(crate) client: Client,
}

pub(crate) fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner-server"));
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    for ours in ["RUNNER_TOKEN", "RUST_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        command.env_remove(ours);
    }
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Running {
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = timeout(Duration::from_secs(30), log.next_line()).await.unwrap().unwrap().unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(' ').next().unwrap().to_owned();
            }
        };
        let log = tokio::spawn(async move {
            let mut said = String::new();
            while let Ok(Some(line)) = log.next_line().await {
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        Running { child, log, address, client: client() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(Duration::from_secs(20), self.child.wait()).await.unwrap().unwrap()
    }

    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until so many requests are under way, the question itself among them.
    pub(crate) async fn in_flight(&self, requests: usize) {
        let wanted = format!("runner_requests_in_flight {requests}\n");
        let metrics = async || self.client.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        timeout(Duration::from_secs(10), async { while !metrics().await.contains(&wanted) {} }).await.unwrap();
    }

    /// A number of its `/proc/PID/status`, in KiB.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The children that compile now.
    pub(crate) fn compilers(&self) -> usize {
        let parent = format!("PPid:\t{}", self.child.id().unwrap());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let statuses = processes.filter_map(|process| std::fs::read_to_string(process.path().join("status")).ok());
        // One that was killed may wait for its parent to look.
        let alive = statuses.filter(|status| !status.contains("\nState:\tZ"));
        alive.filter(|status| status.lines().any(|line| line == parent)).count()
    }
}

/// A client of the test's own.
pub(crate) fn client() -> Client {
    // The first one wins; there is but one to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}
