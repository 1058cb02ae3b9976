//! Which bucket, how it is asked, and how much of this machine it may use. Values only.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind, Result};

/// Where an [`S3Fs`](crate::S3Fs) keeps its files, and within what.
///
/// ```
/// # use runner_host_fs::S3Settings;
/// let settings: S3Settings = "s3://photos/2024?endpoint=http://127.0.0.1:9000&path-style=true".parse()?;
/// assert_eq!((settings.bucket.as_str(), settings.prefix.as_str()), ("photos", "2024"));
/// # Ok::<(), runner_host_fs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket, which must be there.
    pub bucket: String,
    /// The directory of the bucket that is the volume's root; empty for all of it. At most 512 bytes.
    pub prefix: String,
    /// The address of the service, with its scheme; `None` for Amazon's, of the region.
    pub endpoint: Option<String>,
    /// The region; `None` for what the environment says, or `us-east-1` where there is an endpoint or it says nothing.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of an address, and not in the name of its host. Most services but Amazon's want
    /// it.
    pub path_style: bool,
    /// Who asks; `None` for the usual chain: environment, profile, container, machine.
    pub credentials: Option<S3Credentials>,
    /// Write also where the store does not heed the conditions of a write: of two calls that write the same file, the last one
    /// wins, and nobody is told. Off: such a store is refused for writing.
    pub last_writer_wins: bool,
    /// How often and how long it is asked.
    pub retry: S3Retry,
    /// What of the bucket is kept on this machine.
    pub cache: S3Cache,
    /// What calls have written and not yet published.
    pub draft: S3Draft,
    /// How long somebody else's commit is waited for before this one finishes it. 5 seconds: a host that has been killed
    /// does not go on, and one that lives is done long before.
    pub patience: Duration,
}

/// Who asks a bucket.
#[derive(Clone)]
pub struct S3Credentials {
    /// The id of the key.
    pub access_key: String,
    /// The key, which is not shown.
    pub secret_key: String,
    /// The token of a session, where there is one.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// How often and how long a request is tried that failed and may succeed: 500, 503, a connection that breaks, an answer that
/// is too short or too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Retry {
    /// Times that one request is tried in all. 6.
    pub attempts: u32,
    /// Times that the requests of one call are tried again in all. 200.
    pub per_call: u32,
    /// The longest first pause; each further one may be twice as long, up to 5 seconds. The pause itself is random. 50 ms.
    pub pause: Duration,
    /// What one attempt may take, its bytes included. 30 seconds.
    pub attempt: Duration,
}

impl Default for S3Retry {
    fn default() -> Self {
        S3Retry {
            attempts: 6,
            per_call: 200,
            pause: Duration::from_millis(50),
            // A part of 8 MiB within it is 280 KiB a second.
            attempt: Duration::from_secs(30),
        }
    }
}

/// What of a bucket is kept on this machine, shared by all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Cache {
    /// Bytes in memory, with what is on its way there or from drafts to the bucket: of those, five sixths at most, and no more than
    /// 32 MiB, are fetched ahead of their readers. 32 MiB.
    pub memory_bytes: u64,
    /// A directory for more; `None` for none. It must be there and this process's own: other files in it are removed.
    pub directory: Option<PathBuf>,
    /// Bytes in the directory; 0 empties it. 1 GiB.
    pub directory_bytes: u64,
}

impl Default for S3Cache {
    fn default() -> Self {
        S3Cache { memory_bytes: 32 << 20, directory: None, directory_bytes: 1 << 30 }
    }
}

/// Where it is kept what calls have written and not yet published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Draft {
    /// Bytes in memory, of all calls together. What is over it goes to the scratch directory. 16 MiB.
    pub memory_bytes: u64,
    /// A directory for files without a name; `None` for the machine's own for temporary files.
    pub directory: Option<PathBuf>,
}

impl Default for S3Draft {
    fn default() -> Self {
        S3Draft { memory_bytes: 16 << 20, directory: None }
    }
}

impl S3Settings {
    /// A bucket of Amazon's, or of what is set beside it.
    pub fn new(bucket: impl Into<String>) -> Self {
        S3Settings {
            bucket: bucket.into(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            path_style: false,
            credentials: None,
            last_writer_wins: false,
            retry: S3Retry::default(),
            cache: S3Cache::default(),
            draft: S3Draft::default(),
            patience: Duration::from_secs(5),
        }
    }
}

/// As an address: `s3://bucket/prefix?endpoint=..&region=..&path-style=true&last-writer-wins=true`.
///
/// An endpoint without `path-style` has it: only Amazon gives a bucket a host of its own without being asked.
impl std::str::FromStr for S3Settings {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| wrong(text, "expected `s3://bucket/prefix`"))?;
        let (place, questions) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(wrong(text, "expected the name of a bucket behind `s3://`"));
        }
        let mut settings = S3Settings { prefix: prefix.trim_end_matches('/').to_owned(), ..S3Settings::new(bucket) };
        let mut path_style = None;
        for question in questions.split('&').filter(|question| !question.is_empty()) {
            let (name, value) = question.split_once('=').unwrap_or((question, "true"));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| wrong(text, "expected UTF-8"))?;
            match name {
                "endpoint" => settings.endpoint = Some(value.into_owned()),
                "region" => settings.region = Some(value.into_owned()),
                "path-style" => path_style = Some(yes(text, name, &value)?),
                "last-writer-wins" => settings.last_writer_wins = yes(text, name, &value)?,
                _ => return Err(wrong(text, &format!("`{}` is no setting", name.escape_debug()))),
            }
        }
        settings.path_style = path_style.unwrap_or(settings.endpoint.is_some());
        Ok(settings)
    }
}

fn yes(text: &str, name: &str, value: &str) -> Result<bool> {
    value.parse().map_err(|_| wrong(text, &format!("expected `{name}` to be `true` or `false`, found `{value}`")))
}

fn wrong(text: &str, what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("bucket `{}`: {what}", text.escape_debug()))
}
