//! What every volume must do: its modes, its drafts, its prefixes and its bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Can, all, kind, read_only, tree};
use crate::error::ErrorKind;
use crate::ext::VfsExt;
use crate::path::VPath;
use crate::vfs::{Follow, Kind, Open, SetTime, SetTimes, Vfs};
use crate::volume::{Changes, Mode, Session, View, Volume};

/// What a volume need not be able to do. What it cannot is [`Unsupported`](ErrorKind::Unsupported), which is checked instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeCan {
    /// A file may have several names.
    pub hard_links: bool,
    /// A part of it can be granted by its prefix.
    pub prefixes: bool,
    /// A prefix is a path: where a link lies on the way to it, nobody gets in. Otherwise it is how names begin, and behind a link is
    /// nothing.
    pub prefix_paths: bool,
    /// Times that a call sets are there for the next one, which otherwise sees when each file was last written.
    pub times: bool,
}

impl Default for VolumeCan {
    fn default() -> Self {
        VolumeCan { hard_links: true, prefixes: true, prefix_paths: true, times: true }
    }
}

/// Runs the whole suite against a kind of volume, of which each check is given a new one, empty. It panics where the volume is
/// wrong, and says how.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::sync::Arc;
/// use runner_host_fs::conformance::{self, VolumeCan};
/// use runner_host_fs::{MemoryFs, Volume};
///
/// let new = async || Arc::new(MemoryFs::default()) as Arc<dyn Volume>;
/// conformance::volume(new, VolumeCan::default()).await;
/// # }
/// ```
pub async fn volume(new: impl AsyncFn() -> Arc<dyn Volume>, can: VolumeCan) {
    each_mode_is_a_tree(new().await, can).await;
    what_is_read_only_stays_as_it_is(new().await).await;
    a_draft_is_seen_when_it_is_committed(new().await).await;
    what_is_discarded_is_gone(new().await).await;
    what_is_synced_is_there_whatever_becomes_of_the_call(new().await).await;
    what_is_moved_in_a_draft_is_moved(new().await).await;
    what_is_of_another_kind_takes_the_place(new().await).await;
    times_are_published(new().await, can.times).await;
    who_writes_other_files_is_in_nobodys_way(new().await).await;
    for write in [Write::Whole, Write::Some, Write::Rename, Write::Remove] {
        who_comes_second_is_told(new().await, write).await;
    }
    who_makes_the_same_name_second_is_told(new().await).await;
    who_only_read_is_not_told(new().await).await;
    changes_are_listed(new().await).await;
    names_of_changes_have_a_bound(new().await).await;
    for mode in [Mode::OnSync, Mode::OnSuccess] {
        bytes_and_files_have_bounds(new().await, mode).await;
    }
    what_a_draft_frees_it_may_use(new().await).await;
    calls_at_once_share_the_bounds(new().await).await;
    for mode in [Mode::OnSync, Mode::OnSuccess] {
        what_others_publish_meanwhile_counts(new().await, mode).await;
    }
    match can.prefixes {
        true => {
            prefixes_do_not_see_each_other(new().await).await;
            no_link_leads_out_of_a_prefix(new().await, can.prefix_paths).await;
            bounds_are_of_a_prefix(new().await).await;
        }
        false => a_part_is_refused(new().await).await,
    }
    if can.hard_links {
        second_names_are_published(new().await).await;
    }
}

fn at(text: &str) -> VPath {
    VPath::new(text).expect("a path")
}

/// One call.
struct Call {
    session: Arc<dyn Session>,
    files: Arc<dyn Vfs>,
}

impl Call {
    fn open(volume: &Arc<dyn Volume>, view: &View) -> Self {
        volume.check(view).unwrap_or_else(|error| panic!("{view:?}: {error}"));
        let session = volume.open(view).unwrap_or_else(|error| panic!("{view:?}: {error}"));
        Call { files: session.files(), session }
    }

    fn new(volume: &Arc<dyn Volume>, mode: Mode) -> Self {
        Call::open(volume, &View { mode, ..View::all() })
    }

    async fn put(&self, path: &str, bytes: &'static str) {
        let written = self.files.write(&at(path), bytes.into()).await;
        written.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }

    async fn get(&self, path: &str) -> Result<String, ErrorKind> {
        let bytes = kind(self.files.read(&at(path), 1 << 20).await)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn dir(&self, path: &str) {
        self.files.create_dir(&at(path)).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }

    async fn rename(&self, from: &str, to: &str) {
        let renamed = self.files.rename(&at(from), &at(to)).await;
        renamed.unwrap_or_else(|error| panic!("`{from}` to `{to}`: {error}"));
    }

    async fn remove(&self, path: &str) {
        self.files.remove_file(&at(path)).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }

    async fn tree(&self) -> Vec<(String, Kind, Bytes)> {
        tree(&*self.files, &VPath::root()).await
    }

    async fn commit(self) -> Arc<dyn Session> {
        self.session.commit().await.unwrap_or_else(|error| panic!("a commit: {error}"));
        self.session
    }
}

/// Writes files in a call of their own.
async fn given(volume: &Arc<dyn Volume>, files: &[(&str, &'static str)]) {
    let call = Call::new(volume, Mode::OnSuccess);
    for (path, bytes) in files {
        call.files.create_dir_all(&at(path).parent().expect("no root")).await.expect("they are made");
        call.put(path, bytes).await;
    }
    call.commit().await;
}

/// What a call sees that comes now.
async fn seen(volume: &Arc<dyn Volume>) -> Vec<(String, Kind, Bytes)> {
    Call::new(volume, Mode::ReadOnly).tree().await
}

fn files(files: &[(&str, &'static str)]) -> Vec<(String, Kind, Bytes)> {
    let kind = |text: &str| if text == "/" { Kind::Directory } else { Kind::File };
    let bytes = |text: &'static str| if text == "/" { Bytes::new() } else { Bytes::from(text) };
    files.iter().map(|(path, text)| ((*path).to_owned(), kind(text), bytes(text))).collect()
}

async fn each_mode_is_a_tree(volume: Arc<dyn Volume>, can: VolumeCan) {
    let can = Can { hard_links: can.hard_links };
    let call = Call::new(&volume, Mode::OnSuccess);
    all(call.files.clone(), can).await;
    let drafted = call.tree().await;
    assert_eq!(seen(&volume).await, [], "nobody sees it yet");
    call.commit().await;
    let published = seen(&volume).await;
    for (drafted, published) in drafted.iter().zip(&published) {
        assert_eq!(drafted, published, "what is published is what was drafted");
    }
    assert_eq!(drafted.len(), published.len(), "what is published is what was drafted");

    // Once more, over what is there by now.
    let call = Call::new(&volume, Mode::OnSuccess);
    call.files.remove_dir_all(&VPath::root()).await.expect("all is removed");
    all(call.files.clone(), can).await;
    let drafted = call.tree().await;
    call.commit().await;
    assert_eq!(seen(&volume).await, drafted);

    let call = Call::new(&volume, Mode::OnSync);
    call.files.remove_dir_all(&VPath::root()).await.expect("all is removed");
    all(call.files.clone(), can).await;
    call.commit().await;
}

async fn what_is_read_only_stays_as_it_is(volume: Arc<dyn Volume>) {
    let (writer, reader) = (Call::new(&volume, Mode::OnSync), Call::new(&volume, Mode::ReadOnly));
    read_only(writer.files.clone(), reader.files.clone()).await;
    writer.commit().await;
    let reader = reader.commit().await;
    assert!(reader.changes().is_empty());
}

async fn a_draft_is_seen_when_it_is_committed(volume: Arc<dyn Volume>) {
    given(&volume, &[("a", "one"), ("dir/b", "two")]).await;
    let (call, other) = (Call::new(&volume, Mode::OnSuccess), Call::new(&volume, Mode::OnSuccess));
    call.put("a", "ONE").await;
    call.put("dir/new", "three").await;
    call.remove("dir/b").await;
    call.dir("empty").await;
    call.files.symlink("dir/new", &at("link")).await.expect("a link");
    let file = call.files.open(&at("dir/new"), Open::writing()).await.expect("it opens");
    file.append(", four".into()).await.expect("it is written");
    file.close().await.expect("it is closed");
    drop(file);
    let mut expected =
        files(&[("/a", "ONE"), ("/dir", "/"), ("/dir/new", "three, four"), ("/empty", "/"), ("/link", "dir/new")]);
    expected[4].1 = Kind::Symlink;
    assert_eq!(call.tree().await, expected, "who writes sees it");
    let before = files(&[("/a", "one"), ("/dir", "/"), ("/dir/b", "two")]);
    assert_eq!(other.tree().await, before, "nobody else does");
    assert_eq!(seen(&volume).await, before);
    call.commit().await;
    assert_eq!(seen(&volume).await, expected, "now all do");
    other.session.discard().await.expect("nothing is discarded");
}

async fn what_is_discarded_is_gone(volume: Arc<dyn Volume>) {
    given(&volume, &[("a", "one"), ("dir/b", "two")]).await;
    let before = seen(&volume).await;
    for dropped in [false, true] {
        let call = Call::new(&volume, Mode::OnSuccess);
        call.put("a", "ONE").await;
        call.put("new", "three").await;
        call.rename("dir", "moved").await;
        match dropped {
            true => drop(call),
            false => {
                call.session.discard().await.expect("it is discarded");
                assert!(call.session.changes().is_empty());
            }
        }
        assert_eq!(seen(&volume).await, before, "dropped: {dropped}");
    }
}

async fn what_is_synced_is_there_whatever_becomes_of_the_call(volume: Arc<dyn Volume>) {
    let call = Call::new(&volume, Mode::OnSync);
    call.put("closed", "one").await;
    assert_eq!(Call::new(&volume, Mode::ReadOnly).get("closed").await, Ok("one".to_owned()));
    let file = call.files.open(&at("synced"), Open::creating()).await.expect("it opens");
    file.append("two".into()).await.expect("it is written");
    file.sync(crate::Flush::All).await.expect("it is synced");
    assert_eq!(Call::new(&volume, Mode::ReadOnly).get("synced").await, Ok("two".to_owned()));
    file.close().await.expect("it is closed");
    drop(file);
    call.session.discard().await.expect("there is nothing to discard");
    assert_eq!(seen(&volume).await, files(&[("/closed", "one"), ("/synced", "two")]));
    assert_eq!(call.session.changes().added, [at("closed"), at("synced")]);
}

async fn what_is_moved_in_a_draft_is_moved(volume: Arc<dyn Volume>) {
    given(
        &volume,
        &[
            ("dir/deep/a", "a"),
            ("dir/b", "b"),
            ("dir/gone", "gone"),
            ("log", "old"),
            ("log.1", "older"),
            ("one", "1"),
            ("two", "2"),
            ("this/x", "x"),
            ("that/y", "y"),
        ],
    )
    .await;
    let call = Call::new(&volume, Mode::OnSuccess);
    // A directory, of which something changes.
    call.rename("dir", "moved").await;
    call.put("moved/b", "B").await;
    call.remove("moved/gone").await;
    call.put("moved/deep/new", "new").await;
    // One out of it, and one into its place.
    call.rename("moved/deep", "deep").await;
    call.dir("dir").await;
    call.put("dir/b", "another").await;
    // As logs are rotated.
    call.rename("log.1", "log.2").await;
    call.rename("log", "log.1").await;
    call.put("log", "new").await;
    // Two files, and two directories, in each other's place.
    for (one, two) in [("one", "two"), ("this", "that")] {
        call.rename(one, "aside").await;
        call.rename(two, one).await;
        call.rename("aside", two).await;
    }
    let expected = files(&[
        ("/deep", "/"),
        ("/deep/a", "a"),
        ("/deep/new", "new"),
        ("/dir", "/"),
        ("/dir/b", "another"),
        ("/log", "new"),
        ("/log.1", "old"),
        ("/log.2", "older"),
        ("/moved", "/"),
        ("/moved/b", "B"),
        ("/one", "2"),
        ("/that", "/"),
        ("/that/x", "x"),
        ("/this", "/"),
        ("/this/y", "y"),
        ("/two", "1"),
    ]);
    assert_eq!(call.tree().await, expected);
    call.commit().await;
    assert_eq!(seen(&volume).await, expected);
}

async fn what_is_of_another_kind_takes_the_place(volume: Arc<dyn Volume>) {
    given(&volume, &[("file", "one"), ("dir/a/b", "two"), ("over", "three"), ("into/x", "four")]).await;
    let call = Call::new(&volume, Mode::OnSuccess);
    call.remove("file").await;
    call.dir("file").await;
    call.put("file/inside", "five").await;
    call.files.remove_dir_all(&at("dir")).await.expect("it is removed");
    call.put("dir", "six").await;
    call.remove("over").await;
    call.rename("into", "over").await;
    call.files.symlink("file", &at("into")).await.expect("a link");
    let mut expected = files(&[
        ("/dir", "six"),
        ("/file", "/"),
        ("/file/inside", "five"),
        ("/into", "file"),
        ("/over", "/"),
        ("/over/x", "four"),
    ]);
    expected[3].1 = Kind::Symlink;
    assert_eq!(call.tree().await, expected);
    call.commit().await;
    assert_eq!(seen(&volume).await, expected);
}

async fn times_are_published(volume: Arc<dyn Volume>, kept: bool) {
    given(&volume, &[("old", "one")]).await;
    let call = Call::new(&volume, Mode::OnSuccess);
    call.put("new", "two").await;
    for path in ["old", "new"] {
        let times = SetTimes { modified: SetTime::To(1_500_000_000_000_000_000), ..SetTimes::default() };
        call.files.set_times(&at(path), Follow::Yes, times).await.expect("they are set");
        let stat = call.files.stat(&at(path), Follow::Yes).await.expect("a stat");
        assert_eq!(stat.modified_ns, 1_500_000_000_000_000_000, "`{path}`: within the call");
    }
    call.commit().await;
    let reader = Call::new(&volume, Mode::ReadOnly);
    for path in ["old", "new"] {
        let stat = reader.files.stat(&at(path), Follow::Yes).await.expect("a stat");
        let is_set = stat.modified_ns == 1_500_000_000_000_000_000;
        assert!(is_set == kept && stat.modified_ns >= 1_500_000_000_000_000_000, "`{path}`: {}", stat.modified_ns);
    }
}

async fn who_writes_other_files_is_in_nobodys_way(volume: Arc<dyn Volume>) {
    given(&volume, &[("dir/a", "one"), ("dir/b", "two")]).await;
    let (first, second) = (Call::new(&volume, Mode::OnSuccess), Call::new(&volume, Mode::OnSuccess));
    for (call, name) in [(&first, "a"), (&second, "b")] {
        call.put(&format!("dir/{name}"), "changed").await;
        call.put(&format!("dir/new-{name}"), "new").await;
        // Both make it.
        call.dir("both").await;
        call.put(&format!("both/{name}"), "new").await;
    }
    first.commit().await;
    second.commit().await;
    let expected = files(&[
        ("/both", "/"),
        ("/both/a", "new"),
        ("/both/b", "new"),
        ("/dir", "/"),
        ("/dir/a", "changed"),
        ("/dir/b", "changed"),
        ("/dir/new-a", "new"),
        ("/dir/new-b", "new"),
    ]);
    assert_eq!(seen(&volume).await, expected);
}

/// How a file is changed.
#[derive(Clone, Copy, Debug)]
enum Write {
    Whole,
    Some,
    Rename,
    Remove,
}

async fn who_comes_second_is_told(volume: Arc<dyn Volume>, write: Write) {
    given(&volume, &[("dir/file", "one"), ("other", "as it was")]).await;
    let (first, second) = (Call::new(&volume, Mode::OnSuccess), Call::new(&volume, Mode::OnSuccess));
    for call in [&first, &second] {
        assert_eq!(call.get("dir/file").await, Ok("one".to_owned()));
    }
    first.put("dir/file", "the first's").await;
    first.commit().await;
    second.put("other", "the second's").await;
    match write {
        Write::Whole => second.put("dir/file", "the second's").await,
        Write::Some => {
            let file = second.files.open(&at("dir/file"), Open::writing()).await.expect("it opens");
            file.write_at(0, "O".into()).await.expect("it is written");
            file.close().await.expect("it is closed");
        }
        Write::Rename => {
            second.put("new", "the second's").await;
            second.rename("new", "dir/file").await;
        }
        Write::Remove => second.remove("dir/file").await,
    }
    let refused = second.session.commit().await.expect_err("somebody else was first");
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{write:?}: {refused}");
    assert!(refused.to_string().contains("dir/file"), "{write:?}: it names the path: {refused}");
    let expected = files(&[("/dir", "/"), ("/dir/file", "the first's"), ("/other", "as it was")]);
    assert_eq!(seen(&volume).await, expected, "{write:?}: nothing was published");
    assert!(second.session.changes().is_empty(), "{write:?}");

    let again = Call::new(&volume, Mode::OnSuccess);
    assert_eq!(again.get("dir/file").await, Ok("the first's".to_owned()));
    again.put("dir/file", "the second's").await;
    again.commit().await;
    assert_eq!(Call::new(&volume, Mode::ReadOnly).get("dir/file").await, Ok("the second's".to_owned()));
}

async fn who_makes_the_same_name_second_is_told(volume: Arc<dyn Volume>) {
    let (first, second) = (Call::new(&volume, Mode::OnSuccess), Call::new(&volume, Mode::OnSuccess));
    first.put("new", "the first's").await;
    second.put("another", "the second's").await;
    second.put("new", "the second's").await;
    first.commit().await;
    let refused = second.session.commit().await.expect_err("somebody else was first");
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.to_string().contains("new"), "it names the path: {refused}");
    assert_eq!(seen(&volume).await, files(&[("/new", "the first's")]));
}

async fn who_only_read_is_not_told(volume: Arc<dyn Volume>) {
    given(&volume, &[("read", "one")]).await;
    let call = Call::new(&volume, Mode::OnSuccess);
    assert_eq!(call.get("read").await, Ok("one".to_owned()));
    given(&volume, &[("read", "two")]).await;
    call.put("written", "three").await;
    call.commit().await;
    assert_eq!(seen(&volume).await, files(&[("/read", "two"), ("/written", "three")]));
}

async fn changes_are_listed(volume: Arc<dyn Volume>) {
    for mode in [Mode::OnSuccess, Mode::OnSync] {
        let call = Call::new(&volume, Mode::OnSync);
        call.files.remove_dir_all(&VPath::root()).await.expect("all is removed");
        call.commit().await;
        given(&volume, &[("changed", "one"), ("cut", "two"), ("dir/gone", "three"), ("kept", "four"), ("over", "5")])
            .await;
        given(&volume, &[("emptied/gone", "six"), ("moved/dir/file", "seven")]).await;
        let call = Call::new(&volume, mode);
        call.put("changed", "ONE").await;
        // The directory that it was alone in stays.
        call.remove("emptied/gone").await;
        call.rename("moved", "there").await;
        let file = call.files.open(&at("cut"), Open::writing()).await.expect("it opens");
        file.set_len(1).await.expect("it is cut off");
        file.close().await.expect("it is closed");
        drop(file);
        call.remove("dir/gone").await;
        call.files.remove_dir(&at("dir")).await.expect("it is removed");
        call.dir("made").await;
        call.put("made/added", "five").await;
        call.put("passing", "six").await;
        call.remove("passing").await;
        call.put("new", "seven").await;
        call.rename("new", "over").await;
        call.files.open(&at("kept"), Open::writing()).await.expect("it opens");
        let times = SetTimes { modified: SetTime::To(1), ..SetTimes::default() };
        call.files.set_times(&at("kept"), Follow::Yes, times).await.expect("they are set");
        assert_eq!(call.get("kept").await, Ok("four".to_owned()));
        if mode == Mode::OnSuccess {
            assert!(call.session.changes().is_empty(), "nothing is published yet");
        }
        let session = call.commit().await;
        let expected = Changes {
            // One that was moved stands for all that was moved with it.
            added: ["made", "made/added", "there"].map(at).into(),
            changed: vec![at("changed"), at("cut"), at("over")],
            removed: ["dir", "dir/gone", "emptied/gone", "moved"].map(at).into(),
            unnamed: 0,
        };
        assert_eq!(session.changes(), expected, "{mode:?}");
        let usage: BTreeMap<_, _> = session.usage();
        assert!(usage.get("committed_bytes").is_some_and(|bytes| *bytes >= 12), "{mode:?}: {usage:?}");
        assert!(usage.get("committed_files").is_some_and(|files| *files >= 4), "{mode:?}: {usage:?}");
    }
}

async fn names_of_changes_have_a_bound(volume: Arc<dyn Volume>) {
    let call = Call::new(&volume, Mode::OnSuccess);
    for number in 0..Changes::NAMES_MAX + 20 {
        call.put(&format!("file-{number:05}"), "").await;
    }
    let changes = call.commit().await.changes();
    assert_eq!((changes.added.len(), changes.unnamed), (Changes::NAMES_MAX, 20));
}

async fn bytes_and_files_have_bounds(volume: Arc<dyn Volume>, mode: Mode) {
    given(&volume, &[("before", "ten bytes.")]).await;
    let view = View { mode, bytes: Some(100), files: Some(3), file_bytes: Some(80), ..View::all() };
    let call = Call::open(&volume, &view);
    let file = call.files.open(&at("file"), Open::creating()).await.expect("there is room");
    file.append(vec![1; 70].into()).await.expect("there is room");
    assert_eq!(kind(file.append(vec![1; 11].into()).await), Err(ErrorKind::TooLarge), "{mode:?}: of one file");
    assert_eq!(kind(file.set_len(81).await), Err(ErrorKind::TooLarge), "{mode:?}");
    call.put("third", "twenty bytes, is it?").await;
    assert_eq!(kind(file.append(vec![1; 1].into()).await), Err(ErrorKind::Quota), "{mode:?}: of all");
    assert_eq!(kind(file.set_len(71).await), Err(ErrorKind::Quota), "{mode:?}");
    assert_eq!(file.stat().await.expect("a stat").size, 70, "{mode:?}: what is refused changes nothing");
    assert_eq!(kind(call.files.create_dir(&at("more")).await), Err(ErrorKind::Quota), "{mode:?}: of names");
    assert_eq!(kind(call.files.symlink("x", &at("more")).await), Err(ErrorKind::Quota), "{mode:?}");
    let refused = call.files.open(&at("more"), Open::creating()).await.map(drop);
    assert_eq!(kind(refused), Err(ErrorKind::Quota), "{mode:?}");
    file.close().await.expect("it is closed");
    drop(file);
    call.remove("third").await;
    call.put("fourth", "as much, and a name.").await;
    call.commit().await;
    let call = Call::open(&volume, &view);
    assert_eq!(kind(call.files.write(&at("before"), "eleven byte".into()).await), Err(ErrorKind::Quota), "{mode:?}");
    call.session.discard().await.expect("it is discarded");
    let reader = Call::new(&volume, Mode::ReadOnly);
    assert_eq!(reader.files.list_all(&VPath::root()).await.expect("a listing").len(), 3, "{mode:?}");
}

async fn what_a_draft_frees_it_may_use(volume: Arc<dyn Volume>) {
    given(&volume, &[("large", "eighty bytes, more or less, which is to say that they are counted, so it is 80.")])
        .await;
    let view = View { bytes: Some(100), files: Some(1), ..View::all() };
    let call = Call::open(&volume, &view);
    assert_eq!(kind(call.files.write(&at("new"), "x".into()).await), Err(ErrorKind::Quota));
    call.remove("large").await;
    call.files.write(&at("new"), vec![1; 100].into()).await.expect("there is room now");
    let file = call.files.open(&at("new"), Open::writing()).await.expect("it opens");
    assert_eq!(kind(file.append("x".into()).await), Err(ErrorKind::Quota));
    file.close().await.expect("it is closed");
    drop(file);
    call.commit().await;
    let call = Call::open(&volume, &view);
    assert_eq!(kind(call.files.create_dir(&at("more")).await), Err(ErrorKind::Quota), "what was committed counts");
    call.files.remove_file(&at("new")).await.expect("it is removed");
    call.put("small", "x").await;
    call.commit().await;
    assert_eq!(seen(&volume).await, files(&[("/small", "x")]));
}

async fn calls_at_once_share_the_bounds(volume: Arc<dyn Volume>) {
    let view = View { bytes: Some(100), ..View::all() };
    let (first, second) = (Call::open(&volume, &view), Call::open(&volume, &view));
    first.files.write(&at("first"), vec![1; 60].into()).await.expect("there is room");
    let refused = second.files.write(&at("second"), vec![1; 60].into()).await;
    assert_eq!(kind(refused), Err(ErrorKind::Quota), "the other's draft counts");
    second.files.write(&at("second"), vec![1; 40].into()).await.expect("there is room for less");
    first.session.discard().await.expect("it is discarded");
    second.files.write(&at("second"), vec![1; 90].into()).await.expect("what was discarded is free");
    second.commit().await;
    let third = Call::open(&volume, &View { mode: Mode::OnSync, ..view });
    let refused = third.files.write(&at("third"), vec![1; 11].into()).await;
    assert_eq!(kind(refused), Err(ErrorKind::Quota), "what was committed counts");
    third.files.write(&at("third"), vec![1; 10].into()).await.expect("there is room for less");
    third.commit().await;
}

async fn what_others_publish_meanwhile_counts(volume: Arc<dyn Volume>, mode: Mode) {
    given(&volume, &[("before", "ten bytes.")]).await;
    let view = View { mode, bytes: Some(100), files: Some(4), ..View::all() };
    let (first, second) = (Call::open(&volume, &view), Call::open(&volume, &view));
    assert_eq!((first.tree().await.len(), second.tree().await.len()), (1, 1), "both have looked");
    let file = first.files.open(&at("first"), Open::creating()).await.expect("there is room");
    file.append(vec![1; 50].into()).await.expect("there is room");
    let refused = kind(second.files.write(&at("second"), vec![1; 41].into()).await);
    assert_eq!(refused, Err(ErrorKind::Quota), "{mode:?}: what the other has not closed counts");
    second.files.write(&at("second"), vec![1; 30].into()).await.expect("there is room for less");
    file.close().await.expect("it is closed");
    drop(file);
    first.dir("dir").await;
    first.commit().await;
    let refused = kind(second.files.write(&at("second"), vec![1; 41].into()).await);
    assert_eq!(refused, Err(ErrorKind::Quota), "{mode:?}: what the other has published counts");
    assert_eq!(kind(second.files.create_dir(&at("more")).await), Err(ErrorKind::Quota), "{mode:?}: its names, too");
    second.files.write(&at("second"), vec![1; 40].into()).await.expect("there is room for less");
    second.commit().await;
    let third = Call::open(&volume, &view);
    assert_eq!(kind(third.files.write(&at("before"), "eleven byte".into()).await), Err(ErrorKind::Quota), "{mode:?}");
    third.remove("first").await;
    third.put("before", "and again sixty bytes, for which there is room now, is there").await;
    third.commit().await;
}

fn below(prefix: &str, mode: Mode) -> View {
    View { prefix: at(prefix), mode, ..View::all() }
}

async fn prefixes_do_not_see_each_other(volume: Arc<dyn Volume>) {
    for mode in [Mode::OnSync, Mode::OnSuccess] {
        let prefix = |name: &str| format!("{mode:?}/{name}");
        let reader = Call::open(&volume, &below(&prefix("a"), Mode::ReadOnly));
        assert_eq!(reader.tree().await, [], "what is not there yet is empty");
        assert_eq!(reader.files.stat(&VPath::root(), Follow::Yes).await.expect("a stat").kind, Kind::Directory);
        reader.files.open(&VPath::root(), Open::reading().directory()).await.expect("it opens");
        assert_eq!(reader.get("file").await, Err(ErrorKind::NotFound));
        let nothing = Call::open(&volume, &below(&prefix("a"), mode));
        assert_eq!(nothing.tree().await, []);
        nothing.commit().await;
        let all = Call::new(&volume, Mode::ReadOnly);
        assert_eq!(kind(all.files.stat(&at(&prefix("a")), Follow::No).await.map(drop)), Err(ErrorKind::NotFound));

        for name in ["a", "b", "a.b"] {
            let call = Call::open(&volume, &below(&prefix(name), mode));
            assert_eq!(call.tree().await, [], "`{name}`");
            call.put("file", "one").await;
            call.dir("dir").await;
            call.put("dir/x", "two").await;
            call.commit().await;
            let reader = Call::open(&volume, &below(&prefix(name), Mode::ReadOnly));
            assert_eq!(reader.tree().await, files(&[("/dir", "/"), ("/dir/x", "two"), ("/file", "one")]), "`{name}`");
        }
        let inner = Call::open(&volume, &below(&prefix("a/dir"), mode));
        assert_eq!(inner.tree().await, files(&[("/x", "two")]), "a prefix may lie in another");
        inner.put("x", "TWO").await;
        inner.commit().await;
        let outer = Call::open(&volume, &below(&prefix("a"), Mode::ReadOnly));
        assert_eq!(outer.get("dir/x").await, Ok("TWO".to_owned()));
    }
}

async fn no_link_leads_out_of_a_prefix(volume: Arc<dyn Volume>, prefix_paths: bool) {
    given(&volume, &[("secret/file", "not yours"), ("in/side/file", "yours")]).await;
    for mode in [Mode::OnSync, Mode::OnSuccess] {
        let call = Call::open(&volume, &below("in", mode));
        let name = format!("{mode:?}");
        for (link, target) in
            [("up", "../secret"), ("farther", "../../../etc"), ("side/up", "../../secret"), ("dir", "..")]
        {
            let link = format!("{link}-{name}");
            match call.files.symlink(target, &at(&link)).await {
                Ok(()) => {}
                Err(error) => panic!("`{link}`: a target is a text: {error}"),
            }
            for path in [link.clone(), format!("{link}/file"), format!("{link}/secret/file")] {
                let refused = Err(ErrorKind::NotPermitted);
                let read = kind(call.files.open(&at(&path), Open::reading()).await.map(drop));
                assert_eq!(read, refused, "{mode:?} `{path}`");
                let written = kind(call.files.write(&at(&path), "mine".into()).await);
                assert_eq!(written, refused, "{mode:?} `{path}`");
                assert_eq!(kind(call.files.list_all(&at(&path)).await.map(drop)), refused, "{mode:?} `{path}`");
            }
            let path = at(&format!("{link}/file"));
            assert_eq!(kind(call.files.remove_file(&path).await), Err(ErrorKind::NotPermitted), "{mode:?} `{path}`");
            let renamed = call.files.rename(&path, &at("mine")).await;
            assert_eq!(kind(renamed), Err(ErrorKind::NotPermitted), "{mode:?} `{path}`");
        }
        call.commit().await;
        // They are there now, and lead nobody out still.
        let reader = Call::open(&volume, &below("in", Mode::ReadOnly));
        assert_eq!(reader.get(&format!("up-{name}/file")).await, Err(ErrorKind::NotPermitted));
        // Nor is a link of one prefix the way to another.
        let through = below(&format!("in/dir-{name}/secret"), Mode::OnSync);
        let call = Call::open(&volume, &through);
        let (read, written) = match prefix_paths {
            true => (ErrorKind::NotPermitted, Err(ErrorKind::NotPermitted)),
            false => (ErrorKind::NotFound, Ok(())),
        };
        assert_eq!(call.get("file").await, Err(read), "{mode:?}: a prefix leads over no link");
        assert_eq!(kind(call.files.write(&at("file"), "mine".into()).await), written, "{mode:?}");
        call.session.discard().await.expect("it is discarded");
    }
    let all = Call::new(&volume, Mode::ReadOnly);
    assert_eq!(all.get("secret/file").await, Ok("not yours".to_owned()));
}

async fn bounds_are_of_a_prefix(volume: Arc<dyn Volume>) {
    given(&volume, &[("a/file", "ten bytes."), ("b/file", "ten bytes.")]).await;
    for mode in [Mode::OnSync, Mode::OnSuccess] {
        let call = Call::open(&volume, &View { bytes: Some(20), files: Some(2), ..below("a", mode) });
        call.put("more", "ten bytes.").await;
        assert_eq!(kind(call.files.write(&at("more"), "eleven byte".into()).await), Err(ErrorKind::Quota), "{mode:?}");
        call.remove("more").await;
        call.commit().await;
    }
}

async fn a_part_is_refused(volume: Arc<dyn Volume>) {
    let view = below("a", Mode::OnSuccess);
    assert_eq!(kind(volume.check(&view)), Err(ErrorKind::Unsupported));
    assert_eq!(kind(volume.open(&view).map(drop)), Err(ErrorKind::Unsupported));
}

async fn second_names_are_published(volume: Arc<dyn Volume>) {
    given(&volume, &[("old", "one")]).await;
    let call = Call::new(&volume, Mode::OnSuccess);
    call.put("new", "two").await;
    for path in ["old", "new"] {
        let second = at(&format!("{path}-again"));
        call.files.link(&at(path), Follow::Yes, &second).await.expect("a second name");
    }
    call.commit().await;
    let reader = Call::new(&volume, Mode::ReadOnly);
    for path in ["old", "new"] {
        let one = reader.files.stat(&at(path), Follow::No).await.expect("a stat");
        let two = reader.files.stat(&at(&format!("{path}-again")), Follow::No).await.expect("a stat");
        assert_eq!((one.inode, one.links), (two.inode, 2), "`{path}`: one file");
    }
}
