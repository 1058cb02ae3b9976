//! What a Task names as its doer: a URI of ours, or an ARN as AWS spells it.

use serde::{Deserialize, Serialize};

/// A task's `Resource`, taken apart.
///
/// ```
/// use runner_workflow::{Family, Pattern, Resource};
///
/// let wasm = Resource::new("wasm:orders@1#total");
/// assert_eq!((wasm.kind(), wasm.name()), ("wasm", "orders@1#total"));
///
/// let queue = Resource::new("arn:aws:states:::sqs:sendMessage.waitForTaskToken");
/// assert_eq!((queue.kind(), queue.name()), ("sqs", "sendMessage.waitForTaskToken"));
/// assert_eq!(queue.pattern(), Pattern::Callback);
///
/// let lambda = Resource::new("arn:aws:lambda:us-east-1:111111111111:function:f");
/// assert_eq!(lambda.family(), Family::Lambda);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Resource {
    text: String,
    family: Family,
    /// Where in the text the kind ends and the name begins.
    name: usize,
    kind: (usize, usize),
}

/// How the history speaks of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A Lambda function by its own ARN.
    Lambda,
    /// An activity, which asks for its work.
    Activity,
    /// Everything else.
    Service,
}

/// When a task counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pattern {
    /// When it has answered.
    RequestResponse,
    /// `.sync`: when what it began has ended.
    Sync,
    /// `.waitForTaskToken`: when somebody brings its token back.
    Callback,
}

impl Resource {
    /// Takes a resource apart. Any text is one; whether it can be done is for whoever does it to say.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let place = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
        let (family, kind, name) = match parts.as_slice() {
            ["arn", _, "lambda", .., _] => (Family::Lambda, (0, 0), 0),
            ["arn", _, "states", _, _, rest] if rest.starts_with("activity:") => (Family::Activity, (0, 0), 0),
            ["arn", _, "states", _, _, rest] => {
                // `aws-sdk:s3:getObject` is of the kind `aws-sdk:s3`; the name may end with `.sync:2`.
                let kind = match rest.strip_prefix("aws-sdk:") {
                    Some(service) => "aws-sdk:".len() + service.find(':').unwrap_or(service.len()),
                    None => rest.find(':').unwrap_or(rest.len()),
                };
                (Family::Service, (place(rest), place(rest) + kind), (place(rest) + kind + 1).min(text.len()))
            }
            _ => {
                let kind = text.find(':').unwrap_or(0);
                (Family::Service, (0, kind), if kind == 0 { 0 } else { kind + 1 })
            }
        };
        Self { text: text.to_owned(), family, name, kind }
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How the history speaks of it.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The history's `resourceType`: a service of AWS, or the scheme of a URI.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.text[self.kind.0..self.kind.1]
    }

    /// The history's `resource`: what comes after the kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.name..]
    }

    /// When it counts as done.
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        if self.family == Family::Activity || self.text.ends_with(".waitForTaskToken") {
            Pattern::Callback
        } else if self.text.ends_with(".sync") || self.text.ends_with(".sync:2") {
            Pattern::Sync
        } else {
            Pattern::RequestResponse
        }
    }

    /// How messages name it: the service, or the whole ARN.
    pub(crate) fn shown(&self) -> &str {
        if self.family == Family::Service && !self.kind().is_empty() { self.kind() } else { &self.text }
    }
}

impl From<String> for Resource {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> Self {
        resource.text
    }
}
