// Puts a tree together, and works in it: cargo run --release -p runner-host-fs --example scratch -- FOLDER
#![allow(missing_docs, clippy::print_stdout)]
use runner_host_fs::{LocalFs, MemoryFs, Mounts, Overlay, Quota, QuotaLimits, ReadOnly, VPath, VfsExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = LocalFs::open(std::env::args().nth(1).ok_or("which folder?")?)?;
    let limits = QuotaLimits { bytes: 64 << 20, files: 1_000, file_bytes: 16 << 20 };
    let files = Mounts::new()
        // May be read.
        .mount(VPath::new("/in")?, ReadOnly::new(folder.clone()))?
        // May be changed, which the folder does not see.
        .mount(VPath::new("/data")?, Overlay::new(Quota::new(MemoryFs::default(), limits), folder))?;

    files.write(&VPath::new("/data/greeting")?, "hello".into()).await?;
    let mut tree = files.walk(&VPath::root());
    while let Some((path, kind)) = tree.next().await? {
        println!("{path} {kind:?}"); // /data Directory, /data/greeting File, /in Directory, ..
    }
    Ok(())
}
