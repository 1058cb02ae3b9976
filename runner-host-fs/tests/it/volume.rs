//! Volumes: the public suite for each kind, and what is a local directory's own.

mod cut;
mod faulty;
mod killed;
mod local;
mod refused;

use std::sync::{Arc, Mutex, PoisonError};

use runner_host_fs::conformance::{self, VolumeCan};
use runner_host_fs::{
    ErrorKind, LocalFs, MemoryFs, MemoryLimits, Mode, Open, VPath, Vfs, VfsExt, VfsVolume, View, Volume,
};

use crate::backends::OneName;
use crate::support::{at, kind};

pub(crate) fn view(prefix: &str, mode: Mode) -> View {
    View { prefix: at(prefix), mode, ..View::all() }
}

/// A volume each time, in a folder of its own.
async fn check_local(volume: impl Fn(LocalFs) -> Arc<dyn Volume>, can: VolumeCan) {
    let folders = Mutex::new(Vec::new());
    let new = async || {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFs::open(folder.path()).expect("a folder opens");
        folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        volume(files)
    };
    conformance::volume(new, can).await;
    let folders = folders.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(folders.len() > 10, "each check had one");
}

#[tokio::test]
async fn memory_is_a_volume() {
    conformance::volume(async || Arc::new(MemoryFs::default()) as Arc<dyn Volume>, VolumeCan::default()).await;
}

#[tokio::test]
async fn a_part_of_memory_is_a_volume() {
    let new = async || {
        let all = MemoryFs::default();
        all.create_dir_all(&at("some/where")).await.expect("they are made");
        Arc::new(all.below(&at("some/where")).expect("it is there")) as Arc<dyn Volume>
    };
    conformance::volume(new, VolumeCan::default()).await;
}

#[tokio::test]
async fn a_local_directory_is_a_volume() {
    check_local(|files| Arc::new(files), VolumeCan::default()).await;
}

#[tokio::test]
async fn a_local_directory_is_a_volume_on_other_threads() {
    check_local(|files| Arc::new(files.aside()), VolumeCan::default()).await;
}

#[tokio::test]
async fn a_tree_of_somebody_elses_is_a_volume_but_for_its_parts() {
    let can = VolumeCan { prefixes: false, ..VolumeCan::default() };
    let memory = async || Arc::new(VfsVolume::new(MemoryFs::default())) as Arc<dyn Volume>;
    conformance::volume(memory, can).await;
    check_local(|files| Arc::new(VfsVolume::new(files)), can).await;
}

#[tokio::test]
async fn a_tree_without_hard_links_is_a_volume() {
    let new = async || Arc::new(VfsVolume::new(OneName(MemoryFs::default()))) as Arc<dyn Volume>;
    conformance::volume(new, VolumeCan { prefixes: false, hard_links: false, ..VolumeCan::default() }).await;
}

#[tokio::test]
#[should_panic(expected = "what is published is what was drafted")]
async fn a_volume_that_loses_what_is_committed_does_not_pass() {
    // As if each session had a volume of its own.
    struct Forgetful;
    impl Volume for Forgetful {
        fn check(&self, view: &View) -> runner_host_fs::Result<()> {
            MemoryFs::default().check(view)
        }
        fn open(&self, view: &View) -> runner_host_fs::Result<Arc<dyn runner_host_fs::Session>> {
            Volume::open(&MemoryFs::default(), view)
        }
    }
    conformance::volume(async || Arc::new(Forgetful) as Arc<dyn Volume>, VolumeCan::default()).await;
}

#[tokio::test]
async fn the_volumes_own_name_is_nobodys() {
    let folder = tempfile::tempdir().expect("a folder");
    let volumes: [Arc<dyn Volume>; 3] = [
        Arc::new(MemoryFs::default()),
        Arc::new(LocalFs::open(folder.path()).expect("it opens")),
        Arc::new(VfsVolume::new(MemoryFs::default())),
    ];
    for volume in volumes {
        // So that there is one.
        let call = volume.open(&View::all()).expect("it opens");
        call.files().write(&at("file"), "bytes".into()).await.expect("it is written");
        call.files().write(&at("other"), "bytes".into()).await.expect("it is written");
        for mode in [Mode::OnSuccess, Mode::OnSync] {
            let call = volume.open(&View { mode, ..View::all() }).expect("it opens");
            let files = call.files();
            for name in [".runner", ".Runner", "dir/.RUNNER"] {
                let made = Err(ErrorKind::NotPermitted);
                assert_eq!(kind(files.open(&at(name), Open::creating()).await.map(drop)), made, "{mode:?} `{name}`");
                assert_eq!(kind(files.create_dir(&at(name)).await), made, "{mode:?} `{name}`");
                assert_eq!(kind(files.symlink("x", &at(name)).await), made, "{mode:?} `{name}`");
                assert_eq!(kind(files.symlink(name, &at("link")).await), made, "{mode:?} `{name}`");
                assert_eq!(kind(files.rename(&at("dir"), &at(name)).await), made, "{mode:?} `{name}`");
                let gone = Err(ErrorKind::NotFound);
                assert_eq!(kind(files.open(&at(name), Open::reading()).await.map(drop)), gone, "{mode:?} `{name}`");
                assert_eq!(kind(files.list_all(&at(name)).await.map(drop)), gone, "{mode:?} `{name}`");
                assert_eq!(kind(files.rename(&at(name), &at("mine")).await), gone, "{mode:?} `{name}`");
                assert_eq!(kind(files.remove_dir(&at(name)).await), gone, "{mode:?} `{name}`");
            }
            assert!(
                files.list_all(&VPath::root()).await.expect("a listing").iter().all(|entry| entry.name != ".runner")
            );
        }
        for prefix in [".runner", "a/.Runner/b"] {
            assert_eq!(kind(volume.check(&view(prefix, Mode::ReadOnly))), Err(ErrorKind::NotPermitted), "`{prefix}`");
            assert_eq!(kind(volume.open(&view(prefix, Mode::ReadOnly)).map(drop)), Err(ErrorKind::NotPermitted));
        }
    }
}

#[tokio::test]
async fn a_draft_in_memory_takes_its_room_and_gives_it_back() {
    let memory = MemoryFs::new(MemoryLimits { bytes: 1_000, nodes: 100 });
    for end in ["commit", "discard", "drop"] {
        let before = memory.bytes();
        let call = Volume::open(&memory, &View::all()).expect("it opens");
        call.files().write(&at("file"), vec![1; 400].into()).await.expect("there is room");
        assert!(memory.bytes() >= before + 400, "{end}: a draft is in the same memory");
        let refused = call.files().write(&at("more"), vec![1; 700].into()).await;
        assert_eq!(kind(refused), Err(ErrorKind::NoSpace), "{end}");
        match end {
            "commit" => call.commit().await.expect("it is committed"),
            "discard" => call.discard().await.expect("it is discarded"),
            _ => {}
        }
        drop(call);
        let names = memory.list_all(&VPath::root()).await.expect("a listing").len();
        assert_eq!((memory.bytes(), names), (408, 2), "{end}: `file`, `more`, and 400 bytes");
    }
}

/// Does something again and again, in a draft over a tree in memory, until it is refused; answers how often it was done.
async fn until_refused(work: impl AsyncFn(&dyn Vfs, usize) -> runner_host_fs::Result<()>) -> usize {
    let memory = MemoryFs::new(MemoryLimits { bytes: 1 << 30, nodes: 1_000_000 });
    let call = Volume::open(&memory, &View::all()).expect("it opens");
    for number in 0..100_000 {
        if let Err(error) = work(&*call.files(), number).await {
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert!(error.to_string().ends_with("16777216 are allowed"), "{error}");
            return number;
        }
    }
    panic!("it was never refused");
}

#[tokio::test]
async fn a_draft_keeps_so_many_bytes_of_names_and_no_more() {
    let targets =
        until_refused(async |files, number| files.symlink(&"t".repeat(4_000), &at(&number.to_string())).await);
    assert!((4_000..4_200).contains(&targets.await), "16 MiB of targets");
    let long = "n".repeat(250);
    let names = until_refused(async |files, number| files.symlink("x", &at(&format!("{long}{number}"))).await);
    let names = names.await;
    assert!((30_000..34_000).contains(&names), "{names}: each is remembered with its path, and has one");
}

#[tokio::test]
async fn a_commit_has_so_many_bytes_of_paths_and_no_more() {
    let memory = MemoryFs::new(MemoryLimits { bytes: 64 << 20, nodes: 1_000_000 });
    let call = Volume::open(&memory, &View::all()).expect("it opens");
    let files = call.files();
    let deep = vec!["d".repeat(250); 15].join("/");
    files.create_dir(&at("d")).await.expect("it is made");
    for number in 0..5_000 {
        files.symlink("x", &at(&format!("d/{number}"))).await.expect("it is made");
    }
    // Short in the draft, and long when it is published.
    files.create_dir_all(&at(&deep)).await.expect("they are made");
    files.rename(&at("d"), &at(&format!("{deep}/d"))).await.expect("it is renamed");
    let error = call.commit().await.expect_err("it is too much");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("more than 16777216 bytes"), "{error}");
    assert_eq!(memory.list_all(&VPath::root()).await.expect("a listing"), [], "nothing was published");
}

#[tokio::test]
async fn what_a_draft_makes_and_removes_again_takes_no_memory() {
    let memory = MemoryFs::new(MemoryLimits { bytes: 64 << 20, nodes: 1_000 });
    let call = Volume::open(&memory, &View::all()).expect("it opens");
    let files = call.files();
    let long = "n".repeat(240);
    files.create_dir(&at("held")).await.expect("it is made");
    let held = files.open(&at("held"), Open::reading()).await.expect("it opens");
    files.remove_dir(&at("held")).await.expect("it is removed");
    assert_eq!(held.stat().await.expect("a stat").links, 0, "it has no name any more");
    for number in 0..150_000 {
        let path = at(&format!("{long}{number}"));
        files.create_dir(&path).await.expect("there is room");
        files.remove_dir(&path).await.expect("it is removed");
    }
    call.commit().await.expect("there is nothing to publish");
    assert_eq!(memory.list_all(&VPath::root()).await.expect("a listing"), []);
}

#[tokio::test]
async fn a_draft_changes_so_many_names_and_no_more() {
    let memory = MemoryFs::new(MemoryLimits { bytes: 64 << 20, nodes: 1_000_000 });
    let call = Volume::open(&memory, &View::all()).expect("it opens");
    let files = call.files();
    let mut refused = None;
    for number in 0..100_001 {
        if let Err(error) = files.symlink("x", &at(&number.to_string())).await {
            refused = Some((number, error.kind()));
            break;
        }
    }
    assert_eq!(refused, Some((100_000, ErrorKind::NoSpace)));
    call.discard().await.expect("it is discarded");
}
