//! Hosts that are processes of their own: this program again, told by its environment which of its tests it is to be, and
//! spoken with by lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use runner_s3::{ACCESS_KEY, BUCKET, Endpoint, REGION, SECRET_KEY};
use tokio::sync::mpsc;

/// The store's address; without it, nobody has started us.
const STORE: &str = "RUNNER_FS_STORE";
/// Before what is meant for who started us: the harness prints as well.
const MARK: &str = "@@ ";
/// Lines that nobody has read yet; more are waited for.
const LINES_MAX: usize = 16;

/// Another host, killed when it is dropped.
pub(crate) struct Other {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Other {
    /// Starts a test of this program, by its whole name, as a host of a store.
    pub(crate) fn start(test: &str, store: &Endpoint) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(STORE, store.address.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (sender, lines) = mpsc::channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once(MARK)
                    && sender.blocking_send(said.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self { child, stdin, lines }
    }

    /// What it says next.
    pub(crate) async fn says(&mut self) -> String {
        self.lines.recv().await.unwrap_or_else(|| panic!("it has ended: {:?}", self.child.wait()))
    }

    pub(crate) async fn says_that(&mut self, expected: &str) {
        assert_eq!(self.says().await, expected);
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("it listens");
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is there");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(9), "it was killed, and nothing else");
    }

    /// It comes to its own end.
    pub(crate) fn ends(mut self) {
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The store that we are a host of; `None` where nobody has started us.
pub(crate) fn store() -> Option<Endpoint> {
    let address = std::env::var(STORE).ok()?.parse().expect("an address");
    Some(Endpoint {
        address,
        url: format!("http://{address}"),
        bucket: BUCKET.to_owned(),
        region: REGION.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
    })
}

/// Says something to who started us.
pub(crate) fn say(line: &str) {
    println!("{MARK}{line}");
}

/// Waits for what we are told; `None` when nobody is there any more.
pub(crate) fn hear() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).expect("a line");
    (read > 0).then(|| line.trim_end().to_owned())
}
