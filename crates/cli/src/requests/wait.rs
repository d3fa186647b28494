//! `faasflow requests wait`, and the waiting of `faasflow invoke --wait`

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use faasflow_admin::{FlowRequest, Place, PlaceStatus, RequestStatus};
use faasflow_core::duration;
use faasflow_runtime::log::escaped;
use http::Method;
use http::header::HeaderName;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep_until, timeout};

use super::api::{FlowApi, PAUSE, is_temporary, pause, reason, request};
use super::context::Context;
use super::members;
use super::result::{not_ended, outcome};
use super::show::print_json;
use super::timeline::{reason_text, time};
use crate::args::OneRequest;
use crate::client::Answer;
use crate::error::Failure;

/// How long the flow holds its answer. The status comes only at the end of this, so it is short, to show each place soon.
const STEP: Duration = Duration::from_secs(2);
/// How long an answer may take beyond that.
const PATIENCE: Duration = Duration::from_secs(30);

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

pub(super) async fn run(
    context: &Context<'_>,
    asked: &OneRequest,
    limit: Option<Duration>,
    json: bool,
) -> Result<(), Failure> {
    let deadline = limit.map(|limit| (limit, Instant::now() + limit));
    let id = asked.id.as_str();
    let flow = match &asked.flow {
        Some(flow) => flow.clone(),
        None => context.api.locate(id, None, context.stack).await?.0,
    };
    let (request, answer) = until_end(&context.api, &flow, id, deadline).await?;
    if json {
        print_json(&answer.body)?;
    } else {
        say!("{}", request.status);
    }
    outcome(&request)
}

/// Waits until a request has ended, and shows its places as they end. `deadline` is how long to wait, and until when.
pub(crate) async fn until_end(
    api: &FlowApi<'_>,
    flow: &str,
    id: &str,
    deadline: Option<(Duration, Instant)>,
) -> Result<(FlowRequest, Answer), Failure> {
    let (target, what) = (request(id), format!("show the request `{id}`"));
    let mut progress = Progress::new();
    let mut last = RequestStatus::Running;
    loop {
        let left = deadline.map(|(_, until)| until.saturating_duration_since(Instant::now()));
        let wait = left.map_or(STEP, |left| left.min(STEP)).as_millis().div_ceil(1000);
        let wait = u64::try_from(wait).unwrap_or_default();
        let sending = api.send(Method::GET, flow, &target, Some(wait).filter(|&wait| wait > 0));
        let late = |_| api.client.unreachable("it did not answer the question about the request in time");
        let answer = timeout(Duration::from_secs(wait) + PATIENCE, sending).await.map_err(late)??;
        let pause = if is_temporary(&answer) {
            progress.unavailable(&reason(&answer));
            pause(&answer)
        } else {
            let request: FlowRequest = api.read(&answer, flow, &what)?;
            progress.show(&request);
            if request.status.is_end() {
                return Ok((request, answer));
            }
            // It goes on only if somebody decides so.
            if request.status == RequestStatus::Parked {
                return Err(not_ended(
                    format!("the request `{id}` of `{flow}` does not end by itself"),
                    request.status,
                    id,
                ));
            }
            last = request.status;
            // A flow that has waited need not be spared.
            let has_waited = answer.headers.contains_key(PREFERENCE_APPLIED);
            if has_waited { PAUSE / 10 } else { pause(&answer) }
        };
        if let Some((limit, until)) = deadline
            && Instant::now() >= until
        {
            let what = match limit.is_zero() {
                true => format!("the request `{id}` of `{flow}` has not ended yet"),
                false => format!("the request `{id}` of `{flow}` has not ended within {}", duration::format(limit)),
            };
            return Err(not_ended(what, last, id));
        }
        // At the deadline, the flow is asked once more.
        let next = Instant::now() + pause;
        sleep_until(deadline.map_or(next, |(_, until)| next.min(until))).await;
    }
}

/// Shows on standard error what happens to a request: a line for each place that has ended, and on a terminal what is in
/// progress.
struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    /// The status and the attempts of each place that were shown.
    shown: BTreeMap<(String, Vec<String>), (PlaceStatus, u32)>,
    status: RequestStatus,
    generation: u64,
    is_unavailable: bool,
}

impl Progress {
    fn new() -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        // What does not fit into the line is cut off.
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress {
            bar,
            is_terminal,
            shown: BTreeMap::new(),
            status: RequestStatus::Running,
            generation: 0,
            is_unavailable: false,
        }
    }

    fn show(&mut self, request: &FlowRequest) {
        self.is_unavailable = false;
        // A request that was redriven executes places again.
        if request.generation != self.generation {
            self.generation = request.generation;
            self.shown.clear();
        }
        for line in lines(request, &mut self.shown) {
            self.line(&line);
        }
        if request.status != self.status {
            self.status = request.status;
            let why = request.reason.as_ref().map(|reason| format!(": {}", reason_text(reason)));
            if !request.status.is_end() {
                self.line(&format!("{} is {}{}", escaped(&request.id), request.status, why.unwrap_or_default()));
            }
        }
        self.bar.set_message(in_progress(request));
    }

    fn unavailable(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_unavailable, true) {
            self.line(&format!("waiting for the flow: {why}"));
        }
    }

    fn line(&self, text: &str) {
        // If nobody reads the output, the waiting still goes on.
        let write = || drop(writeln!(std::io::stderr(), "{text}"));
        if self.is_terminal { self.bar.suspend(write) } else { write() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The lines for what has happened since the last answer.
fn lines(request: &FlowRequest, shown: &mut BTreeMap<(String, Vec<String>), (PlaceStatus, u32)>) -> Vec<String> {
    let mut lines = Vec::new();
    for place in &request.places {
        let key = (place.place.clone(), place.path.clone());
        let state = (place.status, place.attempts);
        if shown.insert(key, state) == Some(state) || !(place.status.is_end() || is_retried(place)) {
            continue;
        }
        let took = place.began_ms.zip(place.done_ms).map(|(began, done)| time(done.saturating_sub(began)));
        let took = took.map(|took| format!(" after {took}")).unwrap_or_default();
        let why = place.reason.as_ref().map(|reason| format!(": {}", reason_text(reason))).unwrap_or_default();
        // The place that begins a for-each may have no step.
        let number = members::number(place, &request.places).map(|number| format!(" ({number})")).unwrap_or_default();
        lines.push(format!("{}{number}: {}{took}{why}", title(place), place.status));
    }
    lines
}

/// The places in progress, for one line. Items are counted.
fn in_progress(request: &FlowRequest) -> String {
    let open = request.places.iter().filter(|place| !place.status.is_end() && !members::is_in_item(place)).map(title);
    let forks = request.places.iter().filter(|place| {
        let is_open = place.members.as_ref().is_some_and(|members| members.running + members.waiting > 0);
        is_open && members::are_items(place, &request.places) && !members::is_in_item(place)
    });
    let counts =
        forks.filter_map(|place| Some(format!("{} {}", title(place), members::counts(place, &request.places)?)));
    open.chain(counts).collect::<Vec<_>>().join("; ")
}

fn is_retried(place: &Place) -> bool {
    place.status == PlaceStatus::Retrying
}

/// A place for people: its branches, the label of its item, and its steps.
fn title(place: &Place) -> String {
    let names = place.path.join(" › ");
    let steps = place.steps.join(", ");
    let label = place.label.as_ref().map(|label| format!("({label})")).unwrap_or_default();
    let parts = [place.place.as_str(), names.as_str(), label.as_str(), steps.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty());
    escaped(&parts.collect::<Vec<_>>().join(" ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(places: &str) -> FlowRequest {
        serde_json::from_str(&format!(r#"{{"id":"a","flow":"f","places":{places}}}"#)).unwrap()
    }

    #[test]
    fn each_place_is_shown_once_when_it_ends_and_at_each_retry() {
        let mut shown = BTreeMap::new();
        let first = request(r#"[{"place":"1","steps":["a","b"],"status":"running","began_ms":5,"attempts":1}]"#);
        assert_eq!(lines(&first, &mut shown), [""; 0]);
        let second = request(
            r#"[{"place":"1","steps":["a","b"],"status":"done","began_ms":5,"done_ms":1005,"attempts":1},
                {"place":"1.0/2","path":["thumb"],"status":"retrying","attempts":2,"reason":{"text":"it is away"}}]"#,
        );
        let expected = ["1 a, b: done after 1.0s", "1.0/2 thumb: retrying: it is away"];
        assert_eq!(lines(&second, &mut shown), expected);
        assert_eq!(lines(&second, &mut shown), [""; 0]);
        let third = request(r#"[{"place":"1.0/2","path":["thumb"],"status":"failed","attempts":3}]"#);
        assert_eq!(lines(&third, &mut shown), ["1.0/2 thumb: failed"]);
        let item = request(r#"[{"place":"1.3/2","path":["item-4"],"label":"a\u001b.jpg","status":"failed"}]"#);
        assert_eq!(lines(&item, &mut shown), [r"1.3/2 item-4 (a\u{1b}.jpg): failed"]);
    }

    #[test]
    fn a_place_without_steps_says_how_many_items_come_after_it_and_items_in_progress_are_counted() {
        let request = request(
            r#"[{"place":"1@2","status":"done","began_ms":5,"done_ms":5,"members":{"all":40,"done":12,"running":28}},
                {"place":"1.12/2@2","path":["item-13"],"steps":["resize"],"status":"running"},
                {"place":"3@2","steps":["b"],"status":"running"}]"#,
        );
        assert_eq!(lines(&request, &mut BTreeMap::new()), ["1@2 (40 items): done after 0ms"]);
        assert_eq!(in_progress(&request), "3@2 b; 1@2 40 items: 12 done, 28 running");
    }
}
