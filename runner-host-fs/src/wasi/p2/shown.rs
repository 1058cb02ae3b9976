//! What a host call has shown, for the one that comes right behind it: C libraries ask for a file's hash and then for its stat, for
//! an entry of a directory and then for its hash, and make one answer of both. So both tell of the same file, and it is looked at
//! once.

use runner_core::View;

use super::Files;
use super::bindings::wasi::filesystem::types::PathFlags;
use super::values::identity;
use crate::path::VPath;
use crate::vfs::{Kind, Stat};

/// What the last host call has shown.
pub(in crate::wasi) struct Shown {
    what: What,
    seen: Seen,
    /// The number of the host call.
    call: u64,
}

/// By what a guest asks about a file.
#[derive(PartialEq, Eq)]
pub(super) enum What {
    /// By the index of a descriptor.
    Descriptor(u32),
    /// By a path from a directory.
    Path { directory: VPath, text: String, flags: PathFlags },
}

/// What was seen, for a question of the other sort: who asks the same again wants to know what is there by now.
pub(super) enum Seen {
    /// By one who asked for a hash, for one who asks for a stat.
    Hashed(Stat),
    /// By one who asked for a stat, or an entry, for one who asks for a hash.
    Known { kind: Kind, identity: (u64, u64) },
}

impl Seen {
    pub(super) fn stat(stat: &Stat) -> Self {
        Seen::Known { kind: stat.kind, identity: identity(stat) }
    }

    fn is_link(&self) -> bool {
        matches!(self, Seen::Hashed(Stat { kind: Kind::Symlink, .. }) | Seen::Known { kind: Kind::Symlink, .. })
    }
}

impl What {
    /// Whether it is the same file, seen as it was.
    fn is(&self, other: &What, seen: &Seen) -> bool {
        match (self, other) {
            (What::Path { directory, text, flags }, What::Path { directory: there, text: asked, flags: how }) => {
                // What is no link is the same thing, followed or not.
                text == asked && directory == there && (flags == how || !seen.is_link())
            }
            _ => self == other,
        }
    }
}

/// Keeps what this host call shows, for the next one.
pub(super) fn show(view: &mut View<'_, Files>, what: What, seen: Seen) {
    let call = view.host_calls();
    view.shown = Some(Shown { what, seen, call });
}

/// The stat that the host call before this one has seen, where it looked at the same.
pub(super) fn shown_stat(view: &mut View<'_, Files>, what: &What) -> Option<Stat> {
    match shown(view, what)? {
        Seen::Hashed(stat) => Some(stat),
        Seen::Known { .. } => None,
    }
}

/// The identity that the host call before this one has shown, where that was of the same.
pub(super) fn shown_identity(view: &mut View<'_, Files>, what: &What) -> Option<(u64, u64)> {
    match shown(view, what)? {
        Seen::Known { identity, .. } => Some(identity),
        Seen::Hashed(_) => None,
    }
}

fn shown(view: &mut View<'_, Files>, what: &What) -> Option<Seen> {
    let call = view.host_calls();
    let shown = view.shown.take().filter(|shown| shown.call + 1 == call)?;
    shown.what.is(what, &shown.seen).then_some(shown.seen)
}
