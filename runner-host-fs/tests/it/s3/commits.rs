//! Conflicts, and hosts that are killed in the middle: all of a commit, or nothing of it.

use std::sync::Arc;
use std::time::Duration;

use runner_host_fs::{Clock, ErrorKind, ManualClock, Mode, S3Fs, S3Settings, VfsExt, View};
use runner_s3::{BUCKET, Fault, Generated, Kind, Proxy, Rule, Server};

use super::{Store, at, call, connect, kind, long, settings, tree};

#[tokio::test]
async fn the_loser_of_a_race_is_told_of_what_and_has_published_nothing() {
    let store = Store::new().await;
    let before = store.put("shared", "old");
    let (first, second) = (store.call(Mode::OnSuccess), store.call(Mode::OnSuccess));
    for (one, text) in [(&first, "first"), (&second, "second")] {
        one.put("shared", text).await;
        one.put(&format!("only {text}"), text).await;
    }
    first.commit().await;
    let error = second.session.commit().await.expect_err("somebody was faster");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let now = store.server.get(BUCKET, "data/shared").expect("it is there").etag.clone();
    for part in ["`/shared`", before.trim_matches('"'), now.trim_matches('"'), "nothing was published"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert_eq!(store.keys(), ["only first", "shared"]);
    assert_eq!(store.bytes("shared").as_deref(), Some("first"));
    assert!(second.session.changes().is_empty());
    // The natural answer.
    let again = store.call(Mode::OnSuccess);
    again.put("shared", "second").await;
    again.commit().await;
    assert_eq!(store.bytes("shared").as_deref(), Some("second"));
}

#[tokio::test]
async fn of_two_who_make_or_remove_or_read_the_same_one_wins() {
    type Step = fn(&super::Call) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;
    let make: Step = |call| Box::pin(async move { call.put("file", "mine").await });
    let remove: Step = |call| Box::pin(async move { call.files.remove_file(&at("file")).await.expect("it is there") });
    let rename: Step =
        |call| Box::pin(async move { call.files.rename(&at("file"), &at("moved")).await.expect("it is there") });
    for (there, first, second) in [
        (false, make, make),
        (true, make, remove),
        (true, remove, make),
        (true, rename, make),
        (true, make, rename),
        (true, rename, rename),
    ] {
        let store = Store::new().await;
        if there {
            store.put("file", "old");
        }
        let (one, other) = (store.call(Mode::OnSuccess), store.call(Mode::OnSuccess));
        first(&one).await;
        second(&other).await;
        // Other files of each, so that there is a record.
        one.put("one", "").await;
        other.put("other", "").await;
        one.commit().await;
        let after = store.keys();
        assert_eq!(kind(other.session.commit().await), Err(ErrorKind::Conflict));
        assert_eq!(store.keys(), after, "the loser has changed nothing");
    }
}

#[tokio::test]
async fn who_does_not_meet_does_not_wait_for_each_other() {
    let store = Store::new().await;
    store.put("a", "old");
    store.put("b", "old");
    let (one, other) = (store.call(Mode::OnSuccess), store.call(Mode::OnSuccess));
    one.put("a", "one").await;
    other.put("b", "other").await;
    let (first, second) = tokio::join!(one.session.commit(), other.session.commit());
    assert_eq!((kind(first), kind(second)), (Ok(()), Ok(())));
    assert_eq!((store.bytes("a").as_deref(), store.bytes("b").as_deref()), (Some("one"), Some("other")));
    assert_eq!(store.keys(), ["a", "b"], "no record is left");
}

#[tokio::test]
async fn two_writers_race_on_twenty_files_and_no_loss_is_silent() {
    let store = Store::new().await;
    for number in 0..20 {
        store.put(&format!("{number:02}"), "0");
    }
    let (mut won, mut rounds) = ([0_u32; 2], 0);
    while rounds < 20 {
        rounds += 1;
        let calls = [store.call(Mode::OnSuccess), store.call(Mode::OnSuccess)];
        for call in &calls {
            for number in 0..20 {
                let path = format!("{number:02}");
                let count: u32 = call.get(&path).await.expect("it is read").parse().expect("a number");
                call.put(&path, &(count + 1).to_string()).await;
            }
        }
        let (first, second) = tokio::join!(calls[0].session.commit(), calls[1].session.commit());
        for (won, done) in won.iter_mut().zip([first, second]) {
            match kind(done) {
                Ok(()) => *won += 1,
                Err(kind) => assert_eq!(kind, ErrorKind::Conflict),
            }
        }
    }
    for number in 0..20 {
        assert_eq!(store.bytes(&format!("{number:02}")), Some(won.iter().sum::<u32>().to_string()));
    }
    assert!(won.iter().sum::<u32>() >= rounds, "one of two wins: {won:?} of {rounds}");
}

/// A volume that has files, and a call with changes of every kind that waits to be committed.
async fn before_a_commit(server: &Server, volume: &S3Fs, files: usize) -> super::Call {
    for number in 0..files {
        server.put(BUCKET, &format!("data/changed/{number}"), "old");
        server.put(BUCKET, &format!("data/removed/{number}"), "old");
    }
    server.put(BUCKET, "data/moved", "kept");
    let call = call(volume, View::all());
    for number in 0..files {
        call.put(&format!("changed/{number}"), "new").await;
        call.files.remove_file(&at(&format!("removed/{number}"))).await.expect("it is removed");
        call.put(&format!("added-{number}"), "new").await;
    }
    call.put("large", &long(300 << 10)).await;
    call.files.rename(&at("moved"), &at("there")).await.expect("it is renamed");
    call.files.symlink("there", &at("link")).await.expect("it is made");
    call
}

#[tokio::test]
async fn a_host_that_is_killed_at_any_request_of_a_commit_has_done_all_of_it_or_nothing() {
    const FILES: usize = 3;
    let (mut none, mut all) = (0, 0);
    let mut index = 0;
    loop {
        let mut ended = false;
        for after in [false, true] {
            let server = Server::start();
            let proxy = Proxy::before(&server.endpoint());
            let volume = connect(settings(&proxy.endpoint())).await;
            let call = before_a_commit(&server, &volume, FILES).await;
            let (old, new) = (tree(&*connect_call(&server).await.files).await, call.tree().await);
            proxy.log().reset();
            if after {
                proxy.halt_after(index)
            } else {
                proxy.halt_before(index)
            }
            tokio::select! {
                biased;
                done = call.session.commit() => {
                    done.expect("nobody has killed it");
                    ended = true;
                }
                () = proxy.halted() => {}
            }
            // The host is gone: nothing of it reaches the store any more.
            drop((call, volume, proxy));
            let found = tree(&*connect_call(&server).await.files).await;
            match found == old {
                true => none += 1,
                false => {
                    assert_eq!(found, new, "at request {index}, after: {after}");
                    all += 1;
                }
            }
            let keys: Vec<_> = server.objects(BUCKET).into_keys().filter(|key| key.contains(".runner")).collect();
            assert!(keys.is_empty(), "at request {index}: {keys:?}");
        }
        if ended {
            break;
        }
        index += 1;
    }
    println!("{index} requests: {none} times nothing, {all} times all");
    assert!(index > 10 && none > 0 && all > 10);
}

/// A call of another host.
async fn connect_call(server: &Server) -> super::Call {
    call(&connect(settings(&server.endpoint())).await, View::all())
}

#[tokio::test]
async fn a_commit_that_was_left_is_finished_also_while_its_host_goes_on() {
    let store = Store::new().await;
    let first = before_a_commit(&store.server, &store.volume, 3).await;
    let expected = first.tree().await;
    store.proxy.log().reset();
    // The record is there, and the first write of it is not answered.
    store.proxy.script([Rule::new(Fault::Delay(Duration::from_millis(300))).kind(Kind::PutObject).skip(1).times(20)]);
    let direct = connect(settings(&store.server.endpoint())).await;
    let help = async {
        loop {
            let keys = store.server.objects(BUCKET);
            if keys.contains_key("data/.runner/commit") {
                break tree(&*call(&direct, View::all()).files).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let (done, seen) = tokio::join!(first.session.commit(), help);
    done.expect("somebody else has helped");
    assert_eq!(seen, expected);
    assert_eq!(tree(&*call(&direct, View::all()).files).await, expected);
    assert!(!store.keys().iter().any(|key| key.contains(".runner")), "{:?}", store.keys());
}

#[tokio::test]
async fn a_stranger_in_between_breaks_a_commit_which_says_what_it_has_published() {
    let store = Store::new().await;
    store.put("b", "old");
    let call = store.call(Mode::OnSuccess);
    call.put("a", "new").await;
    call.put("b", "new").await;
    store.proxy.log().reset();
    // Held before `b` is replaced, which comes after `a` was made.
    let held = Rule::new(Fault::Delay(Duration::from_millis(500))).kind(Kind::PutObject).key("data/b");
    store.proxy.script([held]);
    let stranger = async {
        while store.bytes("a").is_none() {
            tokio::task::yield_now().await;
        }
        store.put("b", "a stranger's");
    };
    let (done, ()) = tokio::join!(call.session.commit(), stranger);
    let error = done.expect_err("it was broken");
    assert_eq!(error.kind(), ErrorKind::Io, "to run again would do a part of it twice");
    assert!(error.to_string().contains("`/b`") && error.to_string().contains("published were `/a`"), "{error}");
    assert_eq!(store.bytes("b").as_deref(), Some("a stranger's"));
    assert_eq!(store.keys(), ["a", "b"], "the next commit can go");
}

#[tokio::test]
async fn a_record_that_nobody_can_read_is_told_and_not_removed() {
    let store = Store::new().await;
    store.put(".runner/commit", "of a version to come");
    let call = store.call(Mode::OnSuccess);
    let error = call.files.list_all(&at("/")).await.expect_err("it may be half done");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("data/.runner/commit"), "{error}");
    assert_eq!(store.bytes(".runner/commit").as_deref(), Some("of a version to come"));
}

#[tokio::test]
async fn a_file_and_a_directory_of_one_name_are_a_conflict_too() {
    for file_first in [true, false] {
        let store = Store::new().await;
        let (file, directory) = (store.call(Mode::OnSuccess), store.call(Mode::OnSuccess));
        file.put("name", "a file").await;
        file.put("other", "").await;
        directory.files.create_dir(&at("name")).await.expect("it is made");
        directory.put("name/inner", "in a directory").await;
        let (first, second) = if file_first { (&file, &directory) } else { (&directory, &file) };
        first.commit().await;
        let before = store.keys();
        let error = second.session.commit().await.expect_err("the name is taken");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("`/name`"), "{error}");
        assert_eq!(store.keys(), before);
    }
    // Who puts one in the place of the other knows of it.
    let store = Store::new().await;
    store.put("dir/only", "old");
    store.put("file", "old");
    let call = store.call(Mode::OnSuccess);
    call.files.remove_dir_all(&at("dir")).await.expect("it is removed");
    call.files.remove_file(&at("file")).await.expect("it is removed");
    call.put("dir", "a file now").await;
    call.files.create_dir(&at("file")).await.expect("it is made");
    call.commit().await;
    assert_eq!(store.keys(), ["dir", "file/"]);
}

#[tokio::test]
async fn of_two_who_take_a_file_for_themselves_one_does() {
    // As a queue is worked off: by a rename to a name of one's own, or by removing it.
    for removes in [false, true] {
        let store = Store::new().await;
        store.put("job", "work");
        let calls = [store.call(Mode::OnSuccess), store.call(Mode::OnSuccess)];
        for (number, call) in calls.iter().enumerate() {
            match removes {
                true => call.files.remove_file(&at("job")).await.expect("it is there"),
                false => call.files.rename(&at("job"), &at(&format!("mine {number}"))).await.expect("it is there"),
            }
        }
        calls[0].commit().await;
        let after = store.keys();
        assert_eq!(kind(calls[1].session.commit().await), Err(ErrorKind::Conflict), "removes: {removes}");
        assert_eq!(store.keys(), after);
    }
}

#[tokio::test]
async fn a_host_that_is_killed_while_it_removes_has_removed_all_or_nothing() {
    let (mut index, mut ends) = (0, [0, 0]);
    loop {
        let server = Server::start();
        let proxy = Proxy::before(&server.endpoint());
        let volume = connect(settings(&proxy.endpoint())).await;
        for number in 0..5 {
            server.put(BUCKET, &format!("data/dir/{number}"), "old");
        }
        server.put(BUCKET, "data/dir/kept", "old");
        let call = call(&volume, View::all());
        for number in 0..5 {
            call.files.remove_file(&at(&format!("dir/{number}"))).await.expect("it is removed");
        }
        proxy.log().reset();
        proxy.halt_before(index);
        let ended = tokio::select! {
            biased;
            done = call.session.commit() => {
                done.expect("nobody has killed it");
                true
            }
            () = proxy.halted() => false,
        };
        drop((call, volume, proxy));
        let found = connect_call(&server).await.names("dir").await;
        match found.len() {
            6 => ends[0] += 1,
            1 => ends[1] += 1,
            _ => panic!("at request {index}: {found:?}"),
        }
        if ended {
            break;
        }
        index += 1;
    }
    println!("{index} requests: {ends:?}");
    assert!(ends[0] > 0 && ends[1] > 1);
}

/// A host that was killed when it had written its record: what the next one finds before anybody has finished it.
async fn left_behind(server: &Server) -> super::Call {
    let proxy = Proxy::before(&server.endpoint());
    let volume = connect(settings(&proxy.endpoint())).await;
    let call = call(&volume, View::all());
    call.put("zy", "new").await;
    call.put("zz", "new").await;
    proxy.log().reset();
    proxy.halt_before(1);
    tokio::select! {
        biased;
        _ = call.session.commit() => panic!("it was killed"),
        () = proxy.halted() => {}
    }
    drop((call, volume, proxy));
    assert!(server.get(BUCKET, "data/.runner/commit").is_some(), "it was written down");
    connect_call(server).await
}

#[tokio::test]
async fn a_commit_that_was_left_is_finished_also_where_a_thousand_names_come_before_its_record() {
    for names in [0, 1_500] {
        let server = Server::start();
        server.generate(BUCKET, Generated::numbered("data/+", names, 3));
        let next = left_behind(&server).await;
        // By a name, which is not on the first page of the listing.
        for name in ["zy", "zz"] {
            assert_eq!(next.get(name).await.as_deref(), Ok("new"), "{names} names");
        }
    }
}

#[tokio::test]
async fn who_may_have_been_killed_is_waited_for_as_long_as_patience_says() {
    let patience = S3Settings::new("any").patience;
    assert_eq!(patience, Duration::from_secs(5), "as the documentation says");
    let server = Server::start();
    drop(left_behind(&server).await);
    let clock = Arc::new(ManualClock::at_ns(1_700_000_000_000_000_000));
    let settings = S3Settings { patience, ..settings(&server.endpoint()) };
    let volume = S3Fs::connect_with_clock(settings, clock.clone()).await.expect("the store is there");
    let before = clock.now_ns();
    assert_eq!(call(&volume, View::all()).names("/").await, ["zy", "zz"]);
    let waited = Duration::from_nanos(clock.now_ns() - before);
    assert!(waited >= patience && waited < patience + Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn who_lives_finishes_his_commit_himself_while_others_wait() {
    let store = Store::new().await;
    let first = before_a_commit(&store.server, &store.volume, 3).await;
    let expected = first.tree().await;
    store.proxy.script([Rule::new(Fault::Delay(Duration::from_millis(50))).kind(Kind::PutObject).skip(1).times(5)]);
    let proxy = Proxy::before(&store.server.endpoint());
    let settings = S3Settings { patience: Duration::from_secs(60), ..settings(&proxy.endpoint()) };
    let other = S3Fs::connect(settings).await.expect("the store is there");
    proxy.log().reset();
    let wait = async {
        while store.server.get(BUCKET, "data/.runner/commit").is_none() {
            tokio::task::yield_now().await;
        }
        tree(&*call(&other, View::all()).files).await
    };
    let (done, seen) = tokio::join!(first.session.commit(), wait);
    done.expect("nobody was in its way");
    assert_eq!(seen, expected, "all of it");
    let counts = proxy.counts();
    let wrote = |kind| counts.get(&kind).copied().unwrap_or(0);
    assert!(counts[&Kind::HeadObject] > 0, "it has waited: {counts:?}");
    assert_eq!((wrote(Kind::PutObject), wrote(Kind::DeleteObject)), (0, 0), "and done nothing for it: {counts:?}");
}

#[tokio::test]
async fn a_commit_whose_answers_are_lost_may_come_yet_and_says_so() {
    for (skip, expected) in [(0, &[][..]), (1, &["one", "two"])] {
        let store = Store::new().await;
        let call = store.call(Mode::OnSuccess);
        call.put("one", "1").await;
        call.put("two", "2").await;
        let broken = Rule::new(Fault::internal_error()).kind(Kind::PutObject).skip(skip).always();
        store.proxy.script([broken]);
        let error = call.session.commit().await.expect_err("the bucket fails");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("may be published yet"), "{error}");
        store.proxy.calm();
        assert_eq!(store.call(Mode::ReadOnly).names("/").await, expected, "{skip} writes went well");
        assert!(call.session.changes().is_empty());
    }
}

#[tokio::test]
async fn a_commit_that_is_too_large_to_be_written_down_is_refused_before_anything_of_it_is_done() {
    let store = Store::new().await;
    let call = store.call(Mode::OnSuccess);
    call.put("large", &long(300 << 10)).await;
    // Each of these is six characters of JSON.
    let name = |last: String| "\u{1}".repeat(240 - last.len()) + &last;
    let directory = format!("{}/{}/{}", name("a".into()), name("b".into()), name("c".into()));
    call.files.create_dir_all(&at(&directory)).await.expect("they are made");
    for number in 0..13_000 {
        call.put(&format!("{directory}/{}", name(number.to_string())), "").await;
    }
    store.asked();
    let error = call.session.commit().await.expect_err("nobody could read it");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("67108864 are allowed"), "{error}");
    assert_eq!(store.asked().get("PutObject"), None);
    store.volume.idle().await;
    assert!(store.keys().is_empty() && store.server.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn more_names_than_a_call_may_change_are_refused() {
    let store = Store::new().await;
    store.server.generate(BUCKET, Generated::numbered("data/many/", 50_001, 3));
    let moving = store.call(Mode::OnSuccess);
    moving.files.rename(&at("many"), &at("moved")).await.expect("it is renamed");
    let error = moving.session.commit().await.expect_err("each is written and removed");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("100002 objects, 100000 may be"), "{error}");

    store.server.generate(BUCKET, Generated::numbered("data/too-many/", 100_001, 3));
    let moving = store.call(Mode::OnSuccess);
    let moved = moving.files.rename(&at("too-many"), &at("moved")).await;
    let error = match moved {
        Ok(()) => moving.session.commit().await.expect_err("nobody knows all of its names"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("too many names to be moved"), "{error}");

    let call = store.call(Mode::OnSuccess);
    call.files.create_dir(&at("new")).await.expect("it is made");
    // It and the root are among them.
    for number in 0..99_998 {
        call.put(&format!("new/{number}"), "").await;
    }
    let error = call.files.write(&at("new/last"), "".into()).await.expect_err("there are too many");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("100000 files"), "{error}");
    let file = call.files.open(&at("new/0"), runner_host_fs::Open::writing()).await.expect("it opens");
    assert_eq!(kind(file.set_len((10_000 * (8 << 20)) + 1).await), Err(ErrorKind::TooLarge), "parts of one upload");
    file.set_len(10_000 * (8 << 20)).await.expect("a file may have so much");
}

#[tokio::test]
async fn what_the_bucket_will_never_take_does_not_bar_the_way_for_others() {
    // Alone, nothing is published; beside others, they are, and it is said which.
    for (beside, expected, says) in
        [(false, &[][..], "nothing was published"), (true, &["b"][..], "published were `/b`")]
    {
        let store = Store::new().await;
        let call = store.call(Mode::OnSuccess);
        call.put("a", "refused").await;
        if beside {
            call.put("b", "taken").await;
        }
        let refused = Fault::Answer { status: 400, code: "InvalidRequest" };
        store.proxy.script([Rule::new(refused).kind(Kind::PutObject).key("data/a").always()]);
        let error = call.session.commit().await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Io);
        for part in ["`/a`", "400 InvalidRequest", says] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        assert_eq!(store.keys(), expected, "no record is left");
        store.call(Mode::OnSuccess).put("next", "goes").await;
        assert_eq!(store.call(Mode::ReadOnly).names("/").await, expected);
    }
}

#[tokio::test]
async fn who_may_not_write_leaves_somebody_elses_commit_to_who_may() {
    let server = Server::start();
    drop(left_behind(&server).await);
    let proxy = Proxy::before(&server.endpoint());
    let volume = connect(settings(&proxy.endpoint())).await;
    proxy.script([Rule::new(Fault::Answer { status: 403, code: "AccessDenied" }).kind(Kind::PutObject).always()]);
    let denied = call(&volume, View::all()).files.list_all(&at("/")).await.expect_err("it may not");
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(server.get(BUCKET, "data/.runner/commit").is_some(), "it is left");
    assert_eq!(connect_call(&server).await.names("/").await, ["zy", "zz"]);
}

#[tokio::test]
async fn a_link_whose_object_no_bucket_would_take_is_refused_when_it_is_made() {
    let store = Store::new().await;
    let call = store.call(Mode::OnSuccess);
    for target in ["x".repeat(2_100), "\u{e9}".repeat(400)] {
        let error = call.files.symlink(&target, &at("link")).await.expect_err("it is too long");
        assert_eq!(error.kind(), ErrorKind::NameTooLong);
        assert!(error.to_string().contains("2048 are allowed"), "{error}");
    }
    call.files.symlink(&"x".repeat(1_900), &at("link")).await.expect("it is made");
    call.commit().await;
    let read = store.call(Mode::ReadOnly).files.readlink(&at("link")).await.expect("it is there");
    assert_eq!(read, "x".repeat(1_900));
    // What a call makes is in memory until it ends.
    let call = store.call(Mode::OnSuccess);
    let target = "x".repeat(1_900);
    for number in 0..(16 << 20) / 1_900 {
        call.files.symlink(&target, &at(&format!("link {number}"))).await.expect("it is made");
    }
    let error = call.files.symlink(&target, &at("one more")).await.expect_err("there are too many");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(error.to_string().contains("16777216 bytes together"), "{error}");
    // What others have written beside an object goes along, and may fill it already.
    store.server.put_with(BUCKET, "data/full", "bytes", [("owner", &*"x".repeat(2_000))]);
    let call = store.call(Mode::OnSuccess);
    call.files.rename(&at("full"), &at("moved")).await.expect("it is renamed");
    let error = call.session.commit().await.expect_err("there is no room for a stamp");
    assert!(error.to_string().contains("data/full") && error.to_string().contains("2048 are allowed"), "{error}");
    assert_eq!(store.keys(), ["full", "link"]);
}

#[tokio::test]
async fn a_file_that_is_written_with_the_bytes_of_before_is_known_for_done() {
    let (mut index, mut ends) = (0, [0, 0]);
    loop {
        let server = Server::start();
        let proxy = Proxy::before(&server.endpoint());
        let volume = connect(settings(&proxy.endpoint())).await;
        for key in ["same", "one", "two"] {
            server.put(BUCKET, &format!("data/dir/{key}"), "old");
        }
        let call = call(&volume, View::all());
        call.put("dir/same", "old").await;
        for name in ["dir/one", "dir/two"] {
            call.files.remove_file(&at(name)).await.expect("it is removed");
        }
        proxy.log().reset();
        proxy.halt_after(index);
        let ended = tokio::select! {
            biased;
            done = call.session.commit() => {
                done.expect("nobody has killed it");
                true
            }
            () = proxy.halted() => false,
        };
        drop((call, volume, proxy));
        match connect_call(&server).await.names("dir").await.len() {
            3 => ends[0] += 1,
            1 => ends[1] += 1,
            other => panic!("at request {index}: {other} names"),
        }
        if ended {
            break;
        }
        index += 1;
    }
    println!("{index} requests: {ends:?}");
    assert!(ends[1] > 1);
}

#[tokio::test]
async fn who_was_taken_for_dead_is_not_told_that_nothing_was_published() {
    let store = Store::new().await;
    store.put("shared", "old");
    let slow = store.call(Mode::OnSuccess);
    slow.put("shared", "slow").await;
    slow.put("other", "slow").await;
    // Its record is there, and its first writes are on their way for long.
    let held = Rule::new(Fault::Delay(Duration::from_millis(700))).kind(Kind::PutObject).skip(1).always();
    store.proxy.script([held]);
    let direct = connect(settings(&store.server.endpoint())).await;
    let others = async {
        while store.server.get(BUCKET, "data/.runner/commit").is_none() {
            tokio::task::yield_now().await;
        }
        let next = call(&direct, View::all());
        assert_eq!(next.get("shared").await.as_deref(), Ok("slow"), "it was finished by who came");
        next.put("shared", "theirs").await;
        next.put("other", "theirs").await;
        next.commit().await;
    };
    let (done, ()) = tokio::join!(slow.session.commit(), others);
    let error = done.expect_err("what it wrote is not there any more");
    assert_eq!(error.kind(), ErrorKind::Io, "to run again would do it twice: {error}");
    assert!(error.to_string().contains("somebody else took the commit for left"), "{error}");
    assert_eq!(store.bytes("shared").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn who_helps_late_does_not_bring_back_what_was_removed_since() {
    const FILES: usize = 20;
    let server = Server::start();
    let proxy = Proxy::before(&server.endpoint());
    let volume = connect(settings(&proxy.endpoint())).await;
    let killed = call(&volume, View::all());
    for number in 0..FILES {
        killed.put(&format!("{number:02}"), "new").await;
    }
    proxy.log().reset();
    proxy.halt_before(1);
    tokio::select! {
        biased;
        _ = killed.session.commit() => panic!("it was killed"),
        () = proxy.halted() => {}
    }
    drop((killed, volume, proxy));
    // One who helps is slow: of his writes sixteen are on their way while another is done with all of it.
    let slow_proxy = Proxy::before(&server.endpoint());
    let slow = connect(settings(&slow_proxy.endpoint())).await;
    slow_proxy.script([Rule::new(Fault::Delay(Duration::from_millis(700))).kind(Kind::PutObject).times(16)]);
    let reads = async { drop(call(&slow, View::all()).names("/").await) };
    let others = async {
        while slow_proxy.counts().get(&Kind::PutObject).copied().unwrap_or(0) < 16 {
            tokio::task::yield_now().await;
        }
        let next = connect_call(&server).await;
        assert_eq!(next.names("/").await.len(), FILES);
        for number in 16..FILES {
            next.files.remove_file(&at(&format!("{number:02}"))).await.expect("it is there");
        }
        next.commit().await;
    };
    tokio::join!(reads, others);
    let left = connect_call(&server).await.names("/").await;
    assert!(left.iter().all(|name| name.as_str() < "16"), "{left:?}");
}

#[tokio::test]
async fn who_comes_while_a_commit_that_removes_is_written_down_again_waits_for_its_end() {
    let store = Store::new().await;
    for number in 0..3 {
        store.put(&format!("dir/{number}"), "old");
    }
    let first = store.call(Mode::OnSuccess);
    for number in 0..3 {
        first.files.remove_file(&at(&format!("dir/{number}"))).await.expect("it is removed");
    }
    store.proxy.log().reset();
    // Between the two writes of the record there is time, and then between the removals.
    store.proxy.script([
        Rule::new(Fault::Delay(Duration::from_millis(300))).kind(Kind::PutObject).skip(1),
        Rule::new(Fault::Delay(Duration::from_millis(600))).kind(Kind::DeleteObject).key("data/dir/1"),
    ]);
    let patient = S3Settings { patience: Duration::from_secs(60), ..settings(&store.server.endpoint()) };
    let direct = S3Fs::connect(patient).await.expect("the store is there");
    let other = async {
        while store.server.get(BUCKET, "data/.runner/commit").is_none() {
            tokio::task::yield_now().await;
        }
        call(&direct, View::all()).names("/").await
    };
    let (done, seen) = tokio::join!(first.session.commit(), other);
    done.expect("nobody was in its way");
    assert_eq!(seen, ["dir"], "all of it was removed, and the directory stays");
    assert!(call(&direct, View::all()).names("dir").await.is_empty());
}

#[tokio::test]
async fn an_upload_that_no_record_names_is_aborted_when_its_commit_is_dropped() {
    let store = Store::new().await;
    let denied = Rule::new(Fault::Answer { status: 403, code: "AccessDenied" }).kind(Kind::PutObject).always();
    let again = store.call(Mode::OnSuccess);
    again.put("large", &long(20 << 20)).await;
    again.put("small", "beside it").await;
    store.proxy.script([denied]);
    let error = again.session.commit().await.expect_err("it may not");
    assert_eq!(error.kind(), ErrorKind::Denied);
    drop(again);
    store.volume.idle().await;
    assert!(store.server.uploads(BUCKET).is_empty(), "{:?}", store.server.uploads(BUCKET));
}
