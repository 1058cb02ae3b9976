//! Two hosts, each a process of its own, that write the same twenty files at the same time, a hundred times: one of them wins,
//! the other is told of which path, and no file is lost in silence.

use runner_host_fs::{ErrorKind, Mode, VfsExt};
use runner_s3::{Endpoint, Server};

use super::other::{Other, hear, say, store};
use super::{at, call, connect, is_long, put};

const FILES: u32 = 20;
const ROUNDS: u32 = 100;

fn name(number: u32) -> String {
    format!("{number:02}")
}

/// Reads all files and counts each of them up, and commits when it is told to.
#[tokio::test]
async fn who_is_alone_wins() {
    let own = store().is_none().then(Server::start);
    let endpoint = store().or_else(|| Some(own.as_ref()?.endpoint())).expect("one of the two");
    let volume = connect(&endpoint).await;
    if own.is_some() {
        write(&endpoint, 0).await;
    }
    say("ready");
    let alone = || own.is_some().then(|| "alone".to_owned());
    while let Some(who) = alone().or_else(hear) {
        let (session, files) = call(&volume, Mode::OnSuccess);
        for number in 0..FILES {
            let path = at(&name(number));
            let text = files.read(&path, 100).await.expect("it is read");
            let text = String::from_utf8_lossy(&text);
            let count: u32 = text.split(' ').next().expect("a word").parse().expect("a number");
            put(&*files, &name(number), &format!("{} {who}", count + 1)).await;
        }
        say("written");
        if own.is_none() {
            hear();
        }
        match session.commit().await {
            Ok(()) => say("won"),
            Err(error) => say(&format!("{:?} {error}", error.kind())),
        }
        if own.is_some() {
            assert_eq!(all(&endpoint).await, "1 alone");
            break;
        }
    }
}

/// Puts the count into all files.
async fn write(store: &Endpoint, count: u32) {
    let (session, files) = call(&connect(store).await, Mode::OnSuccess);
    for number in 0..FILES {
        put(&*files, &name(number), &format!("{count} nobody")).await;
    }
    session.commit().await.expect("nobody else is there");
}

/// What all files hold, for another host: it is the same in each.
async fn all(store: &Endpoint) -> String {
    let (_, files) = call(&connect(store).await, Mode::ReadOnly);
    let mut texts = Vec::new();
    for number in 0..FILES {
        let bytes = files.read(&at(&name(number)), 100).await.expect("it is read");
        texts.push(String::from_utf8(bytes.to_vec()).expect("text"));
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "of one commit: {texts:?}");
    let names = files.list_all(&at("/")).await.expect("a listing");
    assert_eq!(names.len(), FILES as usize, "{names:?}");
    texts.swap_remove(0)
}

/// Lets two hosts race.
async fn race(store: &Endpoint, rounds: u32) {
    write(store, 0).await;
    let mut hosts = [0, 1].map(|_| Other::start("race::who_is_alone_wins", store));
    for host in &mut hosts {
        host.says_that("ready").await;
    }
    let mut won = [0, 0];
    for round in 1..=rounds {
        for (who, host) in hosts.iter_mut().enumerate() {
            host.tell(&who.to_string());
        }
        for host in &mut hosts {
            host.says_that("written").await;
        }
        // Now one of them, then the other one goes first.
        let first = round as usize % 2;
        hosts[first].tell("commit");
        hosts[1 - first].tell("commit");
        let mut winners = Vec::new();
        for (who, host) in hosts.iter_mut().enumerate() {
            let said = host.says().await;
            match said.as_str() {
                "won" => winners.push(who),
                said => {
                    let told = said.starts_with(&format!("{:?} ", ErrorKind::Conflict));
                    let names = (0..FILES).any(|number| said.contains(&format!("`/{}`", name(number))));
                    assert!(told && names && said.contains("nothing was published"), "round {round}: {said}");
                }
            }
        }
        // Both have read before one of them has committed.
        assert_eq!(winners.len(), 1, "round {round}: {winners:?} won");
        won[winners[0]] += 1;
        assert_eq!(all(store).await, format!("{round} {}", winners[0]), "round {round}");
    }
    println!("{rounds} rounds over {FILES} files: won {won:?}, each loser was told of a path");
}

#[tokio::test]
async fn two_hosts_race_on_twenty_files_and_no_loss_is_silent() {
    let server = Server::start();
    race(&server.endpoint(), ROUNDS).await;
    assert!(server.uploads(runner_s3::BUCKET).is_empty());
}

#[tokio::test]
async fn two_hosts_race_on_a_store_of_others() {
    let seaweed = runner_s3::seaweed::start();
    race(&seaweed.endpoint(), if is_long() { ROUNDS } else { 3 }).await;
}
