//! A local directory as a volume, and what others do in it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use runner_host_fs::{ErrorKind, LocalFs, Mode, Open, VPath, Vfs, VfsExt, View, Volume};

use super::{at, kind, view};

fn open(folder: &Path) -> Arc<dyn Volume> {
    Arc::new(LocalFs::open(folder).expect("it opens"))
}

/// What is in a folder, the volume's own directory left out.
fn listing(folder: &Path) -> Vec<(String, String)> {
    let (mut found, mut ahead) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = ahead.pop() {
        for entry in std::fs::read_dir(&next).expect("it is there") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("it is below").to_string_lossy().into_owned();
            if name == ".runner" {
                continue;
            }
            match path.is_dir() {
                true => ahead.push(path),
                false => found.push((name, std::fs::read_to_string(&path).expect("text"))),
            }
        }
    }
    found.sort();
    found
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn two_who_hold_one_directory_are_told_of_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    // As two processes would.
    let (one, two) = (open(folder.path()), open(folder.path()));
    std::fs::write(folder.path().join("file"), "as it was").expect("it is written");
    let (first, second) = (one.open(&View::all()).expect("it opens"), two.open(&View::all()).expect("it opens"));
    for call in [&first, &second] {
        call.files().write(&at("file"), "mine".into()).await.expect("it is written");
        call.files().write(&at("other"), "mine".into()).await.expect("it is written");
    }
    first.commit().await.expect("it is committed");
    assert_eq!(kind(second.commit().await), Err(ErrorKind::Conflict));
    assert_eq!(listing(folder.path()), pairs(&[("file", "mine"), ("other", "mine")]));
}

#[tokio::test]
async fn what_somebody_else_does_meanwhile_is_not_written_over() {
    // What a call does, what somebody else does by std meanwhile, and the path that is named.
    type Doing = fn(&Path);
    let meanwhile: [(&str, Doing, &str); 7] = [
        ("write", |folder| std::fs::write(folder.join("dir/a"), "others'").expect("it is written"), "dir/a"),
        ("write", |folder| std::fs::remove_file(folder.join("dir/a")).expect("it is removed"), "dir/a"),
        ("create", |folder| std::fs::write(folder.join("new"), "others'").expect("it is written"), "new"),
        ("create in dir", |folder| std::fs::remove_dir_all(folder.join("dir")).expect("it is removed"), "dir"),
        ("remove dir", |folder| std::fs::write(folder.join("dir/new"), "others'").expect("it is written"), "dir/new"),
        ("remove dir", |folder| std::fs::write(folder.join("dir/a"), "others'").expect("it is written"), "dir/a"),
        ("move file", |folder| std::fs::write(folder.join("dir/a"), "others'").expect("it is written"), "dir/a"),
    ];
    for (what, doing, named) in meanwhile {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("dir")).expect("it is made");
        std::fs::write(folder.path().join("dir/a"), "as it was").expect("it is written");
        let call = open(folder.path()).open(&View::all()).expect("it opens");
        let files = call.files();
        files.write(&at("unrelated"), "mine".into()).await.expect("it is written");
        match what {
            "write" => files.write(&at("dir/a"), "mine".into()).await.expect("it is written"),
            "create" => files.write(&at("new"), "mine".into()).await.expect("it is written"),
            "create in dir" => files.write(&at("dir/new"), "mine".into()).await.expect("it is written"),
            "remove dir" => files.remove_dir_all(&at("dir")).await.expect("it is removed"),
            _ => files.rename(&at("dir/a"), &at("b")).await.expect("it is renamed"),
        }
        doing(folder.path());
        let before = listing(folder.path());
        let refused = call.commit().await.expect_err("somebody else was there");
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{what}: {refused}");
        assert!(refused.to_string().contains(&format!("`/{named}`")), "{what}: {refused}");
        assert_eq!(listing(folder.path()), before, "{what}: nothing was published");
    }
}

#[tokio::test]
async fn a_reader_has_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "old").expect("it is written");
    let volume = open(folder.path());
    let reader = volume.open(&View { mode: Mode::ReadOnly, ..View::all() }).expect("it opens");
    let held = reader.files().open(&at("file"), Open::reading()).await.expect("it opens");
    let writer = volume.open(&View::all()).expect("it opens");
    writer.files().write(&at("file"), "the new one".into()).await.expect("it is written");
    writer.commit().await.expect("it is committed");
    assert_eq!(held.read_at(0, 100).await.expect("it is read"), "old", "who has it open keeps it");
    assert_eq!(reader.files().read(&at("file"), 100).await.expect("it is read"), "the new one");
}

#[tokio::test]
async fn who_reads_in_a_draft_what_is_written_in_it_sees_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "as it was").expect("it is written");
    std::fs::hard_link(folder.path().join("file"), folder.path().join("second")).expect("a second name");
    let call = open(folder.path()).open(&View::all()).expect("it opens");
    let files = call.files();
    // Open for reading before anybody writes.
    let reader = files.open(&at("second"), Open::reading()).await.expect("it opens");
    let before = reader.stat().await.expect("a stat");
    let writer = files.open(&at("file"), Open::writing()).await.expect("it opens");
    writer.write_at(0, "AS".into()).await.expect("it is written");
    assert_eq!(reader.read_at(0, 100).await.expect("it is read"), "AS it was", "one file");
    let after = reader.stat().await.expect("a stat");
    assert_eq!((before.device, before.inode, after.links), (after.device, after.inode, 2), "it is the same file");
    assert_eq!(files.read(&at("second"), 100).await.expect("it is read"), "AS it was");
    assert_eq!(listing(folder.path())[0].1, "as it was", "and nobody else sees it");
}

#[tokio::test]
async fn a_file_that_is_replaced_keeps_its_permissions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tool");
    std::fs::write(&path, "old").expect("it is written");
    for mode in [0o600, 0o755] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("they are set");
        let call = open(folder.path()).open(&View::all()).expect("it opens");
        call.files().write(&at("tool"), "new".into()).await.expect("it is written");
        call.commit().await.expect("it is committed");
        let found = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{found:o}");
    }
}

#[tokio::test]
async fn nothing_is_made_before_the_first_write_nor_left_after_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = open(folder.path());
    for mode in [Mode::ReadOnly, Mode::OnSync, Mode::OnSuccess] {
        let call = volume.open(&view("a/b", mode)).expect("it opens");
        assert_eq!(call.files().list_all(&VPath::root()).await.expect("a listing"), []);
        call.commit().await.expect("there is nothing to commit");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0, "not even the volume's own");
    for end in ["commit", "discard"] {
        let call = volume.open(&view("a/b", Mode::OnSuccess)).expect("it opens");
        call.files().write(&at("file"), "bytes".into()).await.expect("it is written");
        match end {
            "commit" => call.commit().await.expect("it is committed"),
            _ => call.discard().await.expect("it is discarded"),
        }
    }
    assert_eq!(listing(folder.path()), pairs(&[("a/b/file", "bytes")]));
    drop(volume);
    let own = listing(&folder.path().join(".runner"));
    assert!(own.iter().all(|(name, _)| name == "lock" || name.ends_with("alive")), "{own:?}");
    // What the dead have left goes with the next who opens.
    let call = open(folder.path()).open(&View::all()).expect("it opens");
    call.files().list_all(&VPath::root()).await.expect("a listing");
    assert_eq!(listing(&folder.path().join(".runner")), pairs(&[("lock", "")]));
}

#[tokio::test]
async fn a_record_of_another_version_is_refused_and_left() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".runner")).expect("it is made");
    let record = folder.path().join(".runner/commit");
    let text = r#"{ "version": 2, "prefix": "/", "stage": "x", "synced": false, "steps": [] }"#;
    std::fs::write(&record, text).expect("it is written");
    let call = open(folder.path()).open(&View::all()).expect("it opens");
    let refused = call.files().list_all(&VPath::root()).await.expect_err("it is refused");
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(refused.to_string().contains(".runner/commit"), "{refused}");
    assert_eq!(std::fs::read_to_string(&record).expect("it is there"), text);
}

#[tokio::test]
async fn a_record_that_the_machine_has_lost_is_in_nobodys_way() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".runner")).expect("it is made");
    for text in ["", "\0\0\0\0", r#"{ "version": 1, "prefix": "/", "sta"#] {
        std::fs::write(folder.path().join(".runner/commit"), text).expect("it is written");
        let call = open(folder.path()).open(&View::all()).expect("it opens");
        call.files().write(&at("file"), "bytes".into()).await.expect("it is written");
        call.commit().await.expect("it is committed");
        assert_eq!(listing(folder.path()), pairs(&[("file", "bytes")]), "{text:?}");
    }
}

#[tokio::test]
async fn a_record_leads_nobody_out_of_its_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outside, inside) = (folder.path().join("outside"), folder.path().join("volume"));
    std::fs::create_dir_all(inside.join(".runner/0/0")).expect("they are made");
    std::fs::create_dir_all(inside.join("mine")).expect("it is made");
    std::fs::create_dir_all(&outside).expect("it is made");
    std::fs::write(inside.join(".runner/0/0/1"), "bytes").expect("it is written");
    std::os::unix::fs::symlink("../../outside", inside.join("mine/out")).expect("a link");
    let record = r#"{ "version": 1, "prefix": "/mine", "stage": "0/0", "synced": false,
        "steps": [{ "Put": { "name": "/1", "path": "/out/file" } }] }"#;
    std::fs::write(inside.join(".runner/commit"), record).expect("it is written");
    let call = open(&inside).open(&View::all()).expect("it opens");
    let entries = call.files().list_all(&VPath::root()).await.expect("a step that is refused is in nobody's way");
    assert_eq!(entries.len(), 1);
    assert_eq!(listing(&outside), []);
}
