//! The way along a path, over symbolic links, name by name. It asks nobody: who walks looks each name up and tells it.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::path::{Step, Steps, VPath, leaves};
use crate::vfs::{Follow, HOPS_MAX};

/// A walk through directories, each known by a `T`.
pub(crate) struct Walk<T> {
    root: T,
    /// The directories that were entered, from the root's entries on.
    entered: Vec<(String, T)>,
    ahead: VecDeque<Ahead>,
    follow: Follow,
    hops: u32,
}

enum Ahead {
    Name(String),
    Up,
}

/// What a name turned out to be.
pub(crate) enum Found<T> {
    Directory(T),
    /// With its target.
    Link(T, String),
    Other(T),
}

/// Where a walk ends: a name in a directory, or the root.
pub(crate) struct End<T> {
    /// Without a link on it, the last name perhaps excepted.
    pub(crate) path: VPath,
    /// The directory that has the name; for the root, the root.
    pub(crate) parent: T,
    /// What the name stands for; `None` where it is not there.
    pub(crate) node: Option<T>,
}

impl<T: Clone> Walk<T> {
    pub(crate) fn new(root: T, path: &VPath, follow: Follow) -> Self {
        let ahead = path.names().map(|name| Ahead::Name(name.to_owned())).collect();
        Walk { root, entered: Vec::new(), ahead, follow, hops: 0 }
    }

    /// The next name to look up, with the directory to do it in; `None` where the walk has come to its end.
    pub(crate) fn next(&mut self) -> Result<Option<(T, String)>> {
        loop {
            match self.ahead.pop_front() {
                None => return Ok(None),
                Some(Ahead::Name(name)) => return Ok(Some((self.directory(), name))),
                Some(Ahead::Up) => match self.entered.pop() {
                    Some(_) => {}
                    None => return Err(leaves("..")),
                },
            }
        }
    }

    /// Whether the name of [`next`](Walk::next) is the last one.
    pub(crate) fn is_last(&self) -> bool {
        self.ahead.is_empty()
    }

    /// The path of a name in the directory where the walk is.
    pub(crate) fn path_of(&self, name: &str) -> Result<VPath> {
        let mut text = String::new();
        for name in self.entered.iter().map(|(name, _)| name.as_str()).chain([name]) {
            text.push('/');
            text.push_str(name);
        }
        VPath::new(&text)
    }

    /// Goes on with what the name of [`next`](Walk::next) turned out to be; where the walk ends with it, the end.
    pub(crate) fn found(&mut self, name: String, found: Option<Found<T>>) -> Result<Option<End<T>>> {
        let last = self.ahead.is_empty();
        match found {
            Some(Found::Link(_, target)) if !last || self.follow == Follow::Yes => {
                self.hops += 1;
                if self.hops > HOPS_MAX {
                    let message = format!("the path leads over more than {HOPS_MAX} symbolic links");
                    return Err(Error::new(ErrorKind::Loop, message));
                }
                for step in Steps::parse(&target)?.0.into_iter().rev() {
                    match step {
                        Step::Name(name) => self.ahead.push_front(Ahead::Name(name.to_owned())),
                        Step::Up => self.ahead.push_front(Ahead::Up),
                        Step::Stay => {}
                    }
                }
                Ok(None)
            }
            Some(Found::Directory(node)) if !last => {
                self.entered.push((name, node));
                Ok(None)
            }
            Some(Found::Directory(node) | Found::Link(node, _) | Found::Other(node)) if last => {
                Ok(Some(End { path: self.path_of(&name)?, parent: self.directory(), node: Some(node) }))
            }
            None if last => Ok(Some(End { path: self.path_of(&name)?, parent: self.directory(), node: None })),
            None => Err(Error::not_found(self.path_of(&name)?)),
            Some(_) => Err(Error::not_directory(self.path_of(&name)?)),
        }
    }

    /// The end of a walk that has no names left: the directory where it is.
    pub(crate) fn end(mut self) -> Result<End<T>> {
        match self.entered.pop() {
            None => Ok(End { path: VPath::root(), parent: self.root.clone(), node: Some(self.root) }),
            Some((name, node)) => Ok(End { path: self.path_of(&name)?, parent: self.directory(), node: Some(node) }),
        }
    }

    fn directory(&self) -> T {
        self.entered.last().map_or_else(|| self.root.clone(), |(_, node)| node.clone())
    }
}
