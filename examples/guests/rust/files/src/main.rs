//! A command that does to files what it is told: plain `std::fs`, one source for wasm32-wasip1 and for wasm32-wasip2.
//!
//! Standard input is a JSON array of steps, each an array: a verb, then what it needs. Standard output is a line of JSON for
//! each: what came of it, or `{"err": CODE}` with the name of WASI's code.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::process::exit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

fn main() {
    let mut steps = String::new();
    io::stdin().read_to_string(&mut steps).expect("standard input is text");
    let steps: Vec<Vec<Value>> = serde_json::from_str(&steps).expect("standard input is an array of steps");
    let mut open = BTreeMap::new();
    for step in &steps {
        let came = run(&mut open, step).unwrap_or_else(|error| json!({ "err": code(&error) }));
        println!("{came}");
    }
    // What is still open is left so: the process ends, as many do.
    std::mem::forget(open);
}

fn run(open: &mut BTreeMap<String, File>, step: &[Value]) -> io::Result<Value> {
    let verb = text(step, 0);
    let path = text(step, 1);
    match verb {
        // Whole files and names.
        "put" => fs::write(path, text(step, 2))?,
        "get" => return Ok(shown(&fs::read(path)?)),
        "copy" => return Ok(json!(fs::copy(path, text(step, 2))?)),
        "rename" => fs::rename(path, text(step, 2))?,
        "link" => fs::hard_link(path, text(step, 2))?,
        "readlink" => return Ok(json!(fs::read_link(path)?)),
        "rm" => fs::remove_file(path)?,
        "mkdir" => fs::create_dir(path)?,
        "mkdirs" => fs::create_dir_all(path)?,
        "rmdir" => fs::remove_dir(path)?,
        "rmtree" => fs::remove_dir_all(path)?,
        "ls" => return list(path),
        "exists" => return Ok(json!(fs::exists(path)?)),
        "stat" => return Ok(about(&fs::metadata(path)?)),
        "lstat" => return Ok(about(&fs::symlink_metadata(path)?)),
        "times" => return times(&fs::metadata(path)?),
        // How many of the numbered files there were until one could not be made.
        "many" => {
            for at in 0..number(step, 2) {
                if let Err(error) = fs::write(format!("{path}{at}"), "x") {
                    return Ok(json!([at, code(&error)]));
                }
            }
        }
        // A name made of one character.
        "long" => fs::write(format!("{path}{}", "n".repeat(number(step, 2) as usize)), "x")?,

        // An open file, by the name that the second word gives it.
        "open" => {
            let file = options(text(step, 3)).open(text(step, 2))?;
            open.insert(path.to_owned(), file);
        }
        "open-all" => {
            for at in 0..number(step, 3) {
                open.insert(format!("{path}{at}"), File::open(text(step, 2))?);
            }
        }
        "write" => file(open, path)?.write_all(text(step, 2).as_bytes())?,
        "fill" => {
            let byte = text(step, 2).as_bytes()[0];
            io::copy(&mut io::repeat(byte).take(number(step, 3)), file(open, path)?)?;
        }
        "read" => {
            let mut bytes = vec![0; number(step, 2) as usize];
            let count = file(open, path)?.read(&mut bytes)?;
            return Ok(shown(&bytes[..count]));
        }
        "rest" => {
            let mut bytes = Vec::new();
            file(open, path)?.read_to_end(&mut bytes)?;
            return Ok(shown(&bytes));
        }
        "seek" => {
            let by = number(step, 3) as i64;
            let to = match text(step, 2) {
                "start" => SeekFrom::Start(by as u64),
                "end" => SeekFrom::End(by),
                _ => SeekFrom::Current(by),
            };
            return Ok(json!(file(open, path)?.seek(to)?));
        }
        "set-len" => file(open, path)?.set_len(number(step, 2))?,
        "sync" => file(open, path)?.sync_all()?,
        "sync-data" => file(open, path)?.sync_data()?,
        "fstat" => return Ok(about(&file(open, path)?.metadata()?)),
        "set-times" => {
            let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
            let times = FileTimes::new().set_accessed(at(number(step, 2))).set_modified(at(number(step, 3)));
            file(open, path)?.set_times(times)?;
        }
        "ftimes" => return times(&file(open, path)?.metadata()?),
        "close" => drop(open.remove(path)),

        // How to end.
        "panic" => panic!("asked to"),
        "exit" => exit(step.get(1).and_then(Value::as_i64).unwrap_or(1) as i32),
        "spin" => loop {
            std::hint::black_box(0);
        },
        other => panic!("no such verb: {other}"),
    }
    Ok(json!("ok"))
}

fn text(step: &[Value], at: usize) -> &str {
    step.get(at).and_then(Value::as_str).unwrap_or_default()
}

fn number(step: &[Value], at: usize) -> u64 {
    let value = step.get(at).unwrap_or_else(|| panic!("{step:?} lacks a number"));
    value.as_u64().or_else(|| value.as_i64().map(|number| number as u64)).expect("a number")
}

fn file<'a>(open: &'a mut BTreeMap<String, File>, name: &str) -> io::Result<&'a mut File> {
    open.get_mut(name).ok_or_else(|| io::Error::other("it is not open"))
}

/// Letters: r, w, a (append), t (truncate), c (create), n (create new).
fn options(letters: &str) -> OpenOptions {
    let mut options = OpenOptions::new();
    let asked = |letter| letters.contains(letter);
    options.read(asked('r')).write(asked('w')).append(asked('a'));
    options.truncate(asked('t')).create(asked('c')).create_new(asked('n'));
    options
}

/// A text, or, where it is long or none, how long it is and what its bytes add up to.
fn shown(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= 200 => json!(text),
        _ => {
            let sum = bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            json!({ "bytes": bytes.len(), "sum": format!("{sum:x}") })
        }
    }
}

fn list(path: &str) -> io::Result<Value> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let end = if kind.is_dir() {
            "/"
        } else if kind.is_symlink() {
            "@"
        } else {
            ""
        };
        names.push(format!("{}{end}", entry.file_name().display()));
    }
    names.sort();
    Ok(json!(names))
}

fn about(metadata: &Metadata) -> Value {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => json!("directory"),
        () if kind.is_symlink() => json!("link"),
        () if kind.is_file() => json!(metadata.len()),
        () => json!("other"),
    }
}

/// When it was last read and changed, in milliseconds since 1970.
fn times(metadata: &Metadata) -> io::Result<Value> {
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Ok(json!([ms(metadata.accessed()?), ms(metadata.modified()?)]))
}

/// The name of WASI's code, or what Rust calls it where there is none.
fn code(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        None => return format!("{:?}", error.kind()),
        Some(2) => "acces",
        Some(8) => "badf",
        Some(10) => "busy",
        Some(19) => "dquot",
        Some(20) => "exist",
        Some(22) => "fbig",
        Some(25) => "ilseq",
        Some(28) => "inval",
        Some(29) => "io",
        Some(31) => "isdir",
        Some(32) => "loop",
        Some(33) => "mfile",
        Some(37) => "nametoolong",
        Some(44) => "noent",
        Some(51) => "nospc",
        Some(54) => "notdir",
        Some(55) => "notempty",
        Some(58) => "notsup",
        Some(63) => "perm",
        Some(69) => "rofs",
        Some(75) => "xdev",
        Some(76) => "notcapable",
        Some(other) => return other.to_string(),
    };
    name.to_owned()
}
