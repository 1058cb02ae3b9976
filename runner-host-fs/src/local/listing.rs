//! The entries of a directory in the order of their names, whatever the order of the disk, which has to be read whole for
//! each page. So what was read is remembered for who reads on, for as long as the directory says that it has not changed.

use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cap_std::fs::{Dir, Metadata, MetadataExt, ReadDir};
use std::os::unix::fs::DirEntryExt;

use super::kind_of;
use crate::clock::{Clock, SystemClock};
use crate::vfs::{Entry, Kind, Page};

/// How old the last change of a directory is whose times tell the next one: file systems count in steps of up to 2 seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// Listings that are remembered at once: so many calls may read on, each elsewhere, and none drives another out. One has up to
/// [`Page::ENTRIES_MAX`] entries, of the longest names 2.5 MiB.
const HELD_MAX: usize = 8;

/// What was last read.
pub(super) struct Listing {
    clock: Box<dyn Clock>,
    /// The one that was used last is at the end.
    held: Mutex<VecDeque<Held>>,
}

impl Default for Listing {
    fn default() -> Self {
        Listing { clock: Box::new(SystemClock), held: Mutex::default() }
    }
}

struct Held {
    directory: Directory,
    /// The name behind which it begins.
    from: Option<String>,
    entries: Vec<Entry>,
    /// Whether there are more behind these.
    more: bool,
}

/// Which directory, and when it was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Directory {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Directory {
    fn of(metadata: &Metadata) -> Self {
        Directory {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it is the same one, changed or not.
    fn is(&self, other: &Directory) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether a change from now on would show in its times.
    fn is_settled(&self, now_ns: u64) -> bool {
        let settled = Duration::from_nanos(now_ns).saturating_sub(SETTLED);
        i64::try_from(settled.as_secs()).is_ok_and(|seconds| self.modified.max(self.changed).0 < seconds)
    }
}

impl Listing {
    /// The page behind a name, of what was read for the one before; `None` where that does not tell it.
    pub(super) fn next(&self, root: &Dir, path: &Path, after: &str, limit: NonZeroU32) -> io::Result<Option<Page>> {
        let directory = Directory::of(&root.metadata(path)?);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().enumerate().find_map(|(place, held)| {
            let start = held.start(after, limit).filter(|_| held.directory == directory)?;
            Some((place, start))
        });
        let Some((place, start)) = found else { return Ok(None) };
        used(&mut held, place);
        Ok(held.back().map(|held| held.page(start, limit)))
    }

    /// Reads the directory.
    pub(super) fn read(&self, root: &Dir, path: &Path, after: Option<&str>, limit: NonZeroU32) -> io::Result<Page> {
        let now_ns = self.clock.now_ns();
        let before = Directory::of(&root.metadata(path)?);
        // For one who reads on, as much as a page may have; for one who may only look, some pages.
        let most = if after.is_some() { Page::ENTRIES_MAX } else { Page::ENTRIES_MAX.min(4 * Page::most(limit)) };
        let (entries, more) = read(root.read_dir(path)?, before.device, after, most)?;
        let next = Held { directory: before, from: after.map(str::to_owned), entries, more };
        let page = next.page(0, limit);
        let same = before.is_settled(now_ns) && Directory::of(&root.metadata(path)?) == before;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Others are still as they were: who reads a tree comes back to them.
        held.retain(|held| !held.directory.is(&before) || (same && held.directory == before));
        if same && page.more {
            match held.iter().position(|held| held.directory == before && held.has_all_of(&next)) {
                Some(place) => used(&mut held, place),
                None => {
                    // Its reader has come from there, and is at its end.
                    held.retain(|held| held.directory != before || !held.comes_to(after));
                    held.push_back(next);
                    if held.len() > HELD_MAX {
                        held.pop_front();
                    }
                }
            }
        }
        drop(held);
        Ok(page)
    }
}

fn used(held: &mut VecDeque<Held>, place: usize) {
    if let Some(one) = held.remove(place) {
        held.push_back(one);
    }
}

impl Held {
    /// Where the page behind a name begins, if all of it is here.
    fn start(&self, after: &str, limit: NonZeroU32) -> Option<usize> {
        let start = self.entries.partition_point(|entry| entry.name.as_str() <= after);
        let is_here = !self.more || self.entries.len() - start >= Page::most(limit);
        (self.has_begun(Some(after)) && is_here).then_some(start)
    }

    /// Whether it begins at a name or before it; without one, at the first.
    fn has_begun(&self, after: Option<&str>) -> bool {
        self.from.as_deref().is_none_or(|from| after.is_some_and(|after| from <= after))
    }

    /// Whether a name, behind which somebody reads, is in it, or the last one before it.
    fn comes_to(&self, after: Option<&str>) -> bool {
        self.has_begun(after) && (!self.more || after <= self.last())
    }

    fn has_all_of(&self, other: &Held) -> bool {
        self.has_begun(other.from.as_deref()) && (!self.more || (other.more && other.last() <= self.last()))
    }

    fn last(&self) -> Option<&str> {
        self.entries.last().map(|entry| entry.name.as_str())
    }

    fn page(&self, start: usize, limit: NonZeroU32) -> Page {
        let mut page = Page::collect(self.entries.iter().skip(start).cloned(), limit);
        page.more |= self.more;
        page
    }
}

/// The entries that come behind a name, as many as are wanted: so many of them are in memory, and no more.
fn read(dir: ReadDir, device: u64, after: Option<&str>, most: usize) -> io::Result<(Vec<Entry>, bool)> {
    let mut next: BinaryHeap<Named> = BinaryHeap::new();
    let mut more = false;
    for entry in dir {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if after.is_some_and(|after| name.as_str() <= after) {
            continue;
        }
        if next.len() == most {
            more = true;
            if next.peek().is_some_and(|last| last.0.name <= name) {
                continue;
            }
            next.pop();
        }
        let kind = kind_of(entry.file_type()?);
        // A directory may be where another disk is mounted.
        let device = (kind != Kind::Directory).then_some(device);
        next.push(Named(Entry { name, kind, device, inode: entry.ino() }));
    }
    Ok((next.into_sorted_vec().into_iter().map(|Named(entry)| entry).collect(), more))
}

/// An entry in the order of its name.
struct Named(Entry);

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Named {}

impl Ord for Named {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use cap_fs_ext::{DirExt, SystemTimeSpec};
    use cap_std::time::SystemTime;

    /// A directory of the names `0` to `9`, looked at by a clock.
    fn directory(now_ns: u64) -> (tempfile::TempDir, Dir, Listing) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).expect("it opens");
        for name in 0..10 {
            root.write(name.to_string(), "").expect("it is written");
        }
        // So that a change a moment later shows in any case.
        let long_ago = SystemTimeSpec::Absolute(SystemTime::from_std(std::time::UNIX_EPOCH));
        root.set_mtime(HERE, long_ago).expect("its times are set");
        (folder, root, Listing { clock: Box::new(ManualClock::at_ns(now_ns)), held: Mutex::default() })
    }

    fn names(page: &Page) -> String {
        page.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    const THREE: NonZeroU32 = NonZeroU32::new(3).expect("it is not zero");
    const HERE: &str = ".";

    #[test]
    fn who_reads_on_gets_what_was_read_until_the_directory_changes() {
        let (_folder, root, listing) = directory(SystemClock.now_ns() + 3_600_000_000_000);
        let here = Path::new(HERE);
        let first = listing.read(&root, here, None, THREE).expect("it is read");
        assert_eq!((names(&first).as_str(), first.more), ("012", true));
        for (after, expected, more) in [("2", "345", true), ("5", "678", true), ("8", "9", false), ("9", "", false)] {
            let page = listing.next(&root, here, after, THREE).expect("it is there").expect("it was read");
            assert_eq!((names(&page).as_str(), page.more), (expected, more));
        }
        root.remove_file("4").expect("it is removed");
        assert!(listing.next(&root, here, "2", THREE).expect("it is there").is_none());
        let page = listing.read(&root, here, Some("2"), THREE).expect("it is read");
        assert_eq!((names(&page).as_str(), page.more), ("356", true));
        // It begins behind a name: what is before is not known.
        assert!(listing.next(&root, here, "1", THREE).expect("it is there").is_none());
        assert!(listing.next(&root, here, "3", THREE).expect("it is there").is_some());
    }

    #[test]
    fn a_directory_that_was_just_changed_is_read_again() {
        let (_folder, root, listing) = directory(SystemClock.now_ns());
        let first = listing.read(&root, Path::new(HERE), None, THREE).expect("it is read");
        assert!(first.more);
        assert!(listing.next(&root, Path::new(HERE), "2", THREE).expect("it is there").is_none());
    }

    /// Whether the page behind a name is told without reading.
    fn is_held(listing: &Listing, root: &Dir, path: &str, after: &str) -> bool {
        listing.next(root, Path::new(path), after, THREE).expect("it is there").is_some()
    }

    /// A directory of directories `0` to `8`, each of the names `0` to `9`, long settled.
    fn directories() -> (tempfile::TempDir, Dir, Listing) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).expect("it opens");
        for at in 0..=HELD_MAX {
            root.create_dir(at.to_string()).expect("it is made");
            for name in 0..10 {
                root.write(format!("{at}/{name}"), "").expect("it is written");
            }
        }
        let clock = Box::new(ManualClock::at_ns(SystemClock.now_ns() + 3_600_000_000_000));
        (folder, root, Listing { clock, held: Mutex::default() })
    }

    #[test]
    fn several_directories_are_read_on_at_once_and_the_one_that_was_used_least_goes_first() {
        let (_folder, root, listing) = directories();
        let read = |at: usize| {
            let page = listing.read(&root, Path::new(&at.to_string()), None, THREE).expect("it is read");
            assert_eq!((names(&page).as_str(), page.more), ("012", true), "{at}");
        };
        (0..HELD_MAX).for_each(read);
        for after in ["2", "5"] {
            for at in 0..HELD_MAX {
                assert!(is_held(&listing, &root, &at.to_string(), after), "{at}: who reads on drives nobody out");
            }
        }
        // The first one is used again, and so the second one makes room.
        assert!(is_held(&listing, &root, "0", "2"));
        read(HELD_MAX);
        let held: Vec<_> = (0..=HELD_MAX).filter(|at| is_held(&listing, &root, &at.to_string(), "2")).collect();
        assert_eq!(held, [0, 2, 3, 4, 5, 6, 7, 8]);
        // A change of one is none of the others.
        root.remove_file("2/9").expect("it is removed");
        listing.read(&root, Path::new("2"), None, THREE).expect("it is read");
        assert!(is_held(&listing, &root, "3", "2") && is_held(&listing, &root, "0", "2"));
    }

    #[test]
    fn one_directory_is_read_on_at_several_places_at_once() {
        let (_folder, root, listing) = directory(SystemClock.now_ns() + 3_600_000_000_000);
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            root.write(name, "").expect("it is written");
        }
        let long_ago = SystemTimeSpec::Absolute(SystemTime::from_std(std::time::UNIX_EPOCH));
        root.set_mtime(HERE, long_ago).expect("its times are set");
        let here = Path::new(HERE);
        // The first 12 of 18 names, and those behind another one.
        listing.read(&root, here, None, THREE).expect("it is read");
        listing.read(&root, here, Some("c"), THREE).expect("it is read");
        assert!(is_held(&listing, &root, HERE, "2") && is_held(&listing, &root, HERE, "e"));
        // Who comes to the end of the first one, and reads on, takes its place.
        listing.read(&root, here, Some("9"), THREE).expect("it is read");
        assert!(!is_held(&listing, &root, HERE, "2") && is_held(&listing, &root, HERE, "a"));
        assert_eq!(listing.held.lock().expect("nobody panicked").len(), 2);
        // Who begins anew with less than is held drives nothing out.
        listing.read(&root, here, None, THREE).expect("it is read");
        assert!(is_held(&listing, &root, HERE, "2") && is_held(&listing, &root, HERE, "e"));
        // Nor does who begins anew and looks at all of what is held.
        listing.read(&root, here, None, THREE).expect("it is read");
        assert_eq!(listing.held.lock().expect("nobody panicked").len(), 3);
    }

    #[test]
    fn another_directory_is_another_one() {
        let (_folder, root, listing) = directory(SystemClock.now_ns() + 3_600_000_000_000);
        root.create_dir("sub").expect("it is made");
        listing.read(&root, Path::new(HERE), None, THREE).expect("it is read");
        assert!(listing.next(&root, Path::new("sub"), "2", THREE).expect("it is there").is_none());
    }
}
