//! A flow in the language of Mermaid.

use std::fmt::Write as _;

use faasflow_core::description::Description;

use crate::chart::{Chart, Item, Shape};

/// Draws a flow in the language of [Mermaid](https://mermaid.js.org), which GitHub shows as a picture.
#[must_use]
pub fn mermaid(flow: &Description) -> String {
    let chart = Chart::new(flow);
    let mut drawn = "flowchart LR\n".to_owned();
    items(&mut drawn, &chart.top, 1);
    for edge in &chart.edges {
        let (from, to) = (&edge.from, &edge.to);
        let label = edge.label.as_ref().map(|label| format!("\"{}\"", escape(label)));
        let _ = match (edge.queue, label) {
            (true, None) => writeln!(drawn, "    {from} -. queue .-> {to}"),
            (true, Some(label)) => writeln!(drawn, "    {from} -. {label} .-> {to}"),
            (false, None) => writeln!(drawn, "    {from} --> {to}"),
            (false, Some(label)) => writeln!(drawn, "    {from} -- {label} --> {to}"),
        };
    }
    drawn
}

fn items(drawn: &mut String, items: &[Item], depth: usize) {
    let indent = "    ".repeat(depth);
    for item in items {
        let _ = match item {
            Item::Node(node) => match node.shape {
                // These labels need no quotes, because they are always `request` and `response`.
                Shape::End => writeln!(drawn, "{indent}{}([{}])", node.id, node.label),
                Shape::Step => writeln!(drawn, "{indent}{}[\"{}\"]", node.id, escape(&node.label)),
                Shape::Choice => writeln!(drawn, "{indent}{}{{\"{}\"}}", node.id, escape(&node.label)),
                Shape::Point => writeln!(drawn, "{indent}{}([\"{}\"])", node.id, escape(&node.label)),
            },
            Item::Group(group) => {
                // Without quotes, Mermaid would read a name such as `end` as a keyword.
                let title = match group.title.strip_prefix("phase ") {
                    Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => group.title.clone(),
                    _ => format!("\"{}\"", escape(&group.title)),
                };
                let _ = writeln!(drawn, "{indent}subgraph {}[{title}]", group.id);
                self::items(drawn, &group.items, depth + 1);
                writeln!(drawn, "{indent}end")
            }
        };
    }
}

/// Mermaid's labels are HTML, with entities that begin with `#`. Mermaid reads directives (`%%{…}%%`) even inside a label, and
/// reads a label that begins with a backtick as Markdown.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for (index, c) in text.chars().enumerate() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '%' => escaped.push_str("#37;"),
            '&' => escaped.push_str("#amp;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '`' if index == 0 => escaped.push_str("#96;"),
            c => escaped.push(c),
        }
    }
    escaped
}
