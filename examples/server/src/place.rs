//! Where the files of modules are kept, as an operator writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Result, bail};
use runner_host_fs::{LocalFs, S3Fs, S3Settings, Volume};

/// `dir:PATH`, or `s3://BUCKET/PREFIX`, as [`S3Settings`] are written.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A bucket, and the address that it was written as.
    Bucket(String, Box<S3Settings>),
}

impl Place {
    /// Opens what keeps the files.
    ///
    /// # Errors
    ///
    /// Where it is not there, or cannot be opened.
    pub async fn open(self) -> Result<Arc<dyn Volume>> {
        match self {
            Place::Directory(path) => Ok(Arc::new(LocalFs::open(path)?)),
            Place::Bucket(_, settings) => Ok(Arc::new(S3Fs::connect(*settings).await?)),
        }
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
