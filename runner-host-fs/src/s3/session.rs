//! One call's view of a bucket, from its first question to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::bucket::Bucket;
use super::draft::{Draft, Which};
use super::files::S3Files;
use crate::error::{ErrorKind, Result};
use crate::quota::WeakQuota;
use crate::vfs::Vfs;
use crate::volume::{Changes, Mode, Session};

/// What a call has of a bucket.
pub(crate) struct S3Session {
    pub(crate) files: Arc<dyn Vfs>,
    pub(crate) draft: Arc<Draft>,
    pub(crate) bucket: Bucket,
    pub(crate) mode: Mode,
    /// Who counts it, where it has bounds.
    pub(crate) counted: Option<Arc<WeakQuota<S3Files>>>,
}

impl S3Session {
    /// Nobody uses it any more.
    fn leave(&self) {
        if let Some(counted) = &self.counted {
            counted.leave();
        }
    }
}

#[async_trait]
impl Session for S3Session {
    fn files(&self) -> Arc<dyn Vfs> {
        self.files.clone()
    }

    async fn commit(&self) -> Result<()> {
        let published = match self.mode {
            Mode::ReadOnly => Ok(()),
            // With what was neither synced nor closed: nobody uses it any more.
            Mode::OnSuccess | Mode::OnSync => self.draft.publish(Which::All).await,
        };
        if let (Some(counted), Err(error)) = (&self.counted, &published)
            && error.kind() == ErrorKind::Io
        {
            // It may be there, or come yet.
            counted.settle((0, 0));
        }
        self.leave();
        published
    }

    async fn discard(&self) -> Result<()> {
        // Its bytes and uploads go with the draft.
        self.leave();
        Ok(())
    }

    fn changes(&self) -> Changes {
        self.draft.changes()
    }

    fn usage(&self) -> BTreeMap<&'static str, u64> {
        self.bucket.tally().usage()
    }
}
