//! A flow as an SVG picture.

use std::fmt::Write as _;

use faasflow_core::description::Description;

use crate::layout::{Edge, Kind, Layout, Point, Shape};
use crate::words;

/// The margin around the picture.
const MARGIN: i32 = 20;
const TITLE: i32 = 34;
const LEGEND: i32 = 54;
/// The width of an entry of the legend.
const ENTRY: i32 = 128;
const LINE: i32 = 16;

/// The style sheet. Viewers with a dark theme use the second set of colours.
const STYLE: &str = "\
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; }
.page { fill: #ffffff; }
.title { font-size: 15px; font-weight: 600; }
.note { fill: #59636e; }
.phase { fill: #f6f8fa; stroke: #8b949e; }
.branch { fill: #f6f8fa; stroke: #8b949e; }
.group { fill: none; stroke: #8b949e; stroke-dasharray: 1 3; stroke-linecap: round; }
.foreach { fill: #ffffff; stroke: #8250df; }
.flow { fill: #ffffff; stroke: #0969da; }
.end { fill: #ffffff; stroke: #59636e; }
.call { fill: #ddf4ff; stroke: #218bff; }
.modifier { fill: #fff8c5; stroke: #bf8700; }
.callback { fill: #dafbe1; stroke: #2da44e; }
.choice { fill: #fbefff; stroke: #8250df; }
.edge { fill: none; stroke: #59636e; stroke-width: 1.5; stroke-linejoin: round; }
.queue { stroke-dasharray: 5 4; }
.head { fill: #59636e; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.page { fill: #0d1117; }
.note { fill: #9198a1; }
.phase, .branch { fill: #161b22; stroke: #6e7681; }
.group { stroke: #6e7681; }
.foreach { fill: #0d1117; stroke: #a371f7; }
.flow { fill: #0d1117; stroke: #4493f8; }
.end { fill: #0d1117; stroke: #9198a1; }
.call { fill: #0c2d4d; stroke: #4493f8; }
.modifier { fill: #3b2e0a; stroke: #d29922; }
.callback { fill: #0f2d1a; stroke: #3fb950; }
.choice { fill: #2b1c47; stroke: #a371f7; }
.edge { stroke: #9198a1; }
.head { fill: #9198a1; }
}
";

/// Draws a flow as an SVG picture, which has no scripts and loads nothing. It has colours for light and for dark pages.
#[must_use]
pub fn svg(flow: &Description) -> String {
    let layout = Layout::new(flow);
    let name = if flow.name.is_empty() { "flow" } else { &flow.name };
    let entries = legend(&layout);
    let legend_width = i32::try_from(entries.len()).unwrap_or_default() * ENTRY;
    let width = layout.width.max(legend_width).max(320) + 2 * MARGIN;
    let height = layout.height + TITLE + LEGEND + 2 * MARGIN;
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n"
    );
    let _ = writeln!(drawn, "<title>{}</title>\n<style>\n{STYLE}</style>", escape(&format!("The flow {name}")));
    let _ = writeln!(drawn, "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>");
    let columns = usize::try_from((width - 2 * MARGIN) / 10).unwrap_or_default();
    text(&mut drawn, "title", MARGIN, MARGIN + 14, &words::shorten(&words::clean(name), columns));
    let _ = writeln!(drawn, "<g transform=\"translate({MARGIN} {})\">", MARGIN + TITLE);
    // Frames come first, then edges, and then the shapes that cover the ends of edges.
    let is_frame = |shape: &&Shape| is_frame(shape.kind);
    layout.shapes.iter().filter(is_frame).for_each(|frame| shape(&mut drawn, frame));
    layout.edges.iter().for_each(|line| edge(&mut drawn, line));
    layout.shapes.iter().filter(|shape| !is_frame(shape)).for_each(|inner| shape(&mut drawn, inner));
    drawn.push_str("</g>\n");
    let y = layout.height + TITLE + MARGIN + 26;
    for (index, (class, label)) in (0..).zip(entries) {
        let x = MARGIN + index * ENTRY;
        let _ = match class {
            "queue" => writeln!(drawn, "<path class=\"edge queue\" d=\"M{x} {}h18\"/>", y + 6),
            _ => writeln!(drawn, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"18\" height=\"12\" rx=\"3\"/>"),
        };
        text(&mut drawn, "note", x + 25, y + 10, label);
    }
    let handlers = [(flow.body.on_failure, "failure handler"), (flow.finally, "finally")];
    let mut notes: Vec<String> =
        handlers.into_iter().filter(|(there, _)| *there).map(|(_, name)| name.to_owned()).collect();
    notes.push(format!("state: {}", words::state(flow)));
    let columns = usize::try_from((width - 2 * MARGIN) / 8).unwrap_or_default();
    text(&mut drawn, "note", MARGIN, y + 34, &words::shorten(&words::clean(&notes.join(", ")), columns));
    drawn.push_str("</svg>\n");
    drawn
}

/// The entries of the legend, as classes and names. They depend on the shapes in the picture.
fn legend(layout: &Layout) -> Vec<(&'static str, &'static str)> {
    let has = |kind: Kind| layout.shapes.iter().any(|shape| shape.kind == kind);
    let entries = [
        (has(Kind::Call), ("call", "function")),
        (has(Kind::Modifier), ("modifier", "your code")),
        (has(Kind::Callback), ("callback", "callback")),
        (layout.edges.iter().any(|edge| edge.queue), ("queue", "queue")),
    ];
    entries.into_iter().filter(|(there, _)| *there).map(|(_, entry)| entry).collect()
}

fn is_frame(kind: Kind) -> bool {
    matches!(kind, Kind::Phase | Kind::Graph | Kind::Branch | Kind::ForEach | Kind::Flow)
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Graph => "group",
        Kind::Dot => "head",
        other => other.as_str(),
    }
}

fn shape(drawn: &mut String, shape: &Shape) {
    let Shape { kind, x, y, width, height, .. } = *shape;
    drawn.push_str("<g>");
    if shape.lines.concat() != shape.name && !shape.name.is_empty() {
        // A tooltip with the whole name, which the lines shorten.
        let _ = write!(drawn, "<title>{}</title>", escape(&shape.name));
    }
    let class = class(kind);
    let (middle, right, bottom) = (y + height / 2, x + width, y + height);
    let center = x + width / 2;
    let mut rect = |x: i32, y: i32, radius: i32| {
        let _ = write!(
            drawn,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>"
        );
    };
    match kind {
        Kind::Dot => {
            let _ = write!(drawn, "<circle class=\"{class}\" cx=\"{center}\" cy=\"{middle}\" r=\"{}\"/>", width / 2);
        }
        Kind::Choice => {
            let _ = write!(
                drawn,
                "<path class=\"{class}\" d=\"M{x} {middle}L{center} {y}L{right} {middle}L{center} {bottom}z\"/>"
            );
        }
        Kind::End => rect(x, y, height / 2),
        // Two more frames behind it stand for further items.
        Kind::ForEach => [(8, 8), (4, 4), (0, 0)].into_iter().for_each(|(right, down)| rect(x + right, y + down, 8)),
        Kind::Call | Kind::Modifier | Kind::Callback => rect(x, y, 5),
        _ => rect(x, y, 8),
    }
    drawn.push('\n');
    for (index, line) in (0..).zip(&shape.lines) {
        match is_frame(kind) {
            true => text(drawn, "note", x + 12, y + 18 + index * LINE, line),
            false => {
                let _ = writeln!(
                    drawn,
                    "<text x=\"{center}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    middle + 4,
                    escape(line)
                );
            }
        }
    }
    drawn.push_str("</g>\n");
}

fn edge(drawn: &mut String, edge: &Edge) {
    let Some((first, rest)) = edge.points.split_first() else { return };
    let mut points: Vec<Point> = rest.to_vec();
    let mut head = String::new();
    if let Some(last) = points.last_mut().filter(|_| edge.arrow) {
        let Point { x, y } = *last;
        let before = if rest.len() > 1 { rest[rest.len() - 2] } else { *first };
        // The line ends inside the arrowhead, so that its square end does not show.
        if before.x == x {
            head = format!("M{x} {y}l-4 -7h8z");
            last.y -= 5;
        } else {
            head = format!("M{x} {y}l-7 -4v8z");
            last.x -= 5;
        }
    }
    let mut path = format!("M{} {}", first.x, first.y);
    let mut before = *first;
    for point in points {
        let Point { x, y } = point;
        let _ = match (x == before.x, y == before.y) {
            (_, true) => write!(path, "H{x}"),
            (true, _) => write!(path, "V{y}"),
            _ => {
                let half = before.x + (x - before.x) / 2;
                write!(path, "C{half} {} {half} {y} {x} {y}", before.y)
            }
        };
        before = point;
    }
    let queue = if edge.queue { " queue" } else { "" };
    let _ = writeln!(drawn, "<path class=\"edge{queue}\" d=\"{path}\"/>");
    if !head.is_empty() {
        let _ = writeln!(drawn, "<path class=\"head\" d=\"{head}\"/>");
    }
}

fn text(drawn: &mut String, class: &str, x: i32, y: i32, text: &str) {
    let _ = writeln!(drawn, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(text));
}

/// Escapes a text between elements. No text is in an attribute.
fn escape(text: &str) -> String {
    words::clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
