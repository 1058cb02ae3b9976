//! The tree that is a bucket, at the public door: over a server in process, and through a proxy that does to requests what
//! networks do.

mod calls; // what one call sees and makes, and the next one finds
mod commits; // conflicts, and hosts that are killed in the middle
mod faults; // what passes when it is tried again, and what does not
mod guests; // what becomes of a call whose commit does not end well
mod memory; // what of it calls take on their way to the bucket
mod requests; // how many requests it takes, exactly
mod stores; // what is probed, hidden, refused

use std::collections::BTreeMap;
use std::sync::Arc;

use runner_host_fs::{ErrorKind, Kind, Mode, S3Fs, S3Settings, Session, VPath, Vfs, VfsExt, View, Volume};
use runner_s3::{BUCKET, Proxy, Server};

use crate::support::bucket::{connect_wound as connect, long, settings};
use crate::support::{at, kind};

/// A store, a proxy in front of it, and a volume through the proxy.
struct Store {
    server: Server,
    proxy: Proxy,
    volume: S3Fs,
}

impl Store {
    async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    async fn with(change: impl FnOnce(S3Settings) -> S3Settings) -> Self {
        let server = Server::start();
        let proxy = Proxy::before(&server.endpoint());
        let volume = connect(change(settings(&proxy.endpoint()))).await;
        proxy.log().reset();
        server.log().reset();
        Store { server, proxy, volume }
    }

    /// A call's view of it all.
    fn call(&self, mode: Mode) -> Call {
        self.call_of(View { mode, ..View::all() })
    }

    fn call_of(&self, view: View) -> Call {
        call(&self.volume, view)
    }

    /// The keys that are there, below the volume's prefix.
    fn keys(&self) -> Vec<String> {
        let objects = self.server.objects(BUCKET);
        objects.into_keys().filter_map(|key| Some(key.strip_prefix("data/")?.to_owned())).collect()
    }

    fn put(&self, key: &str, bytes: &str) -> String {
        self.server.put(BUCKET, &format!("data/{key}"), bytes.to_owned())
    }

    fn bytes(&self, key: &str) -> Option<String> {
        let object = self.server.get(BUCKET, &format!("data/{key}"))?;
        Some(String::from_utf8_lossy(&object.content.bytes()).into_owned())
    }

    /// How often the bucket was asked since the last time, by kind.
    fn asked(&self) -> BTreeMap<String, u64> {
        let counts = self.proxy.counts().into_iter().map(|(kind, count)| (format!("{kind}"), count)).collect();
        self.proxy.log().reset();
        counts
    }
}

/// One call.
struct Call {
    session: Arc<dyn Session>,
    files: Arc<dyn Vfs>,
}

fn call(volume: &S3Fs, view: View) -> Call {
    let session = volume.open(&view).expect("such a view can be had");
    let files = session.files();
    Call { session, files }
}

impl Call {
    async fn put(&self, path: &str, bytes: &str) {
        let written = self.files.write(&at(path), bytes.to_owned().into()).await;
        written.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }

    async fn get(&self, path: &str) -> Result<String, ErrorKind> {
        let bytes = self.files.read(&at(path), 64 << 20).await.map_err(|error| error.kind())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn names(&self, path: &str) -> Vec<String> {
        let entries = self.files.list_all(&at(path)).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
        entries.into_iter().map(|entry| entry.name).collect()
    }

    async fn commit(&self) {
        self.session.commit().await.unwrap_or_else(|error| panic!("{error}"));
    }

    fn usage(&self, name: &str) -> u64 {
        self.session.usage().get(name).copied().unwrap_or(0)
    }

    /// All that is there.
    async fn tree(&self) -> Vec<(String, String)> {
        tree(&*self.files).await
    }
}

async fn tree(files: &dyn Vfs) -> Vec<(String, String)> {
    let (mut found, mut walk) = (Vec::new(), files.walk(&VPath::root()));
    while let Some((path, kind)) = walk.next().await.expect("a tree is walked") {
        let holds = match kind {
            Kind::File => {
                let bytes = files.read(&path, 64 << 20).await.expect("a file is read");
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Kind::Symlink => format!("-> {}", files.readlink(&path).await.expect("a link is read")),
            Kind::Directory | Kind::Other => format!("{kind:?}"),
        };
        found.push((path.to_string(), holds));
    }
    found
}
