//! Requests of which the queue has given up a delivery. The dead letters of the queue say which ones these are; flows do not know it.

use bytes::Bytes;
use faasflow_admin::{DeadLetterSummary, RequestList, RequestStatus, RequestSummary, paths};
use faasflow_core::{code, counted};
use http::{HeaderMap, Method, StatusCode};

use super::context::Context;
use super::filter::{Filter, Listed};
use crate::client::error_code;
use crate::error::Failure;

/// How many dead letters are read at most, the newest first. The gateway keeps no more, unless it is told to.
const LETTERS: usize = 10_000;
/// How many requests a flow is asked for at once.
const IDS: usize = 100;

/// Dead letters that are deliveries, newest first.
pub(super) struct Letters(Vec<DeadLetterSummary>);

impl Letters {
    /// Reads those of one flow or of all.
    pub(super) async fn read(context: &Context<'_>, flow: Option<&str>) -> Result<Letters, Failure> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &LETTERS.to_string());
        query.extend_pairs(flow.map(|flow| ("function", flow)));
        let path = format!("{}?{}", paths::DEAD_LETTERS, query.finish());
        let client = context.api.client;
        let answer = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
        if answer.status == StatusCode::NOT_FOUND && error_code(&answer.headers).is_none() {
            return Err(Failure::failed(code::GATEWAY_REFUSES, "the dead letters of the queue cannot be listed")
                .because_text(format!("the gateway at {} is not that of `faasflow up`", client.base()))
                .help("leave out `--given-up`: `--idle 10m` lists the requests that have not moved for 10 minutes"));
        }
        let mut letters: Vec<DeadLetterSummary> = client.read(&answer)?;
        letters.retain(|letter| !letter.callback);
        Ok(Letters(letters))
    }

    /// Adds to requests of a list which dead letters they have.
    pub(super) fn add_to(&self, requests: &mut [Listed]) {
        for Listed { flow, summary, given_up, dead_letters } in requests {
            let is_own =
                |letter: &&DeadLetterSummary| letter.request.as_ref() == Some(&summary.id) && is_of(letter, flow);
            let own: Vec<_> = self.0.iter().filter(|_| !summary.status.is_end()).filter(is_own).collect();
            *given_up = in_words(summary, &own);
            *dead_letters = own.iter().map(|letter| letter.id).collect();
        }
    }

    /// The ids of the requests of a flow that have any.
    fn requests(&self, flow: &str) -> Vec<&str> {
        let mut ids = Vec::new();
        for id in self.0.iter().filter(|letter| is_of(letter, flow)).filter_map(|letter| letter.request.as_deref()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }
}

/// Whether a dead letter is for this flow. Both may be named with their namespace.
fn is_of(letter: &DeadLetterSummary, flow: &str) -> bool {
    letter.function.split('.').next() == flow.split('.').next()
}

/// What the dead letters of a request say about it.
fn in_words(summary: &RequestSummary, letters: &[&DeadLetterSummary]) -> Option<String> {
    let (newest, others) = letters.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let given_up = if is_given_up(summary, letters) { "given up: " } else { "" };
    Some(format!("{given_up}dead letter {}{others}", newest.id))
}

/// Whether the queue has given up what a request waits for: it is where the dead letter says, or nothing was recorded about it since.
/// When somebody resumes a request, it is queued again.
fn is_given_up(RequestSummary { status, at, moved_ms, .. }: &RequestSummary, letters: &[&DeadLetterSummary]) -> bool {
    let call_id = at.as_ref().and_then(|at| at.call_id.as_deref());
    let is_why = |letter: &&DeadLetterSummary| {
        moved_ms.is_some_and(|moved_ms| letter.died_ms >= moved_ms) || call_id == Some(&letter.call_id)
    };
    *status == RequestStatus::Running && letters.iter().any(is_why)
}

/// Requests of a flow that have dead letters.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Those that have not ended.
    pub(super) open: Vec<RequestSummary>,
    /// How many the flow knows nothing of: they have not begun, because already their first delivery was given up, or have expired.
    pub(super) unknown: usize,
}

/// Asks a flow for its requests that have dead letters. `None` if it does not remember its requests, unless that is a failure because
/// the command line names it.
pub(super) async fn of_flow(
    context: &Context<'_>,
    flow: &str,
    filter: Filter<'_>,
    letters: &Letters,
    is_named: bool,
) -> Result<Option<GivenUp>, Failure> {
    let mut found = GivenUp::default();
    let all = letters.requests(flow);
    let mut known = 0;
    for ids in all.chunks(IDS) {
        let mut cursor = None::<String>;
        loop {
            let mut query = filter.query();
            query.append_pair("ids", &ids.join(","));
            query.append_pair("limit", &IDS.to_string());
            query.extend_pairs(cursor.as_ref().map(|cursor| ("cursor", cursor)));
            let target = format!("/requests?{}", query.finish());
            let answer = context.api.send(Method::GET, flow, &target, None).await?;
            if answer.status == StatusCode::NOT_IMPLEMENTED && !is_named {
                return Ok(None);
            }
            let list: RequestList = context.api.read(&answer, flow, "list its requests")?;
            known += list.requests.len();
            found.open.extend(list.requests.into_iter().filter(|request| !request.status.is_end()));
            match list.cursor {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => break,
            }
        }
    }
    if !filter.is_narrow() {
        found.unknown = all.len().saturating_sub(known);
    }
    Ok(Some(found))
}

/// Says of how many requests flows know nothing.
pub(super) fn unknown_in_words(unknown: usize) -> String {
    let (have, are) = if unknown == 1 { ("has", "is") } else { ("have", "are") };
    format!(
        "{} with dead letters {have} not begun, because already the first delivery was given up, or {are} no longer remembered: \
         `faasflow queue dead-letters` lists these.",
        counted(unknown as u64, "other request")
    )
}

/// What to do about the requests that are listed.
pub(super) fn help(count: u64) -> String {
    format!(
        "{}. Put its dead letter back with `faasflow queue redrive ID`, and a request goes on.",
        counted(count, "request")
    )
}
