//! What is asked of a descriptor: what it is, its rights and flags, its number, its end.

use super::steps::check;

#[tokio::test]
async fn a_guest_begins_with_its_streams_and_its_directories() {
    check(&[
        ("fdstat 0", "stream r-", ""),
        ("fdstat 1", "stream -w", ""),
        ("fdstat 2", "stream -w", ""),
        ("fdstat 3", "directory --", ""),
        ("fdstat 4", "badf", ""),
        ("stat 0", "stream", ""),
        ("stat 3", "directory", ""),
        ("stat 4", "badf", ""),
        ("prestat 3", "0 1", ""),
        ("prename 3 1", "/", ""),
        ("prename 3 0", "nametoolong", ""),
        ("prename 3 100", "/", ""),
        ("prestat 0", "badf", ""),
        ("prestat 4", "badf", ""),
        ("prename 0 9", "notdir", ""),
        ("prename 4 9", "badf", ""),
        ("mkdir 3 d", "ok", ""),
        ("open 3 d d", "4", ""),
        ("prestat 4", "badf", ""),
        ("prename 4 9", "notdir", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_directory_says_what_may_be_done_from_it() {
    check(&[
        // What libraries expect of a directory that they are given, for itself and for what they open from it.
        ("rights 3 0x7b7fe00 0x7b7fe00", "true true", ""),
        ("rights 3 0 0xff7ffff", "true true", ""),
        // By a path, a file may be emptied too.
        ("rights 3 0x80000 0x80000", "true true", "false false"),
        // No directory can be sought in, nor cut off.
        ("rights 3 0x4 0", "false true", ""),
        ("rights 3 0x400000 0", "false true", ""),
        ("mkdir 3 d", "ok", ""),
        ("open 3 d d", "4", ""),
        ("rights 4 0x4 0x4", "false true", "false false"),
    ])
    .await;
}

#[tokio::test]
async fn a_directory_is_no_file() {
    check(&[
        ("read 3 9", "badf", ""),
        ("pread 3 9 0", "badf", ""),
        ("write 3 x", "badf", ""),
        ("pwrite 3 x 0", "badf", ""),
        ("seek 3 0 current", "badf", ""),
        ("seek 3 0 set", "badf", ""),
        ("seek 3 0 end", "badf", ""),
        ("tell 3", "badf", ""),
        ("advise 3 0 0 4", "badf", ""),
        ("allocate 3 0 1", "badf", ""),
        ("allocate 3 0 0", "badf", ""),
        ("datasync 3", "badf", ""),
        ("sync 3", "badf", ""),
        ("size 3 0", "badf", ""),
        ("setflags 3 n", "badf", ""),
        ("open 3 . d rw", "isdir", ""),
        ("open 3 . d r", "4", ""),
        ("read 4 9", "badf", ""),
        ("open 3 . '' '' a", "5", ""),
        ("fdstat 5", "directory --", "directory r-"),
        ("settimes 3 5000000000 6000000000 5", "ok", "badf"),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_is_no_file() {
    check(&[
        ("seek 0 0 set", "spipe", ""),
        ("tell 1", "spipe", ""),
        ("pread 0 1 0", "spipe", ""),
        ("pread 1 1 0", "badf", ""),
        ("pwrite 1 x 0", "spipe", ""),
        ("pwrite 0 x 0", "badf", ""),
        ("read 1 1", "badf", ""),
        ("write 0 x", "badf", ""),
        ("size 1 0", "badf", ""),
        ("allocate 1 0 1", "badf", ""),
        ("advise 1 0 0 0", "badf", ""),
        ("sync 1", "badf", ""),
        ("datasync 1", "badf", ""),
        ("setflags 1 n", "badf", ""),
        ("settimes 1 0 0 0", "badf", ""),
        ("readdir 1 99 0", "badf", ""),
        ("open 1 a", "badf", ""),
        ("mkdir 1 a", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_descriptor_may_be_read_or_written_as_it_was_opened() {
    check(&[
        ("open 3 a c", "4", ""),
        ("fdstat 4", "file --", "file rw"),
        ("read 4 9", "badf", "0:"),
        ("write 4 x", "badf", "1"),
        ("write 4 ''", "badf", "0"),
        ("stat 4", "file 0 1", "file 1 1"),
        ("open 3 a '' r", "5", ""),
        ("fdstat 5", "file r-", ""),
        ("read 5 9", "0:", "1:x"),
        ("write 5 x", "badf", ""),
        ("pwrite 5 x 0", "badf", ""),
        ("write 5 ''", "badf", ""),
        ("size 5 0", "inval", ""),
        ("allocate 5 0 1", "badf", "notsup"),
        ("open 3 a '' w", "6", ""),
        ("fdstat 6", "file -w", ""),
        ("read 6 9", "badf", ""),
        ("pread 6 9 0", "badf", ""),
        ("read 6 0", "badf", ""),
        ("write 6 xyz", "3", ""),
        ("size 6 2", "ok", ""),
        ("read 5 9", "2:xy", "1:y"),
        ("open 3 a '' rw", "7", ""),
        ("fdstat 7", "file rw", ""),
        ("read 7 1", "1:x", ""),
        ("write 7 z", "1", ""),
        ("pread 5 9 0", "2:xz", ""),
    ])
    .await;
}

#[tokio::test]
async fn rights_are_given_up_and_never_got_back() {
    check(&[
        ("open 3 a c rw", "4", ""),
        ("write 4 abc", "3", ""),
        ("drop 4 0 0", "ok", "notsup"),
        ("drop 4 0x40 0", "ok", "notsup"),
        ("fdstat 4", "file r-", "file rw"),
        ("write 4 x", "badf", "1"),
        ("pread 4 9 0", "3:abc", "4:abcx"),
        ("call fd_fdstat_set_rights 4 0x40 0", "notcapable", "notsup"),
        ("call fd_fdstat_set_rights 4 0 0x40000000", "notcapable", "stopped"),
        ("drop 4 0x2 0", "ok", "notsup"),
        ("pread 4 9 0", "badf", "4:abcx"),
        ("seek 4 0 set", "0", ""),
        ("drop 4 0x4 0", "ok", "notsup"),
        ("seek 4 1 set", "notcapable", "1"),
        ("tell 4", "0", "1"),
        ("drop 4 0x20 0", "ok", "notsup"),
        ("tell 4", "notcapable", "1"),
        ("drop 4 0x200000 0", "ok", "notsup"),
        ("stat 4", "notcapable", "file 4 1"),
        ("call fd_fdstat_set_rights 9 0 0", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn what_a_directory_does_not_give_on_nobody_gets_from_it() {
    check(&[
        ("mkdir 3 d", "ok", ""),
        ("open 3 d/a ct rw", "4", ""),
        ("write 4 abc", "3", ""),
        ("open 3 d d", "5", ""),
        // Reading, for what is opened from it; making directories, for itself.
        ("drop 5 0x200 0x2", "ok", "notsup"),
        ("open 5 a '' r", "6", ""),
        ("fdstat 6", "file --", "file r-"),
        ("read 6 9", "badf", "3:abc"),
        ("mkdir 5 e", "notcapable", "ok"),
        ("mkdir 3 d/f", "ok", ""),
        ("open 5 . d", "7", ""),
        ("open 7 a '' r", "8", ""),
        ("read 8 9", "badf", "3:abc"),
        // To empty a file is a right of the directory, for itself.
        ("open 5 a t", "9", ""),
        ("close 9", "ok", ""),
        ("drop 5 0x80000 0", "ok", "notsup"),
        ("open 5 a t", "perm", "9"),
        ("drop 5 0x400 0", "ok", "notsup"),
        ("open 5 new c", "notcapable", "10"),
        ("drop 5 0x2000 0", "ok", "notsup"),
        ("open 5 a", "notcapable", "11"),
        // A directory that gives it all up gives nothing.
        ("call fd_fdstat_set_rights 5 0 0", "ok", "notsup"),
        ("unlink 5 a", "notcapable", "ok"),
        ("lstat 5 a", "notcapable", "noent"),
        ("readdir 5 51 0", "notcapable", "51 .=1 ..=2"),
    ])
    .await;
}

#[tokio::test]
async fn flags_of_a_file_may_change_but_for_those_that_make_it_wait() {
    check(&[
        ("open 3 a c rw a", "4", ""),
        ("fdstat 4", "file rw a", ""),
        ("write 4 one", "3", ""),
        ("seek 4 0 set", "0", ""),
        ("write 4 two", "3", ""),
        ("tell 4", "6", ""),
        ("pwrite 4 three 0", "5", ""),
        ("tell 4", "6", ""),
        ("setflags 4 ''", "ok", ""),
        ("fdstat 4", "file rw", ""),
        ("write 4 T", "1", ""),
        ("pread 4 99 0", "11:onetwoThree", ""),
        ("setflags 4 an", "ok", ""),
        ("fdstat 4", "file rw an", ""),
        ("setflags 4 s", "inval", ""),
        ("setflags 4 d", "inval", ""),
        ("setflags 4 r", "inval", ""),
        ("call fd_fdstat_set_flags 4 32", "inval", "stopped"),
        ("call fd_fdstat_set_flags 4 0x10000", "inval", "stopped"),
        ("fdstat 4", "file rw an", ""),
        ("setflags 9 ''", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_file_that_waits_for_its_writes_says_so() {
    check(&[
        ("open 3 a c rw s", "4", "notsup"),
        ("fdstat 4", "file rw s", "badf"),
        ("write 4 abc", "3", "badf"),
        ("setflags 4 a", "ok", "badf"),
        ("fdstat 4", "file rw as", "badf"),
        ("write 4 def", "3", "badf"),
        ("pread 4 9 0", "6:abcdef", "badf"),
        ("open 3 a '' rw dr", "5", "notsup"),
        ("fdstat 5", "file rw dr", "badf"),
        ("write 5 A", "1", "badf"),
        ("sync 5", "ok", "badf"),
        ("datasync 5", "ok", "badf"),
        ("pread 5 9 0", "6:Abcdef", "badf"),
    ])
    .await;
}

#[tokio::test]
async fn a_number_that_was_closed_is_given_again() {
    check(&[
        ("open 3 a c", "4", ""),
        ("open 3 a", "5", ""),
        ("open 3 a", "6", ""),
        ("close 5", "ok", ""),
        ("close 5", "badf", ""),
        ("stat 5", "badf", ""),
        ("open 3 a", "5", ""),
        ("close 4", "ok", ""),
        ("close 6", "ok", ""),
        // The lowest, as POSIX has it.
        ("open 3 a", "4", "6"),
        ("close 0", "ok", ""),
        ("read 0 9", "badf", ""),
        ("open 3 a", "0", "4"),
        ("close 9", "badf", ""),
        ("call fd_close 0xffffffff", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_descriptor_takes_the_number_of_another() {
    check(&[
        ("open 3 a c rw", "4", ""),
        ("write 4 a", "1", ""),
        ("open 3 b c rw", "5", ""),
        ("write 5 bb", "2", ""),
        ("renumber 4 5", "ok", ""),
        ("close 4", "badf", ""),
        ("stat 5", "file 1 1", ""),
        ("tell 5", "1", ""),
        ("renumber 5 5", "ok", ""),
        ("renumber 5 9", "badf", ""),
        ("renumber 9 5", "badf", ""),
        ("renumber 9 9", "badf", ""),
        ("call fd_renumber 5 0xffffffff", "badf", ""),
        ("open 3 b", "4", ""),
        ("open 3 b", "6", ""),
        // A stream, and a directory that was open from the start, are no exception.
        ("renumber 0 4", "ok", ""),
        ("fdstat 4", "stream r-", ""),
        ("fdstat 0", "badf", ""),
        ("renumber 3 6", "ok", ""),
        ("prestat 6", "0 1", ""),
        ("prestat 3", "badf", ""),
        ("mkdir 6 d", "ok", ""),
        ("close 6", "ok", ""),
        ("close 1", "ok", ""),
        ("write 1 x", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn descriptors_come_and_go_without_an_end() {
    let mut rows = vec![("open 3 a c", "4", "")];
    rows.extend(
        std::iter::repeat_n(
            [("open 3 a", "5", ""), ("renumber 4 5", "ok", ""), ("open 3 a", "4", ""), ("renumber 5 4", "ok", "")],
            600,
        )
        .flatten(),
    );
    check(&rows).await;
}

#[tokio::test]
async fn a_file_has_a_size_and_times() {
    check(&[
        ("open 3 a c rw", "4", ""),
        ("size 4 100", "ok", ""),
        ("stat 4", "file 100 1", ""),
        ("pread 4 3 97", "3:~~~", ""),
        ("size 4 2", "ok", ""),
        ("read 4 9", "2:~~", ""),
        ("call fd_filestat_set_size 4 0x8000000000000000", "fbig", "inval"),
        ("allocate 4 0 5", "ok", "notsup"),
        ("stat 4", "file 5 1", "file 2 1"),
        ("allocate 4 1 2", "ok", "notsup"),
        ("stat 4", "file 5 1", "file 2 1"),
        ("allocate 4 4 3", "ok", "notsup"),
        ("stat 4", "file 7 1", "file 2 1"),
        ("allocate 4 0 0", "inval", "notsup"),
        ("allocate 4 max 1", "fbig", "notsup"),
        ("allocate 4 0x7fffffffffffffff 1", "fbig", "notsup"),
        ("advise 4 0 5 0", "ok", ""),
        ("advise 4 0 5 5", "ok", ""),
        ("advise 4 0 5 6", "inval", "stopped"),
        ("settimes 4 1000000000 2000000000 5", "ok", ""),
        ("times 4", "1000000000 2000000000", ""),
        ("settimes 4 7 8 1", "ok", ""),
        ("times 4", "7 2000000000", ""),
        ("settimes 4 7 8 4", "ok", ""),
        ("times 4", "7 8", ""),
        ("settimes 4 9 9 0", "ok", ""),
        ("times 4", "7 8", ""),
        ("settimes 4 9 9 3", "inval", ""),
        ("settimes 4 9 9 12", "inval", ""),
        ("settimes 4 9 9 16", "inval", "stopped"),
        ("times 4", "7 8", ""),
        ("settimes 9 9 9 0", "badf", ""),
        ("sync 4", "ok", ""),
        ("datasync 4", "ok", ""),
        ("sync 9", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn no_descriptor_is_a_socket() {
    check(&[
        ("call sock_shutdown 1 1", "notsock", ""),
        ("call sock_shutdown 3 1", "notsock", ""),
        ("call sock_shutdown 9 1", "badf", ""),
        ("call sock_accept 3 0 0", "notsock", ""),
        ("call sock_accept 9 0 0", "badf", ""),
        ("call sock_recv 3 128 0 0 0 8", "notsock", ""),
        ("call sock_recv 9 128 0 0 0 8", "badf", ""),
        ("call sock_send 3 128 0 0 0", "notsock", ""),
        ("call sock_send 9 128 0 0 0", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn a_directory_is_listed_in_parts() {
    check(&[
        ("readdir 3 4096 0", "51 .=1 ..=2", ""),
        ("mkdir 3 d", "ok", ""),
        ("open 3 d d", "4", ""),
        ("open 4 one c", "5", ""),
        ("mkdir 4 two", "ok", ""),
        ("symlink one 4 three", "ok", ""),
        ("list 4 4096", "..:directory .:directory one:file three:link two:directory", ""),
        // Whatever the size of the buffer, all of them, once.
        ("list 4 64", "..:directory .:directory one:file three:link two:directory", ""),
        ("list 4 30", "..:directory .:directory one:file three:link two:directory", ""),
        // What does not fit is cut off: the buffer is full then.
        ("readdir 4 0 0", "0", ""),
        ("readdir 4 10 0", "10", ""),
        ("readdir 4 25 0", "25 .=1", ""),
        ("readdir 4 26 0", "26 .=1", ""),
        ("readdir 4 51 0", "51 .=1 ..=2", ""),
        ("readdir 4 26 1", "26 ..=2", ""),
        // Behind the last one there is none.
        ("readdir 4 4096 5", "0", ""),
        ("readdir 4 4096 6", "0", ""),
        ("readdir 4 4096 max", "0", ""),
        ("readdir 5 99 0", "badf", ""),
        ("readdir 9 99 0", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn many_entries_are_listed_once_each() {
    check(&[
        ("mkdir 3 d", "ok", ""),
        ("open 3 d d", "4", ""),
        // More than are asked for at once.
        ("many 4 1100 file", "ok", ""),
        ("list 4 4096", "1102 ..:directory file1099:file", ""),
        ("list 4 300", "1102 ..:directory file1099:file", ""),
    ])
    .await;
}

#[tokio::test]
async fn who_removes_what_it_lists_meets_each_entry() {
    // In the order of the names, which is ours; wasmtime's is the machine's.
    let rows = [
        ("mkdir 3 d", "ok"),
        ("open 3 d d", "4"),
        ("many 4 5 f", "ok"),
        ("readdir 4 51 0", "51 .=1 ..=2"),
        ("readdir 4 58 2", "58 f0000=3 f0001=4"),
        ("unlink 4 f0000", "ok"),
        ("unlink 4 f0001", "ok"),
        ("open 4 a c", "5"),
        ("readdir 4 58 4", "58 f0002=5 f0003=6"),
        ("unlink 4 f0002", "ok"),
        ("unlink 4 f0003", "ok"),
        ("readdir 4 58 6", "29 f0004=7"),
        // A cookie is good as long as the directory is open.
        ("readdir 4 58 5", "58 f0003=6 f0004=7"),
        // From the beginning it is what is there now.
        ("readdir 4 4096 0", "105 .=1 ..=2 a=3 f0004=4"),
    ];
    let rows: Vec<_> = rows.iter().map(|(step, ours)| (*step, *ours)).collect();
    let executor = crate::support::executor(crate::support::Tree::memory());
    let mount = serde_json::json!({ "mode": "on-sync" });
    let mut host = super::door::Host::ours(&executor, mount, "", runner_core::Limits::default()).await;
    super::steps::check_on(&mut host, &rows).await;
}
