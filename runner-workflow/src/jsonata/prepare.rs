//! What happens to a parsed expression before it may run: what it reads is found, and where it could go on for ever a step
//! is counted.

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};

use super::free::free;
use super::{Reads, Wanted};

/// The function that counts a step, the one that looks at what was joined, and the variable that holds the time. No
/// expression can write these names.
pub(super) const STEP: &str = "runner:step";
pub(super) const FIT: &str = "runner:fit";
pub(super) const NOW: &str = "runner:now";

/// What the expression reads. `$eval` is refused: text that becomes code cannot be looked at beforehand.
pub(super) fn reads(node: &AstNode) -> Result<Reads, String> {
    let mut reads = Reads::default();
    // Where `%`, `*` or `**` may look around, nothing can be left out.
    let looks_around =
        find(node, &mut |node| matches!(node, AstNode::Parent(_) | AstNode::Descendant | AstNode::Wildcard));
    collect(node, looks_around, &mut reads);
    reads.free = free(node);
    if reads.functions.contains("eval") || reads.variables.contains_key("eval") {
        return Err("the function $eval is not supported".into());
    }
    Ok(reads)
}

fn find(node: &AstNode, is_wanted: &mut impl FnMut(&AstNode) -> bool) -> bool {
    let mut found = is_wanted(node);
    if !found {
        children(node, &mut |child| found = found || find(child, is_wanted));
    }
    found
}

fn collect(node: &AstNode, whole: bool, reads: &mut Reads) {
    let mut read = |name: &str, keys: &[&str]| {
        let wanted = reads.variables.entry(name.to_owned()).or_insert_with(Wanted::nothing);
        wanted.add(if whole { &[] } else { keys }.iter().copied());
    };
    match node {
        AstNode::Variable(name) => read(name, &[]),
        AstNode::Function { name, .. } => {
            reads.functions.insert(name.clone());
        }
        AstNode::Path { steps } => {
            if let Some((PathStep { node: AstNode::Variable(name), stages, .. }, rest)) = steps.split_first() {
                let plain =
                    |step: &PathStep| step.stages.is_empty() && step.focus.is_none() && step.index_var.is_none();
                let mut keys = Vec::new();
                for step in if stages.is_empty() { rest } else { &[] } {
                    let AstNode::Name(key) = &step.node else { break };
                    keys.push(key.as_str());
                    if !plain(step) {
                        break;
                    }
                }
                read(name, &keys);
                // The first step is read already; the others, and every condition, may read more.
                stages.iter().for_each(|stage| in_stage(stage, whole, reads));
                for step in rest {
                    collect(&step.node, whole, reads);
                    step.stages.iter().for_each(|stage| in_stage(stage, whole, reads));
                }
                return;
            }
        }
        _ => {}
    }
    children(node, &mut |child| collect(child, whole, reads));
}

fn in_stage(stage: &Stage, whole: bool, reads: &mut Reads) {
    if let Stage::Filter(condition) = stage {
        collect(condition, whole, reads);
    }
}

pub(super) fn children<'n>(node: &'n AstNode, each: &mut impl FnMut(&'n AstNode)) {
    match node {
        AstNode::Path { steps } => {
            for step in steps {
                each(&step.node);
                for stage in &step.stages {
                    if let Stage::Filter(condition) = stage {
                        each(condition);
                    }
                }
            }
        }
        AstNode::Binary { lhs, rhs, .. } => {
            each(lhs);
            each(rhs);
        }
        AstNode::Unary { operand, .. } => each(operand),
        AstNode::Function { args, .. } => args.iter().for_each(each),
        AstNode::Call { procedure, args } => {
            each(procedure);
            args.iter().for_each(each);
        }
        AstNode::Lambda { body, .. } => each(body),
        AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => items.iter().for_each(each),
        AstNode::Object(pairs) => pairs.iter().for_each(|(key, value)| {
            each(key);
            each(value);
        }),
        AstNode::ObjectTransform { input, pattern } => {
            each(input);
            for (key, value) in pattern {
                each(key);
                each(value);
            }
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            each(condition);
            each(then_branch);
            if let Some(other) = else_branch {
                each(other);
            }
        }
        AstNode::FunctionApplication(inner) => each(inner),
        AstNode::Sort { input, terms } => {
            each(input);
            terms.iter().for_each(|(term, _)| each(term));
        }
        AstNode::Transform { location, update, delete } => {
            each(location);
            each(update);
            if let Some(delete) = delete {
                each(delete);
            }
        }
        AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => {}
    }
}

/// The same expression, counting a step wherever a function or a mapped step begins, and with the time from outside.
pub(super) fn bounded(mut node: AstNode) -> AstNode {
    bound(&mut node);
    node
}

fn bound(node: &mut AstNode) {
    match node {
        AstNode::Lambda { body, .. } => {
            bound(body);
            count(body);
        }
        AstNode::FunctionApplication(inner) => {
            bound(inner);
            count(inner);
        }
        AstNode::Path { steps } => {
            for (place, step) in steps.iter_mut().enumerate() {
                bound(&mut step.node);
                if place > 0 && matches!(step.node, AstNode::Block(_)) {
                    count(&mut step.node);
                }
                for stage in &mut step.stages {
                    if let Stage::Filter(condition) = stage {
                        bound(condition);
                        if matches!(**condition, AstNode::Binary { .. } | AstNode::Conditional { .. }) {
                            count(condition);
                        }
                    }
                }
            }
        }
        AstNode::Function { name, args, .. } if name == "now" => {
            args.iter_mut().for_each(bound);
            args.insert(0, AstNode::Variable(NOW.into()));
            *name = "fromMillis".into();
        }
        AstNode::Function { name, .. } if name == "millis" => *node = AstNode::Variable(NOW.into()),
        AstNode::Function { args, .. } => args.iter_mut().for_each(bound),
        AstNode::Call { procedure, args } => {
            bound(procedure);
            args.iter_mut().for_each(bound);
        }
        AstNode::Binary { op, lhs, rhs } => {
            bound(lhs);
            bound(rhs);
            // A text that is joined to itself again and again doubles each time.
            if *op == BinaryOp::Concatenate {
                fit(node);
            }
        }
        AstNode::Unary { operand, .. } => bound(operand),
        AstNode::Array(items) | AstNode::ArrayGroup(items) => {
            for item in items {
                bound(item);
                // An array that stands in another as what a variable or a call gives becomes part of it, and doubles likewise.
                if matches!(
                    item,
                    AstNode::Variable(_)
                        | AstNode::Path { .. }
                        | AstNode::Block(_)
                        | AstNode::Conditional { .. }
                        | AstNode::Call { .. }
                        | AstNode::Function { .. }
                ) {
                    fit(item);
                }
            }
        }
        AstNode::Block(items) => items.iter_mut().for_each(bound),
        AstNode::Object(pairs) => pairs.iter_mut().for_each(|(key, value)| {
            bound(key);
            bound(value);
        }),
        AstNode::ObjectTransform { input, pattern } => {
            bound(input);
            for (key, value) in pattern {
                bound(key);
                bound(value);
            }
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            bound(condition);
            bound(then_branch);
            if let Some(other) = else_branch {
                bound(other);
            }
        }
        AstNode::Sort { input, terms } => {
            bound(input);
            terms.iter_mut().for_each(|(term, _)| bound(term));
        }
        AstNode::Transform { location, update, delete } => {
            bound(location);
            bound(update);
            if let Some(delete) = delete {
                bound(delete);
            }
        }
        _ => {}
    }
}

fn fit(node: &mut AstNode) {
    let inner = std::mem::replace(node, AstNode::Undefined);
    *node = AstNode::Function { name: FIT.into(), args: vec![inner], is_builtin: true };
}

fn count(node: &mut AstNode) {
    let step = AstNode::Function { name: STEP.into(), args: Vec::new(), is_builtin: true };
    let inner = std::mem::replace(node, AstNode::Undefined);
    *node = match inner {
        AstNode::Block(mut items) => {
            items.insert(0, step);
            AstNode::Block(items)
        }
        other => AstNode::Block(vec![step, other]),
    };
}
