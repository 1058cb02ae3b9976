//! What every test of a bucket needs: how it is reached, and bytes to put there.

use std::sync::Arc;
use std::time::Duration;

use runner_host_fs::{ManualClock, S3Credentials, S3Fs, S3Settings};
use runner_s3::Endpoint;

/// Settings for a store of the tests.
pub(crate) fn settings(endpoint: &Endpoint) -> S3Settings {
    S3Settings {
        prefix: "data".to_owned(),
        endpoint: Some(endpoint.url.clone()),
        region: Some(endpoint.region.clone()),
        path_style: true,
        credentials: Some(S3Credentials {
            access_key: endpoint.access_key.clone(),
            secret_key: endpoint.secret_key.clone(),
            session_token: None,
        }),
        // Whoever is not done is dead, or is helped while he lives: both must go well, and a test has no time to wait.
        patience: Duration::ZERO,
        ..S3Settings::new(&endpoint.bucket)
    }
}

/// A volume on a clock that pauses wind: nobody waits for them.
pub(crate) async fn connect_wound(settings: S3Settings) -> S3Fs {
    let clock = Arc::new(ManualClock::at_ns(1_700_000_000_000_000_000));
    S3Fs::connect_with_clock(settings, clock).await.expect("the store is there")
}

/// Bytes of which each place is another one.
pub(crate) fn long(bytes: usize) -> String {
    (0..bytes).map(|at| char::from(b'a' + ((at / 7 + at / 4_096) % 26) as u8)).collect()
}
