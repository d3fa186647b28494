//! Blocks for the elements of a flow.

use faasflow_core::description::{
    ActionDescription, BodyDescription, BranchDescription, CompositeDescription, Description, ElementDescription,
    PhaseDescription,
};

use super::block::{Block, GAP, Link, PADDING, edge};
use super::layers;
use super::shape::{Kind, Point};
use crate::text::only_phase;
use crate::words;

/// The maximum width of a row in the whole picture. Further elements are in another row below it.
const WIDEST: i32 = 1200;
/// The maximum width of a row is never smaller, however deep it is nested.
const NARROWEST: i32 = 300;
/// The distance between two rows.
const ROW_GAP: i32 = 40;
/// The distance between a row and the edge that leads to the next.
const TURN: i32 = 18;

/// The whole picture.
pub(super) fn flow(flow: &Description) -> Block {
    let (begin, end) = (Block::text(Kind::End, "request", None), Block::text(Kind::End, "response", None));
    // An element may be in one row with both.
    let inner = elements(&flow.body.elements, WIDEST - begin.width - end.width - 2 * GAP);
    let mut blocks = vec![(begin, Link::Direct)];
    blocks.extend(inner);
    blocks.push((end, Link::Direct));
    series(blocks, WIDEST)
}

/// Blocks beside each other, in as many rows as they need.
fn series(blocks: Vec<(Block, Link)>, widest: i32) -> Block {
    let all: i32 = blocks.iter().map(|(block, _)| GAP + block.width).sum();
    // The edges between rows are at both sides.
    let widest = if all <= widest { widest } else { widest - 2 * TURN };
    let mut rows: Vec<Vec<(Block, Link)>> = Vec::new();
    let mut width = 0;
    let is_end = |block: &Block| block.shapes[0].kind == Kind::End;
    for (block, link) in blocks {
        width += GAP + block.width;
        match rows.last_mut() {
            // The request or the response must not be alone in a row.
            Some(row) if width <= widest || is_end(&block) || (row.len() == 1 && is_end(&row[0].0)) => {
                row.push((block, link));
            }
            _ => {
                width = block.width;
                rows.push(vec![(block, link)]);
            }
        }
    }
    stacked(rows)
}

/// Rows below each other, with an edge from the end of each to the beginning of the next.
fn stacked(rows: Vec<Vec<(Block, Link)>>) -> Block {
    let links: Vec<Link> = rows.iter().map(|row| row[0].1).collect();
    let rows: Vec<Block> = rows.into_iter().map(Block::series).collect();
    if let [_] = rows.as_slice() {
        return rows.into_iter().next().expect("it has one element");
    }
    let width = rows.iter().map(|row| row.width).max().unwrap_or_default() + 2 * TURN;
    let mut whole = Block { width, height: 0, anchor: 0, shapes: Vec::new(), edges: Vec::new() };
    let mut end = None;
    for (row, link) in rows.into_iter().zip(links) {
        if let Some(Point { x, y }) = end {
            let (between, next) = (whole.height + ROW_GAP / 2, whole.height + ROW_GAP + row.anchor);
            let points = [(x, y), (x + TURN, y), (x + TURN, between), (0, between), (0, next), (TURN, next)];
            whole.edges.push(edge(points.map(|(x, y)| Point { x, y }), link, true));
            whole.height += ROW_GAP;
        }
        end = Some(Point { x: TURN + row.width, y: whole.height + row.anchor });
        let (y, height) = (whole.height, row.height);
        whole.add(row, TURN, y);
        whole.height += height;
    }
    whole.anchor = whole.height / 2;
    whole
}

/// A block for each element of a body or a phase, with how it is reached. No row in it is wider than `widest`, if possible.
fn elements(elements: &[ElementDescription], widest: i32) -> Vec<(Block, Link)> {
    let mut blocks = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        match element {
            ElementDescription::Step(described) => {
                let kind = match described.action {
                    ActionDescription::Call { .. } => Kind::Call,
                    ActionDescription::Callback { .. } => Kind::Callback,
                    _ => Kind::Modifier,
                };
                blocks.push((Block::text(kind, &words::step(described), Some(described.number)), Link::Direct));
            }
            ElementDescription::Phase(described) => {
                let does = match index.checked_sub(1).map(|before| &elements[before]) {
                    Some(ElementDescription::Composite(composite)) => words::joined(composite),
                    _ => None,
                };
                let does = does.map(|does| format!(": {does}")).unwrap_or_default();
                let title = format!("phase {}{does}", described.number);
                blocks.push((phase(described, Kind::Phase, &title, widest), entered(described)));
            }
            ElementDescription::Composite(described) => {
                // A sub-flow is the only composite that does not begin in the phase before it.
                let is_flow = matches!(described, CompositeDescription::Flow { .. });
                let has_phases = described.bodies().any(has_phases);
                let link = if is_flow && has_phases { Link::Queue } else { Link::Direct };
                blocks.push((composite(described, widest), link));
            }
            _ => {}
        }
    }
    blocks
}

fn phase(phase: &PhaseDescription, kind: Kind, title: &str, widest: i32) -> Block {
    let widest = inside(widest);
    let blocks = elements(&phase.steps, widest);
    let is_stack = phase.steps.iter().all(|element| matches!(element, ElementDescription::Step(_)));
    let content = match blocks.is_empty() {
        true => None,
        false if is_stack => Some(Block::stack(blocks.into_iter().map(|(block, _)| block).collect())),
        false => Some(series(blocks, widest)),
    };
    Block::frame(kind, title, Some(phase.number), content)
}

/// The maximum width of what is in a frame.
fn inside(widest: i32) -> i32 {
    NARROWEST.max(widest - 2 * PADDING)
}

/// How a phase is reached. The first phase receives the request directly.
fn entered(phase: &PhaseDescription) -> Link {
    if phase.number > 1 { Link::Queue } else { Link::Direct }
}

fn has_phases(body: &BodyDescription) -> bool {
    body.elements.iter().any(|element| matches!(element, ElementDescription::Phase(_)))
}

fn composite(composite: &CompositeDescription, widest: i32) -> Block {
    match composite {
        CompositeDescription::Graph { branches, .. } => {
            let index = |name: &String| branches.iter().position(|branch| branch.name == *name);
            let after: Vec<Vec<usize>> =
                branches.iter().map(|branch| branch.after.iter().filter_map(index).collect()).collect();
            let placed = beside(Block::dot(), branches, &after, widest);
            match words::graph_options(composite) {
                Some(options) => Block::frame(Kind::Graph, &options, None, Some(placed)),
                None => placed,
            }
        }
        CompositeDescription::Choice { branches, .. } => {
            let choice = Block::text(Kind::Choice, "choice", None);
            beside(choice, branches, &vec![Vec::new(); branches.len()], widest)
        }
        CompositeDescription::Flow { body, .. } => contained(Kind::Flow, composite, body, widest),
        CompositeDescription::ForEach { item, .. } => contained(Kind::ForEach, composite, item, widest),
        _ => Block::text(Kind::Modifier, "unknown", None),
    }
}

/// A body in a frame.
fn contained(kind: Kind, composite: &CompositeDescription, body: &BodyDescription, widest: i32) -> Block {
    let widest = inside(widest);
    let blocks = elements(&body.elements, widest);
    let content = (!blocks.is_empty()).then(|| series(blocks, widest));
    Block::frame(kind, &words::composite(composite), None, content)
}

/// Branches between where they begin and where they come together.
fn beside(begin: Block, branches: &[BranchDescription], after: &[Vec<usize>], widest: i32) -> Block {
    let widest = layers::widest(widest - begin.width, after).max(NARROWEST);
    let link = |branch: &BranchDescription| if has_phases(&branch.body) { Link::Queue } else { Link::Direct };
    let links: Vec<Link> = branches.iter().map(link).collect();
    layers::place(
        begin,
        Block::dot(),
        branches.iter().map(|described| branch(described, widest)).collect(),
        after,
        &links,
    )
}

fn branch(branch: &BranchDescription, widest: i32) -> Block {
    if let Some(only) = only_phase(&branch.body) {
        let title = words::branch(branch, Some(only.number));
        let passes = if only.steps.is_empty() { ", passes through" } else { "" };
        return phase(only, Kind::Branch, &format!("{title}{passes}"), widest);
    }
    let mut title = words::branch(branch, None);
    let widest = inside(widest);
    let blocks = elements(&branch.body.elements, widest);
    if blocks.is_empty() {
        title.push_str(", passes through");
    }
    let content = (!blocks.is_empty()).then(|| series(blocks, widest));
    Block::frame(Kind::Branch, &title, None, content)
}
