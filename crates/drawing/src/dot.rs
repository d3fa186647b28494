//! A flow in the language of Graphviz.

use std::fmt::Write as _;

use faasflow_core::description::Description;

use crate::chart::{Chart, Item, Shape};
use crate::words;

/// Draws a flow in DOT, the language of [Graphviz](https://graphviz.org).
#[must_use]
pub fn dot(flow: &Description) -> String {
    let chart = Chart::new(flow);
    let mut drawn = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quote(&flow.name));
    let is_end = |item: &&Item| matches!(item, Item::Node(node) if node.shape == Shape::End);
    chart.top.iter().filter(is_end).for_each(|end| items(&mut drawn, std::slice::from_ref(end), 1));
    chart.top.iter().filter(|item| !is_end(item)).for_each(|item| items(&mut drawn, std::slice::from_ref(item), 1));
    for edge in &chart.edges {
        let style = match (edge.queue, &edge.label) {
            (true, None) => " [style=dashed, label=\"queue\"]".to_owned(),
            (true, Some(label)) => format!(" [style=dashed, label={}]", quote(label)),
            (false, None) => String::new(),
            (false, Some(label)) => format!(" [label={}]", quote(label)),
        };
        let _ = writeln!(drawn, "  {} -> {}{style};", edge.from, edge.to);
    }
    drawn.push_str("}\n");
    drawn
}

fn items(drawn: &mut String, items: &[Item], depth: usize) {
    let indent = "  ".repeat(depth);
    for item in items {
        let _ = match item {
            Item::Node(node) => match node.shape {
                Shape::End => writeln!(drawn, "{indent}{} [shape=oval];", node.id),
                Shape::Step => writeln!(drawn, "{indent}{} [label={}];", node.id, quote(&node.label)),
                Shape::Choice => writeln!(drawn, "{indent}{} [shape=diamond, label={}];", node.id, quote(&node.label)),
                Shape::Point => writeln!(drawn, "{indent}{} [shape=oval, label={}];", node.id, quote(&node.label)),
            },
            Item::Group(group) => {
                // Graphviz draws a frame around a subgraph only if its name begins with `cluster`.
                let id = match group.id.strip_prefix("phase") {
                    Some(number) => format!("cluster_{number}"),
                    None => format!("cluster_{}", group.id),
                };
                let _ = writeln!(drawn, "{indent}subgraph {id} {{\n{indent}  label={};", quote(&group.title));
                self::items(drawn, &group.items, depth + 1);
                writeln!(drawn, "{indent}}}")
            }
        };
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", words::clean(text).replace('\\', "\\\\").replace('"', "\\\""))
}
