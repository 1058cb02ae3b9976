//! The way along a path, over symbolic links, name by name. It asks nobody: who walks looks each name up and tells it.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::path::{Step, Steps, VPath, leaves};
use crate::vfs::{Follow, HOPS_MAX};

/// A walk through directories, each known by a `T`.
pub(crate) struct Walk<T> {
    root: T,
    /// The directories that were entered, from the root's entries on.
    entered: Vec<T>,
    path: VPath,
    /// Bytes of the path that are walked: as long as no link was followed, nothing needs to be copied.
    walked: usize,
    linked: Option<Linked>,
    follow: Follow,
    hops: u32,
}

/// The way once it has led over a link.
struct Linked {
    /// The names of the directories that were entered.
    entered: Vec<VPath>,
    ahead: VecDeque<Ahead>,
}

enum Ahead {
    /// A path of one name.
    Name(VPath),
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
        Walk { root, entered: Vec::new(), path: path.clone(), walked: 0, linked: None, follow, hops: 0 }
    }

    /// The next name to look up, as a path of one, with the directory to do it in; `None` where the walk has come to its end.
    pub(crate) fn next(&mut self) -> Result<Option<(T, VPath)>> {
        let name = match &mut self.linked {
            None => {
                let text = self.path.as_relative();
                if self.walked == text.len() {
                    return Ok(None);
                }
                let start = if self.walked == 0 { 0 } else { self.walked + 1 };
                self.walked = text[start..].find('/').map_or(text.len(), |length| start + length);
                self.path.part(start, self.walked)
            }
            Some(linked) => loop {
                match linked.ahead.pop_front() {
                    None => return Ok(None),
                    Some(Ahead::Name(name)) => break name,
                    Some(Ahead::Up) => {
                        linked.entered.pop();
                        self.entered.pop().ok_or_else(|| leaves(".."))?;
                    }
                }
            },
        };
        Ok(Some((self.directory(), name)))
    }

    /// Whether the name of [`next`](Walk::next) is the last one.
    pub(crate) fn is_last(&self) -> bool {
        match &self.linked {
            None => self.walked == self.path.as_relative().len(),
            Some(linked) => linked.ahead.is_empty(),
        }
    }

    /// The path of the name of [`next`](Walk::next), in the directory where the walk is.
    pub(crate) fn path_of(&self, name: &VPath) -> Result<VPath> {
        match &self.linked {
            None => Ok(self.path.part(0, self.walked)),
            Some(linked) => joined(linked.entered.iter().chain([name])),
        }
    }

    /// Goes on with what the name of [`next`](Walk::next) turned out to be; where the walk ends with it, the end.
    pub(crate) fn found(&mut self, name: VPath, found: Option<Found<T>>) -> Result<Option<End<T>>> {
        let last = self.is_last();
        match found {
            Some(Found::Link(_, target)) if !last || self.follow == Follow::Yes => {
                self.hops += 1;
                if self.hops > HOPS_MAX {
                    let message = format!("the path leads over more than {HOPS_MAX} symbolic links");
                    return Err(Error::new(ErrorKind::Loop, message));
                }
                let steps = Steps::parse(&target)?;
                let linked = self.linked()?;
                for step in steps.iter().rev() {
                    match step {
                        Step::Name(name) => linked.ahead.push_front(Ahead::Name(VPath::root().child(name)?)),
                        Step::Up => linked.ahead.push_front(Ahead::Up),
                        Step::Stay => {}
                    }
                }
                Ok(None)
            }
            Some(Found::Directory(node)) if !last => {
                self.entered.push(node);
                if let Some(linked) = &mut self.linked {
                    linked.entered.push(name);
                }
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
        let path = match &self.linked {
            None => self.path.clone(),
            Some(linked) => joined(&linked.entered)?,
        };
        let node = self.entered.pop().unwrap_or_else(|| self.root.clone());
        Ok(End { path, parent: self.directory(), node: Some(node) })
    }

    fn directory(&self) -> T {
        self.entered.last().unwrap_or(&self.root).clone()
    }

    /// The way by names, now that it leads over a link.
    fn linked(&mut self) -> Result<&mut Linked> {
        let linked = match self.linked.take() {
            Some(linked) => linked,
            None => {
                let name = |name: &str| VPath::root().child(name);
                let entered = self.path.names().take(self.entered.len()).map(name).collect::<Result<_>>()?;
                let rest = self.path.part(self.walked, self.path.as_relative().len());
                let ahead = rest.names().map(|text| Ok(Ahead::Name(name(text)?))).collect::<Result<_>>()?;
                Linked { entered, ahead }
            }
        };
        Ok(self.linked.insert(linked))
    }
}

/// The path that names make together.
fn joined<'a>(names: impl IntoIterator<Item = &'a VPath>) -> Result<VPath> {
    let mut text = String::new();
    for name in names {
        text.push('/');
        text.push_str(name.as_relative());
    }
    VPath::new(if text.is_empty() { "/" } else { &text })
}
