//! What is done by a path.

use runner_core::Limits;
use serde_json::json;

use super::door::{Host, module};
use super::steps::{check, check_on};
use crate::support::{Tree, executor, granted};

#[tokio::test]
async fn a_path_leads_nowhere_out_of_its_directory() {
    check(&[
        ("mkdir 3 dir", "ok", ""),
        ("mkdir 3 dir/nested", "ok", ""),
        ("open 3 dir/nested/file c", "4", ""),
        ("open 3 dir d", "5", ""),
        ("open 3 /dir/nested/file", "perm", ""),
        ("open 3 dir/.//nested/../../dir/nested/../nested///./file", "6", ""),
        ("open 3 dir/nested/../../../dir/nested/file", "perm", ""),
        ("open 5 ../dir/nested/file", "perm", ""),
        ("open 5 nested/../nested/file", "7", ""),
        ("open 5 ..", "perm", ""),
        ("open 5 nested/../..", "perm", ""),
        ("lstat 5 ..", "perm", ""),
        ("mkdir 5 ../other", "perm", ""),
        ("unlink 5 ../dir/nested/file", "perm", ""),
        ("rename 5 nested/file 5 ../file", "perm", ""),
        ("rename 5 ../file 5 file", "perm", ""),
        ("open 3 dir/nested/file~", "ilseq", "inval"),
        ("open 3 ''", "noent", ""),
        ("mkdir 3 ''", "noent", ""),
        ("open 3 dir/nested/file/", "notdir", ""),
        ("open 3 dir/nested/file///", "notdir", ""),
        ("open 3 dir/nested/", "8", ""),
        ("open 3 dir/nested///", "9", ""),
        ("open 3 dir/nested/file/..", "notdir", ""),
        ("open 3 dir/nested/file/x", "notdir", ""),
        ("open 3 nothing/../dir", "noent", ""),
        ("symlink ../outside 3 leads-out", "ok", ""),
        ("open 3 leads-out '' r '' follow", "perm", ""),
        ("symlink .. 3 dir/up", "ok", ""),
        // Within the tree it may lead up, from where the tree begins.
        ("lstat 3 dir/up/dir", "directory", ""),
        ("lstat 5 up/dir", "directory", "perm"),
        ("symlink /dir 3 absolute", "perm", ""),
        ("open 4 x", "notdir", ""),
        ("mkdir 4 x", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_name_has_its_length() {
    check(&[
        ("open 3 255*n c", "4", ""),
        ("open 3 256*n c", "nametoolong", ""),
        ("open 3 4096*n c", "nametoolong", ""),
        ("open 3 4097*n c", "nametoolong", ""),
        ("mkdir 3 256*n", "nametoolong", ""),
        ("unlink 3 255*n", "ok", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_file_is_opened_as_it_is_asked_for() {
    check(&[
        ("open 3 a", "noent", ""),
        ("open 3 a d", "noent", ""),
        ("open 3 a t w", "noent", ""),
        ("open 3 a c", "4", ""),
        ("open 3 a c", "5", ""),
        ("open 3 a cx", "exist", ""),
        ("open 3 a d", "notdir", ""),
        ("open 3 new cx rw", "6", ""),
        ("write 6 abc", "3", ""),
        ("open 3 new ct r", "7", ""),
        ("stat 6", "file 0 1", ""),
        ("write 6 abc", "3", ""),
        ("open 3 new t", "8", ""),
        ("stat 6", "file 0 1", ""),
        ("fdstat 8", "file --", "file rw"),
        ("mkdir 3 d", "ok", ""),
        ("open 3 d", "9", ""),
        ("fdstat 9", "directory --", "directory r-"),
        ("open 3 d d r", "10", ""),
        ("open 3 d '' w", "isdir", ""),
        ("open 3 d c", "isdir", ""),
        ("open 3 d cx", "exist", ""),
        ("open 3 d t", "isdir", ""),
        ("open 3 d cd", "inval", ""),
        ("open 3 d dx", "inval", ""),
        ("open 3 d dt", "inval", ""),
        ("open 3 e/ c", "isdir", ""),
        ("open 3 a/ c", "isdir", ""),
        ("open 3 d/ c", "isdir", ""),
        ("open 3 a x", "11", ""),
        ("call path_open 3 2 1024 1 0 0 0 0 0", "inval", "stopped"),
        ("call path_open 3 0 1024 1 16 0 0 0 0", "inval", "stopped"),
        ("call path_open 3 0 1024 1 0 0 0 32 0", "inval", "stopped"),
        // Rights that nobody knows are nobody's.
        ("call path_open 3 0 1024 1 0 0xffffffffffffff81 max 0 0", "ok", "stopped"),
    ])
    .await;
}

#[tokio::test]
async fn a_link_is_followed_where_that_is_asked_for() {
    check(&[
        ("mkdir 3 d", "ok", ""),
        ("open 3 d/a c rw", "4", ""),
        ("write 4 abc", "3", ""),
        ("symlink d/a 3 file", "ok", ""),
        ("symlink d 3 dir", "ok", ""),
        ("symlink nowhere 3 dangling", "ok", ""),
        ("symlink loop 3 loop", "ok", ""),
        ("open 3 file '' r", "loop", ""),
        ("open 3 file '' r '' follow", "5", ""),
        ("read 5 9", "3:abc", ""),
        ("open 3 dir", "loop", ""),
        ("open 3 dir d", "notdir", "loop"),
        ("open 3 dir d '' '' follow", "6", ""),
        ("lstat 6 a", "file 3 1", ""),
        ("open 3 file d '' '' follow", "notdir", ""),
        ("open 3 dir/a '' r", "7", ""),
        ("open 3 dir/", "8", ""),
        ("fdstat 8", "directory --", "directory r-"),
        ("open 3 dangling", "loop", ""),
        ("open 3 dangling d", "notdir", "loop"),
        ("open 3 dangling '' '' '' follow", "noent", ""),
        ("open 3 loop", "loop", ""),
        ("open 3 loop '' '' '' follow", "loop", ""),
        ("open 3 dangling cx", "exist", ""),
        ("open 3 dangling c '' '' follow", "9", ""),
        ("lstat 3 nowhere", "file 0 1", ""),
        ("lstat 3 file", "link 3", ""),
        ("lstat 3 file follow", "file 3 1", ""),
        ("lstat 3 dir", "link 1", ""),
        ("lstat 3 dir follow", "directory", ""),
        ("lstat 3 dir/", "directory", "link 1"),
        ("lstat 3 file/", "notdir", "link 3"),
        ("lstat 3 d/a/", "notdir", ""),
        ("lstat 3 loop", "link 4", ""),
        ("lstat 3 loop follow", "loop", ""),
        ("lstat 3 nothing", "noent", ""),
        ("call path_filestat_get 3 2 1024 1 0", "inval", "stopped"),
        // A directory that was opened by a link is the directory.
        ("unlink 3 dir", "ok", ""),
        ("lstat 6 a", "file 3 1", ""),
        ("open 6 x/../a", "noent", ""),
        ("mkdir 6 x", "ok", ""),
        ("open 6 x/../a", "10", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_link_says_where_it_leads() {
    check(&[
        ("symlink target 3 link", "ok", ""),
        ("readlink 3 link 10", "target", ""),
        ("readlink 3 link 4", "targ", ""),
        ("readlink 3 link 0", "", ""),
        ("open 3 a c", "4", ""),
        ("mkdir 3 d", "ok", ""),
        ("readlink 3 a 9", "inval", ""),
        ("readlink 3 d 9", "inval", ""),
        ("readlink 3 . 9", "inval", ""),
        ("readlink 3 nothing 9", "noent", ""),
        ("symlink x 3 link", "exist", ""),
        ("symlink x 3 a", "exist", ""),
        ("symlink x 3 d", "exist", ""),
        ("symlink x 3 d/", "exist", ""),
        ("symlink x 3 a/", "notdir", ""),
        ("symlink x 3 new/", "noent", ""),
        ("symlink x 3 nothing/new", "noent", ""),
        ("symlink '' 3 new", "noent", ""),
        ("lstat 3 new", "noent", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_file_has_several_names() {
    check(&[
        ("open 3 file c rw", "4", ""),
        ("mkdir 3 d", "ok", ""),
        ("open 3 d d", "5", ""),
        ("link 3 file 3 link", "ok", ""),
        ("link 3 file 5 link", "ok", ""),
        ("same 4 3 link", "true", ""),
        ("same 4 5 link", "true", ""),
        ("stat 4", "file 0 3", ""),
        ("open 5 link '' rw", "6", ""),
        ("write 6 abc", "3", ""),
        ("read 4 9", "3:abc", ""),
        ("unlink 3 link", "ok", ""),
        ("stat 4", "file 3 2", ""),
        ("link 3 file 3 file", "exist", ""),
        ("link 3 file 3 d", "exist", ""),
        ("link 3 file 3 d/", "exist", ""),
        ("link 3 file 3 new/", "noent", ""),
        ("link 3 file/ 3 new", "notdir", ""),
        ("link 3 nothing 3 new", "noent", ""),
        ("link 3 d 3 new", "perm", ""),
        ("link 3 d/ 3 new", "perm", ""),
        ("symlink nowhere 3 dangling", "ok", ""),
        ("link 3 dangling 3 new", "ok", ""),
        ("lstat 3 new", "link 7", ""),
        ("link 3 file 3 dangling", "exist", ""),
        ("link 3 dangling 3 more follow", "noent", "inval"),
        ("symlink file 3 to-file", "ok", ""),
        ("link 3 to-file 3 more follow", "ok", "inval"),
        ("lstat 3 more", "file 3 3", "noent"),
    ])
    .await;
}

#[tokio::test]
async fn names_are_given_and_taken_away() {
    check(&[
        ("mkdir 3 d", "ok", ""),
        ("mkdir 3 d", "exist", ""),
        ("mkdir 3 .", "exist", ""),
        ("mkdir 3 e/", "ok", ""),
        ("mkdir 3 nothing/e", "noent", ""),
        ("open 3 a c", "4", ""),
        ("mkdir 3 a", "exist", ""),
        ("mkdir 3 a/b", "notdir", ""),
        ("open 3 d/b c", "5", ""),
        ("rmdir 3 d", "notempty", ""),
        ("rmdir 3 nothing", "noent", ""),
        ("rmdir 3 a", "notdir", ""),
        ("rmdir 3 a/", "notdir", ""),
        ("rmdir 3 e", "ok", ""),
        ("mkdir 3 e", "ok", ""),
        ("symlink e 3 to-e", "ok", ""),
        ("rmdir 3 to-e", "notdir", ""),
        ("unlink 3 e", "isdir", ""),
        ("unlink 3 e/", "isdir", ""),
        ("unlink 3 a/", "notdir", ""),
        ("unlink 3 nothing", "noent", ""),
        ("unlink 3 .", "isdir", ""),
        ("unlink 3 a", "ok", ""),
        ("unlink 3 to-e", "ok", ""),
        ("lstat 3 e", "directory", ""),
        ("rmdir 3 .", "inval", ""),
        ("rmdir 3 e/.", "inval", ""),
        ("unlink 3 d/b", "ok", ""),
        ("rmdir 3 d", "ok", ""),
        ("lstat 3 d", "noent", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_slash_behind_a_directory_changes_nothing() {
    // wasmtime refuses it to who removes a directory.
    check(&[
        ("mkdir 3 d", "ok", ""),
        ("rename 3 d/ 3 e", "ok", ""),
        ("rename 3 e 3 d/", "ok", ""),
        ("rename 3 d/ 3 e/", "ok", ""),
        ("rmdir 3 e/", "ok", "inval"),
    ])
    .await;
}

#[tokio::test]
async fn names_are_changed() {
    check(&[
        ("mkdir 3 source", "ok", ""),
        ("rename 3 source 3 target", "ok", ""),
        ("open 3 source d", "noent", ""),
        ("mkdir 3 source", "ok", ""),
        ("rename 3 source 3 target", "ok", ""),
        ("mkdir 3 source", "ok", ""),
        ("open 3 target/file c", "4", ""),
        ("rename 3 source 3 target", "notempty", ""),
        ("rename 3 source 3 target/file", "notdir", ""),
        ("rename 3 target 3 target/into", "inval", ""),
        ("open 3 a c rw", "5", ""),
        ("write 5 a", "1", ""),
        ("rename 3 a 3 b", "ok", ""),
        ("lstat 3 a", "noent", ""),
        ("lstat 3 b", "file 1 1", ""),
        ("open 3 c c", "6", ""),
        ("rename 3 c 3 b", "ok", ""),
        ("lstat 3 b", "file 0 1", ""),
        ("rename 3 b 3 source", "isdir", ""),
        ("rename 3 b/ 3 c", "notdir", ""),
        ("rename 3 b 3 c/", "notdir", ""),
        ("rename 3 nothing 3 c", "noent", ""),
        ("rename 3 b 3 nothing/c", "noent", ""),
        ("rename 3 b 3 b", "ok", ""),
        ("rename 3 . 3 c", "busy", ""),
        ("rename 3 source 3 source/.", "busy", ""),
        ("symlink source 3 link", "ok", ""),
        ("rename 3 link 3 moved", "ok", ""),
        ("lstat 3 moved", "link 6", ""),
        ("rename 3 b 9 c", "badf", ""),
        ("rename 9 b 3 c", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_directory_that_is_moved_is_still_open() {
    check(&[
        ("mkdir 3 a", "ok", ""),
        ("mkdir 3 a/b", "ok", ""),
        ("open 3 a d", "4", ""),
        ("open 3 a/b d", "5", ""),
        ("rename 3 a 3 c", "ok", ""),
        ("mkdir 4 new", "ok", ""),
        ("open 5 file c", "6", ""),
        ("lstat 3 c/new", "directory", ""),
        ("lstat 3 c/b/file", "file 0 1", ""),
        ("list 4 4096", "..:directory .:directory b:directory new:directory", ""),
        ("symlink c 3 to-c", "ok", ""),
        ("mkdir 3 d", "ok", ""),
        ("rename 3 to-c/b 3 d/b", "ok", ""),
        ("lstat 5 file", "file 0 1", ""),
        ("lstat 3 d/b/file", "file 0 1", ""),
    ])
    .await;
}

#[tokio::test]
async fn times_are_set_by_path() {
    check(&[
        ("open 3 a c", "4", ""),
        ("mkdir 3 d", "ok", ""),
        ("symlink a 3 link", "ok", ""),
        ("lsettimes 3 a 1000000000 2000000000 5", "ok", ""),
        ("times 4", "1000000000 2000000000", ""),
        ("lsettimes 3 link 3000000000 4000000000 5", "ok", ""),
        ("times 4", "1000000000 2000000000", ""),
        ("lsettimes 3 link 3000000000 4000000000 5 follow", "ok", ""),
        ("times 4", "3000000000 4000000000", ""),
        ("lsettimes 3 a 0 0 3", "inval", ""),
        ("lsettimes 3 a 0 0 12", "inval", ""),
        ("lsettimes 3 a 0 0 16", "inval", "stopped"),
        ("lsettimes 3 nothing 0 0 5", "noent", ""),
        ("lsettimes 3 d/ 1 2 5", "ok", ""),
        ("lsettimes 3 a/ 1 2 5", "notdir", ""),
        ("times 4", "3000000000 4000000000", ""),
        ("lsettimes 3 a 5 6 0", "ok", ""),
        ("times 4", "3000000000 4000000000", ""),
    ])
    .await;
}

#[tokio::test]
async fn two_mounts_are_two_directories() {
    let tree = Tree::memory();
    let executor = executor(tree);
    let grants = granted(json!({ "/in": { "mode": "read-only" }, "/out": { "mode": "on-sync" } }));
    let program = executor.load(module().as_bytes(), &grants).await.expect("it loads");
    let instance = program.instance().start().await.expect("it starts");
    let mut host = Host::Ours(Box::new(instance));
    check_on(
        &mut host,
        &[
            ("prestat 3", "0 3"),
            ("prestat 4", "0 4"),
            ("prestat 5", "badf"),
            ("open 4 a c rw", "5"),
            ("write 5 abc", "3"),
            ("lstat 3 a", "file 3 1"),
            ("open 3 a '' r", "6"),
            ("read 6 9", "3:abc"),
            ("open 3 a '' w", "rofs"),
            ("open 3 b c", "rofs"),
            ("open 3 a t", "rofs"),
            ("mkdir 3 d", "rofs"),
            ("unlink 3 a", "rofs"),
            ("rename 4 a 3 b", "xdev"),
            ("link 3 a 4 b", "xdev"),
            ("open 3 ../out/a", "perm"),
        ],
    )
    .await;
    host.close().await.expect("it closes");
}

#[tokio::test]
async fn a_guest_opens_no_more_than_its_handles() {
    let executor = executor(Tree::memory());
    let limits = Limits { handles: 3, ..Limits::default() };
    let mut host = Host::ours(&executor, json!({ "mode": "on-sync" }), "", limits).await;
    check_on(
        &mut host,
        &[
            ("open 3 a c", "4"),
            ("open 3 . d", "5"),
            ("open 3 a", "6"),
            ("open 3 a", "mfile"),
            // It was not made.
            ("open 3 b c", "mfile"),
            ("lstat 3 b", "noent"),
            ("close 5", "ok"),
            ("open 3 b c", "5"),
            ("open 3 b c", "mfile"),
            ("renumber 4 5", "ok"),
            ("open 3 a", "4"),
            // What it began with does not count.
            ("close 0", "ok"),
            ("open 3 a", "mfile"),
        ],
    )
    .await;
}
