//! Where a file is: parsed once, where a guest's text comes in. Nobody below looks for `..` again.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The bytes that a name may have, as on every system that a guest was written for.
pub const NAME_BYTES_MAX: usize = 255;

/// The bytes that a path may have, as on Linux.
pub const PATH_BYTES_MAX: usize = 4_096;

/// The place of a file in a tree, from the root of the tree. Cheap to clone, and to take a part of; in the order of a walk through the tree.
///
/// It has no empty name, no `.` and no `..`. Names are UTF-8, as WASI's strings are, and have any character but `/` and NUL.
///
/// ```
/// use runner_host_fs::{ErrorKind, VPath};
///
/// let path = VPath::new("/photos//2024/./cat.png")?;
/// assert_eq!(path.to_string(), "/photos/2024/cat.png");
/// assert_eq!(path.name(), Some("cat.png"));
/// assert_eq!(path.parent(), Some(VPath::new("photos/2024")?));
/// assert_eq!(VPath::new("photos/../../etc").unwrap_err().kind(), ErrorKind::NotPermitted);
/// # Ok::<(), runner_host_fs::Error>(())
/// ```
#[derive(Clone)]
pub struct VPath {
    /// Of this path, or of one that it is a part of.
    text: Arc<str>,
    start: u16,
    end: u16,
}

impl VPath {
    /// The root of a tree.
    pub fn root() -> Self {
        VPath { text: Arc::default(), start: 0, end: 0 }
    }

    /// Parses a path from the root, with or without a `/` before it. `/` and `.` are the root.
    ///
    /// A repeated `/` is one, as POSIX has it. `..` takes back the name before it, whatever that is; where symbolic links
    /// are to be heeded, there is [`VfsExt::locate`](crate::VfsExt::locate).
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) where it is empty, [`NotPermitted`](ErrorKind::NotPermitted) where it leaves the
    /// root, [`NameTooLong`](ErrorKind::NameTooLong), [`IllegalName`](ErrorKind::IllegalName) where it contains NUL.
    pub fn new(text: &str) -> Result<Self> {
        Self::root().join(text.strip_prefix('/').map_or(text, |rest| if rest.is_empty() { "." } else { rest }))
    }

    /// The same of bytes that a guest gave, which must be UTF-8: [`IllegalName`](ErrorKind::IllegalName) where they are not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::new(text(bytes)?)
    }

    /// Parses a path from this directory, which cannot be left: [`NotPermitted`](ErrorKind::NotPermitted) for one that
    /// begins with `/`, and for one that has a `..` too many. Else as [`new`](VPath::new).
    pub fn join(&self, text: &str) -> Result<Self> {
        let above = self.as_relative().len();
        let mut joined = self.with_room_for(text);
        for step in Steps::parse(text)?.iter() {
            match step {
                Step::Stay => {}
                Step::Name(name) => push(&mut joined, name),
                Step::Up if joined.len() > above => {
                    joined.truncate(joined.rfind('/').unwrap_or(0).max(above));
                }
                Step::Up => return Err(leaves(text)),
            }
        }
        Self::checked(&joined)
    }

    /// The path of an entry of this directory; the name is one of a path already.
    ///
    /// # Errors
    ///
    /// [`NameTooLong`](ErrorKind::NameTooLong) where the path is, [`IllegalName`](ErrorKind::IllegalName) for what is no name.
    pub fn child(&self, name: &str) -> Result<Self> {
        match Step::of(name) {
            Step::Name(name) if !name.contains(['/', '\0']) => check_name(name)?,
            _ => return Err(Error::new(ErrorKind::IllegalName, format!("`{name}` is no name of a file"))),
        }
        let mut joined = self.with_room_for(name);
        push(&mut joined, name);
        Self::checked(&joined)
    }

    /// This path below another: `a/b` below `x` is `x/a/b`.
    ///
    /// # Errors
    ///
    /// [`NameTooLong`](ErrorKind::NameTooLong) where both together are.
    pub fn below(&self, above: &VPath) -> Result<Self> {
        match (above.is_root(), self.is_root()) {
            (true, _) => Ok(self.clone()),
            (_, true) => Ok(above.clone()),
            _ => {
                let mut joined = above.with_room_for(self.as_relative());
                push(&mut joined, self.as_relative());
                Self::checked(&joined)
            }
        }
    }

    /// What is left of this path from another one on; `None` where it is not below it.
    pub fn strip(&self, above: &VPath) -> Option<Self> {
        let rest = self.as_relative().strip_prefix(above.as_relative())?;
        let rest = match above.is_root() || rest.is_empty() {
            true => rest,
            false => rest.strip_prefix('/')?,
        };
        Some(self.part(self.as_relative().len() - rest.len(), self.as_relative().len()))
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.start == self.end
    }

    /// Whether it is another path, or lies below it.
    pub fn starts_with(&self, above: &VPath) -> bool {
        self.strip(above).is_some()
    }

    /// The directory that it lies in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.is_root() {
            true => None,
            false => Some(self.part(0, self.as_relative().rfind('/').unwrap_or(0))),
        }
    }

    /// Its last name; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.names().next_back()
    }

    /// Its names, from the root on.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_relative().split('/').filter(|name| !name.is_empty())
    }

    /// Its text without a `/` before it; empty for the root.
    pub fn as_relative(&self) -> &str {
        &self.text[usize::from(self.start)..usize::from(self.end)]
    }

    /// A part of it that is a path, by where it begins and ends in the text. Nothing is copied.
    pub(crate) fn part(&self, start: usize, end: usize) -> Self {
        let at = |index: usize| self.start + u16::try_from(index).expect("it lies in the text");
        VPath { text: Arc::clone(&self.text), start: at(start), end: at(end) }
    }

    fn with_room_for(&self, more: &str) -> String {
        let mut text = String::with_capacity(self.as_relative().len() + 1 + more.len());
        text.push_str(self.as_relative());
        text
    }

    fn checked(joined: &str) -> Result<Self> {
        // One for the `/` before it, as the guest may write it.
        match u16::try_from(joined.len()) {
            Ok(end) if joined.len() < PATH_BYTES_MAX => Ok(VPath { text: Arc::from(joined), start: 0, end }),
            _ => Err(too_long("path", joined.len() + 1, PATH_BYTES_MAX)),
        }
    }
}

impl PartialEq for VPath {
    fn eq(&self, other: &Self) -> bool {
        self.as_relative() == other.as_relative()
    }
}

impl Eq for VPath {}

impl Hash for VPath {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.as_relative().hash(hasher);
    }
}

impl fmt::Display for VPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.as_relative())
    }
}

impl fmt::Debug for VPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl Ord for VPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // Name by name: as text, `a.b` would come between `a` and `a/b`.
        self.names().cmp(other.names())
    }
}

impl PartialOrd for VPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As text, from the root on.
impl serde::Serialize for VPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From text, as [`VPath::new`] reads it.
impl<'de> serde::Deserialize<'de> for VPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        VPath::new(&text).map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for VPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        VPath::new(text)
    }
}

/// One step of a path as a guest writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Name(&'a str),
    Up,
    /// A `.`, or a `/` at the end: what is before it has to be a directory.
    Stay,
}

/// A path as a guest writes it, relative, and of no name that is too long.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a>(&'a str);

impl<'a> Steps<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "the path is empty: `.` is the directory itself"));
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(too_long("path", text.len(), PATH_BYTES_MAX));
        }
        if text.contains('\0') {
            return Err(Error::new(ErrorKind::IllegalName, "the path contains NUL"));
        }
        if text.starts_with('/') {
            return Err(leaves(text));
        }
        text.split('/').try_for_each(check_name)?;
        Ok(Steps(text))
    }

    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = Step<'a>> {
        self.0.split('/').map(Step::of)
    }
}

impl<'a> Step<'a> {
    /// What stands between two `/`.
    fn of(name: &'a str) -> Self {
        match name {
            "" | "." => Step::Stay,
            ".." => Step::Up,
            name => Step::Name(name),
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    match name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => Err(too_long("name", name.len(), NAME_BYTES_MAX)),
    }
}

/// What a guest gave as a name, as text.
fn text(bytes: &[u8]) -> Result<&str> {
    let illegal = |error| Error::new(ErrorKind::IllegalName, "the path is not UTF-8").caused_by(error);
    std::str::from_utf8(bytes).map_err(illegal)
}

pub(crate) fn leaves(text: &str) -> Error {
    Error::new(ErrorKind::NotPermitted, format!("path `{text}` leads out of its directory"))
}

fn too_long(what: &str, found: usize, allowed: usize) -> Error {
    Error::new(ErrorKind::NameTooLong, format!("the {what} has {found} bytes, {allowed} are allowed"))
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
}
