//! A store that is a program of other people: found where the scripts install it, started on free ports of loopback with its data in a
//! folder of its own, and ended for good when the test is over.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::endpoint::Endpoint;

/// Waits for the end of its input, then ends the process `$0` and removes the rest of what it is given.
const WATCH: &str = r#"cat >/dev/null; kill -9 "$0" 2>/dev/null; sleep 0.2; rm -rf -- "$@""#;
/// What a store has, from its start to its first answer. SeaweedFS has elections to hold first: five seconds on an idle machine.
const START: Duration = Duration::from_secs(60);
/// What it has to end in good order.
const GRACE: Duration = Duration::from_millis(500);
/// Between two questions whether it is so far.
const ASK: Duration = Duration::from_millis(20);

/// A running program, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    watch: Child,
    /// Its data and its log, removed behind it.
    folder: TempDir,
    /// What else it leaves behind, wherever it is told to work.
    leavings: Vec<PathBuf>,
}

/// The program, where `scripts/test.sh` installs it: `RUNNER_PY`, or else the cache's place for it.
///
/// # Panics
///
/// When it is not there: a test that needs it must not pass without.
fn program(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    let python = std::env::var_os("RUNNER_PY").map_or_else(|| cache.join("runner/py"), PathBuf::from);
    let program = python.join("bin").join(name);
    assert!(
        program.is_file(),
        "`{name}` is not at `{}`: `scripts/test.sh --only fmt` installs it there, or `python3 -m venv {}` and \
         `{}/bin/pip install` with the versions that scripts/common.sh names",
        program.display(),
        python.display(),
        python.display(),
    );
    program
}

/// Ports that were free a moment ago, each another one. Whoever takes one in between makes the start fail, which is tried again.
pub(crate) fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket has an address").port())
}

impl Process {
    /// Starts a program in a new folder, which `prepare` fills and whose path it puts into the arguments. `leavings` are files that
    /// it leaves elsewhere.
    pub(crate) fn start(name: &'static str, leavings: Vec<PathBuf>, prepare: impl FnOnce(&Path, &mut Command)) -> Self {
        let folder = tempfile::Builder::new().prefix(name).tempdir().expect("there is room for a folder");
        let log = File::create(folder.path().join("log")).expect("the folder is new");
        let mut command = Command::new(program(name));
        prepare(folder.path(), &mut command);
        // Nothing of the user's own settings counts.
        command.env_clear().env("HOME", folder.path()).env("TMPDIR", folder.path()).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file has another handle")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("`{name}` does not start: {error}"));
        // Ends it where this process is killed, or keeps it in a static: the pipe closes with the process.
        let watch = Command::new("sh")
            .args(["-c", WATCH, &child.id().to_string()])
            .arg(folder.path())
            .args(&leavings)
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        Self { name, child, watch, folder, leavings }
    }

    /// Asks until the answer is yes. No, when the program has ended.
    ///
    /// # Panics
    ///
    /// With the program's log, when the time is over.
    pub(crate) fn until(&mut self, ready: impl Fn() -> bool) -> bool {
        let end = Instant::now() + START;
        loop {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return false;
            }
            if ready() {
                return true;
            }
            assert!(Instant::now() < end, "`{}` is not ready after {START:?}:\n{}", self.name, self.log());
            std::thread::sleep(ASK);
        }
    }

    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // First: it would end whoever has the number next.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
        // Each fails only for a process that has ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + GRACE;
        while Instant::now() < end && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(ASK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for leaving in &self.leavings {
            // It may have cleaned up behind itself.
            let _ = std::fs::remove_file(leaving);
        }
    }
}

/// A store of other people's, running. It ends when it is dropped.
#[derive(Debug)]
pub struct Foreign {
    process: Process,
    endpoint: Endpoint,
}

impl Foreign {
    /// Starts it, again with other ports where one was taken meanwhile, and waits until it serves its bucket.
    pub(crate) fn start(start: impl Fn() -> (Process, u16)) -> Self {
        for _ in 0..3 {
            let (mut process, port) = start();
            let endpoint = Endpoint::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            if process.until(|| crate::ask::create_bucket(&endpoint)) {
                return Self { process, endpoint };
            }
            eprintln!("it ended, and is started again:\n{}", process.log());
        }
        panic!("a store ended three times as soon as it was started");
    }

    /// Where it listens, and what it lets in.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
