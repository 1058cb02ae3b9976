//! What every tree of files must do. A backend, or what wraps one, is done when [`all`] returns; a volume, when
//! [`volume`](volume()) does.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//! use runner_host_fs::{MemoryFs, conformance};
//!
//! conformance::all(Arc::new(MemoryFs::default()), conformance::Can::default()).await;
//! # }
//! ```

mod volume;

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;

pub use self::volume::{VolumeCan, volume};
use crate::error::{Error, ErrorKind, Result};
use crate::ext::VfsExt;
use crate::path::VPath;
use crate::vfs::{Entry, FILE_BYTES_MAX, File, Flush, Follow, HOPS_MAX, Kind, Open, SetTime, SetTimes, Stat, Vfs};

/// What a tree need not be able to do. What it cannot is [`Unsupported`](ErrorKind::Unsupported), which is checked instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Can {
    /// A file may have several names.
    pub hard_links: bool,
}

impl Default for Can {
    fn default() -> Self {
        Can { hard_links: true }
    }
}

/// Runs the whole suite against a tree. It panics where the tree is wrong, and says how.
///
/// It works in directories that begin with `conformance`, and leaves files behind. About two thousand operations, 1 MiB.
pub async fn all(vfs: Arc<dyn Vfs>, can: Can) {
    let vfs = &*vfs;
    bytes_are_kept(vfs).await;
    files_are_sparse(vfs).await;
    what_is_appended_comes_last(vfs).await;
    a_file_is_opened_as_asked(vfs).await;
    a_directory_is_no_file(vfs).await;
    a_file_does_what_it_was_opened_for(vfs).await;
    the_root_stays(vfs).await;
    a_listing_is_in_order_and_in_pages(vfs).await;
    names_have_any_character(vfs).await;
    what_is_removed_is_gone(vfs).await;
    an_open_file_outlives_its_name(vfs).await;
    a_rename_takes_the_place(vfs).await;
    a_rename_that_makes_no_sense_is_refused(vfs).await;
    links_are_followed(vfs).await;
    links_lead_nowhere_else(vfs).await;
    links_are_counted(vfs).await;
    times_are_kept(vfs).await;
    inodes_are_stable(vfs).await;
    trees_are_walked_copied_and_removed(vfs).await;
    dots_are_heeded(vfs).await;
    writers_at_once_lose_nothing(vfs).await;
    match can.hard_links {
        true => a_file_has_two_names(vfs).await,
        false => no_file_has_two_names(vfs).await,
    }
}

/// Runs the suite for a tree that may not be written: `reader` shows what `writer` keeps, or the part of it where it is put.
pub async fn read_only(writer: Arc<dyn Vfs>, reader: Arc<dyn Vfs>) {
    let root = Room::new(&*writer, "read-only").await;
    root.put("file", "bytes").await;
    root.dir("dir").await;
    root.put("dir/inner", "inside").await;
    root.vfs.symlink("file", &root.at("link")).await.expect("a link is made");

    let room = Room { vfs: &*reader, dir: root.dir.clone() };
    let before = tree(room.vfs, &room.dir).await;
    assert_eq!(before, tree(root.vfs, &root.dir).await, "what is shown is what is kept");
    let file = room.open("link", Open::reading()).await.expect("it may be read");
    assert_eq!(file.read_at(0, 100).await.expect("it may be read"), "bytes");
    assert_eq!(room.vfs.readlink(&room.at("link")).await.expect("it may be read"), "file");
    file.sync(Flush::All).await.expect("there is nothing to wait for");

    let refused = Err(ErrorKind::ReadOnly);
    for how in [Open::writing(), Open::writing().truncated(), Open { write: true, ..Open::default() }] {
        assert_eq!(kind(room.open("file", how).await.map(drop)), refused, "{how:?}");
    }
    assert_eq!(kind(room.open("new", Open::creating()).await.map(drop)), refused);
    assert_eq!(kind(room.vfs.create_dir(&room.at("new")).await), refused);
    assert_eq!(kind(room.vfs.remove_file(&room.at("file")).await), refused);
    assert_eq!(kind(room.vfs.remove_dir(&room.at("dir")).await), refused);
    assert_eq!(kind(room.vfs.rename(&room.at("file"), &room.at("new")).await), refused);
    assert_eq!(kind(room.vfs.link(&room.at("file"), Follow::Yes, &room.at("new")).await), refused);
    assert_eq!(kind(room.vfs.symlink("file", &room.at("new")).await), refused);
    let times = SetTimes { modified: SetTime::To(1), ..SetTimes::default() };
    assert_eq!(kind(room.vfs.set_times(&room.at("file"), Follow::Yes, times).await), refused);
    assert_eq!(kind(file.set_times(times).await), refused);
    assert!(file.write_at(0, "x".into()).await.is_err() && file.append("x".into()).await.is_err());
    assert!(file.set_len(0).await.is_err());
    assert_eq!(before, tree(root.vfs, &root.dir).await, "what was refused has changed nothing");
}

/// A directory of a check's own.
struct Room<'a> {
    vfs: &'a dyn Vfs,
    dir: VPath,
}

impl<'a> Room<'a> {
    async fn new(vfs: &'a dyn Vfs, name: &str) -> Room<'a> {
        let dir = VPath::new(&format!("conformance {name}")).expect("the name is short");
        vfs.create_dir(&dir).await.expect("the suite runs in a tree where it has not run before");
        Room { vfs, dir }
    }

    fn at(&self, path: &str) -> VPath {
        if path.is_empty() { self.dir.clone() } else { self.dir.join(path).expect("a path within the room") }
    }

    async fn open(&self, path: &str, how: Open) -> Result<Arc<dyn File>> {
        self.vfs.open(&self.at(path), how).await
    }

    async fn put(&self, path: &str, bytes: &'static str) {
        self.vfs.write(&self.at(path), bytes.into()).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }

    async fn dir(&self, path: &str) {
        self.vfs.create_dir(&self.at(path)).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }

    async fn get(&self, path: &str) -> Result<String, ErrorKind> {
        let bytes = self.vfs.read(&self.at(path), 1 << 20).await.map_err(|error| error.kind())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn stat(&self, path: &str) -> Stat {
        self.vfs.stat(&self.at(path), Follow::No).await.unwrap_or_else(|error| panic!("`{path}`: {error}"))
    }

    async fn names(&self, path: &str) -> Vec<String> {
        let entries = self.vfs.list_all(&self.at(path)).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
        entries.into_iter().map(|Entry { name, .. }| name).collect()
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), ErrorKind> {
        kind(self.vfs.rename(&self.at(from), &self.at(to)).await)
    }

    async fn link(&self, target: &str, path: &str) {
        self.vfs.symlink(target, &self.at(path)).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }
}

fn kind<T>(result: Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error: Error| error.kind())
}

/// All below a directory, with what a file has in it and where a link leads.
async fn tree(vfs: &dyn Vfs, dir: &VPath) -> Vec<(String, Kind, Bytes)> {
    let mut found = Vec::new();
    let mut walk = vfs.walk(dir);
    while let Some((path, kind)) = walk.next().await.expect("a tree is walked") {
        let bytes = match kind {
            Kind::File => vfs.read(&path, 1 << 20).await.expect("a file is read"),
            Kind::Symlink => vfs.readlink(&path).await.expect("a link is read").into(),
            Kind::Directory | Kind::Other => Bytes::new(),
        };
        found.push((path.strip(dir).expect("it is below").to_string(), kind, bytes));
    }
    found
}

async fn bytes_are_kept(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "bytes").await;
    room.put("file", "hello, file").await;
    assert_eq!(room.get("file").await, Ok("hello, file".to_owned()));
    let stat = room.stat("file").await;
    assert_eq!((stat.kind, stat.size, stat.links), (Kind::File, 11, 1));
    room.put("file", "short").await;
    assert_eq!(room.get("file").await, Ok("short".to_owned()), "what was there is replaced, not written over");

    let file = room.open("file", Open::writing()).await.expect("it opens");
    file.write_at(2, "OR".into()).await.expect("it is written");
    file.write_at(5, Bytes::new()).await.expect("no bytes are written");
    assert_eq!(file.read_at(0, 100).await.expect("it is read"), "shORt");
    assert_eq!(file.read_at(1, 2).await.expect("it is read"), "hO", "no more than asked for");
    assert_eq!(file.read_at(0, 0).await.expect("it is read"), "");
    for behind in [5, 6, 1 << 40, FILE_BYTES_MAX] {
        assert_eq!(file.read_at(behind, 10).await.expect("it is read"), "", "at {behind}");
    }
    file.sync(Flush::Data).await.expect("it is synced");
    file.sync(Flush::All).await.expect("it is synced");
    assert_eq!(room.get("file").await, Ok("shORt".to_owned()), "what is written is seen at once");
    file.close().await.expect("it is closed");

    let long: Bytes = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    room.vfs.write(&room.at("long"), long.clone()).await.expect("it is written");
    assert_eq!(room.vfs.read(&room.at("long"), 300_000).await.expect("it is read"), long);
    let refused = room.vfs.read(&room.at("long"), 299_999).await;
    assert_eq!(kind(refused), Err(ErrorKind::TooLarge));
}

async fn files_are_sparse(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "sparse").await;
    let file = room.open("file", Open::creating()).await.expect("it opens");
    file.write_at(50_000, "end".into()).await.expect("it is written");
    assert_eq!(file.stat().await.expect("a stat").size, 50_003);
    let bytes = room.vfs.read(&room.at("file"), 1 << 20).await.expect("it is read");
    assert!(bytes[..50_000].iter().all(|byte| *byte == 0) && &bytes[50_000..] == b"end");

    file.write_at(0, "begin".into()).await.expect("it is written");
    file.set_len(3).await.expect("it is cut off");
    file.set_len(6).await.expect("it is made longer");
    assert_eq!(file.read_at(0, 100).await.expect("it is read"), Bytes::from_static(b"beg\0\0\0"), "cut off is gone");
    assert_eq!(kind(file.set_len(u64::MAX).await), Err(ErrorKind::TooLarge));
    assert_eq!(kind(file.write_at(u64::MAX, "x".into()).await), Err(ErrorKind::TooLarge));
    assert_eq!(kind(file.write_at(FILE_BYTES_MAX, "x".into()).await), Err(ErrorKind::TooLarge));
    assert_eq!(file.stat().await.expect("a stat").size, 6, "what is refused changes nothing");
}

async fn what_is_appended_comes_last(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "append").await;
    room.put("file", "one").await;
    let first = room.open("file", Open::writing()).await.expect("it opens");
    let second = room.open("file", Open::writing()).await.expect("it opens");
    assert_eq!(first.append(", two".into()).await.expect("it is written"), 8);
    assert_eq!(second.append(", three".into()).await.expect("it is written"), 15);
    assert_eq!(first.append(Bytes::new()).await.expect("nothing is written"), 15);
    first.write_at(0, "ONE".into()).await.expect("it is written");
    assert_eq!(room.get("file").await, Ok("ONE, two, three".to_owned()));
}

async fn a_file_is_opened_as_asked(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "open").await;
    room.put("file", "bytes").await;
    room.dir("dir").await;
    room.link("file", "to-file").await;
    room.link("dir", "to-dir").await;
    room.link("made", "to-nothing").await;
    let read = Open::reading();
    let made = Open { create: true, ..read };
    for (path, how, expected) in [
        ("file", read, Ok(())),
        ("none", read, Err(ErrorKind::NotFound)),
        ("none/none", read, Err(ErrorKind::NotFound)),
        ("file/none", read, Err(ErrorKind::NotDirectory)),
        ("none/none", Open::creating(), Err(ErrorKind::NotFound)),
        ("file/none", Open::creating(), Err(ErrorKind::NotDirectory)),
        ("dir", read, Ok(())),
        ("dir", read.directory(), Ok(())),
        ("dir", Open::writing(), Err(ErrorKind::IsDirectory)),
        ("dir", Open::writing().directory(), Err(ErrorKind::IsDirectory)),
        ("dir", Open::creating(), Err(ErrorKind::IsDirectory)),
        ("dir", made, Err(ErrorKind::IsDirectory)),
        ("dir", Open::creating().exclusively(), Err(ErrorKind::Exists)),
        ("dir", Open::writing().truncated(), Err(ErrorKind::IsDirectory)),
        ("file", read.directory(), Err(ErrorKind::NotDirectory)),
        ("file", Open::creating().exclusively(), Err(ErrorKind::Exists)),
        ("file", Open::creating(), Ok(())),
        ("file", made, Ok(())),
        ("file", Open::default(), Ok(())),
        ("file", read.no_follow(), Ok(())),
        ("to-file", read, Ok(())),
        ("to-file", read.no_follow(), Err(ErrorKind::Loop)),
        ("to-file", Open::creating().no_follow(), Err(ErrorKind::Loop)),
        ("to-file", Open::creating().exclusively(), Err(ErrorKind::Exists)),
        ("to-file", read.directory(), Err(ErrorKind::NotDirectory)),
        ("to-dir", read.directory(), Ok(())),
        ("to-dir", read.directory().no_follow(), Err(ErrorKind::NotDirectory)),
        ("to-dir", Open::writing(), Err(ErrorKind::IsDirectory)),
        ("to-nothing", read, Err(ErrorKind::NotFound)),
        ("to-nothing", Open::creating().exclusively(), Err(ErrorKind::Exists)),
        ("file", read.directory().truncated(), Err(ErrorKind::Invalid)),
        ("none", Open::creating().directory(), Err(ErrorKind::Invalid)),
        ("file", read.truncated(), Err(ErrorKind::Invalid)),
        ("file", read.exclusively(), Err(ErrorKind::Invalid)),
    ] {
        assert_eq!(kind(room.open(path, how).await.map(drop)), expected, "`{path}`: {how:?}");
    }
    assert_eq!(room.get("file").await, Ok("bytes".to_owned()), "opening alone changes nothing");
    assert_eq!(room.names("").await, ["dir", "file", "to-dir", "to-file", "to-nothing"]);

    room.open("to-nothing", Open::creating()).await.expect("what the link leads to is made");
    assert_eq!(room.get("made").await, Ok(String::new()));
    room.open("read", made).await.expect("what is only read is made too");
    assert_eq!(room.get("read").await, Ok(String::new()));
    room.open("to-file", Open::writing().truncated()).await.expect("it opens");
    assert_eq!(room.get("file").await, Ok(String::new()));
}

async fn a_directory_is_no_file(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "directory").await;
    room.dir("dir").await;
    let dir = room.open("dir", Open::reading()).await.expect("it opens");
    assert_eq!(dir.stat().await.expect("a stat").kind, Kind::Directory);
    assert_eq!(kind(dir.read_at(0, 10).await), Err(ErrorKind::IsDirectory));
    assert_eq!(kind(dir.write_at(0, "x".into()).await), Err(ErrorKind::BadDescriptor));
    assert_eq!(kind(dir.append("x".into()).await), Err(ErrorKind::BadDescriptor));
    assert_eq!(kind(dir.set_len(0).await), Err(ErrorKind::BadDescriptor));
    dir.sync(Flush::All).await.expect("a directory can be synced");
    let times = SetTimes { accessed: SetTime::To(3_000_000_001), modified: SetTime::To(4_000_000_002) };
    dir.set_times(times).await.expect("the times of an open directory can be set");
    let (open, named) = (dir.stat().await.expect("a stat"), room.stat("dir").await);
    assert_eq!((open.modified_ns, named.modified_ns), (4_000_000_002, 4_000_000_002));
    assert_eq!((open.device, open.inode), (named.device, named.inode));
    dir.close().await.expect("it is closed");
    assert_eq!(kind(room.vfs.create_dir(&room.at("dir")).await), Err(ErrorKind::Exists));
    assert_eq!(kind(room.vfs.create_dir(&room.at("none/dir")).await), Err(ErrorKind::NotFound));
    room.put("file", "").await;
    assert_eq!(kind(room.vfs.create_dir(&room.at("file")).await), Err(ErrorKind::Exists));
    assert_eq!(kind(room.vfs.create_dir(&room.at("file/dir")).await), Err(ErrorKind::NotDirectory));
    assert_eq!(kind(room.vfs.list_all(&room.at("file")).await), Err(ErrorKind::NotDirectory));
    assert_eq!(kind(room.vfs.list_all(&room.at("none")).await), Err(ErrorKind::NotFound));
}

async fn a_file_does_what_it_was_opened_for(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "rights").await;
    room.put("file", "bytes").await;
    let reader = room.open("file", Open::reading()).await.expect("it opens");
    assert_eq!(kind(reader.write_at(0, "x".into()).await), Err(ErrorKind::BadDescriptor));
    assert_eq!(kind(reader.append("x".into()).await), Err(ErrorKind::BadDescriptor));
    assert_eq!(kind(reader.set_len(0).await), Err(ErrorKind::BadDescriptor));
    let writer = room.open("file", Open { write: true, ..Open::default() }).await.expect("it opens");
    assert_eq!(kind(writer.read_at(0, 1).await), Err(ErrorKind::BadDescriptor));
    let neither = room.open("file", Open::default()).await.expect("it opens");
    assert_eq!(kind(neither.read_at(0, 1).await), Err(ErrorKind::BadDescriptor));
    assert_eq!(kind(neither.write_at(0, "x".into()).await), Err(ErrorKind::BadDescriptor));
    assert_eq!(neither.stat().await.expect("a stat").size, 5);
    assert_eq!(room.get("file").await, Ok("bytes".to_owned()));
}

async fn the_root_stays(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "root").await;
    let (root, inner) = (VPath::root(), room.at("inner"));
    assert_eq!(vfs.stat(&root, Follow::No).await.expect("a stat").kind, Kind::Directory);
    assert_eq!(kind(vfs.remove_dir(&root).await), Err(ErrorKind::Busy));
    assert_eq!(kind(vfs.remove_file(&root).await), Err(ErrorKind::IsDirectory));
    assert_eq!(kind(vfs.rename(&root, &inner).await), Err(ErrorKind::Busy));
    assert_eq!(kind(vfs.rename(&room.dir, &root).await), Err(ErrorKind::Busy));
    assert_eq!(kind(vfs.create_dir(&root).await), Err(ErrorKind::Exists));
    assert_eq!(kind(vfs.symlink("x", &root).await), Err(ErrorKind::Exists));
    assert_eq!(kind(vfs.readlink(&root).await), Err(ErrorKind::Invalid));
    assert_eq!(kind(vfs.open(&root, Open::writing()).await.map(drop)), Err(ErrorKind::IsDirectory));
    vfs.open(&root, Open::reading().directory()).await.expect("the root opens");
    assert!(vfs.list_all(&root).await.expect("a listing").iter().any(|entry| entry.name == "conformance root"));
}

async fn a_listing_is_in_order_and_in_pages(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "list").await;
    let mut expected: Vec<String> = (0..25).map(|number| format!("file {number}")).collect();
    expected.extend(["a.b", "a", "a-b", "Z", "é", "日本"].map(str::to_owned));
    for name in &expected {
        room.vfs.write(&room.at(name), Bytes::new()).await.expect("it is written");
    }
    room.dir("dir").await;
    room.link("dir", "link").await;
    expected.extend(["dir", "link"].map(str::to_owned));
    expected.sort_unstable();
    assert_eq!(room.names("").await, expected);
    room.link(".", "here").await;
    assert_eq!(room.names("here").await.len(), expected.len() + 1, "a link to a directory is listed");
    room.vfs.remove_file(&room.at("here")).await.expect("it is removed");

    for limit in [1, 2, 7, 33, 34, 1_000] {
        let limit = NonZeroU32::new(limit).expect("it is not zero");
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = room.vfs.list(&room.dir, after.as_deref(), limit).await.expect("a page");
            assert!(page.entries.len() <= limit.get() as usize && (!page.more || !page.entries.is_empty()));
            after = page.entries.last().map(|entry| entry.name.clone());
            found.extend(page.entries.into_iter().map(|entry| entry.name));
            if !page.more {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    for entry in room.vfs.list_all(&room.dir).await.expect("a listing") {
        let stat = room.stat(&entry.name).await;
        assert_eq!((entry.kind, entry.inode), (stat.kind, stat.inode), "`{}`", entry.name);
        assert!(entry.device.is_none_or(|device| device == stat.device), "`{}`", entry.name);
    }
    // A place in the order holds though what stood there is gone, and though it never was.
    room.vfs.remove_file(&room.at("file 3")).await.expect("it is removed");
    for (after, next) in [("file 3", "file 4"), ("file 30", "file 4"), ("file 9", "link"), ("link!", "é")] {
        let page = room.vfs.list(&room.dir, Some(after), NonZeroU32::MIN).await.expect("a page");
        assert_eq!(page.entries[0].name, next, "after `{after}`");
    }
    let page = room.vfs.list(&room.dir, Some("\u{10ffff}"), NonZeroU32::MIN).await.expect("a page");
    assert!(page.entries.is_empty() && !page.more);
}

async fn names_have_any_character(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "names").await;
    let long = "n".repeat(255);
    let control: String = (1..=0x7f_u8).filter(|byte| *byte != b'/').map(char::from).collect();
    let names = ["...", " ", "a b", "\\", "c:", "*?", "\n", "\u{7f}", "e\u{301}", "\u{e9}", "🦀", &long, &control];
    for name in names {
        let path = room.dir.child(name).expect("it is a name");
        room.vfs.write(&path, name.to_owned().into()).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
    }
    let mut expected = names.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(room.names("").await, expected);
    for name in names {
        let path = room.dir.child(name).expect("it is a name");
        assert_eq!(room.vfs.read(&path, 1_000).await.expect("it is read"), name.to_owned(), "{name:?}");
    }
}

async fn what_is_removed_is_gone(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "remove").await;
    room.put("file", "bytes").await;
    room.dir("dir").await;
    room.put("dir/inner", "bytes").await;
    room.link("dir", "link").await;
    for (path, file, dir) in [
        ("none", Err(ErrorKind::NotFound), Err(ErrorKind::NotFound)),
        ("none/none", Err(ErrorKind::NotFound), Err(ErrorKind::NotFound)),
        ("file/none", Err(ErrorKind::NotDirectory), Err(ErrorKind::NotDirectory)),
        ("dir", Err(ErrorKind::IsDirectory), Err(ErrorKind::NotEmpty)),
        ("file", Ok(()), Err(ErrorKind::NotDirectory)),
        ("link", Ok(()), Err(ErrorKind::NotDirectory)),
    ] {
        assert_eq!(kind(room.vfs.remove_dir(&room.at(path)).await), dir, "`{path}` as a directory");
        assert_eq!(kind(room.vfs.remove_file(&room.at(path)).await), file, "`{path}` as a file");
    }
    assert_eq!(room.get("file").await, Err(ErrorKind::NotFound));
    assert_eq!(room.names("").await, ["dir"], "the link is gone, and what it led to is not");
    room.vfs.remove_file(&room.at("dir/inner")).await.expect("it is removed");
    room.vfs.remove_dir(&room.at("dir")).await.expect("it is removed");
    assert_eq!(room.names("").await, [""; 0]);
    room.dir("dir").await;
    assert_eq!(room.names("dir").await, [""; 0], "what is made again is empty");
}

async fn an_open_file_outlives_its_name(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "unlink").await;
    room.put("file", "bytes").await;
    let file = room.open("file", Open::writing()).await.expect("it opens");
    room.vfs.remove_file(&room.at("file")).await.expect("it is removed");
    assert_eq!(room.get("file").await, Err(ErrorKind::NotFound));
    assert_eq!(file.stat().await.expect("a stat").links, 0);
    file.append(" more".into()).await.expect("it is written");
    assert_eq!(file.read_at(0, 100).await.expect("it is read"), "bytes more");
    room.put("file", "another").await;
    file.set_len(2).await.expect("it is cut off");
    assert_eq!(room.get("file").await, Ok("another".to_owned()), "a new file of the name is another one");

    let over = room.open("file", Open::reading()).await.expect("it opens");
    room.put("new", "put in its place").await;
    room.rename("new", "file").await.expect("it is renamed");
    assert_eq!(over.read_at(0, 100).await.expect("it is read"), "another");
    assert_eq!(room.get("file").await, Ok("put in its place".to_owned()));
}

async fn a_rename_takes_the_place(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "rename").await;
    room.put("file", "bytes").await;
    room.dir("dir").await;
    room.put("dir/inner", "inside").await;
    let open = room.open("dir/inner", Open::writing()).await.expect("it opens");
    assert_eq!(room.rename("file", "renamed").await, Ok(()));
    assert_eq!(room.get("renamed").await, Ok("bytes".to_owned()));
    assert_eq!(room.rename("renamed", "dir/moved").await, Ok(()));
    assert_eq!(room.rename("dir", "other").await, Ok(()));
    assert_eq!(room.names("").await, ["other"]);
    assert_eq!(room.names("other").await, ["inner", "moved"], "with all that is in it");
    open.append("!".into()).await.expect("an open file goes along");
    assert_eq!(room.get("other/inner").await, Ok("inside!".to_owned()));

    assert_eq!(room.rename("other/moved", "other/inner").await, Ok(()), "over another file");
    assert_eq!(room.get("other/inner").await, Ok("bytes".to_owned()));
    room.dir("empty").await;
    assert_eq!(room.rename("other", "empty").await, Ok(()), "over an empty directory");
    assert_eq!(room.names("empty").await, ["inner"]);
    assert_eq!(room.rename("empty/inner", "empty/inner").await, Ok(()), "to where it is");

    room.link("empty", "link").await;
    assert_eq!(room.rename("link", "link2").await, Ok(()), "a link is renamed, not what it leads to");
    assert_eq!(room.names("").await, ["empty", "link2"]);
    assert_eq!(room.rename("link2/inner", "up").await, Ok(()), "a link on the way is followed");
    assert_eq!(room.names("").await, ["empty", "link2", "up"]);
}

async fn a_rename_that_makes_no_sense_is_refused(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "no-rename").await;
    room.put("file", "bytes").await;
    for dir in ["dir", "dir/inner", "full", "empty"] {
        room.dir(dir).await;
    }
    room.put("full/file", "").await;
    room.link("dir/inner", "link").await;
    let before = tree(vfs, &room.dir).await;
    for (from, to, expected) in [
        ("none", "new", ErrorKind::NotFound),
        ("none", "file", ErrorKind::NotFound),
        ("file", "none/new", ErrorKind::NotFound),
        ("file", "file/new", ErrorKind::NotDirectory),
        ("file/none", "new", ErrorKind::NotDirectory),
        ("dir", "dir/new", ErrorKind::Invalid),
        ("dir", "dir/inner/new", ErrorKind::Invalid),
        ("dir", "dir/inner", ErrorKind::Invalid),
        ("dir", "link/new", ErrorKind::Invalid),
        ("dir/inner", "dir", ErrorKind::NotEmpty),
        ("dir", "full", ErrorKind::NotEmpty),
        ("file", "empty", ErrorKind::IsDirectory),
        ("file", "full", ErrorKind::IsDirectory),
        ("empty", "file", ErrorKind::NotDirectory),
        ("empty", "link", ErrorKind::NotDirectory),
    ] {
        assert_eq!(room.rename(from, to).await, Err(expected), "`{from}` to `{to}`");
    }
    assert_eq!(tree(vfs, &room.dir).await, before, "what is refused changes nothing");
}

async fn links_are_followed(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "links").await;
    room.dir("dir").await;
    room.dir("dir/deep").await;
    room.put("dir/file", "bytes").await;
    for (target, path) in [
        ("dir/file", "to-file"),
        ("dir", "to-dir"),
        ("to-dir", "twice"),
        ("../file", "dir/deep/up"),
        ("../../to-dir/./deep//up", "dir/deep/around"),
        ("none", "dangling"),
        ("dir/file/none", "through"),
        ("self", "self"),
        ("pong", "ping"),
        ("ping", "pong"),
    ] {
        room.link(target, path).await;
        assert_eq!(room.vfs.readlink(&room.at(path)).await.expect("it is read"), target);
    }
    for (path, expected) in [
        ("to-file", Ok("bytes")),
        ("to-dir/file", Ok("bytes")),
        ("twice/file", Ok("bytes")),
        ("twice/deep/up", Ok("bytes")),
        ("dir/deep/around", Ok("bytes")),
        ("to-dir", Err(ErrorKind::IsDirectory)),
        ("dangling", Err(ErrorKind::NotFound)),
        ("dangling/x", Err(ErrorKind::NotFound)),
        ("through", Err(ErrorKind::NotDirectory)),
        ("to-file/x", Err(ErrorKind::NotDirectory)),
        ("self", Err(ErrorKind::Loop)),
        ("self/x", Err(ErrorKind::Loop)),
        ("ping", Err(ErrorKind::Loop)),
    ] {
        assert_eq!(room.get(path).await, expected.map(str::to_owned), "`{path}`");
    }
    let stat = room.stat("twice").await;
    assert_eq!((stat.kind, stat.size), (Kind::Symlink, 6), "the link itself");
    let stat = vfs.stat(&room.at("twice"), Follow::Yes).await.expect("a stat");
    assert_eq!(stat.kind, Kind::Directory, "what the link leads to");
    assert_eq!(kind(vfs.stat(&room.at("dangling"), Follow::Yes).await), Err(ErrorKind::NotFound));
    room.dir("to-dir/made").await;
    assert_eq!(room.names("dir").await, ["deep", "file", "made"]);
    assert_eq!(kind(vfs.create_dir(&room.at("dangling")).await), Err(ErrorKind::Exists));
    assert_eq!(kind(vfs.symlink("x", &room.at("dangling")).await), Err(ErrorKind::Exists));
    assert_eq!(kind(vfs.symlink("x", &room.at("none/x")).await), Err(ErrorKind::NotFound));
    assert_eq!(kind(vfs.readlink(&room.at("dir")).await), Err(ErrorKind::Invalid));
    assert_eq!(kind(vfs.readlink(&room.at("dir/file")).await), Err(ErrorKind::Invalid));
    assert_eq!(kind(vfs.readlink(&room.at("none")).await), Err(ErrorKind::NotFound));
    assert_eq!(vfs.canonicalize(&room.at("twice/deep/up")).await.expect("it is there"), room.at("dir/file"));
}

async fn links_lead_nowhere_else(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "escape").await;
    for (target, expected) in [
        ("", ErrorKind::NotFound),
        ("/", ErrorKind::NotPermitted),
        ("/etc/passwd", ErrorKind::NotPermitted),
        ("a\0b", ErrorKind::IllegalName),
        (&"t".repeat(4_096), ErrorKind::NameTooLong),
    ] {
        let refused = vfs.symlink(target, &room.at("link")).await;
        assert_eq!(kind(refused), Err(expected), "{target:?}");
    }
    room.link("../..", "out").await;
    room.link("../../../etc", "farther").await;
    room.link("..", "up").await;
    assert!(room.names("up").await.contains(&"conformance escape".to_owned()), "the root itself is within");
    for path in ["out", "out/x", "farther/passwd"] {
        let path = room.at(path);
        let refused = Err(ErrorKind::NotPermitted);
        assert_eq!(kind(vfs.open(&path, Open::reading()).await.map(drop)), refused, "`{path}`");
        assert_eq!(kind(vfs.open(&path, Open::creating()).await.map(drop)), refused, "`{path}`");
        assert_eq!(kind(vfs.stat(&path, Follow::Yes).await.map(drop)), refused, "`{path}`");
        assert_eq!(kind(vfs.list_all(&path).await.map(drop)), refused, "`{path}`");
    }
    for path in ["out/x", "farther/x"].map(|path| room.at(path)) {
        let refused = Err(ErrorKind::NotPermitted);
        assert_eq!(kind(vfs.create_dir(&path).await), refused, "`{path}`");
        assert_eq!(kind(vfs.remove_file(&path).await), refused, "`{path}`");
        assert_eq!(kind(vfs.remove_dir(&path).await), refused, "`{path}`");
        assert_eq!(kind(vfs.rename(&room.at("up"), &path).await), refused, "`{path}`");
        assert_eq!(kind(vfs.rename(&path, &room.at("new")).await), refused, "`{path}`");
        assert_eq!(kind(vfs.symlink("x", &path).await), refused, "`{path}`");
        assert_eq!(kind(vfs.readlink(&path).await.map(drop)), refused, "`{path}`");
        assert_eq!(kind(vfs.set_times(&path, Follow::Yes, SetTimes::default()).await), refused, "`{path}`");
    }
}

async fn links_are_counted(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "hops").await;
    room.put("0", "bytes").await;
    for hop in 1..=HOPS_MAX + 1 {
        room.link(&(hop - 1).to_string(), &hop.to_string()).await;
    }
    assert_eq!(room.get(&HOPS_MAX.to_string()).await, Ok("bytes".to_owned()));
    assert_eq!(room.get(&(HOPS_MAX + 1).to_string()).await, Err(ErrorKind::Loop));
}

async fn times_are_kept(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "times").await;
    room.put("file", "bytes").await;
    room.dir("dir").await;
    room.link("file", "link").await;
    let to = |accessed, modified| SetTimes { accessed: SetTime::To(accessed), modified: SetTime::To(modified) };
    let (early, late) = (1_000_000_007, 1_700_000_000_123_456_789);
    for path in ["file", "dir"] {
        vfs.set_times(&room.at(path), Follow::Yes, to(early, late)).await.expect("they are set");
        let stat = room.stat(path).await;
        assert_eq!((stat.accessed_ns, stat.modified_ns), (early, late), "`{path}`");
    }
    let only = SetTimes { modified: SetTime::To(5_000_000_000), ..SetTimes::default() };
    vfs.set_times(&room.at("link"), Follow::Yes, only).await.expect("they are set");
    let (file, link) = (room.stat("file").await, room.stat("link").await);
    assert_eq!((file.accessed_ns, file.modified_ns), (early, 5_000_000_000), "through the link, one of two");
    assert_ne!(link.modified_ns, 5_000_000_000);
    vfs.set_times(&room.at("link"), Follow::No, to(7_000_000_000, 8_000_000_000)).await.expect("they are set");
    assert_eq!(room.stat("link").await.modified_ns, 8_000_000_000, "the link itself");
    assert_eq!(room.stat("file").await.modified_ns, 5_000_000_000);
    assert_eq!(kind(vfs.set_times(&room.at("none"), Follow::Yes, only).await), Err(ErrorKind::NotFound));
    assert_eq!(kind(vfs.set_times(&room.at("file/x"), Follow::No, only).await), Err(ErrorKind::NotDirectory));

    let open = room.open("file", Open::writing()).await.expect("it opens");
    open.set_times(to(1, 2)).await.expect("they are set");
    assert_eq!(room.stat("file").await.modified_ns, 2, "of the open file");
    let now = SetTimes { modified: SetTime::Now, ..SetTimes::default() };
    open.set_times(now).await.expect("they are set");
    let set = open.stat().await.expect("a stat").modified_ns;
    assert!(set > 2, "now is not 1970: {set}");
    // Each change of bytes is one of the time.
    open.set_times(to(1, 2)).await.expect("they are set");
    open.write_at(0, "B".into()).await.expect("it is written");
    assert!(open.stat().await.expect("a stat").modified_ns > 2, "a write");
    open.set_times(to(1, 2)).await.expect("they are set");
    open.set_len(1).await.expect("it is cut off");
    assert!(open.stat().await.expect("a stat").modified_ns > 2, "a cut");
    vfs.set_times(&room.at("dir"), Follow::Yes, to(1, 2)).await.expect("they are set");
    room.put("dir/new", "").await;
    assert!(room.stat("dir").await.modified_ns > 2, "a new entry");
    open.set_times(to(1, 2)).await.expect("they are set");
    open.read_at(0, 1).await.expect("it is read");
    room.rename("file", "renamed").await.expect("it is renamed");
    assert_eq!(room.stat("renamed").await.modified_ns, 2, "neither a read nor a rename");
}

async fn inodes_are_stable(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "inodes").await;
    room.put("file", "bytes").await;
    room.put("other", "bytes").await;
    let identity = |stat: Stat| (stat.device, stat.inode);
    let file = identity(room.stat("file").await);
    assert_ne!(file, identity(room.stat("other").await));
    let open = room.open("file", Open::writing()).await.expect("it opens");
    assert_eq!(identity(open.stat().await.expect("a stat")), file);
    open.append("more".into()).await.expect("it is written");
    room.rename("file", "renamed").await.expect("it is renamed");
    assert_eq!(identity(room.stat("renamed").await), file, "a rename is no new file");
    assert_eq!(identity(open.stat().await.expect("a stat")), file);
    room.put("renamed", "in its place").await;
    assert_eq!(identity(room.stat("renamed").await), file, "nor is a write");
}

async fn trees_are_walked_copied_and_removed(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "trees").await;
    vfs.create_dir_all(&room.at("from/a/b/c")).await.expect("they are made");
    vfs.create_dir_all(&room.at("from/a/b")).await.expect("they are there");
    room.put("from/file", "one").await;
    room.put("from/a/b/deep", "two").await;
    room.put("from/a.b", "three").await;
    room.link("..", "from/a/up").await;
    let found = tree(vfs, &room.at("from")).await;
    let paths: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/a", "/a/b", "/a/b/c", "/a/b/deep", "/a/up", "/a.b", "/file"]);
    let times = SetTimes { modified: SetTime::To(9_000_000_000), ..SetTimes::default() };
    for path in ["from/file", "from/a"] {
        vfs.set_times(&room.at(path), Follow::No, times).await.expect("they are set");
    }
    vfs.copy(&room.at("from"), &room.at("to")).await.expect("it is copied");
    assert_eq!(tree(vfs, &room.at("to")).await, found);
    assert_eq!(room.stat("to/file").await.modified_ns, 9_000_000_000);
    assert_eq!(room.stat("to/a").await.modified_ns, 9_000_000_000);
    assert_eq!(kind(vfs.copy(&room.at("from"), &room.at("to")).await), Err(ErrorKind::Exists));
    assert_eq!(kind(vfs.copy(&room.at("from"), &room.at("from/a/new")).await), Err(ErrorKind::Invalid));
    assert_eq!(kind(vfs.copy(&room.at("from"), &room.at("from/a/up/new")).await), Err(ErrorKind::Invalid));
    assert_eq!(kind(vfs.create_dir_all(&room.at("from/file/x")).await), Err(ErrorKind::NotDirectory));
    room.link("from", "link").await;
    assert_eq!(kind(vfs.remove_dir_all(&room.at("link")).await), Err(ErrorKind::NotDirectory));
    vfs.remove_dir_all(&room.at("from")).await.expect("it is removed");
    assert_eq!(room.names("").await, ["link", "to"]);
    assert_eq!(tree(vfs, &room.at("to")).await, found, "the copy is one");
}

async fn dots_are_heeded(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "dots").await;
    vfs.create_dir_all(&room.at("a/b")).await.expect("they are made");
    room.dir("c").await;
    room.put("a/file", "").await;
    room.link("../a/b", "c/link").await;
    room.link("a", "to-a").await;
    let file = |path: &str| Ok((room.at(path), false));
    let dir = |path: &str| Ok((room.at(path), true));
    for (text, expected) in [
        ("a/b/../file", file("a/file")),
        ("a/.//b/../../a/./file", file("a/file")),
        // As POSIX has it, and not `c/file`.
        ("c/link/../file", file("a/file")),
        ("to-a/b/../../c", file("c")),
        ("c/link/..", dir("a")),
        ("a/", dir("a")),
        ("a/..", dir("")),
        ("none/x", file("none/x")),
        ("none/../a", Err(ErrorKind::NotFound)),
        ("a/file/../b", Err(ErrorKind::NotDirectory)),
        ("..", Err(ErrorKind::NotPermitted)),
        ("a/../..", Err(ErrorKind::NotPermitted)),
        ("a/../../conformance dots/a", Err(ErrorKind::NotPermitted)),
        ("/a", Err(ErrorKind::NotPermitted)),
        ("", Err(ErrorKind::NotFound)),
        ("a\0", Err(ErrorKind::IllegalName)),
    ] {
        let located = kind(vfs.locate(&room.dir, text).await).map(|located| (located.path, located.directory));
        assert_eq!(located, expected, "`{text}`");
    }
    let refused = vfs.locate(&room.at("c"), "link/..").await;
    assert_eq!(kind(refused), Err(ErrorKind::NotPermitted), "a link leads out, and `..` from there does not lead back");
}

async fn writers_at_once_lose_nothing(vfs: &dyn Vfs) {
    const WRITERS: usize = 8;
    const LINES: usize = 10;
    let room = Room::new(vfs, "writers").await;
    room.put("log", "").await;
    let mut files = Vec::new();
    for _ in 0..WRITERS {
        files.push(room.open("log", Open::writing()).await.expect("it opens"));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (writer, file) in files.into_iter().enumerate() {
        tasks.spawn(async move {
            for line in 0..LINES {
                file.append(format!("{writer} {line}\n").into()).await.expect("it is written");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no writer panics");
    }
    let text = room.get("log").await.expect("it is read");
    let mut found: Vec<_> = text.lines().collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), WRITERS * LINES, "{text}");

    // Of many who would make one file, one does.
    let mut made = 0;
    for result in futures_of(&room).await {
        match result {
            Ok(()) => made += 1,
            Err(kind) => assert_eq!(kind, ErrorKind::Exists),
        }
    }
    assert_eq!(made, 1);
}

/// What each of several is told who would make one file.
async fn futures_of(room: &Room<'_>) -> Vec<Result<(), ErrorKind>> {
    let path = room.at("lock");
    let exclusive = Open::creating().exclusively();
    let open = || room.vfs.open(&path, exclusive);
    let (one, two, three, four) = tokio::join!(open(), open(), open(), open());
    [one, two, three, four].into_iter().map(|result| kind(result.map(drop))).collect()
}

async fn a_file_has_two_names(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "hard-links").await;
    let link = async |from: &str, follow, to: &str| kind(vfs.link(&room.at(from), follow, &room.at(to)).await);
    room.put("file", "bytes").await;
    room.dir("dir").await;
    room.link("file", "symlink").await;
    assert_eq!(link("file", Follow::Yes, "dir/second").await, Ok(()));
    let (first, second) = (room.stat("file").await, room.stat("dir/second").await);
    assert_eq!((first.inode, first.links, second.links), (second.inode, 2, 2));
    room.put("dir/second", "others").await;
    assert_eq!(room.get("file").await, Ok("others".to_owned()), "one file");
    assert_eq!(link("symlink", Follow::Yes, "third").await, Ok(()));
    assert_eq!(room.stat("third").await.inode, first.inode, "what the link leads to");
    assert_eq!(link("symlink", Follow::No, "second-symlink").await, Ok(()));
    assert_eq!(room.stat("second-symlink").await.kind, Kind::Symlink, "the link itself");
    for (from, to, expected) in [
        ("none", "new", ErrorKind::NotFound),
        ("file", "none/new", ErrorKind::NotFound),
        ("file", "dir", ErrorKind::Exists),
        ("file", "file", ErrorKind::Exists),
        ("file", "symlink", ErrorKind::Exists),
        ("dir", "new", ErrorKind::NotPermitted),
        ("file/x", "new", ErrorKind::NotDirectory),
    ] {
        assert_eq!(link(from, Follow::Yes, to).await, Err(expected), "`{from}` as `{to}`");
    }
    assert_eq!(room.rename("file", "third").await, Ok(()), "to another name of the same");
    assert_eq!(room.stat("file").await.links, 3, "changes nothing");
    vfs.remove_file(&room.at("file")).await.expect("it is removed");
    assert_eq!(room.get("dir/second").await, Ok("others".to_owned()), "the others stay");
    assert_eq!(room.stat("dir/second").await.links, 2);
}

async fn no_file_has_two_names(vfs: &dyn Vfs) {
    let room = Room::new(vfs, "hard-links").await;
    room.put("file", "bytes").await;
    let refused = vfs.link(&room.at("file"), Follow::Yes, &room.at("second")).await;
    assert_eq!(kind(refused), Err(ErrorKind::Unsupported));
    assert_eq!(room.names("").await, ["file"]);
}
