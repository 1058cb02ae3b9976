//! What a call is billed for its files, and what it is told to have changed: by the paths that its guest knows.

use serde_json::json;

use super::Files;
use crate::path::VPath;
use crate::volume::Changes;

/// Says it when the call is over, whatever became of it: what is published once stays so.
pub(super) fn settle(files: &Files) {
    let mut all = Changes::default();
    // Preopens and sessions are of the same mounts, in the same order.
    for ((_, place), (_, session)) in files.preopens.iter().zip(&files.sessions) {
        for (name, count) in session.usage() {
            if count > 0 {
                files.account.count(name, count);
            }
        }
        add(&mut all, session.changes(), place);
    }
    if !all.is_empty() {
        let Changes { added, changed, removed, unnamed } = all;
        files.account.report(json!({ "added": added, "changed": changed, "removed": removed, "unnamed": unnamed }));
    }
}

/// Adds what was changed in one mount. Of all mounts together there are no more names than a session has.
fn add(all: &mut Changes, more: Changes, place: &VPath) {
    let Changes { added, changed, removed, unnamed } = more;
    all.unnamed += unnamed;
    let mut left = Changes::NAMES_MAX - all.added.len() - all.changed.len() - all.removed.len();
    for (list, paths) in [(&mut all.added, added), (&mut all.changed, changed), (&mut all.removed, removed)] {
        for path in paths {
            match named(&path, place, left) {
                Some(path) => {
                    list.push(path);
                    left -= 1;
                }
                None => all.unnamed += 1,
            }
        }
    }
}

/// The path as the guest has it: none where there is no room for it, or where both together are longer than a path may be.
fn named(path: &VPath, place: &VPath, left: usize) -> Option<VPath> {
    path.below(place).ok().filter(|_| left > 0)
}
