//! Draws a request: its places on a common axis of time.

use std::borrow::Cow;
use std::time::Duration;

use console::Style;
use faasflow_admin::{FlowRequest, Place, PlaceStatus, RequestReason, RequestStatus};
use faasflow_core::{counted, duration};
use faasflow_runtime::log::escaped;

use super::members;

/// The shortest bar that is drawn, in columns.
const SHORTEST_AXIS: usize = 10;
/// The widest column with the names of steps.
const WIDEST_STEPS: usize = 24;
/// How many items of for-eaches are shown that are retried or have failed.
const SHOWN_ITEMS: usize = 10;

/// The drawing, `width` columns wide, in colours if `colours`. `now_ms` is where the bars of a request end that runs.
pub(crate) fn draw(request: &FlowRequest, now_ms: u64, width: usize, colours: bool) -> String {
    let axis = Axis::new(request, now_ms);
    let mut lines = vec![headline(request, &axis, colours)];
    if !request.keys.is_empty() {
        let keys: Vec<_> = request.keys.iter().map(|key| escaped(key)).collect();
        lines.extend(wrapped(&format!("search keys: {}", keys.join(", ")), "  ", width));
    }
    if let Some(original) = &request.repeats {
        lines.extend(wrapped(&format!("repeats {}", escaped(original)), "  ", width));
    }
    if let Some(reason) = &request.reason {
        lines.extend(wrapped(&reason_text(reason), "  ", width));
    }
    let (places, left_out) = shown(request);
    if !places.is_empty() {
        lines.push(String::new());
        lines.extend(table(&places, &request.places, &axis, width, colours));
    }
    if left_out > 0 {
        lines.push(format!("  … and {} more that failed or are retried", counted(left_out, "item")));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The time from the beginning of a request to its end, or to now.
struct Axis {
    start_ms: u64,
    end_ms: u64,
}

impl Axis {
    fn new(request: &FlowRequest, now_ms: u64) -> Axis {
        let places = request.places.iter().flat_map(|place| [place.began_ms, place.done_ms]).flatten();
        let known = places.chain([request.started_ms, request.moved_ms]).chain(request.ended_ms);
        // The clock of the flow may be ahead of this one, and a place may end after the request.
        let last_ms = known.clone().max().unwrap_or_default();
        let start_ms = known.filter(|&ms| ms > 0).min().unwrap_or_default();
        let end_ms = if request.status.is_end() { last_ms } else { last_ms.max(now_ms) };
        Axis { start_ms, end_ms }
    }

    fn length_ms(&self) -> u64 {
        self.end_ms - self.start_ms
    }

    /// The columns from one time to another, of `columns`: the first, and how many. It is at least one.
    fn columns(&self, from_ms: u64, to_ms: u64, columns: usize) -> (usize, usize) {
        let at = |ms: u64| {
            let share = ms.saturating_sub(self.start_ms) as f64 / self.length_ms().max(1) as f64;
            (share * columns as f64).round() as usize
        };
        let first = at(from_ms).min(columns - 1);
        (first, at(to_ms).clamp(first + 1, columns) - first)
    }
}

fn headline(request: &FlowRequest, axis: &Axis, colours: bool) -> String {
    use RequestStatus::{Failure, Parked, Paused, Recovered, Stopped, Success};
    let style = match request.status {
        Success | Recovered => Style::new().green(),
        Failure | Stopped => Style::new().red(),
        Paused | Parked => Style::new().yellow(),
        _ => Style::new().cyan(),
    };
    let status = style.bold().force_styling(colours).apply_to(request.status);
    // What had begun when a request was stopped goes on after its end.
    let took_ms = request.ended_ms.map_or(axis.length_ms(), |ended_ms| ended_ms.saturating_sub(request.started_ms));
    let time = match request.status.is_end() {
        true => format!("after {}", time(took_ms)),
        false => format!("for {}", time(axis.length_ms())),
    };
    let again = match request.generation {
        0 => String::new(),
        1 => ", redriven once".to_owned(),
        times => format!(", redriven {times} times"),
    };
    format!("{} of {}: {status} {time}{again}", escaped(&request.id), escaped(&request.flow))
}

/// The places to show, and how many are left out. Of the items of for-eaches, only those are shown that are retried or have
/// failed; the others are counted at the place that began them.
fn shown(request: &FlowRequest) -> (Vec<&Place>, u64) {
    let (mut places, mut items) = (Vec::new(), Vec::new());
    for place in &request.places {
        if !members::is_in_item(place) {
            places.push(place);
        } else if matches!(place.status, PlaceStatus::Retrying | PlaceStatus::Failed) {
            items.push(place);
            if items.len() <= SHOWN_ITEMS {
                places.push(place);
            }
        }
    }
    // The flow does not list all items that have failed, but counts them.
    let is_failed = |place: &&&Place| place.status == PlaceStatus::Failed;
    let listed = items.iter().filter(is_failed).count() as u64;
    let counted = request.places.iter().filter(|place| members::are_items(place, &request.places));
    let failed: u64 = counted.filter_map(|place| place.members.as_ref()).map(|members| members.failed).sum();
    let retried = request.places.iter().filter_map(|place| place.unlisted.as_ref()).map(|unlisted| unlisted.retrying);
    let left_out =
        items.len().saturating_sub(SHOWN_ITEMS) as u64 + failed.saturating_sub(listed) + retried.sum::<u64>();
    (places, left_out)
}

fn table(places: &[&Place], all: &[Place], axis: &Axis, width: usize, colours: bool) -> Vec<String> {
    let rows: Vec<[String; 3]> =
        places.iter().map(|place| [place_text(place), steps(place), took(place, axis)]).collect();
    let widest = |column: usize, head: &str| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head.chars().count()]).max().unwrap_or_default()
    };
    let (place_width, steps_width) = (widest(0, "PLACE").min(WIDEST_STEPS), widest(1, "STEPS").min(WIDEST_STEPS));
    let (status_width, time_width) = ("recovered".len(), widest(2, ""));
    let fixed = place_width + steps_width + status_width + time_width + 4 * 2;
    let columns = width.saturating_sub(fixed).max(SHORTEST_AXIS);
    let end = time(axis.length_ms());
    let line = "─".repeat(columns.saturating_sub("0s".len() + end.chars().count() + 2));
    let mut lines = vec![format!(
        "{:place_width$}  {:steps_width$}  {:status_width$}  0s {line} {end}",
        "PLACE", "STEPS", "STATUS"
    )];
    for (place, [name, steps, time]) in places.iter().zip(&rows) {
        let style = style(place.status).force_styling(colours);
        // The width counts only before the colours are added.
        let status = style.apply_to(format!("{:status_width$}", place.status.as_str()));
        let (before, bar, after) = bar(place, axis, columns);
        let (name, steps) = (cut(name, place_width), cut(steps, steps_width));
        let bar = style.apply_to(bar);
        lines.push(format!(
            "{name:place_width$}  {steps:steps_width$}  {status}  {before}{bar}{after}  {time:>time_width$}"
        ));
        for note in notes(place, all) {
            lines.extend(wrapped(&note, &" ".repeat(place_width + 2), width));
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

fn style(status: PlaceStatus) -> Style {
    match status {
        PlaceStatus::Done | PlaceStatus::Replied => Style::new().green(),
        PlaceStatus::Recovered | PlaceStatus::Retrying => Style::new().yellow(),
        PlaceStatus::Failed => Style::new().red(),
        _ => Style::new().cyan(),
    }
}

/// The bar of a place, and the blanks before and after it. Without the time at which it began, it has none.
fn bar(place: &Place, axis: &Axis, columns: usize) -> (String, String, String) {
    let Some(from_ms) = place.began_ms.or(place.done_ms) else {
        return (" ".repeat(columns), String::new(), String::new());
    };
    let (first, count) = axis.columns(from_ms, end_of(place, axis), columns);
    let fill = if place.status.is_end() { "█" } else { "▒" };
    (" ".repeat(first), fill.repeat(count), " ".repeat(columns - first - count))
}

fn end_of(place: &Place, axis: &Axis) -> u64 {
    match place.done_ms {
        Some(done_ms) => done_ms,
        // A request that was stopped leaves places that never end.
        None => axis.end_ms,
    }
}

fn took(place: &Place, axis: &Axis) -> String {
    place.began_ms.map(|began_ms| time(end_of(place, axis).saturating_sub(began_ms))).unwrap_or_default()
}

fn place_text(place: &Place) -> String {
    let path: Vec<&str> = place.path.iter().map(String::as_str).collect();
    match path.is_empty() {
        true => escaped(&place.place).into_owned(),
        false => escaped(&format!("{} {}", place.place, path.join(" › "))).into_owned(),
    }
}

fn steps(place: &Place) -> String {
    escaped(&place.steps.join(", ")).into_owned()
}

/// What stands beneath the row of a place.
fn notes(place: &Place, all: &[Place]) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(place.label.as_deref().map(|label| escaped(label).into_owned()));
    if let Some(chosen) = &place.chosen {
        notes.push(format!("took the branch `{}`", escaped(chosen)));
    }
    notes.extend(members::counts(place, all));
    let attempts = (place.attempts > 1).then(|| format!("delivered {} times", place.attempts));
    match (attempts, &place.reason) {
        (Some(attempts), Some(reason)) => notes.push(format!("{attempts}: {}", reason_text(reason))),
        (None, Some(reason)) => notes.push(reason_text(reason)),
        (Some(attempts), None) => notes.push(attempts),
        (None, None) => {}
    }
    notes
}

/// A reason with the name of its step, for a list.
pub(crate) fn short_reason(reason: &RequestReason) -> String {
    let mut reason = reason.clone();
    (reason.step, reason.place) = (None, None);
    reason_text(&reason)
}

/// A reason with the place and the step that it names.
pub(crate) fn reason_text(reason: &RequestReason) -> String {
    let step = match (reason.step, &reason.name) {
        (Some(step), Some(name)) => format!("step {step}, {name}: "),
        (None, Some(name)) => format!("{name}: "),
        (Some(step), None) => format!("step {step}: "),
        (None, None) => String::new(),
    };
    let place = reason.place.as_ref().map(|place| format!("place {place}, ")).filter(|_| !step.is_empty());
    let code = reason.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    escaped(&format!("{}{step}{}{code}", place.unwrap_or_default(), reason.text)).into_owned()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn wrapped(text: &str, indent: &str, width: usize) -> Vec<String> {
    let options = textwrap::Options::new(width).initial_indent(indent).subsequent_indent(indent);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
}

/// A time for people, with about three digits.
pub(crate) fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => duration::format(Duration::from_secs(ms / 1_000)),
        _ => duration::format(Duration::from_secs(ms / 60_000 * 60)),
    }
}

#[cfg(test)]
mod tests;
