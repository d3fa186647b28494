//! Checks that need only one step or one graph.

use std::collections::{HashMap, HashSet};

use super::composite::Complete;
use super::draft::{At, BranchDraft, GraphDraft};
use super::fault::FaultKind;
use super::step::Action;
use super::url::parse_url;

/// The faults of a step. It also completes the step: the URL of a callback is parsed.
pub(super) fn step(action: &mut Action) -> Vec<FaultKind> {
    match action {
        Action::Modify(_) => Vec::new(),
        Action::Call(call) => {
            let mut faults = std::mem::take(&mut call.request.faults);
            if !is_function_name(&call.function) {
                faults.insert(0, FaultKind::FunctionName(call.function.clone()));
            }
            faults
        }
        Action::Callback(callback) => {
            let mut faults = std::mem::take(&mut callback.request.faults);
            match parse_url(&callback.url) {
                Ok(target) => callback.target = target,
                Err(error) => faults.insert(0, error.into()),
            }
            faults
        }
    }
}

/// Whether OpenFaaS routes this name: `[-a-zA-Z_0-9.]+`.
fn is_function_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Finds names that are missing or used twice. Outputs and paths use the names as keys. Names that differ only in case are most
/// likely a mistake.
pub(super) fn names(branches: &[BranchDraft]) -> Vec<(FaultKind, At)> {
    let mut known: HashMap<String, &BranchDraft> = HashMap::new();
    let mut faults = Vec::new();
    for branch in branches {
        if branch.name.is_empty() {
            faults.push((FaultKind::UnnamedBranch, branch.at));
        } else if let Some(first) = known.insert(branch.name.to_lowercase(), branch) {
            let (file, line) = (branch.at.file(), branch.at.line());
            let name = first.name.clone();
            faults.push((FaultKind::DuplicateBranch { name, file, line }, first.at));
        }
    }
    faults
}

/// The indices of the branches that each branch of a graph comes after. Unknown names and cycles are faults.
pub(super) fn edges(graph: &GraphDraft) -> (Vec<Vec<usize>>, Vec<(FaultKind, At)>) {
    let mut after = vec![Vec::new(); graph.branches.len()];
    let mut faults = Vec::new();
    let index = |name: &str| graph.branches.iter().position(|branch| branch.name == name);
    let mut reported = HashSet::new();
    for (branch, other, at) in &graph.after {
        let mut known = |name: &String| {
            let found = index(name);
            // A call of `after` with several names repeats the first one.
            if found.is_none() && !graph.branches.is_empty() && reported.insert((name.clone(), at)) {
                faults.push((FaultKind::UnknownBranch(name.clone()), *at));
            }
            found
        };
        if let (Some(branch), Some(other)) = (known(branch), known(other))
            && !after[branch].contains(&other)
        {
            after[branch].push(other);
        }
    }
    // The input of a branch is an object whose fields are in order of definition.
    after.iter_mut().for_each(|others: &mut Vec<usize>| others.sort_unstable());
    for cycle in cycles(&after) {
        let name = |index: &usize| graph.branches[*index].name.clone();
        let last = graph.after.iter().rfind(|(branch, ..)| cycle.iter().any(|index| name(index) == *branch));
        let at = last.map_or(graph.branches[cycle[0]].at, |(_, _, at)| at);
        faults.push((FaultKind::Cycle(cycle.iter().map(name).collect()), at));
    }
    (after, faults)
}

/// Finds cycles: branches each of which comes after the next one. The first and the last are the same. No two cycles share a branch.
fn cycles(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut done = vec![false; after.len()];
    fn visit(at: usize, after: &[Vec<usize>], done: &mut [bool], path: &mut Vec<usize>) -> Option<Vec<usize>> {
        if let Some(start) = path.iter().position(|&other| other == at) {
            let mut cycle = path[start..].to_vec();
            cycle.push(at);
            return Some(cycle);
        }
        if done[at] {
            return None;
        }
        path.push(at);
        let found = after[at].iter().find_map(|&other| visit(other, after, done, path));
        path.pop();
        done[at] = true;
        found
    }
    (0..after.len()).filter_map(|at| visit(at, after, &mut done, &mut Vec::new())).collect()
}

/// The fault of a policy that this number of branches cannot meet. The number is `None` if it is not known.
pub(super) fn complete(complete: Complete, branches: Option<usize>) -> Option<FaultKind> {
    let text = match complete {
        Complete::AtLeast(0) => "`AtLeast(0)` is met before anything begins".to_owned(),
        Complete::AtLeast(count) if branches.is_some_and(|branches| branches < count as usize) => {
            format!("`AtLeast({count})` cannot be met by {} branches", branches.unwrap_or_default())
        }
        Complete::TolerateShare(percent) if percent > 100 => format!("{percent} % of the members cannot fail"),
        _ => return None,
    };
    Some(FaultKind::BadComplete(text))
}
