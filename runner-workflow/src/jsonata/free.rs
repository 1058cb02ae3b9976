//! Which names an expression reads and does not bind itself.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};

use super::prepare::children;

/// The functions of the language, and those of the States Language besides: as values they are called by name without being
/// variables.
const FUNCTIONS: [&str; 68] = [
    "abs",
    "append",
    "assert",
    "average",
    "base64decode",
    "base64encode",
    "boolean",
    "ceil",
    "contains",
    "count",
    "decodeUrl",
    "decodeUrlComponent",
    "distinct",
    "each",
    "encodeUrl",
    "encodeUrlComponent",
    "error",
    "exists",
    "filter",
    "floor",
    "formatBase",
    "formatInteger",
    "formatNumber",
    "fromMillis",
    "hash",
    "join",
    "keys",
    "length",
    "lookup",
    "lowercase",
    "map",
    "match",
    "max",
    "merge",
    "millis",
    "min",
    "not",
    "now",
    "number",
    "pad",
    "parse",
    "parseInteger",
    "partition",
    "power",
    "random",
    "range",
    "reduce",
    "replace",
    "reverse",
    "round",
    "shuffle",
    "sift",
    "single",
    "sort",
    "split",
    "spread",
    "sqrt",
    "string",
    "substring",
    "substringAfter",
    "substringBefore",
    "sum",
    "toMillis",
    "trim",
    "type",
    "uppercase",
    "uuid",
    "zip",
];

pub(super) fn free(node: &AstNode) -> BTreeSet<String> {
    let mut names = Names { bound: Vec::new(), free: BTreeSet::new() };
    names.read(node);
    names.free
}

struct Names {
    /// Those that are bound here, innermost last.
    bound: Vec<String>,
    free: BTreeSet<String>,
}

impl Names {
    fn read(&mut self, node: &AstNode) {
        match node {
            AstNode::Variable(name) => {
                let is_own = name.is_empty() || self.bound.contains(name) || FUNCTIONS.contains(&name.as_str());
                if !is_own {
                    self.free.insert(name.clone());
                }
            }
            AstNode::Binary { op: BinaryOp::ColonEqual, lhs, rhs } => {
                let AstNode::Variable(name) = &**lhs else { return self.read(rhs) };
                // A function may call itself; nothing else sees its own name.
                let is_function = matches!(**rhs, AstNode::Lambda { .. });
                if is_function {
                    self.bound.push(name.clone());
                }
                self.read(rhs);
                if !is_function {
                    self.bound.push(name.clone());
                }
            }
            AstNode::Block(items) => self.within(|names| items.iter().for_each(|item| names.read(item))),
            AstNode::Lambda { params, body, .. } => self.within(|names| {
                names.bound.extend(params.iter().map(|name| name.trim_start_matches('$').to_owned()));
                names.read(body);
            }),
            // What a step binds is seen by the steps behind it, and by what sorts or groups them.
            AstNode::Path { steps } => steps.iter().for_each(|step| self.step(step)),
            other => children(other, &mut |child| self.read(child)),
        }
    }

    fn step(&mut self, step: &PathStep) {
        self.read(&step.node);
        self.bound.extend([&step.focus, &step.index_var].into_iter().flatten().cloned());
        for stage in &step.stages {
            if let Stage::Filter(condition) = stage {
                self.read(condition);
            }
        }
    }

    fn within(&mut self, read: impl FnOnce(&mut Self)) {
        let bound = self.bound.len();
        read(self);
        self.bound.truncate(bound);
    }
}
