//! How drawings name the elements of a flow.

use faasflow_core::Complete;
use faasflow_core::description::{
    ActionDescription, BranchDescription, CompositeDescription, Description, StepDescription,
};
use faasflow_core::is_unseen;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text for a step, without its number.
pub(crate) fn step(step: &StepDescription) -> String {
    clean(&match &step.action {
        ActionDescription::Call { function, sync, .. } => {
            format!("{function}{}", if *sync { " (sync)" } else { "" })
        }
        ActionDescription::Callback { url, .. } => format!("callback {url}"),
        _ => step.name.clone(),
    })
}

/// A text for a composite, with its options.
pub(crate) fn composite(composite: &CompositeDescription) -> String {
    let mut text = String::new();
    let options: Vec<Option<String>> = match composite {
        CompositeDescription::Graph { complete, join, branches } => {
            text.push_str(&match branches.len() {
                1 => "graph of 1 branch".to_owned(),
                count => format!("graph of {count} branches"),
            });
            vec![policy(*complete), join.then(|| "joined by your code".to_owned())]
        }
        CompositeDescription::ForEach { complete, at_most, within, split, collect, item } => {
            text.push_str("for each item");
            vec![
                Some(format!("at most {at_most} at once")),
                split.then(|| "split by your code".to_owned()),
                policy(*complete),
                within.as_ref().map(|time| format!("each within {time}")),
                collect.then(|| "collected by your code".to_owned()),
                item.on_failure.then(|| "failure handler".to_owned()),
            ]
        }
        CompositeDescription::Flow { name, body } => {
            text.push_str(&format!("flow {name}"));
            vec![body.on_failure.then(|| "failure handler".to_owned())]
        }
        _ => {
            text.push_str("choice");
            Vec::new()
        }
    };
    options.into_iter().flatten().for_each(|option| text.extend([", ", &option]));
    clean(&text)
}

/// The options of a graph that are not the default.
pub(crate) fn graph_options(graph: &CompositeDescription) -> Option<String> {
    let text = composite(graph);
    text.split_once(", ").map(|(_, options)| options.to_owned())
}

/// Where the flow keeps state. The description of a program that is not deployed does not know the settings, but branches with
/// phases of their own cannot keep it in envelopes.
pub(crate) fn state(flow: &Description) -> &str {
    let is_open = flow.state == "envelope" && flow.needs_store();
    if is_open { "a shared store" } else { &flow.state }
}

/// When a graph or a for-each is complete; nothing for the default.
fn policy(complete: Complete) -> Option<String> {
    let failures = |count: &str| format!("tolerates {count}");
    Some(match complete {
        Complete::All => return None,
        Complete::Settled => "all may fail".to_owned(),
        Complete::First => "first success".to_owned(),
        Complete::AtLeast(1) => "at least 1 success".to_owned(),
        Complete::AtLeast(count) => format!("at least {count} successes"),
        Complete::Tolerate(1) => failures("1 failure"),
        Complete::Tolerate(count) => failures(&format!("{count} failures")),
        Complete::TolerateShare(percent) => failures(&format!("{percent} % failures")),
        _ => "another policy".to_owned(),
    })
}

/// The name of what the first phase after a composite does before its steps.
pub(crate) fn joined(composite: &CompositeDescription) -> Option<&'static str> {
    match composite {
        CompositeDescription::Graph { .. } => Some("join"),
        CompositeDescription::ForEach { .. } => Some("collect"),
        _ => None,
    }
}

/// A branch with its options, without the branches that it waits for. `phase` is its only phase, if it has only one.
pub(crate) fn branch(branch: &BranchDescription, phase: Option<usize>) -> String {
    let name = if branch.otherwise { "otherwise" } else { &branch.name };
    let options = [
        phase.map(|number| format!("phase {number}")),
        branch.within.as_ref().map(|time| format!("within {time}")),
        branch.body.on_failure.then(|| "failure handler".to_owned()),
    ];
    let options: Vec<String> = options.into_iter().flatten().collect();
    clean(&match options.is_empty() {
        true => name.to_owned(),
        false => format!("{name}: {}", options.join(", ")),
    })
}

/// The names of a list, such as `a, b and c`.
pub(crate) fn list(names: &[String]) -> String {
    clean(&match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    })
}

/// Replaces characters that would break a line, control a terminal or hide something. Names in a description can contain any characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

/// How many columns of a terminal a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Leaves out the middle of a text that takes more than `room` columns. Long names often differ only at one of their ends.
pub(crate) fn shorten(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let room = room.saturating_sub(1);
    let head = take(text.chars(), room.div_ceil(2));
    let tail: Vec<char> = take(text.chars().rev(), room / 2).chars().rev().collect();
    head.chars().chain(['…']).chain(tail).collect()
}

/// The first characters, as many as fit into `room` columns.
fn take(chars: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or_default();
            used <= room
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_both_ends() {
        assert_eq!(shorten("resize", 6), "resize");
        assert_eq!(shorten("resize-large", 7), "res…rge");
        assert_eq!(shorten("resize-large", 8), "resi…rge");
        assert_eq!(shorten("大きな写真", 6), "大…真", "wide characters take two columns");
        assert_eq!(shorten("resize", 0), "…");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(clean("a\nb\x1b[31mc\u{202e}d"), "a\u{fffd}b\u{fffd}[31mc\u{fffd}d");
        assert_eq!(clean("re\u{200b}size"), "re\u{fffd}size");
    }
}
