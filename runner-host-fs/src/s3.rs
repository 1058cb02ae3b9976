//! The tree of files that is a bucket of S3: one file is one object. What a call writes is a draft, published in one commit.
//!
//! From below: [`bucket`] makes the requests; `keys` says which key a path has; `cache` and `reader` read object versions;
//! `draft` is what a call sees and has changed; `commit` publishes it; `probe` looks whether a store can be committed to.

mod bucket;
mod cache;
mod commit;
mod draft;
mod files;
mod keys;
mod probe;
mod reader;
mod record;
mod session;
mod settings;
mod tally;
mod trouble;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, tls};

pub use self::settings::{S3Cache, S3Credentials, S3Draft, S3Retry, S3Settings};

use self::bucket::{Bucket, Start};
use self::cache::{Cache, Share};
use self::commit::{Commits, Heeds};
use self::draft::{Draft, Janitor, Parts, Room, Scratch, Uploads};
use self::files::S3Files;
use self::keys::Keys;
use self::reader::Reader;
use self::session::S3Session;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::quota::{Pool, Quota, QuotaLimits};
use crate::read_only::ReadOnly;
use crate::vfs::Vfs;
use crate::volume::{Mode, Session, View, Volume};

/// What a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A bucket of S3, as a volume. Clones are the same one, with one cache.
///
/// What holds, and what S3 cannot do, stands in the crate's `README.md`.
#[derive(Clone)]
pub struct S3Fs(Arc<Inner>);

struct Inner {
    settings: S3Settings,
    bucket: Bucket,
    keys: Keys,
    cache: Arc<Cache>,
    room: Arc<Room>,
    janitor: Janitor,
    /// Those who count below a prefix, each for as long as there is one.
    pools: Mutex<HashMap<VPath, Weak<Pool>>>,
    /// What the store heeds; else why it is not written to.
    heeds: std::result::Result<Heeds, Error>,
}

impl S3Fs {
    /// Connects to a bucket, within the runtime that it is used in: looks whether it is there, and probes whether it can be
    /// written to. Some twelve requests.
    ///
    /// Where it cannot be written to, it can be read all the same; a view that writes is refused then by
    /// [`Volume::check`], with the reason.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for settings that make no sense, [`Denied`](ErrorKind::Denied),
    /// [`Io`](ErrorKind::Io) where the bucket does not answer, or is not there.
    pub async fn connect(settings: S3Settings) -> Result<Self> {
        Self::connect_with_clock(settings, Arc::new(SystemClock)).await
    }

    /// The same on a clock, such as one that a test winds: pauses between tries are its own.
    pub async fn connect_with_clock(settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let keys = Keys::new(&keys::prefix(&settings.prefix)?);
        let client = client(&settings).await;
        let bucket = Bucket::new(client, settings.bucket.clone(), settings.retry, clock);
        let looked = bucket.list(keys.root(), true, Start::First, 1).await;
        looked.map_err(|trouble| trouble.told("a listing", keys.root()))?;
        let heeds = match settings.last_writer_wins {
            true => Ok(Heeds { writes: false, deletes: false }),
            false => match probe::probe(&bucket, &keys).await {
                Err(error) if !matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Denied) => return Err(error),
                heeds => heeds,
            },
        };
        let cache = Cache::new(&settings.bucket, &settings.cache)?;
        let room = Room::open(settings.draft.memory_bytes, settings.draft.directory.as_deref())?;
        let janitor = Janitor::new(bucket.anew());
        let pools = Mutex::default();
        Ok(S3Fs(Arc::new(Inner { settings, bucket, keys, cache, room, janitor, pools, heeds })))
    }

    /// Waits until nothing is left to do of calls that were dropped: their uploads are given up.
    pub async fn idle(&self) {
        self.0.janitor.idle().await;
    }

    /// Those who count below a prefix.
    fn pool(&self, prefix: &VPath) -> Arc<Pool> {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, pool| pool.strong_count() > 0);
        let known = pools.get(prefix).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::default();
            pools.insert(prefix.clone(), Arc::downgrade(&new));
            new
        })
    }

    fn may(&self, view: &View) -> Result<Heeds> {
        match (&self.0.heeds, view.mode) {
            (Ok(heeds), _) => Ok(*heeds),
            (Err(_), Mode::ReadOnly) => Ok(Heeds { writes: false, deletes: false }),
            (Err(error), _) => Err(Error::new(error.kind(), error.to_string())),
        }
    }
}

impl Volume for S3Fs {
    fn check(&self, view: &View) -> Result<()> {
        let keys = self.0.keys.below(&view.prefix);
        let (found, allowed) = (keys.root().len(), keys::KEY_BYTES_MAX / 2);
        if found > allowed {
            let message =
                format!("prefix `{}` makes keys that begin with {found} bytes, {allowed} are allowed", view.prefix);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if view.prefix.names().any(|name| name == keys::OURS) {
            let message = format!("prefix `{}` has the name `{}`, which is Runner's own", view.prefix, keys::OURS);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.may(view).map(drop)
    }

    fn open(&self, view: &View) -> Result<Arc<dyn Session>> {
        self.check(view)?;
        let heeds = self.may(view)?;
        let Inner { settings, bucket, keys, cache, room, janitor, .. } = &*self.0;
        let (bucket, keys) = (bucket.anew(), keys.below(&view.prefix));
        let share = Share { of: keys.root().clone(), bytes: view.cache_bytes.unwrap_or(u64::MAX) };
        let parts = Arc::new(Parts {
            reader: Reader::new(bucket.clone(), cache.clone(), share),
            scratch: Scratch::new(room.clone()),
            uploads: Uploads { bucket: bucket.clone(), janitor: janitor.clone() },
            file_bytes_max: view.file_bytes.unwrap_or(u64::MAX),
        });
        let may_write = self.0.heeds.is_ok();
        let commits = Commits { bucket: bucket.clone(), keys, heeds, may_write, patience: settings.patience };
        let draft = Arc::new(Draft::new(parts, commits));
        let files = S3Files { draft: draft.clone(), at_once: view.mode == Mode::OnSync };
        let mut counted = None;
        let files: Arc<dyn Vfs> = match (view.mode, view.bytes, view.files) {
            (Mode::ReadOnly, ..) => Arc::new(ReadOnly::new(files)),
            (_, None, None) => Arc::new(files),
            (_, bytes, names) => {
                let bytes = bytes.unwrap_or(u64::MAX);
                let file_bytes = view.file_bytes.unwrap_or(u64::MAX);
                let limits = QuotaLimits { bytes, files: names.unwrap_or(u64::MAX), file_bytes };
                let quota = Quota::together(files, limits, &self.pool(&view.prefix));
                let weak = counted.insert(Arc::new(quota.downgrade())).clone();
                drop(draft.published.set(Box::new(move |unpublished| weak.settle(unpublished))));
                Arc::new(quota)
            }
        };
        Ok(Arc::new(S3Session { files, draft, bucket, mode: view.mode, counted }))
    }
}

/// The SDK's client, which tries nothing again: a condition tells only the first time whether it held.
async fn client(settings: &S3Settings) -> Client {
    let http = Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut chain = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http.clone());
    // Nobody's own store wants to know, and asking the machine for it takes seconds.
    let own = settings.endpoint.as_ref().map(|_| "us-east-1".to_owned());
    if let Some(region) = settings.region.clone().or(own) {
        chain = chain.region(Region::new(region));
    }
    if let Some(S3Credentials { access_key, secret_key, session_token }) = &settings.credentials {
        chain = chain.credentials_provider(Credentials::new(
            access_key,
            secret_key,
            session_token.clone(),
            None,
            "settings",
        ));
    }
    let shared = chain.load().await;
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        // Each attempt has its own time, its bytes included.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Other stores refuse what Amazon's takes; lengths, ranges and ETags are looked at here.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(settings.path_style);
    if shared.region().is_none() {
        config = config.region(Region::new("us-east-1"));
    }
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::presigning::PresigningConfig;

    use super::*;

    #[tokio::test]
    async fn a_bucket_stands_in_the_path_or_in_the_name_of_the_host() {
        for (address, expected) in [
            ("s3://photos/2024?endpoint=http://store.example:9000", "http://store.example:9000/photos/a?"),
            ("s3://photos?endpoint=http://store.example&path-style=false", "http://photos.store.example/a?"),
            ("s3://photos?region=eu-north-1", "https://photos.s3.eu-north-1.amazonaws.com/a?"),
        ] {
            let mut settings: S3Settings = address.parse().expect("an address");
            let (access_key, secret_key) = ("id".to_owned(), "key".to_owned());
            settings.credentials = Some(S3Credentials { access_key, secret_key, session_token: None });
            let asked = client(&settings).await.get_object().bucket(&settings.bucket).key("a");
            let signed = PresigningConfig::expires_in(Duration::from_secs(60)).expect("a minute");
            let signed = asked.presigned(signed).await.expect("it is signed");
            assert!(signed.uri().starts_with(expected), "{address}: {}", signed.uri());
        }
    }
}
