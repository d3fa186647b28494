//! A flow as a tree of text.

use faasflow_core::description::{
    BodyDescription, BranchDescription, CompositeDescription, Description, ElementDescription, PhaseDescription,
};

use crate::words;

/// The minimum width. In a narrower line, names would be unreadable.
const NARROWEST: usize = 30;

/// Draws a flow as a tree, with box-drawing characters. Branches are below each other, and a line closes them where they come
/// together. No line is longer than `width` columns; longer names lose their middle.
#[must_use]
pub fn text(flow: &Description, width: usize) -> String {
    let mut tree = Tree { lines: Vec::new(), width: width.max(NARROWEST) };
    tree.line("", "", if flow.name.is_empty() { "flow" } else { &flow.name });
    tree.elements(&flow.body.elements, "");
    let handlers = [(flow.body.on_failure, "failure handler"), (flow.finally, "finally")];
    let handlers: Vec<&str> = handlers.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
    if !handlers.is_empty() {
        tree.line("", "", &format!("with {}", handlers.join(" and ")));
    }
    tree.line("", "", &format!("state: {}, fingerprint: {}", words::state(flow), flow.fingerprint));
    tree.lines.join("\n") + "\n"
}

struct Tree {
    lines: Vec<String>,
    width: usize,
}

impl Tree {
    /// Draws elements in order, to the right of `indent`.
    fn elements(&mut self, elements: &[ElementDescription], indent: &str) {
        for (index, element) in elements.iter().enumerate() {
            let is_last = index + 1 == elements.len();
            let (mark, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            match element {
                ElementDescription::Step(step) => {
                    self.line(indent, mark, &format!("{}. {}", step.number, words::step(step)));
                }
                ElementDescription::Phase(phase) => {
                    let before = index.checked_sub(1).map(|before| &elements[before]);
                    self.phase(phase, before, indent, is_last);
                }
                ElementDescription::Composite(composite) => {
                    let closes = matches!(elements.get(index + 1), Some(ElementDescription::Phase(_)));
                    if let CompositeDescription::Flow { body, .. } = composite {
                        self.options(indent, mark, &format!("{below}│  "), &words::composite(composite));
                        self.elements(&body.elements, &format!("{indent}{below}"));
                    } else {
                        let mark = if is_last { "└─┬─ " } else { "├─┬─ " };
                        let bar = if is_last { "  " } else { "│ " };
                        self.options(indent, mark, &format!("{bar}│  "), &words::composite(composite));
                        self.branches(composite, &format!("{indent}{bar}"), closes);
                    }
                }
                _ => self.line(indent, mark, "an element that this program does not know"),
            }
        }
    }

    fn phase(&mut self, phase: &PhaseDescription, before: Option<&ElementDescription>, indent: &str, is_last: bool) {
        let composite = match before {
            Some(ElementDescription::Composite(composite)) => Some(composite),
            _ => None,
        };
        // Where branches come together, the line that closes them takes two columns more.
        let closes = composite.is_some_and(|composite| !matches!(composite, CompositeDescription::Flow { .. }));
        let (mark, below) = match (is_last, closes) {
            (true, false) => ("└─ ", "   "),
            (false, false) => ("├─ ", "│  "),
            (true, true) => ("└─┴─ ", "     "),
            (false, true) => ("├─┴─ ", "│    "),
        };
        let does = composite.and_then(words::joined).map(|does| format!(": {does}")).unwrap_or_default();
        self.line(indent, mark, &format!("phase {}{does}", phase.number));
        self.elements(&phase.steps, &format!("{indent}{below}"));
    }

    /// Draws the branches of a composite. If a line `closes` them, the bar beside them leads to that line.
    fn branches(&mut self, composite: &CompositeDescription, indent: &str, closes: bool) {
        match composite {
            CompositeDescription::Graph { branches, .. } | CompositeDescription::Choice { branches, .. } => {
                for (index, branch) in branches.iter().enumerate() {
                    self.branch(branch, indent, !closes && index + 1 == branches.len());
                }
            }
            _ => {
                for body in composite.bodies() {
                    self.body(body, indent, closes);
                }
            }
        }
    }

    fn branch(&mut self, branch: &BranchDescription, indent: &str, is_last: bool) {
        let (mark, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let only = only_phase(&branch.body);
        let mut text = words::branch(branch, only.map(|phase| phase.number));
        if !branch.after.is_empty() {
            text.extend([", after ", &words::list(&branch.after)]);
        }
        let elements = only.map_or(&branch.body.elements, |phase| &phase.steps);
        if elements.is_empty() {
            text.push_str(", passes through");
        }
        // A branch may wait for many others.
        let rest = if elements.is_empty() { "   " } else { "│  " };
        self.options(indent, mark, &format!("{below}{rest}"), &text);
        self.elements(elements, &format!("{indent}{below}"));
    }

    /// Draws the elements of a for-each beside its bar.
    fn body(&mut self, body: &BodyDescription, indent: &str, closes: bool) {
        let first = self.lines.len();
        self.elements(&body.elements, indent);
        if closes {
            // The bar leads to the line that closes the for-each.
            for line in &mut self.lines[first..] {
                if let Some(rest) = line.strip_prefix(indent)
                    && let Some((mark, longer)) =
                        [("└", "├"), (" ", "│")].into_iter().find(|(mark, _)| rest.starts_with(mark))
                {
                    *line = format!("{indent}{longer}{}", &rest[mark.len()..]);
                }
            }
        }
    }

    /// Draws a text with options, in several lines if it is too wide. `below` is to the left of all lines but the first.
    fn options(&mut self, indent: &str, mark: &str, below: &str, text: &str) {
        let room = self.width.saturating_sub(words::width(indent) + words::width(mark));
        let (mut line, mut left) = (String::new(), mark);
        for option in text.split_inclusive(", ") {
            if !line.is_empty() && words::width(&line) + words::width(option.trim_end()) > room {
                self.line(indent, left, std::mem::take(&mut line).trim_end());
                left = below;
            }
            line.push_str(option);
        }
        self.line(indent, left, &line);
    }

    fn line(&mut self, indent: &str, mark: &str, text: &str) {
        let before = format!("{indent}{mark}");
        let room = self.width.saturating_sub(words::width(&before)).max(8);
        self.lines.push(format!("{before}{}", words::shorten(&words::clean(text), room)));
    }
}

/// The phase of a body that has no more than one.
pub(crate) fn only_phase(body: &BodyDescription) -> Option<&PhaseDescription> {
    match body.elements.as_slice() {
        [ElementDescription::Phase(phase)] => Some(phase),
        _ => None,
    }
}
