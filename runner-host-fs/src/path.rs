//! Where a file is: parsed once, where a guest's text comes in. Nobody below looks for `..` again.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The bytes that a name may have, as on every system that a guest was written for.
pub const NAME_BYTES_MAX: usize = 255;

/// The bytes that a path may have, as on Linux.
pub const PATH_BYTES_MAX: usize = 4_096;

/// The place of a file in a tree, from the root of the tree. Cheap to clone; in the order of a walk through the tree.
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
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VPath(Arc<str>);

impl VPath {
    /// The root of a tree.
    pub fn root() -> Self {
        VPath(Arc::from(""))
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
        let steps = Steps::parse(text)?;
        let mut joined = self.0.to_string();
        for step in steps.0 {
            match step {
                Step::Stay => {}
                Step::Name(name) => push(&mut joined, name),
                Step::Up if joined.len() > self.0.len() => {
                    joined.truncate(joined.rfind('/').unwrap_or(0).max(self.0.len()));
                }
                Step::Up => return Err(leaves(text)),
            }
        }
        Self::checked(joined)
    }

    /// The path of an entry of this directory; the name is one of a path already.
    ///
    /// # Errors
    ///
    /// [`NameTooLong`](ErrorKind::NameTooLong) where the path is, [`IllegalName`](ErrorKind::IllegalName) for what is no name.
    pub fn child(&self, name: &str) -> Result<Self> {
        match Steps::parse(name)?.0.as_slice() {
            [Step::Name(_)] if !name.contains('/') => {}
            _ => return Err(Error::new(ErrorKind::IllegalName, format!("`{name}` is no name of a file"))),
        }
        let mut joined = self.0.to_string();
        push(&mut joined, name);
        Self::checked(joined)
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
            _ => Self::checked(format!("{}/{}", above.0, self.0)),
        }
    }

    /// What is left of this path from another one on; `None` where it is not below it.
    pub fn strip(&self, above: &VPath) -> Option<Self> {
        let rest = self.0.strip_prefix(&*above.0)?;
        match (above.is_root() || rest.is_empty(), rest.strip_prefix('/')) {
            (true, _) => Some(VPath(Arc::from(rest))),
            (false, Some(rest)) => Some(VPath(Arc::from(rest))),
            (false, None) => None,
        }
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is another path, or lies below it.
    pub fn starts_with(&self, above: &VPath) -> bool {
        self.strip(above).is_some()
    }

    /// The directory that it lies in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.is_root() {
            true => None,
            false => Some(VPath(Arc::from(&self.0[..self.0.rfind('/').unwrap_or(0)]))),
        }
    }

    /// Its last name; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.names().next_back()
    }

    /// Its names, from the root on.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Its text without a `/` before it; empty for the root.
    pub fn as_relative(&self) -> &str {
        &self.0
    }

    fn checked(joined: String) -> Result<Self> {
        // One for the `/` before it, as the guest may write it.
        match joined.len() < PATH_BYTES_MAX {
            true => Ok(VPath(Arc::from(joined))),
            false => Err(too_long("path", joined.len() + 1, PATH_BYTES_MAX)),
        }
    }
}

impl fmt::Display for VPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
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

/// A path as a guest writes it, relative.
pub(crate) struct Steps<'a>(pub(crate) Vec<Step<'a>>);

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
        let mut steps = Vec::new();
        for name in text.split('/') {
            steps.push(match name {
                "" | "." => Step::Stay,
                ".." => Step::Up,
                name if name.len() > NAME_BYTES_MAX => return Err(too_long("name", name.len(), NAME_BYTES_MAX)),
                name => Step::Name(name),
            });
        }
        Ok(Steps(steps))
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
