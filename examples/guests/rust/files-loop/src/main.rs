//! A command that does one thing to files again and again: plain `std::fs`, one source for wasm32-wasip1 and for wasm32-wasip2.
//!
//! Arguments: a verb, a path, how often, and of how many bytes. Standard output is what it counted, so that whoever measures it
//! sees that the work was done.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes that a large file is read and written by.
const CHUNK_BYTES: usize = 64 << 10;

/// Files that small writes go to, one after another.
const FILES: u64 = 1_000;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, verb, path, times, bytes] = &args[..] else { panic!("expected a verb, a path, times and bytes: {args:?}") };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("expected a number, found `{text}`"));
    println!("{}", run(verb, path, number(times), number(bytes))?);
    Ok(())
}

/// Bytes that were read or written, or names that were seen.
fn run(verb: &str, path: &str, times: u64, bytes: u64) -> io::Result<u64> {
    let mut counted = 0;
    let mut chunk = vec![b'x'; CHUNK_BYTES];
    match verb {
        // A whole small file.
        "get" => {
            for _ in 0..times {
                counted += fs::read(path)?.len() as u64;
            }
        }
        "stat" => {
            for _ in 0..times {
                counted += fs::metadata(path)?.len();
            }
        }
        // Small files in a directory, which is made where it is not there.
        "put" => {
            fs::create_dir_all(path)?;
            let data = vec![b'x'; bytes as usize];
            for at in 0..times {
                fs::write(format!("{path}/{:05}", at % FILES), &data)?;
                counted += bytes;
            }
        }
        // The names of a directory.
        "list" => {
            for _ in 0..times {
                for entry in fs::read_dir(path)? {
                    entry?;
                    counted += 1;
                }
            }
        }
        // All files of a directory, one after another.
        "get-each" => {
            for _ in 0..times {
                for entry in fs::read_dir(path)? {
                    counted += fs::read(entry?.path())?.len() as u64;
                }
            }
        }
        // A large file from its beginning to its end.
        "read" => {
            for _ in 0..times {
                let mut file = File::open(path)?;
                loop {
                    match file.read(&mut chunk)? {
                        0 => break,
                        count => counted += count as u64,
                    }
                }
            }
        }
        "write" => {
            for _ in 0..times {
                let mut file = File::create(path)?;
                let mut left = bytes;
                while left > 0 {
                    let count = left.min(CHUNK_BYTES as u64);
                    file.write_all(&chunk[..count as usize])?;
                    left -= count;
                }
                counted += bytes;
            }
        }
        // Some bytes of a large file at places that nobody foresees.
        "random" => {
            let mut file = File::open(path)?;
            let places = file.metadata()?.len() / bytes;
            let mut data = vec![0; bytes as usize];
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            for _ in 0..times {
                // Xorshift: the same places in every run.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                file.seek(SeekFrom::Start(state % places * bytes))?;
                file.read_exact(&mut data)?;
                counted += bytes;
            }
        }
        other => panic!("no such verb: {other}"),
    }
    Ok(counted)
}
