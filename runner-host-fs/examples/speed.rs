// What an operation on a local directory costs, beside std: cargo run --release -p runner-host-fs --example speed -- FOLDER
#![allow(missing_docs, clippy::print_stdout)]
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use runner_host_fs::{Follow, LocalFs, Mode, Open, VPath, Vfs, VfsExt, View, Volume};

const TIMES: u32 = 20_000;

/// Nanoseconds of one operation, of many one after another: the best of five rounds.
async fn each<E: std::fmt::Debug>(mut operation: impl AsyncFnMut() -> Result<(), E>) -> u128 {
    let mut best = u128::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..TIMES {
            operation().await.expect("it is done");
        }
        best = best.min(start.elapsed().as_nanos() / u128::from(TIMES));
    }
    best
}

async fn measure(name: &str, files: &dyn Vfs) -> runner_host_fs::Result<()> {
    let path = VPath::new("/dir/file")?;
    files.create_dir_all(&VPath::new("/dir")?).await?;
    files.write(&path, vec![7; 1 << 20].into()).await?;
    let file = files.open(&path, Open::writing()).await?;
    let page = bytes::Bytes::from(vec![9; 4_096]);
    let read = each(async || file.read_at(40_960, 4_096).await.map(drop)).await;
    let write = each(async || file.write_at(40_960, page.clone()).await).await;
    let stat = each(async || files.stat(&path, Follow::Yes).await.map(drop)).await;
    let open = each(async || files.open(&path, Open::reading()).await.map(drop)).await;
    println!("{name:<20} read 4 KiB {read:>6} ns, write 4 KiB {write:>6} ns, stat {stat:>6} ns, open {open:>6} ns");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?).join("speed");
    std::fs::create_dir(&folder)?;
    std::fs::create_dir(folder.join("dir"))?;
    let path = folder.join("dir/file");
    std::fs::write(&path, vec![7; 1 << 20])?;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
    let mut page = vec![0; 4_096];
    let read = each(async || file.read_exact_at(&mut page, 40_960)).await;
    let page = vec![9; 4_096];
    let write = each(async || file.write_all_at(&page, 40_960)).await;
    let stat = each(async || std::fs::metadata(&path).map(drop)).await;
    let open = each(async || std::fs::File::open(&path).map(drop)).await;
    println!("{:<20} read 4 KiB {read:>6} ns, write 4 KiB {write:>6} ns, stat {stat:>6} ns, open {open:>6} ns", "std");

    let local = LocalFs::open(&folder)?;
    measure("LocalFs", &local).await?;
    measure("LocalFs, aside", &local.clone().aside()).await?;
    for (name, mode) in [("a call, on-sync", Mode::OnSync), ("a call, on-success", Mode::OnSuccess)] {
        let volume: Arc<dyn Volume> = Arc::new(local.clone());
        let call = volume.open(&View { mode, ..View::all() })?;
        measure(name, &*call.files()).await?;
        call.discard().await?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
