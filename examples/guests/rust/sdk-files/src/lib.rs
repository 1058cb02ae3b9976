//! Every function of the SDK's face for files, one task each, and an open file by steps.
//!
//! The same source is built for every target, and behaves the same.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use runner::fs::{self, File, FileTimes, FileType, Metadata, OpenOptions};
use runner::{Failure, task};
use serde::Deserialize;
use serde_json::{Value, json};

#[task]
fn mounts() -> Result<Vec<&'static str>, fs::Error> {
    fs::mounts()
}

#[task]
fn read(path: String) -> Result<Vec<u8>, fs::Error> {
    fs::read(path)
}

#[task]
fn text(path: String) -> Result<String, fs::Error> {
    fs::read_to_string(path)
}

#[task]
fn write(path: String, text: String) -> Result<(), fs::Error> {
    fs::write(path, text)
}

/// Writes so many bytes, and tells how many are there then.
#[task]
fn fill(path: String, bytes: usize) -> Result<usize, fs::Error> {
    let bytes: Vec<u8> = (0..bytes).map(|at| (at / 1_000) as u8).collect();
    fs::write(&path, &bytes)?;
    let found = fs::read(&path)?;
    assert!(found == bytes, "what was read is not what was written");
    Ok(found.len())
}

/// Writes, and then does not come to its end.
#[task]
fn write_and_fail(path: String, text: String) -> Result<(), Failure> {
    fs::write(path, text)?;
    Err(Failure::new("changed-my-mind", "it is not wanted any more"))
}

#[task]
fn append(path: String, text: String) -> Result<(), fs::Error> {
    fs::append(path, text)
}

#[task]
fn copy(from: String, to: String) -> Result<u64, fs::Error> {
    fs::copy(from, to)
}

#[task]
fn rename(from: String, to: String) -> Result<(), fs::Error> {
    fs::rename(from, to)
}

#[task]
fn remove_file(path: String) -> Result<(), fs::Error> {
    fs::remove_file(path)
}

#[task]
fn remove_dir(path: String) -> Result<(), fs::Error> {
    fs::remove_dir(path)
}

#[task]
fn remove_dir_all(path: String) -> Result<(), fs::Error> {
    fs::remove_dir_all(path)
}

#[task]
fn create_dir(path: String) -> Result<(), fs::Error> {
    fs::create_dir(path)
}

#[task]
fn create_dir_all(path: String) -> Result<(), fs::Error> {
    fs::create_dir_all(path)
}

/// The paths in a directory, in order; one of a directory ends with `/`, one of a link with `@`.
#[task]
fn list(path: String) -> Result<Vec<String>, fs::Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        assert!(entry.path().ends_with(entry.file_name()));
        assert_eq!(entry.metadata()?.file_type(), entry.file_type());
        let mark = match entry.file_type() {
            FileType::Directory => "/",
            FileType::Symlink => "@",
            _ => "",
        };
        entries.push(format!("{}{mark}", entry.path().display()));
    }
    entries.sort();
    Ok(entries)
}

/// The paths in a directory and below it, in order, each directory with a `/`; and the bytes of all files.
#[task]
fn walk(path: String) -> Result<(Vec<String>, u64), fs::Error> {
    let (mut paths, mut bytes) = (Vec::new(), 0);
    for entry in fs::walk(path)? {
        let entry = entry?;
        if entry.file_type().is_file() {
            bytes += entry.metadata()?.len();
        }
        paths.push(format!("{}{}", entry.path().display(), if entry.file_type().is_dir() { "/" } else { "" }));
    }
    paths.sort();
    Ok((paths, bytes))
}

fn shown(metadata: Metadata) -> Value {
    match metadata.file_type() {
        FileType::File => {
            let since = metadata.modified().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            assert!(since.is_some() && metadata.accessed().is_some(), "every tree has times");
            json!({ "bytes": metadata.len(), "names": metadata.links() })
        }
        FileType::Directory => json!("directory"),
        FileType::Symlink => json!("link"),
        _ => Value::Null,
    }
}

#[task]
fn metadata(path: String) -> Result<Value, fs::Error> {
    fs::metadata(path).map(shown)
}

fn seconds(time: Option<SystemTime>) -> Option<u64> {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs())
}

/// Seconds since 1970.
#[task]
fn modified(path: String) -> Result<Option<u64>, fs::Error> {
    Ok(seconds(fs::metadata(path)?.modified()))
}

/// When something was last read and last changed, in seconds since 1970; a link itself.
#[task]
fn times(path: String) -> Result<(Option<u64>, Option<u64>), fs::Error> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((seconds(metadata.accessed()), seconds(metadata.modified())))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Times in seconds since 1970, those that are given.
fn those(accessed: Option<u64>, modified: Option<u64>) -> FileTimes {
    let times = accessed.map_or(FileTimes::new(), |seconds| FileTimes::new().set_accessed(at(seconds)));
    modified.map_or(times, |seconds| times.set_modified(at(seconds)))
}

#[task]
fn set_times(path: String, accessed: Option<u64>, modified: Option<u64>) -> Result<(), fs::Error> {
    fs::set_times(path, those(accessed, modified))
}

#[task]
fn set_link_times(path: String, accessed: Option<u64>, modified: Option<u64>) -> Result<(), fs::Error> {
    fs::set_times_nofollow(path, those(accessed, modified))
}

/// Sets both times to now.
#[task]
fn touch(path: String) -> Result<(), fs::Error> {
    fs::set_times(path, FileTimes::new().set_accessed_now().set_modified_now())
}

#[task]
fn symlink_metadata(path: String) -> Result<Value, fs::Error> {
    fs::symlink_metadata(path).map(shown)
}

#[task]
fn exists(path: String) -> Result<bool, fs::Error> {
    fs::exists(path)
}

#[task]
fn symlink(original: String, link: String) -> Result<(), fs::Error> {
    fs::symlink(original, link)
}

#[task]
fn read_link(path: String) -> Result<PathBuf, fs::Error> {
    fs::read_link(path)
}

#[task]
fn hard_link(original: String, link: String) -> Result<(), fs::Error> {
    fs::hard_link(original, link)
}

/// The lines of a file, by way of std.
#[task]
fn lines(path: String) -> Result<Vec<String>, Failure> {
    let lines: Result<_, _> = BufReader::new(File::open(path)?).lines().collect();
    Ok(lines?)
}

/// How a file is opened, a letter each: `r`ead, `w`rite, `a`ppend, `t`runcate, `c`reate, create `n`ew.
fn options(letters: &str) -> OpenOptions {
    let asked = |letter| letters.contains(letter);
    let mut options = File::options();
    options.read(asked('r')).write(asked('w')).append(asked('a')).truncate(asked('t'));
    options.create(asked('c')).create_new(asked('n'));
    options
}

/// What is done to an open file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    /// At most so many bytes.
    Read(usize),
    Rest,
    Write(String),
    SeekStart(u64),
    SeekCurrent(i64),
    SeekEnd(i64),
    ReadAt(usize, u64),
    ReadExactAt(usize, u64),
    WriteAt(String, u64),
    WriteAllAt(String, u64),
    SetTimes(Option<u64>, Option<u64>),
    SetModified(u64),
    SetLen(u64),
    SyncAll,
    SyncData,
    Look,
}

fn said(mut bytes: Vec<u8>, count: usize) -> Result<Value, Failure> {
    bytes.truncate(count);
    Ok(json!(String::from_utf8(bytes)?.replace('\0', "_")))
}

/// Opens a file, and does step after step to it; what each gave, zeros as `_`.
#[task]
fn steps(path: String, opened: String, steps: Vec<Step>) -> Result<Vec<Value>, Failure> {
    let mut file = options(&opened).open(path)?;
    let mut given = Vec::new();
    for step in steps {
        given.push(match step {
            Step::Read(bytes_max) => {
                let mut bytes = vec![0; bytes_max];
                let count = file.read(&mut bytes)?;
                said(bytes, count)?
            }
            Step::Rest => {
                let mut bytes = Vec::new();
                let count = file.read_to_end(&mut bytes)?;
                said(bytes, count)?
            }
            Step::Write(text) => json!(file.write(text.as_bytes())?),
            Step::SeekStart(at) => json!(file.seek(SeekFrom::Start(at))?),
            Step::SeekCurrent(by) => json!(file.seek(SeekFrom::Current(by))?),
            Step::SeekEnd(by) => json!(file.seek(SeekFrom::End(by))?),
            Step::ReadAt(bytes_max, at) => {
                let mut bytes = vec![0; bytes_max];
                let count = file.read_at(&mut bytes, at)?;
                said(bytes, count)?
            }
            Step::ReadExactAt(count, at) => {
                let mut bytes = vec![0; count];
                file.read_exact_at(&mut bytes, at)?;
                said(bytes, count)?
            }
            Step::WriteAt(text, at) => json!(file.write_at(text.as_bytes(), at)?),
            Step::WriteAllAt(text, at) => json!(file.write_all_at(text.as_bytes(), at)?),
            Step::SetTimes(accessed, modified) => json!(file.set_times(those(accessed, modified))?),
            Step::SetModified(seconds) => json!(file.set_modified(at(seconds))?),
            Step::SetLen(bytes) => json!(file.set_len(bytes)?),
            Step::SyncAll => json!(file.sync_all()?),
            Step::SyncData => json!(file.sync_data()?),
            Step::Look => shown(file.metadata()?),
        });
    }
    Ok(given)
}

/// Makes a new file, which nothing may be in the place of.
#[task]
fn create_new(path: String, text: String) -> Result<(), Failure> {
    Ok(File::create_new(path)?.write_all(text.as_bytes())?)
}
