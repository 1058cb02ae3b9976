//! What one module may have described. A module is small and its description need not be: the engine shares types and
//! names that are used twice, our tree does not.

use super::Type;

/// What may still be described.
pub(crate) struct Budget {
    types: usize,
    name_bytes: usize,
}

impl Budget {
    /// Enough for the largest interfaces in use, some thousand types, several times over.
    const TYPES: usize = 100_000;
    /// Names of parameters, fields, cases and flags, with what it takes to hold each: 160 bytes for each of those types.
    const NAME_BYTES: usize = 16 << 20;

    pub(crate) fn new() -> Self {
        Budget { types: Self::TYPES, name_bytes: Self::NAME_BYTES }
    }

    /// Spends so many types; `None` where that is too many.
    pub(crate) fn types(&mut self, more: usize) -> Option<()> {
        spend(&mut self.types, more)
    }

    /// Copies a name; `None` where it is too much.
    pub(crate) fn name(&mut self, name: &str) -> Option<String> {
        spend(&mut self.name_bytes, size_of::<String>() + name.len())?;
        Some(name.to_owned())
    }

    /// About how many bytes the description takes.
    pub(crate) fn spent(&self) -> u64 {
        ((Self::TYPES - self.types) * size_of::<Type>() + Self::NAME_BYTES - self.name_bytes) as u64
    }
}

fn spend(left: &mut usize, more: usize) -> Option<()> {
    let rest = left.checked_sub(more);
    // Where one thing did not fit nothing does, so that a module cannot have thousands of them begun.
    *left = rest.unwrap_or(0);
    rest.map(drop)
}
