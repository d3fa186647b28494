//! Rectangles of shapes, and how they are put together.

use super::shape::{Edge, Kind, Point, Shape};
use crate::words;

/// The distance between a frame and its content.
pub(super) const PADDING: i32 = 12;
/// The height of a line of text.
const LINE: i32 = 16;
/// The height of a box with one line.
const BOX: i32 = 28;
/// The distance between two boxes that an arrow connects.
pub(super) const GAP: i32 = 32;
/// The distance between two stacked steps.
const STACKED: i32 = 14;
/// The maximum width of a text in a box, in columns.
const COLUMNS: usize = 30;
/// The maximum width of a line of a frame's title, in columns.
const TITLE_COLUMNS: usize = 40;
/// The diameter of a dot.
const DOT: i32 = 8;

/// How a block is reached from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Within the same phase.
    Direct,
    /// Through the queue.
    Queue,
}

/// A rectangle of shapes. A request enters it at its left side and leaves it at its right side, both at the height `anchor`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) anchor: i32,
    pub(super) shapes: Vec<Shape>,
    pub(super) edges: Vec<Edge>,
}

impl Block {
    /// A box with a text.
    pub(super) fn text(kind: Kind, name: &str, step: Option<usize>) -> Block {
        let line = words::shorten(name, COLUMNS);
        // The text of a diamond fits between its left and right corners.
        let extra = if kind == Kind::Choice { 36 } else { 20 };
        let (width, height) = (text_width(&line) + extra, if kind == Kind::Choice { BOX + 8 } else { BOX });
        Block::single(kind, width, height, vec![line], name, step)
    }

    pub(super) fn dot() -> Block {
        Block::single(Kind::Dot, DOT, DOT, Vec::new(), "", None)
    }

    fn single(kind: Kind, width: i32, height: i32, lines: Vec<String>, name: &str, step: Option<usize>) -> Block {
        let name = name.to_owned();
        let shape = Shape { kind, x: 0, y: 0, width, height, lines, name, phase: None, step };
        Block { width, height, anchor: height / 2, shapes: vec![shape], edges: Vec::new() }
    }

    /// A frame around a block, or around nothing.
    pub(super) fn frame(kind: Kind, title: &str, phase: Option<usize>, content: Option<Block>) -> Block {
        let lines = wrap(title);
        let title_width = lines.iter().map(|line| text_width(line)).max().unwrap_or_default();
        let title_height = LINE * i32::try_from(lines.len()).unwrap_or_default();
        let mut framed = Block::single(kind, title_width + 2 * PADDING, title_height + PADDING, lines, title, None);
        framed.shapes[0].phase = phase;
        if let Some(content) = content {
            let above = title_height + PADDING - 2;
            // The sides of a graph's frame go through the dots where its branches begin and come together.
            let beside = if kind == Kind::Graph { 0 } else { PADDING };
            framed.anchor = above + content.anchor;
            framed.height = above + content.height + PADDING;
            framed.width = framed.width.max(content.width + 2 * beside);
            framed.add(content, beside, above);
            let frame = &mut framed.shapes[0];
            (frame.width, frame.height) = (framed.width, framed.height);
            if kind == Kind::Graph {
                (frame.x, frame.width) = (DOT / 2, framed.width - DOT);
            }
        }
        framed
    }

    /// Makes a frame wider.
    pub(super) fn widen(&mut self, width: i32) {
        self.width = width;
        self.shapes[0].width = width;
    }

    /// Steps below each other, with arrows between them.
    pub(super) fn stack(mut blocks: Vec<Block>) -> Block {
        let width = blocks.iter().map(|block| block.width).max().unwrap_or_default();
        let mut stack = Block { width, height: 0, anchor: 0, shapes: Vec::new(), edges: Vec::new() };
        for (index, mut block) in blocks.drain(..).enumerate() {
            if index > 0 {
                let (x, y) = (width / 2, stack.height);
                stack.edges.push(edge([Point { x, y }, Point { x, y: y + STACKED }], Link::Direct, true));
                stack.height += STACKED;
            }
            block.widen(width);
            let (y, height) = (stack.height, block.height);
            stack.add(block, 0, y);
            stack.height += height;
        }
        stack.anchor = stack.height / 2;
        stack
    }

    /// Blocks beside each other. Each is connected to the one before it.
    pub(super) fn series(blocks: Vec<(Block, Link)>) -> Block {
        let above = blocks.iter().map(|(block, _)| block.anchor).max().unwrap_or_default();
        let below = blocks.iter().map(|(block, _)| block.height - block.anchor).max().unwrap_or_default();
        let mut series =
            Block { width: 0, height: above + below, anchor: above, shapes: Vec::new(), edges: Vec::new() };
        for (index, (block, link)) in blocks.into_iter().enumerate() {
            if index > 0 {
                // A line to a dot has no arrowhead, because more lines begin at the dot.
                let arrow = !matches!(block.shapes[0].kind, Kind::Dot | Kind::Graph);
                let from = Point { x: series.width, y: above };
                series.width += GAP;
                series.edges.push(edge([from, Point { x: series.width, y: above }], link, arrow));
            }
            let (x, width) = (series.width, block.width);
            let y = above - block.anchor;
            series.add(block, x, y);
            series.width += width;
        }
        series
    }

    /// Adds a block at a position.
    pub(super) fn add(&mut self, block: Block, x: i32, y: i32) {
        self.shapes.extend(block.shapes.into_iter().map(|shape| Shape { x: shape.x + x, y: shape.y + y, ..shape }));
        self.edges.extend(block.edges.into_iter().map(|mut edge| {
            for point in &mut edge.points {
                (point.x, point.y) = (point.x + x, point.y + y);
            }
            edge
        }));
    }
}

pub(super) fn edge(points: impl IntoIterator<Item = Point>, link: Link, arrow: bool) -> Edge {
    Edge { points: points.into_iter().collect(), queue: link == Link::Queue, arrow }
}

/// The width of a text in pixels. A character of a monospaced font of 12 pixels is a little more than 7 pixels wide.
fn text_width(text: &str) -> i32 {
    i32::try_from(words::width(text)).unwrap_or_default() * 29 / 4
}

/// Breaks a title between its options.
fn wrap(title: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for option in title.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if words::width(line) + words::width(option.trim_end()) <= TITLE_COLUMNS => {
                line.push_str(option);
            }
            _ => lines.push(option.to_owned()),
        }
    }
    lines.iter().map(|line| words::shorten(line.trim_end(), TITLE_COLUMNS)).collect()
}
