//! From a path to the mount that has it, and what of the path is left there. It looks at nothing: `..` and links are the host's.

use std::path::Path;
use std::sync::OnceLock;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, ErrorCode};

use super::error::{Error, ErrorKind, Result};

/// The place of a mount, as the host takes it.
const HERE: &str = ".";

/// What is to be done, and where.
pub(super) struct At<'p> {
    doing: &'static str,
    pub(super) path: &'p str,
    /// The mount's own.
    pub(super) directory: &'static Descriptor,
    /// The path from there on, which is not empty.
    pub(super) rest: &'p str,
}

impl<'p> At<'p> {
    /// `doing` says what is done, such as `open`, for errors.
    pub(super) fn new(doing: &'static str, path: &'p Path) -> Result<Self> {
        let no = |kind, why: &str| Error::new(kind, format!("cannot {doing} `{}`: {why}", path.display()));
        let text = path.to_str().ok_or_else(|| no(ErrorKind::Invalid, "the path is not UTF-8"))?;
        if !text.starts_with('/') {
            return Err(no(ErrorKind::Invalid, "expected a path from `/` on"));
        }
        let all = lent().ok_or_else(|| no(ErrorKind::Unsupported, NATIVE))?;
        let places = all.iter().map(|(directory, place)| (directory, place.as_str()));
        match find(text, places) {
            Some((directory, rest)) => Ok(At { doing, path: text, directory, rest }),
            None => Err(no(ErrorKind::NoMount, &in_none(all.iter().map(|(_, place)| place.as_str())))),
        }
    }

    /// Whether it is the place of a mount, which is neither made nor removed.
    pub(super) fn is_mount(&self) -> bool {
        self.rest == HERE
    }

    pub(super) fn told(&self, code: ErrorCode) -> Error {
        Error::told(code, format_args!("cannot {} `{}`", self.doing, self.path))
    }

    pub(super) fn told_of_both(&self, to: &At<'_>, code: ErrorCode) -> Error {
        Error::told(code, format_args!("cannot {} `{}` to `{}`", self.doing, self.path, to.path))
    }

    pub(super) fn no_to(&self, to: &At<'_>, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, format!("cannot {} `{}` to `{}`: {why}", self.doing, self.path, to.path))
    }

    pub(super) fn no(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, format!("cannot {} `{}`: {why}", self.doing, self.path))
    }
}

/// The places of all mounts, as the host says them.
pub(super) fn mounts() -> Result<Vec<&'static str>> {
    let all = lent().ok_or_else(|| Error::new(ErrorKind::Unsupported, format!("cannot list the mounts: {NATIVE}")))?;
    Ok(all.iter().map(|(_, place)| place.as_str()).collect())
}

const NATIVE: &str = "files are lent by a host: this is a native program, not a guest";

/// What the host lends, asked once: a mount is there for as long as the guest. `None` where there is no host.
fn lent() -> Option<&'static [(Descriptor, String)]> {
    static LENT: OnceLock<Vec<(Descriptor, String)>> = OnceLock::new();
    cfg!(target_family = "wasm").then(|| LENT.get_or_init(get_directories).as_slice())
}

/// The mount with the longest place that has the path, and the rest of the path.
fn find<'a, 'p, T>(path: &'p str, mounts: impl Iterator<Item = (T, &'a str)>) -> Option<(T, &'p str)> {
    let with_rests = mounts.filter_map(|(mount, place)| Some((mount, below(path, place)?)));
    // The longer the place, the shorter what is left.
    let (mount, rest) = with_rests.min_by_key(|(_, rest)| rest.len())?;
    Some((mount, if rest.is_empty() { HERE } else { rest }))
}

/// What of a path is left behind a place, where it begins with that, name by name.
fn below<'p>(path: &'p str, place: &str) -> Option<&'p str> {
    let (mut rest, mut place) = (path, place.strip_prefix('/')?);
    loop {
        let Some((wanted, next)) = first(place) else { return Some(rest.trim_start_matches('/')) };
        let (found, left) = first(rest)?;
        if found != wanted {
            return None;
        }
        (rest, place) = (left, next);
    }
}

/// The first name of a path, and what is behind it.
fn first(mut path: &str) -> Option<(&str, &str)> {
    loop {
        path = path.trim_start_matches('/');
        let (name, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        match name {
            "" => return None,
            "." => path = rest,
            name => return Some((name, rest)),
        }
    }
}

fn in_none<'a>(places: impl Iterator<Item = &'a str>) -> String {
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    match places.is_empty() {
        true => "there is no mount: whoever runs the module grants some with `fs`".to_owned(),
        false => format!(
            "it lies in none of the mounts: {}",
            places.iter().map(|place| format!("`{place}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_with_the_longest_place_has_a_path() {
        let mounts = ["/data", "/data/in/", "/", "//deep/./er"];
        for (path, place, rest) in [
            ("/data", "/data", "."),
            ("/data/", "/data", "."),
            ("/data/.", "/data", "."),
            ("/data/a", "/data", "a"),
            ("//data//./a/", "/data", "./a/"),
            ("/data/a//b", "/data", "a//b"),
            ("/data/in", "/data/in/", "."),
            ("/data/in/a", "/data/in/", "a"),
            ("/data/inner", "/data", "inner"),
            ("/data/../a", "/data", "../a"),
            ("/../data/a", "/", "../data/a"),
            ("/dat", "/", "dat"),
            ("/deep/er/a", "//deep/./er", "a"),
            ("/", "/", "."),
        ] {
            let found = find(path, mounts.iter().map(|place| (*place, *place)));
            assert_eq!(found, Some((place, rest)), "{path}");
        }
    }

    #[test]
    fn a_path_of_no_mount_is_told_which_there_are() {
        assert_eq!(find("/etc/passwd", [((), "/data"), ((), "etc")].into_iter()), None);
        assert_eq!(
            in_none(["/in", "/data/in", "/data"].into_iter()),
            "it lies in none of the mounts: `/data`, `/data/in`, `/in`"
        );
        assert_eq!(in_none([].into_iter()), "there is no mount: whoever runs the module grants some with `fs`");
    }

    #[test]
    fn a_native_program_has_no_files() {
        let error = At::new("open", Path::new("/data/a")).err().expect("nobody lends it");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let message = "cannot open `/data/a`: files are lent by a host: this is a native program, not a guest";
        assert_eq!(error.to_string(), message);
    }
}
