//! What we answer otherwise than wasmtime's own filesystem over a directory, and why; each on every backend. A bucket has no hard
//! links: seeds that draw them leave it out.

/// An answer that differs.
pub(super) struct Deviation {
    /// The step's first word.
    pub(super) step: &'static str,
    /// What it is on wasmtime.
    pub(super) stock: &'static str,
    /// What it is on ours.
    pub(super) ours: &'static str,
    /// The reason.
    pub(super) why: &'static str,
}

impl Deviation {
    pub(super) fn holds(&self, step: &str, ours: &str, stock: &str) -> bool {
        step.starts_with(self.step) && self.ours == ours && self.stock == stock
    }
}

const WHICH: &str =
    "link: where both names are wrong the first one is told, as by the kernel; wasmtime opens both directories before";
const LINK: &str =
    "open: a link that is to be a directory, and not followed, is none, as Linux says; wasmtime says `loop`";
const STREAM: &str =
    "streams: who may not read or write is told when the stream is made; on wasmtime streams are made, and fail";

/// All that differ.
///
/// Two more cannot be drawn by chance, since all that comes after them is different: `modules::what_cannot_be_drawn_is_as_said`.
pub(super) const DEVIATIONS: &[Deviation] = &[
    row("fdstat", "directory r-", "directory --", "fdstat: nobody has the right to read bytes of a directory"),
    row(
        "list",
        "..:directory .:directory",
        "noent",
        "list: a directory that was removed while it was open has no names, not even its own",
    ),
    row("link", "notdir", "noent", WHICH),
    row("link", NOT_DIRECTORY, r#"{"err":"no-entry"}"#, WHICH),
    row("open", "loop", "notdir", LINK),
    row("open", r#"{"err":"loop"}"#, NOT_DIRECTORY, LINK),
    row("add", FAILED, BAD, STREAM),
    row("give", FAILED, BAD, STREAM),
    row("take", FAILED, BAD, STREAM),
];

const NOT_DIRECTORY: &str = r#"{"err":"not-directory"}"#;
const FAILED: &str = r#"{"failed":"bad-descriptor"}"#;
const BAD: &str = r#"{"err":"bad-descriptor"}"#;

const fn row(step: &'static str, stock: &'static str, ours: &'static str, why: &'static str) -> Deviation {
    Deviation { step, stock, ours, why }
}
