//! What of this machine's memory calls take on their way to the bucket, and whose it was.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use runner_host_fs::{Mode, Open, S3Draft};

use super::{Call, Store, at};

const MIB: u64 = 1 << 20;
/// What is read and kept, of the 32 MiB that there are.
const KEPT: u64 = 30 * MIB;

/// Reads the file that is kept; answers how much of it the bucket was asked for.
async fn asked_for(store: &Store) -> u64 {
    let call = store.call(Mode::ReadOnly);
    let file = call.files.open(&at("kept"), Open::reading()).await.expect("it opens");
    let mut offset = 0;
    while offset < KEPT {
        offset += file.read_at(offset, 64 << 10).await.expect("it is read").len() as u64;
    }
    call.usage("s3_bytes_in")
}

/// Writes a file from its beginning on.
async fn write(call: &Call, path: &str, bytes: u64) {
    let open = Open { write: true, create: true, ..Open::reading() };
    let file = call.files.open(&at(path), open).await.expect("it opens");
    let piece = Bytes::from(vec![b'x'; MIB as usize]);
    for number in 0..bytes / MIB {
        file.write_at(number * MIB, piece.clone()).await.expect("there is room");
    }
}

#[tokio::test]
async fn parts_on_their_way_drive_blocks_out_of_the_cache_and_give_the_room_back() {
    let store = Store::new().await;
    store.server.put_computed(runner_s3::BUCKET, "data/kept", KEPT, 1);
    assert_eq!((asked_for(&store).await, asked_for(&store).await), (KEPT, 0));

    let call = store.call(Mode::OnSuccess);
    write(&call, "small", 7 * MIB).await;
    assert_eq!(asked_for(&store).await, 0, "what is not on its way is no part");
    call.session.discard().await.expect("it is gone");

    let call = store.call(Mode::OnSuccess);
    write(&call, "while-written", 16 * MIB).await;
    let asked = asked_for(&store).await;
    assert!(asked >= 6 * MIB, "a part of 8 MiB lets 24 MiB of blocks stay, and {asked} bytes had gone");
    call.commit().await;
    asked_for(&store).await;
    assert_eq!(asked_for(&store).await, 0, "all of it has room again");

    let call = store.call(Mode::OnSuccess);
    write(&call, "when-committed", 9 * MIB).await;
    assert_eq!(asked_for(&store).await, 0, "a file of less than two parts waits for its commit");
    call.commit().await;
    let asked = asked_for(&store).await;
    assert!(asked >= 6 * MIB, "a part of 8 MiB lets 24 MiB of blocks stay, and {asked} bytes had gone");
    assert_eq!(asked_for(&store).await, 0, "all of it has room again");
}

/// Bytes of a file without a name that this process holds below a directory.
fn scratch_bytes(directory: &Path) -> Option<u64> {
    let held = fs::read_dir("/proc/self/fd").expect("the kernel tells").flatten();
    let mut below = held.filter(|file| fs::read_link(file.path()).is_ok_and(|path| path.starts_with(directory)));
    // Through the link in /proc: the path itself is no more.
    below.find_map(|file| Some(fs::metadata(file.path()).ok()?).filter(fs::Metadata::is_file)).map(|file| file.len())
}

#[tokio::test]
async fn what_was_sent_leaves_memory_though_there_is_room() {
    let directory = tempfile::tempdir().expect("a folder");
    let draft = S3Draft { memory_bytes: 64 * MIB, directory: Some(directory.path().to_owned()) };
    let store = Store::with(|settings| runner_host_fs::S3Settings { draft, ..settings }).await;
    let call = store.call(Mode::OnSuccess);
    write(&call, "file", 15 * MIB).await;
    assert_eq!(scratch_bytes(directory.path()), None, "nothing of it is on its way, and memory has room");
    write(&call, "file", 17 * MIB).await;
    assert_eq!(scratch_bytes(directory.path()), Some(16 * MIB), "two parts are on their way or there");
    let call = store.call(Mode::OnSuccess);
    assert!(call.names("/").await.is_empty(), "nobody else sees them");
}
