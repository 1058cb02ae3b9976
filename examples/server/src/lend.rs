//! What this server can lend to modules. Nothing is lent that is not granted (`PUT /v1/modules/{ref}/grants`).

use runner_core::Builder;
use runner_host_config::Config;
use runner_host_fs::HostFs;
use runner_host_http::Http;
use runner_host_kv::Kv;
use runner_host_logging::Logging;

/// The capabilities of a server.
pub struct Lending {
    /// Outgoing HTTP, with the secrets that it may fill in.
    pub http: Http,
    /// Key-value stores.
    pub kv: Kv,
    /// Files.
    pub files: HostFs,
    /// Values that grants may name, beside those that they set.
    pub config: Config,
}

impl Lending {
    /// Adds them to an executor. What modules log goes where this server's own lines go.
    pub fn to(self, builder: Builder) -> Builder {
        let Lending { http, kv, files, config } = self;
        builder.capability(http).capability(kv).capability(files).capability(config).capability(Logging::new())
    }
}
