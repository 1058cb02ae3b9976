//! S3 for tests and benches: a server in process whose conditions are atomic, two stores of other people's, and a proxy that does to
//! requests what networks do. `README.md` beside this shows each in use.

mod ask;
mod body;
mod child;
mod clock;
mod content;
mod endpoint;
mod generated;
mod kind;
mod log;
mod proxy;
pub mod rclone;
pub mod seaweed;
mod server;
mod service;
mod store;

pub use child::Foreign;
pub use clock::Clock;
pub use content::{Content, Slices, pattern};
pub use endpoint::Endpoint;
pub use generated::Generated;
pub use kind::{Call, Kind};
pub use log::{Log, REQUESTS_MAX, Request};
pub use proxy::{Chance, Fault, Proxy, Rule};
pub use server::{OpenUpload, Server, Settings};
pub use service::PAGE_KEYS_MAX;
pub use store::{Object, PART_BYTES_MIN, Part, Upload};

/// The bucket that each store here has from the start.
pub const BUCKET: &str = "runner";
/// The access key that each store here lets in.
pub const ACCESS_KEY: &str = "runner-access";
/// Its secret: no secret at all, for tests on loopback.
pub const SECRET_KEY: &str = "runner-secret-of-the-tests";
/// The region that they all say they are in.
pub const REGION: &str = "us-east-1";
