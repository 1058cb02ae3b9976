//! A command that does with `wasi:filesystem` 0.2 what it is told, function by function, without a library in between.
//!
//! Standard input is a JSON array of steps, each an array: a verb, then what it needs; a descriptor or a stream is spoken of by
//! the name that it was given, one that was open at the start by its path. Standard output is a line of JSON for each step.
//! The steps of a step `together` come one right after the other, without a call for that line in between.
//! Flags are letters. Descriptors: r read, w write, s file-integrity-sync, y data-integrity-sync, q requested-write-sync, m
//! mutate-directory. Opening: c create, d directory, x exclusive, t truncate. Paths: f symlink-follow.

mod streams;

use std::collections::HashMap;
use std::io::{self, Read};

use serde_json::{Value, json};
use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntryStream, ErrorCode, NewTimestamp,
    OpenFlags, PathFlags,
};
use wasip2::io::streams::{InputStream, OutputStream};

/// What is open, by name. Streams are dropped before what they are streams of.
#[derive(Default)]
struct Open {
    inputs: HashMap<String, InputStream>,
    outputs: HashMap<String, OutputStream>,
    entries: HashMap<String, DirectoryEntryStream>,
    descriptors: HashMap<String, Descriptor>,
}

fn main() {
    let mut steps = String::new();
    io::stdin().read_to_string(&mut steps).expect("standard input is text");
    let steps: Vec<Vec<Value>> = serde_json::from_str(&steps).expect("standard input is an array of steps");
    let mut open = Open::default();
    for (directory, path) in get_directories() {
        open.descriptors.insert(path, directory);
    }
    for step in &steps {
        let came = match streams::run(&mut open, step) {
            Some(came) => came,
            None => run(&mut open, step).unwrap_or_else(|error| json!({ "err": error.name() })),
        };
        println!("{came}");
    }
    // What is still open is left so: the process ends, as many do.
    std::mem::forget(open);
}

fn run(open: &mut Open, step: &[Value]) -> Result<Value, ErrorCode> {
    if step[0] == "together" {
        let steps = step[1..].iter().filter_map(Value::as_array);
        return steps.map(|step| run(open, step)).collect();
    }
    let (verb, name) = (text(step, 0), text(step, 1));
    let fd = |name: &str| open.descriptors.get(name).unwrap_or_else(|| panic!("{step:?}: no descriptor `{name}`"));
    match verb {
        "open" => {
            let (flags, how) = (path_flags(text(step, 4)), open_flags(text(step, 5)));
            let opened = fd(text(step, 2)).open_at(flags, text(step, 3), how, descriptor_flags(text(step, 6)))?;
            open.descriptors.insert(name.to_owned(), opened);
        }
        "open-many" => {
            let read = DescriptorFlags::READ;
            for at in 0..number(step, 4) {
                let directory = &open.descriptors[text(step, 2)];
                let opened = directory.open_at(PathFlags::empty(), text(step, 3), OpenFlags::empty(), read)?;
                open.descriptors.insert(format!("{name}{at}"), opened);
            }
        }
        "drop" => {
            open.inputs.remove(name);
            open.outputs.remove(name);
            open.entries.remove(name);
            open.descriptors.remove(name);
        }
        "flags" => return Ok(json!(letters(fd(name).get_flags()?))),
        "type" => return Ok(json!(kind(fd(name).get_type()?))),
        "read" => {
            let (bytes, ended) = fd(name).read(number(step, 2), number(step, 3))?;
            return Ok(json!([String::from_utf8_lossy(&bytes), ended]));
        }
        "write" => return Ok(json!(fd(name).write(text(step, 2).as_bytes(), number(step, 3))?)),
        "set-size" => fd(name).set_size(number(step, 2))?,
        "advise" => fd(name).advise(number(step, 2), number(step, 3), Advice::WillNeed)?,
        "sync" => fd(name).sync()?,
        "sync-data" => fd(name).sync_data()?,
        "stat" => return Ok(about(&fd(name).stat()?)),
        "stat-at" => return Ok(about(&fd(name).stat_at(path_flags(text(step, 2)), text(step, 3))?)),
        "hash" => return Ok(json!(fd(name).metadata_hash()?.upper != 0)),
        "hash-at" => return Ok(json!(fd(name).metadata_hash_at(path_flags(text(step, 2)), text(step, 3))?.upper != 0)),
        "times" => return Ok(times(&fd(name).stat()?)),
        "set-times" => fd(name).set_times(time(step, 2), time(step, 3))?,
        "set-times-at" => {
            fd(name).set_times_at(path_flags(text(step, 2)), text(step, 3), time(step, 4), time(step, 5))?;
        }
        "mkdir" => fd(name).create_directory_at(text(step, 2))?,
        "rmdir" => fd(name).remove_directory_at(text(step, 2))?,
        "unlink" => fd(name).unlink_file_at(text(step, 2))?,
        "rename" => fd(name).rename_at(text(step, 2), fd(text(step, 3)), text(step, 4))?,
        "link" => {
            fd(name).link_at(path_flags(text(step, 2)), text(step, 3), fd(text(step, 4)), text(step, 5))?;
        }
        "symlink" => fd(name).symlink_at(text(step, 2), text(step, 3))?,
        "readlink" => return Ok(json!(fd(name).readlink_at(text(step, 2))?)),
        "same" => return Ok(json!(fd(name).is_same_object(fd(text(step, 2))))),
        "same-hash" => {
            let (one, other) = (fd(name).metadata_hash()?, fd(text(step, 2)).metadata_hash()?);
            return Ok(json!((one.lower, one.upper) == (other.lower, other.upper)));
        }
        "same-hash-at" => {
            let one = fd(name).metadata_hash()?;
            let other = fd(text(step, 2)).metadata_hash_at(path_flags(text(step, 3)), text(step, 4))?;
            return Ok(json!((one.lower, one.upper) == (other.lower, other.upper)));
        }
        "list" => {
            let entries = fd(text(step, 2)).read_directory()?;
            open.entries.insert(name.to_owned(), entries);
        }
        "next" => {
            let next = open.entries[name].read_directory_entry()?;
            return Ok(next.map_or(Value::Null, |entry| json!([entry.name, kind(entry.type_)])));
        }
        "names" => {
            let entries = open.entries.remove(name).expect("it is being listed");
            let mut names = Vec::new();
            while let Some(entry) = entries.read_directory_entry()? {
                names.push(entry.name);
            }
            names.sort();
            // The first and the last of many.
            return Ok(match names.len() {
                0..=20 => json!(names),
                count => json!([count, names[0], names[count - 1]]),
            });
        }
        // All names with their kinds.
        "ls" => {
            let entries = fd(name).read_directory()?;
            let mut names = Vec::new();
            while let Some(entry) = entries.read_directory_entry()? {
                names.push(format!("{}:{}", entry.name, kind(entry.type_)));
            }
            names.sort();
            return Ok(json!(names));
        }
        // How many there are, and the one that comes last; none of them is kept.
        "count" => {
            let entries = fd(name).read_directory()?;
            let (mut count, mut last) = (0, String::new());
            while let Some(entry) = entries.read_directory_entry()? {
                (count, last) = (count + 1, entry.name);
            }
            return Ok(json!([count, last]));
        }
        "make-many" => {
            for at in 0..number(step, 3) {
                let (create, write) = (OpenFlags::CREATE, DescriptorFlags::WRITE);
                let path = format!("{}{at:05}", text(step, 2));
                fd(name).open_at(PathFlags::empty(), &path, create, write)?;
            }
        }
        "trap" => panic!("asked to"),
        "exit" => std::process::exit(1),
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
    step.get(at).and_then(Value::as_u64).unwrap_or_else(|| panic!("{step:?} lacks a number"))
}

/// Nothing: it stays. `"now"`, or seconds and nanoseconds.
fn time(step: &[Value], at: usize) -> NewTimestamp {
    match step.get(at) {
        None | Some(Value::Null) => NewTimestamp::NoChange,
        Some(Value::Array(parts)) => {
            NewTimestamp::Timestamp(Datetime { seconds: number(parts, 0), nanoseconds: number(parts, 1) as u32 })
        }
        Some(_) => NewTimestamp::Now,
    }
}

fn path_flags(letters: &str) -> PathFlags {
    if letters.contains('f') { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() }
}

fn open_flags(letters: &str) -> OpenFlags {
    let known = [
        ('c', OpenFlags::CREATE),
        ('d', OpenFlags::DIRECTORY),
        ('x', OpenFlags::EXCLUSIVE),
        ('t', OpenFlags::TRUNCATE),
    ];
    known.iter().filter(|(letter, _)| letters.contains(*letter)).fold(OpenFlags::empty(), |all, (_, flag)| all | *flag)
}

const DESCRIPTOR_FLAGS: [(char, DescriptorFlags); 6] = [
    ('r', DescriptorFlags::READ),
    ('w', DescriptorFlags::WRITE),
    ('s', DescriptorFlags::FILE_INTEGRITY_SYNC),
    ('y', DescriptorFlags::DATA_INTEGRITY_SYNC),
    ('q', DescriptorFlags::REQUESTED_WRITE_SYNC),
    ('m', DescriptorFlags::MUTATE_DIRECTORY),
];

fn descriptor_flags(letters: &str) -> DescriptorFlags {
    let asked = DESCRIPTOR_FLAGS.iter().filter(|(letter, _)| letters.contains(*letter));
    asked.fold(DescriptorFlags::empty(), |all, (_, flag)| all | *flag)
}

fn letters(flags: DescriptorFlags) -> String {
    DESCRIPTOR_FLAGS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(letter, _)| letter).collect()
}

fn kind(kind: DescriptorType) -> &'static str {
    match kind {
        DescriptorType::RegularFile => "file",
        DescriptorType::Directory => "directory",
        DescriptorType::SymbolicLink => "link",
        _ => "other",
    }
}

/// What it is, and its size and number of names where it is a file.
fn about(stat: &DescriptorStat) -> Value {
    match stat.type_ {
        DescriptorType::RegularFile => json!(["file", stat.size, stat.link_count]),
        DescriptorType::SymbolicLink => json!(["link", stat.size]),
        other => json!([kind(other)]),
    }
}

/// When it was last read and changed.
fn times(stat: &DescriptorStat) -> Value {
    let shown = |time: Option<Datetime>| time.map(|time| json!([time.seconds, time.nanoseconds]));
    json!([shown(stat.data_access_timestamp), shown(stat.data_modification_timestamp)])
}
