//! Conflicts, and hosts that are killed in the middle: all of a commit, or nothing of it.

use runner_host_fs::{ErrorKind, Mode, S3Fs, VfsExt, View};
use runner_s3::{BUCKET, Fault, Kind, Proxy, Rule, Server};

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
    store.proxy.script([Rule::new(Fault::Delay(std::time::Duration::from_millis(300)))
        .kind(Kind::PutObject)
        .skip(1)
        .times(20)]);
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
    let held = Rule::new(Fault::Delay(std::time::Duration::from_millis(500))).kind(Kind::PutObject).key("data/b");
    store.proxy.script([held]);
    let stranger = async {
        while store.bytes("a").is_none() {
            tokio::task::yield_now().await;
        }
        store.put("b", "a stranger's");
    };
    let (done, ()) = tokio::join!(call.session.commit(), stranger);
    let error = done.expect_err("it was broken");
    assert_eq!(error.kind(), ErrorKind::Conflict);
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
