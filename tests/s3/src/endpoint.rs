//! Where a store listens, and what a client needs to be let in.

use std::net::SocketAddr;

use crate::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY};

/// Where a store of the tests listens. Buckets are named in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address of its port.
    pub address: SocketAddr,
    /// `http://` and the address, without a path.
    pub url: String,
    /// The bucket that is there.
    pub bucket: String,
    /// The region that a signature names.
    pub region: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl Endpoint {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self {
            address,
            url: format!("http://{address}"),
            bucket: BUCKET.into(),
            region: REGION.into(),
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
        }
    }

    /// What a process finds its credentials by, in the environment; the URL and the bucket are for its arguments.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
            ("AWS_REGION", self.region.clone()),
            // Nothing asks the network who it is.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ]
    }
}
