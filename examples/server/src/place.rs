//! Where the files of modules are kept, as an operator writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Result, bail};
use runner_host_fs::{ErrorKind, LocalFs, S3Fs, S3Settings, View, Volume};

/// `dir:PATH`, or `s3://BUCKET/PREFIX`, as [`S3Settings`] are written.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A bucket, and the address that it was written as.
    Bucket(String, Box<S3Settings>),
}

impl Place {
    /// Opens what keeps the files. What is read of a bucket is kept in the directory, in so many bytes; none with 0.
    ///
    /// # Errors
    ///
    /// Where it is not there, or cannot be opened, or does not heed the conditions of a write. A bucket that may only be read
    /// is opened, and said so in the log.
    pub async fn open(self, cache: &Path, cache_bytes: u64) -> Result<Arc<dyn Volume>> {
        let mut settings = match self {
            Place::Directory(path) => return Ok(Arc::new(LocalFs::open(path)?)),
            Place::Bucket(_, settings) => settings,
        };
        settings.cache.directory = Some(cache.to_owned());
        settings.cache.directory_bytes = cache_bytes;
        let bucket = S3Fs::connect(*settings).await?;
        match bucket.check(&View::all()) {
            Err(error) if error.kind() == ErrorKind::Denied => {
                tracing::warn!("files may be read and not written: {error}");
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                bail!("{error}; as a command line has it, `last-writer-wins=true` in the address");
            }
            checked => checked?,
        }
        Ok(Arc::new(bucket))
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(Place::Directory(path.into())),
            Some(("s3", _)) => Ok(Place::Bucket(text.to_owned(), Box::new(text.parse()?))),
            _ => bail!("expected dir:PATH or s3://BUCKET/PREFIX, found `{text}`"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "dir:{}", path.display()),
            Place::Bucket(address, _) => f.write_str(address),
        }
    }
}
