//! A small language of steps, so that a test is a table: a step, what comes of it, and what comes of it on wasmtime's own
//! preview 1 where that is something else.
//!
//! A step is words. A path is a word: `''` is an empty one, `~` a NUL, and `n*LETTER` as many letters. What comes of it is
//! `ok`, a number, a text, or the name of the error.

use runner_core::Limits;
use runner_host_fs::LocalFs;
use serde_json::json;

use super::door::Host;
use crate::support::{Tree, executor};

/// A step, what comes of it, and on wasmtime, where it differs.
pub(crate) type Row = (&'static str, &'static str, &'static str);

/// Where things lie in the guest's memory.
const OUT: u64 = 0;
const BUFFERS: u64 = 128;
const PATH: u64 = 1 << 10;
const OTHER_PATH: u64 = 9 << 10;
const BYTES: u64 = 32 << 10;
const EVENTS: u64 = 64 << 10;

/// The names of the errors, by their numbers in `typenames.witx`.
const ERRORS: [(u64, &str); 28] = [
    (2, "acces"),
    (8, "badf"),
    (10, "busy"),
    (19, "dquot"),
    (20, "exist"),
    (21, "fault"),
    (22, "fbig"),
    (25, "ilseq"),
    (28, "inval"),
    (29, "io"),
    (31, "isdir"),
    (32, "loop"),
    (33, "mfile"),
    (37, "nametoolong"),
    (44, "noent"),
    (48, "nomem"),
    (51, "nospc"),
    (54, "notdir"),
    (55, "notempty"),
    (57, "notsock"),
    (58, "notsup"),
    (61, "overflow"),
    (63, "perm"),
    (64, "pipe"),
    (69, "rofs"),
    (70, "spipe"),
    (75, "xdev"),
    (76, "notcapable"),
];

pub(crate) const RIGHT_READ: u64 = 1 << 1;
pub(crate) const RIGHT_WRITE: u64 = 1 << 6;

/// Runs the steps on all three hosts.
pub(crate) async fn check(rows: &[Row]) {
    check_with("", rows).await;
}

/// The same, with a standard input.
pub(crate) async fn check_with(stdin: &str, rows: &[Row]) {
    let memory = executor(Tree::memory());
    let mut ours = Host::ours(&memory, json!({ "mode": "on-sync" }), stdin, Limits::default()).await;
    let mut wrong = compare("in memory", &mut ours, rows.iter().map(|(step, ours, _)| (*step, *ours))).await;

    let folder = tempfile::tempdir().expect("a folder");
    let local = executor(Tree::new(LocalFs::open(folder.path()).expect("it opens")));
    let mut ours = Host::ours(&local, json!({ "mode": "on-sync" }), stdin, Limits::default()).await;
    wrong += &compare("in a directory", &mut ours, rows.iter().map(|(step, ours, _)| (*step, *ours))).await;

    let folder = tempfile::tempdir().expect("a folder");
    let mut stock = Host::stock(folder.path(), stdin).await;
    let said = rows.iter().map(|(step, ours, stock)| (*step, if stock.is_empty() { *ours } else { *stock }));
    wrong += &compare("wasmtime's own", &mut stock, said).await;
    assert!(wrong.is_empty(), "{wrong}");
}

/// Runs the steps on a host of Runner's, with more said about it.
pub(crate) async fn check_on(host: &mut Host, rows: &[(&str, &str)]) {
    let wrong = compare("Runner", host, rows.iter().copied()).await;
    assert!(wrong.is_empty(), "{wrong}");
}

/// The steps of which something else came.
async fn compare<'a>(name: &str, host: &mut Host, rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut wrong = String::new();
    for (step, expected) in rows {
        let came = run(host, step).await;
        if came != expected {
            wrong += &format!("\n  {name}: `{step}`: expected `{expected}`, found `{came}`");
        }
    }
    wrong
}

/// Does a step.
pub(crate) async fn run(host: &mut Host, step: &str) -> String {
    let words: Vec<&str> = step.split(' ').collect();
    match perform(host, &words).await {
        Ok(said) => said,
        Err(said) => said,
    }
}

/// Calls a function; its error by name.
async fn call(host: &mut Host, name: &str, args: &[u64]) -> Result<(), String> {
    match host.call(name, args).await {
        Ok(0) => Ok(()),
        Ok(errno) => {
            Err(ERRORS.iter().find(|(number, _)| *number == errno).map_or(errno.to_string(), |it| it.1.into()))
        }
        Err(_) => Err("stopped".to_owned()),
    }
}

/// A number, which may be negative or hexadecimal, and `max` for the largest.
fn number(word: &str) -> u64 {
    match word {
        "max" => u64::MAX,
        word => match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).expect("a number"),
            None => word.parse::<i128>().expect("a number") as u64,
        },
    }
}

/// Letters: r read, w write.
fn rights(letters: &str) -> u64 {
    let right = |letter, right| if letters.contains(letter) { right } else { 0 };
    right('r', RIGHT_READ) | right('w', RIGHT_WRITE)
}

/// Letters: c create, d directory, x exclusive, t truncate.
fn how(letters: &str) -> u64 {
    "cdxt".chars().enumerate().filter(|(_, letter)| letters.contains(*letter)).map(|(bit, _)| 1 << bit).sum()
}

/// Letters: a append, d dsync, n nonblock, r rsync, s sync.
fn flags(letters: &str) -> u64 {
    "adnrs".chars().enumerate().filter(|(_, letter)| letters.contains(*letter)).map(|(bit, _)| 1 << bit).sum()
}

async fn path(host: &mut Host, at: u64, word: &str) -> u64 {
    let text = match word.split_once('*') {
        Some((count, letter)) => letter.repeat(count.parse().expect("a number")),
        None if word == "''" => String::new(),
        None => word.replace('~', "\0"),
    };
    host.put(at, text.as_bytes()).await;
    text.len() as u64
}

/// One buffer over the guest's bytes.
async fn buffer(host: &mut Host, bytes: u64) {
    host.store(BUFFERS, BYTES | bytes << 32).await;
}

async fn text(host: &mut Host, bytes: u64) -> String {
    String::from_utf8_lossy(&host.get(BYTES, bytes).await).replace('\0', "~")
}

async fn out(host: &mut Host) -> u64 {
    host.load(OUT).await & 0xffff_ffff
}

async fn perform(host: &mut Host, words: &[&str]) -> Result<String, String> {
    let at = |index: usize| number(words[index]);
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    match words[0] {
        // Any function with any numbers.
        "call" => {
            let args: Vec<u64> = words[2..].iter().map(|word| number(word)).collect();
            call(host, words[1], &args).await?;
        }
        // open DIRECTORY PATH HOW RIGHTS FLAGS [follow]
        "open" => {
            let bytes = path(host, PATH, words[2]).await;
            let args = [
                at(1),
                word(6).len().min(1) as u64,
                PATH,
                bytes,
                how(word(3)),
                rights(word(4)),
                0,
                flags(word(5)),
                OUT,
            ];
            call(host, "path_open", &args).await?;
            return Ok(out(host).await.to_string());
        }
        "close" => call(host, "fd_close", &[at(1)]).await?,
        "renumber" => call(host, "fd_renumber", &[at(1), at(2)]).await?,
        "read" | "pread" => {
            buffer(host, at(2)).await;
            match words[0] {
                "read" => call(host, "fd_read", &[at(1), BUFFERS, 1, OUT]).await?,
                _ => call(host, "fd_pread", &[at(1), BUFFERS, 1, at(3), OUT]).await?,
            }
            let count = out(host).await;
            return Ok(format!("{count}:{}", text(host, count).await));
        }
        "write" | "pwrite" => {
            let bytes = path(host, BYTES, words[2]).await;
            buffer(host, bytes).await;
            match words[0] {
                "write" => call(host, "fd_write", &[at(1), BUFFERS, 1, OUT]).await?,
                _ => call(host, "fd_pwrite", &[at(1), BUFFERS, 1, at(3), OUT]).await?,
            }
            return Ok(out(host).await.to_string());
        }
        // seek FD OFFSET set|current|end
        "seek" => {
            let whence = ["set", "current", "end"].iter().position(|word| *word == words[3]);
            let whence = whence.map_or_else(|| number(words[3]), |whence| whence as u64);
            call(host, "fd_seek", &[at(1), at(2), whence, OUT]).await?;
            return Ok(host.load(OUT).await.to_string());
        }
        "tell" => {
            call(host, "fd_tell", &[at(1), OUT]).await?;
            return Ok(host.load(OUT).await.to_string());
        }
        "size" => call(host, "fd_filestat_set_size", &[at(1), at(2)]).await?,
        "allocate" => call(host, "fd_allocate", &[at(1), at(2), at(3)]).await?,
        "advise" => call(host, "fd_advise", &[at(1), at(2), at(3), at(4)]).await?,
        "sync" => call(host, "fd_sync", &[at(1)]).await?,
        "datasync" => call(host, "fd_datasync", &[at(1)]).await?,
        // What it is and its flags, and whether it may be read and written.
        "fdstat" => {
            call(host, "fd_fdstat_get", &[at(1), OUT]).await?;
            let (head, base) = (host.load(OUT).await, host.load(OUT + 8).await);
            let may = |right, letter| if base & right != 0 { letter } else { "-" };
            let letters: String =
                "adnrs".chars().enumerate().filter(|(bit, _)| head >> (16 + bit) & 1 != 0).map(|(_, it)| it).collect();
            let (read, write) = (may(RIGHT_READ, "r"), may(RIGHT_WRITE, "w"));
            return Ok(format!("{} {read}{write} {letters}", kind(head & 0xff)).trim_end().to_owned());
        }
        // Whether it has all of some rights, and gives all of others on.
        "rights" => {
            call(host, "fd_fdstat_get", &[at(1), OUT]).await?;
            let (base, inheriting) = (host.load(OUT + 8).await, host.load(OUT + 16).await);
            return Ok(format!("{} {}", base & at(2) == at(2), inheriting & at(3) == at(3)));
        }
        "setflags" => call(host, "fd_fdstat_set_flags", &[at(1), flags(word(2))]).await?,
        // drop FD RIGHTS INHERITING
        "drop" => {
            call(host, "fd_fdstat_get", &[at(1), OUT]).await?;
            let (base, inheriting) = (host.load(OUT + 8).await, host.load(OUT + 16).await);
            call(host, "fd_fdstat_set_rights", &[at(1), base & !at(2), inheriting & !at(3)]).await?;
        }
        "stat" => {
            call(host, "fd_filestat_get", &[at(1), OUT]).await?;
            return Ok(about(host).await);
        }
        // lstat DIRECTORY PATH [follow]
        "lstat" => {
            let bytes = path(host, PATH, words[2]).await;
            call(host, "path_filestat_get", &[at(1), word(3).len().min(1) as u64, PATH, bytes, OUT]).await?;
            return Ok(about(host).await);
        }
        "times" => {
            call(host, "fd_filestat_get", &[at(1), OUT]).await?;
            return Ok(format!("{} {}", host.load(OUT + 40).await, host.load(OUT + 48).await));
        }
        // Whether an open file is what a path stands for.
        "same" => {
            call(host, "fd_filestat_get", &[at(1), OUT]).await?;
            let one = (host.load(OUT).await, host.load(OUT + 8).await);
            let bytes = path(host, PATH, words[3]).await;
            call(host, "path_filestat_get", &[at(2), 0, PATH, bytes, OUT]).await?;
            return Ok((one == (host.load(OUT).await, host.load(OUT + 8).await)).to_string());
        }
        // settimes FD ACCESSED MODIFIED FLAGS
        "settimes" => call(host, "fd_filestat_set_times", &[at(1), at(2), at(3), at(4)]).await?,
        // lsettimes DIRECTORY PATH ACCESSED MODIFIED FLAGS [follow]
        "lsettimes" => {
            let bytes = path(host, PATH, words[2]).await;
            let args = [at(1), word(6).len().min(1) as u64, PATH, bytes, at(3), at(4), at(5)];
            call(host, "path_filestat_set_times", &args).await?;
        }
        "prestat" => {
            call(host, "fd_prestat_get", &[at(1), OUT]).await?;
            return Ok(format!("{} {}", out(host).await & 0xff, host.load(OUT).await >> 32));
        }
        "prename" => {
            call(host, "fd_prestat_dir_name", &[at(1), BYTES, at(2)]).await?;
            return Ok(text(host, 1).await);
        }
        "mkdir" | "rmdir" | "unlink" => {
            let bytes = path(host, PATH, words[2]).await;
            let name = match words[0] {
                "mkdir" => "path_create_directory",
                "rmdir" => "path_remove_directory",
                _ => "path_unlink_file",
            };
            call(host, name, &[at(1), PATH, bytes]).await?;
        }
        // rename DIRECTORY PATH DIRECTORY PATH
        "rename" => {
            let (one, other) = (path(host, PATH, words[2]).await, path(host, OTHER_PATH, words[4]).await);
            call(host, "path_rename", &[at(1), PATH, one, at(3), OTHER_PATH, other]).await?;
        }
        // link DIRECTORY PATH DIRECTORY PATH [follow]
        "link" => {
            let (one, other) = (path(host, PATH, words[2]).await, path(host, OTHER_PATH, words[4]).await);
            let args = [at(1), word(5).len().min(1) as u64, PATH, one, at(3), OTHER_PATH, other];
            call(host, "path_link", &args).await?;
        }
        // symlink TARGET DIRECTORY PATH
        "symlink" => {
            let (one, other) = (path(host, PATH, words[1]).await, path(host, OTHER_PATH, words[3]).await);
            call(host, "path_symlink", &[PATH, one, at(2), OTHER_PATH, other]).await?;
        }
        // readlink DIRECTORY PATH BYTES
        "readlink" => {
            let bytes = path(host, PATH, words[2]).await;
            call(host, "path_readlink", &[at(1), PATH, bytes, BYTES, at(3), OUT]).await?;
            let count = out(host).await;
            return Ok(text(host, count).await);
        }
        // readdir FD BYTES COOKIE: how many bytes, then each whole entry as NAME=NEXT.
        "readdir" => {
            let (used, entries) = entries(host, at(1), at(2), at(3)).await?;
            let entries: Vec<_> = entries.iter().map(|(name, next, _)| format!("{name}={next}")).collect();
            return Ok(format!("{used} {}", entries.join(" ")).trim_end().to_owned());
        }
        // list FD BYTES: all names, with their kinds, read through a buffer of a size.
        "list" => {
            let (mut cookie, mut names) = (0, Vec::new());
            loop {
                let (used, entries) = entries(host, at(1), at(2), cookie).await?;
                for (name, next, kind) in &entries {
                    names.push(format!("{name}:{kind}"));
                    cookie = *next;
                }
                if used < at(2) || entries.is_empty() {
                    break;
                }
            }
            names.sort();
            return Ok(match names.len() {
                0..=20 => names.join(" "),
                count => format!("{count} {} {}", names[0], names[count - 1]),
            });
        }
        // many DIRECTORY COUNT: files of that name and a number.
        "many" => {
            for index in 0..at(2) {
                let bytes = path(host, PATH, &format!("{}{index:04}", word(3))).await;
                call(host, "path_open", &[at(1), 0, PATH, bytes, 1, 0, 0, 0, OUT]).await?;
                let fd = out(host).await;
                call(host, "fd_close", &[fd]).await?;
            }
        }
        // poll EVENT..: read:FD, write:FD, clock:NS (monotonic, from now), wall:NS; each that came, as it stands there.
        "poll" => return poll(host, &words[1..]).await,
        other => panic!("no such step: {other}"),
    }
    Ok("ok".to_owned())
}

fn kind(filetype: u64) -> &'static str {
    match filetype {
        0 => "stream",
        3 => "directory",
        4 => "file",
        7 => "link",
        _ => "other",
    }
}

/// What it is; of a file its size and how many names it has, of a link its size.
async fn about(host: &mut Host) -> String {
    let (filetype, links, size) =
        (host.load(OUT + 16).await & 0xff, host.load(OUT + 24).await, host.load(OUT + 32).await);
    match kind(filetype) {
        "file" => format!("file {size} {links}"),
        "link" => format!("link {size}"),
        other => other.to_owned(),
    }
}

/// The whole entries of one buffer, and how many bytes of it are used.
async fn entries(
    host: &mut Host,
    fd: u64,
    bytes: u64,
    cookie: u64,
) -> Result<(u64, Vec<(String, u64, &'static str)>), String> {
    call(host, "fd_readdir", &[fd, BYTES, bytes, cookie, OUT]).await?;
    let used = out(host).await;
    let buffer = host.get(BYTES, used).await;
    let (mut rest, mut entries) = (&buffer[..], Vec::new());
    while rest.len() >= 24 {
        let next = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes"));
        let length = u32::from_le_bytes(rest[16..20].try_into().expect("four bytes")) as usize;
        let Some(name) = rest.get(24..24 + length) else { break };
        entries.push((String::from_utf8_lossy(name).into_owned(), next, kind(u64::from(rest[20]))));
        rest = &rest[24 + length..];
    }
    Ok((used, entries))
}

async fn poll(host: &mut Host, asked: &[&str]) -> Result<String, String> {
    for (index, one) in asked.iter().enumerate() {
        let at = BYTES + 48 * index as u64;
        let (what, value) = one.split_once(':').expect("an event and a number");
        let value = number(value);
        let (tag, words) = match what {
            "clock" => (0, [1, value, 0, 0]),
            "wall" => (0, [0, value, 0, 0]),
            "moment" => (0, [1, value, 0, 1]),
            "wall-moment" => (0, [0, value, 0, 1]),
            "processor" => (0, [2, value, 0, 0]),
            "read" => (1, [value, 0, 0, 0]),
            "write" => (2, [value, 0, 0, 0]),
            _ => (3, [0; 4]),
        };
        host.store(at, 1_000 + index as u64).await;
        host.store(at + 8, tag).await;
        for (word, value) in words.into_iter().enumerate() {
            host.store(at + 16 + 8 * word as u64, value).await;
        }
    }
    call(host, "poll_oneoff", &[BYTES, EVENTS, asked.len() as u64, OUT]).await?;
    let count = out(host).await;
    let mut came = Vec::new();
    for index in 0..count {
        let at = EVENTS + 32 * index;
        let (userdata, head) = (host.load(at).await, host.load(at + 8).await);
        let (bytes, hangup) = (host.load(at + 16).await, host.load(at + 24).await & 1);
        let what = asked[(userdata - 1_000) as usize];
        let (errno, tag) = (head & 0xffff, head >> 16 & 0xff);
        let ended = if hangup == 1 { " hangup" } else { "" };
        came.push(match tag {
            0 => format!("{what}={errno}"),
            _ => format!("{what}={errno},{bytes}{ended}"),
        });
    }
    Ok(came.join(" "))
}
