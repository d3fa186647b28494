//! Draws a flow as SVG: one row for each phase, with its steps from left to right. The pictures of `faasflow graph` are too wide
//! for README.md, where the flow is in a narrow column of a table: they would be shrunk until nobody could read them.
//!
//! GitHub shows the picture on a light or a dark page, and the picture cannot know which. So text is in boxes with a
//! fill, and everything outside the boxes is in a grey that is readable on both.

use std::fmt::Write as _;

use serde_json::Value;

/// Lengths in pixels.
const CHARACTER: usize = 7;
const STEP_HEIGHT: usize = 28;
const STEP_GAP: usize = 24;
const PADDING: usize = 12;
const LABEL: usize = 24;
const PHASE_HEIGHT: usize = LABEL + STEP_HEIGHT + PADDING;
const PHASE_GAP: usize = 30;
const LEGEND: usize = 34;

/// Fills, strokes and texts of a step, by its kind; the name of the kind is the class in the style sheet.
const STYLE: &str = "\
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.phase { fill: none; stroke: #8b949e; }
.arrow { fill: none; stroke: #7d8590; stroke-width: 1.5; }
.head { fill: #7d8590; }
.note { fill: #7d8590; }
.call { fill: #ddf4ff; stroke: #218bff; }
.modifier { fill: #fff8c5; stroke: #bf8700; }
.callback { fill: #dafbe1; stroke: #2da44e; }
.name { fill: #1f2328; }
";

/// A step: its label in the drawing, and its kind.
struct Step<'a> {
    name: &'a str,
    kind: &'a str,
}

impl Step<'_> {
    fn width(&self) -> usize {
        // A character of a monospaced font of 12 pixels takes a little more than seven.
        self.name.chars().count() * CHARACTER + self.name.chars().count() / 4 + 2 * 10
    }
}

/// Draws a flow from its description, which its program prints with the argument `describe`, and `faasflow graph --format
/// json` too.
///
/// # Errors
///
/// If the JSON is not such a description.
pub(super) fn draw(description: &Value) -> Result<String, String> {
    let phases = description["phases"].as_array().ok_or("the description has no `phases`")?;
    let phases: Vec<Vec<Step<'_>>> = phases.iter().map(steps).collect::<Result<_, _>>()?;
    let row = |steps: &[Step<'_>]| {
        steps.iter().map(Step::width).sum::<usize>() + steps.len().saturating_sub(1) * STEP_GAP + 2 * PADDING
    };
    let width = phases.iter().map(|steps| row(steps)).max().ok_or("the flow has no phase")?.max(260);
    let height = phases.len() * PHASE_HEIGHT + (phases.len() - 1) * PHASE_GAP + LEGEND;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"-1 -1 {0} {1}\" role=\"img\">\n",
        width + 2,
        height + 2
    );
    let _ = writeln!(svg, "<title>A flow of {} phases, with a queue between them</title>", phases.len());
    let _ = writeln!(svg, "<style>\n{STYLE}</style>");
    for (index, steps) in phases.iter().enumerate() {
        let top = index * (PHASE_HEIGHT + PHASE_GAP);
        if index > 0 {
            queue(&mut svg, top);
        }
        phase(&mut svg, index + 1, top, width, steps);
    }
    legend(&mut svg, height);
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn steps(phase: &Value) -> Result<Vec<Step<'_>>, String> {
    let steps = phase["steps"].as_array().ok_or("a phase has no `steps`")?;
    steps
        .iter()
        .map(|step| {
            let name = step["name"].as_str().ok_or("a step has no `name`")?;
            let kind = step["kind"].as_str().ok_or("a step has no `kind`")?;
            // The name of a step is "function `resize`": the colour shows the kind already.
            let name = name.split_once('`').and_then(|(_, name)| name.strip_suffix('`')).unwrap_or(name);
            Ok(Step { name, kind })
        })
        .collect()
}

fn phase(svg: &mut String, number: usize, top: usize, width: usize, steps: &[Step<'_>]) {
    let _ = writeln!(
        svg,
        "<rect class=\"phase\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{PHASE_HEIGHT}\" rx=\"8\"/>\n\
         <text class=\"note\" x=\"{PADDING}\" y=\"{}\">phase {number}</text>",
        top + 16
    );
    let (mut left, above) = (PADDING, top + LABEL);
    let middle = above + STEP_HEIGHT / 2;
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            let end = left - 1;
            let _ = writeln!(
                svg,
                "<path class=\"arrow\" d=\"M{} {middle}H{}\"/><path class=\"head\" d=\"M{end} {middle}l-7 -4v8z\"/>",
                left - STEP_GAP + 1,
                end - 6
            );
        }
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{left}\" y=\"{above}\" width=\"{}\" height=\"{STEP_HEIGHT}\" rx=\"5\"/>\n\
             <text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            step.kind,
            step.width(),
            left + step.width() / 2,
            middle + 4,
            escape(step.name)
        );
        left += step.width() + STEP_GAP;
    }
}

/// The arrow into the next phase.
fn queue(svg: &mut String, top: usize) {
    let (x, end) = (PADDING + 30, top - 1);
    let _ = writeln!(
        svg,
        "<path class=\"arrow\" stroke-dasharray=\"4 3\" d=\"M{x} {}V{}\"/><path class=\"head\" d=\"M{x} {end}l-4 -7h8z\"/>\n\
         <text class=\"note\" x=\"{}\" y=\"{}\">queue</text>",
        top - PHASE_GAP + 1,
        end - 6,
        x + 12,
        top - PHASE_GAP / 2 + 4
    );
}

fn legend(svg: &mut String, bottom: usize) {
    let y = bottom - 16;
    for (x, class, text) in [(PADDING, "call", "function"), (PADDING + 110, "modifier", "your own code")] {
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" rx=\"3\"/>\
             <text class=\"note\" x=\"{}\" y=\"{}\">{text}</text>",
            x + 19,
            y + 10
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_and_step_is_drawn_inside_the_picture() {
        let step = |name: &str, kind: &str| serde_json::json!({ "name": name, "kind": kind });
        let svg = draw(&serde_json::json!({ "phases": [
            { "steps": [step("modifier `a<b`", "modifier"), step("function `resize`", "call")] },
            { "steps": [step("callback `http://127.0.0.1/a-long-path-that-makes-the-picture-wide`", "callback")] },
        ] }))
        .unwrap();
        assert_eq!(svg.matches("<rect class=\"phase\"").count(), 2);
        assert_eq!(svg.matches(">queue<").count(), 1);
        assert!(svg.contains(">a&lt;b<") && svg.contains(">resize<"), "{svg}");
        let attribute = |element: &str, name: &str| -> usize {
            let (_, rest) = element.split_once(&format!(" {name}=\"")).unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        let width = attribute(&svg, "width");
        for rect in svg.split("<rect ").skip(1) {
            assert!(attribute(rect, "x") + attribute(rect, "width") < width, "{rect}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_description_is_an_error() {
        for json in [serde_json::json!({}), serde_json::json!({ "phases": [] }), serde_json::json!({ "phases": [{}] })]
        {
            assert!(draw(&json).is_err(), "{json}");
        }
    }
}
