//! Where the files of modules are kept, as an operator writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Result, bail};
use runner_host_fs::{LocalFs, Volume};

/// `dir:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory of this machine.
    Directory(PathBuf),
}

impl Place {
    /// Opens what keeps the files.
    ///
    /// # Errors
    ///
    /// Where it is not there, or cannot be opened.
    pub async fn open(&self) -> Result<Arc<dyn Volume>> {
        match self {
            Place::Directory(path) => Ok(Arc::new(LocalFs::open(path)?)),
        }
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(Place::Directory(path.into())),
            _ => bail!("expected dir:PATH, found `{text}`"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "dir:{}", path.display()),
        }
    }
}
