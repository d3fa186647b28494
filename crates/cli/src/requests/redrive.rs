//! `faasflow requests redrive`

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use faasflow_admin::{FlowRequest, REQUESTS_VERSION, RequestChange, RequestProblem, RequestStatus, RequestSummary};
use faasflow_core::code::{self, Code};
use faasflow_core::counted;
use faasflow_runtime::log::escaped;
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::signal::ctrl_c;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::api::{pause, reason, request};
use super::context::Context;
use super::filter::{Filter, Listed};
use super::list::{Found, all, find, is_about_all, print};
use crate::args::RedriveRequests;
use crate::client::{error_code, is_own_answer};
use crate::error::Failure;

/// How often a request is tried that the flow cannot redrive now.
const ATTEMPTS: u32 = 5;
/// How long to wait after Ctrl-C for the answer to a request that was sent.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// The value of `--from` that is no phase.
const FROM_FAILED: &str = "failed";
/// How many ids of refused requests are listed for each reason.
const SHOWN_IDS: usize = 5;

/// What became of the requests.
#[derive(Default, Serialize)]
struct Summary {
    version: u32,
    started: Vec<Started>,
    refused: Vec<Refused>,
    /// How many were not tried, because the command was interrupted.
    left: usize,
}

#[derive(Serialize)]
struct Started {
    flow: String,
    id: String,
    generation: u64,
}

#[derive(Serialize)]
struct Refused {
    flow: String,
    id: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Whether it can only be started again from a phase.
    #[serde(skip)]
    needs_phase: bool,
}

#[derive(Serialize)]
struct DryRun<'a> {
    version: u32,
    would_redrive: &'a [Listed],
}

pub(super) async fn run(context: &Context<'_>, redrive: &RedriveRequests) -> Result<(), Failure> {
    let (requests, failures) = select(context, redrive).await?;
    let count = counted(requests.len() as u64, "request");
    if redrive.dry_run && redrive.json {
        let document = DryRun { version: REQUESTS_VERSION, would_redrive: &requests };
        say!("{}", serde_json::to_string_pretty(&document).expect("it is plain data"));
        return all(failures);
    }
    let is_selection = redrive.which.ids.is_empty();
    if is_selection && !redrive.json {
        print(&requests)?;
    }
    if redrive.dry_run {
        eprintln!("{count} would be redriven. Nothing was changed.");
        return all(failures);
    }
    if is_selection && !requests.is_empty() && !confirmed(redrive, &count)? {
        eprintln!("Nothing was changed.");
        return all(failures);
    }
    let (summary, stopped) = start_all(context, redrive, &requests).await;
    if redrive.json {
        say!("{}", serde_json::to_string_pretty(&summary).expect("it is plain data"));
    } else {
        report(&summary, requests.len())?;
    }
    let refused = (!summary.refused.is_empty()).then(|| not_all(&summary, requests.len()));
    all(failures.into_iter().chain(refused).chain(stopped).collect())
}

/// The requests to redrive, and the failures of flows that could not be asked.
async fn select(context: &Context<'_>, redrive: &RedriveRequests) -> Result<(Vec<Listed>, Vec<Failure>), Failure> {
    let (mut requests, mut failures) = (Vec::new(), Vec::new());
    for id in &redrive.which.ids {
        let (flow, answer) = match context.api.locate(id.as_str(), redrive.flow.as_deref(), context.stack).await {
            Ok(located) => located,
            // The next ones would fail in the same way.
            Err(failure) if is_about_all(&failure) => return Err(failure),
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let summary: RequestSummary = serde_json::from_slice(&answer.body).expect("it was read before");
        requests.push(Listed::new(&flow, summary));
    }
    let wanted = [(redrive.which.failed, RequestStatus::Failure), (redrive.which.stopped, RequestStatus::Stopped)];
    for (_, status) in wanted.into_iter().filter(|(is_wanted, _)| *is_wanted) {
        let filter = Filter {
            status: Some(status.as_str()),
            since: redrive.since,
            search: redrive.search.as_deref(),
            reason: redrive.reason.as_deref(),
            ..Filter::all()
        };
        let Found { requests: found, failures: faults, .. } = find(context, redrive.flow.as_deref(), filter).await?;
        requests.extend(found);
        failures.extend(faults);
    }
    // Those that failed first start first.
    if redrive.which.ids.is_empty() {
        requests.sort_by_key(|listed| listed.summary.started_ms);
    }
    Ok((requests, failures))
}

/// Asks whether to go on.
fn confirmed(redrive: &RedriveRequests, count: &str) -> Result<bool, Failure> {
    if redrive.yes {
        return Ok(true);
    }
    let mut stderr = std::io::stderr();
    if !std::io::stdin().is_terminal() || !stderr.is_terminal() {
        return Err(Failure::unusable(code::NEEDS_YES, format!("{count} would be redriven, and nobody can be asked"))
            .because_text("standard input or standard error is not a terminal")
            .help("repeat the command with `--yes`, or with `--dry-run` to see what it would do"));
    }
    write!(stderr, "Redrive {count}, {} per second? [y/N] ", redrive.rate)?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
}

/// Starts the requests one after the other, at the rate that the command line says. The failure says why not all were tried.
async fn start_all(
    context: &Context<'_>,
    redrive: &RedriveRequests,
    requests: &[Listed],
) -> (Summary, Option<Failure>) {
    let mut summary = Summary { version: REQUESTS_VERSION, ..Summary::default() };
    let mut due = interval(Duration::from_secs(1) / redrive.rate.get());
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let interrupted = ctrl_c();
    tokio::pin!(interrupted);
    for (number, listed) in requests.iter().enumerate() {
        let left = requests.len() - number;
        tokio::select! {
            biased;
            _ = &mut interrupted => return (Summary { left, ..summary }, Some(interruption())),
            _ = due.tick() => {}
        }
        let starting = start(context, listed, &redrive.from);
        tokio::pin!(starting);
        let (tried, is_interrupted) = tokio::select! {
            biased;
            tried = &mut starting => (Some(tried), false),
            // What was sent is counted if its answer comes soon.
            _ = &mut interrupted => (timeout(LAST_ANSWER, &mut starting).await.ok(), true),
        };
        let left = match tried {
            Some(Ok(Ok(started))) => {
                summary.started.push(started);
                left - 1
            }
            Some(Ok(Err(refused))) => {
                summary.refused.push(refused);
                left - 1
            }
            Some(Err(failure)) => return (Summary { left, ..summary }, Some(failure)),
            None => left,
        };
        if is_interrupted && left > 0 {
            return (Summary { left, ..summary }, Some(interruption()));
        }
    }
    (summary, None)
}

fn interruption() -> Failure {
    Failure::failed(code::STOPPED, "the command was interrupted before it had redriven all requests").help(
        "run the command again to go on: requests that were started have not failed any more, so they are not listed again",
    )
}

/// Starts a request. Fails if no flow can be asked, so that it is pointless to try the next request.
async fn start(context: &Context<'_>, listed: &Listed, from: &str) -> Result<Result<Started, Refused>, Failure> {
    let (flow, id) = (&listed.flow, &listed.summary.id);
    let target = format!("{}/redrive?from={from}", request(id));
    let mut attempt = 1;
    let answer = loop {
        let answer = context.api.send(Method::POST, flow, &target, None).await?;
        let is_temporary = matches!(answer.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if !is_temporary || attempt == ATTEMPTS {
            break answer;
        }
        attempt += 1;
        sleep(pause(&answer)).await;
    };
    let what = format!("redrive the request `{id}`");
    if answer.status.is_success() {
        let change: RequestChange = context.api.read(&answer, flow, &what)?;
        let generation = change.generation.unwrap_or_default();
        return Ok(Ok(Started { flow: flow.clone(), id: id.clone(), generation }));
    }
    // The password or the key is wrong, which is the same for the next one.
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) || is_own_answer(&answer.headers) {
        return Err(context.api.refusal(&answer, flow, &what));
    }
    // An attempt before that was answered with 503 may have started it.
    if attempt > 1
        && answer.status == StatusCode::CONFLICT
        && let Some(generation) = started_before(context, listed).await?
    {
        return Ok(Ok(Started { flow: flow.clone(), id: id.clone(), generation }));
    }
    let code = error_code(&answer.headers).map(Code::as_str);
    let problem: RequestProblem = serde_json::from_slice(&answer.body).unwrap_or_default();
    let needs_phase = answer.status == StatusCode::CONFLICT
        && from == FROM_FAILED
        && matches!(problem.status, Some(RequestStatus::Parked | RequestStatus::Success | RequestStatus::Recovered));
    Ok(Err(Refused { flow: flow.clone(), id: id.clone(), reason: reason(&answer), code, needs_phase }))
}

/// The generation of a request that has left the status in which it was found.
async fn started_before(context: &Context<'_>, listed: &Listed) -> Result<Option<u64>, Failure> {
    use RequestStatus::{Failure, Parked, Stopped};
    let (flow, RequestSummary { id, status, .. }) = (&listed.flow, &listed.summary);
    let answer = context.api.send(Method::GET, flow, &request(id), None).await?;
    let now: FlowRequest = serde_json::from_slice(&answer.body).unwrap_or_default();
    let has_left = !matches!(now.status, Failure | Parked | Stopped) && now.status != *status;
    Ok((answer.status.is_success() && has_left && now.generation > 0).then_some(now.generation))
}

fn report(summary: &Summary, all: usize) -> Result<(), Failure> {
    let Summary { started, refused, left, .. } = summary;
    let mut line = format!("Started {} of {}", started.len(), counted(all as u64, "request"));
    if !refused.is_empty() {
        line.push_str(&format!(", {} refused", refused.len()));
    }
    if *left > 0 {
        line.push_str(&format!(", {left} not tried"));
    }
    say!("{line}");
    Ok(())
}

/// The failure about the requests that were refused, with each reason once.
fn not_all(summary: &Summary, all: usize) -> Failure {
    let mut reasons = BTreeMap::<String, Vec<&str>>::new();
    for Refused { id, reason, code, .. } in &summary.refused {
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        reasons.entry(format!("{reason}{code}")).or_default().push(id);
    }
    let what = format!("{} of {} could not be redriven", summary.refused.len(), counted(all as u64, "request"));
    let failure = Failure::failed(code::NOT_CHANGED, what);
    let failure = reasons.into_iter().fold(failure, |failure, (reason, ids)| {
        let shown = ids.iter().take(SHOWN_IDS).copied().collect::<Vec<_>>().join(", ");
        let more = ids.len().saturating_sub(SHOWN_IDS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        failure.because_text(escaped(&format!("{shown}{more}: {reason}")))
    });
    let failure = match summary.refused.iter().any(|refused| refused.needs_phase) {
        true => failure.help("name the phase to start from with `--from N`"),
        false => failure,
    };
    failure.help("look at one with `faasflow requests show ID`")
}
