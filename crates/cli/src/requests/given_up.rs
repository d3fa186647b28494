//! Requests of which the queue has given up a delivery. The dead letters of the queue say which ones these are; flows do not know it.

use bytes::Bytes;
use faasflow_admin::{DeadLetterSummary, RequestStatus, RequestSummary, paths};
use faasflow_core::{code, counted};
use faasflow_gateway::queue::bare_name;
use http::{HeaderMap, Method, StatusCode};

use super::context::Context;
use super::filter::{Filter, Listed, OwnLetters};
use crate::client::error_code;
use crate::error::Failure;

/// How many dead letters are read at most, the newest first. The gateway keeps no more, unless it is told to.
const LETTERS: usize = 10_000;
/// How many requests a flow is asked for at once, and how many bytes their ids may have in the URL. Servers take URLs of 8 KiB, and often no
/// longer ones.
const IDS: usize = 100;
const IDS_BYTES: usize = 4096;
/// By how much the clocks of a flow and of the gateway may differ, in milliseconds.
const SKEW_MS: u64 = 2000;

/// Dead letters that are deliveries, newest first.
pub(super) struct Letters(Vec<DeadLetterSummary>);

impl Letters {
    /// Reads those of one flow or of all. `None` if the gateway does not list them, such as that of OpenFaaS.
    pub(super) async fn read(context: &Context<'_>, flow: Option<&str>) -> Result<Option<Letters>, Failure> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &LETTERS.to_string());
        query.extend_pairs(flow.map(|flow| ("function", flow)));
        let path = format!("{}?{}", paths::DEAD_LETTERS, query.finish());
        let client = context.api.client;
        let answer = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
        if answer.status == StatusCode::NOT_FOUND && error_code(&answer.headers).is_none() {
            return Ok(None);
        }
        let mut letters: Vec<DeadLetterSummary> = client.read(&answer)?;
        if letters.len() >= LETTERS {
            let newest = counted(LETTERS as u64, "dead letter");
            context.tell_once(format!("Only the newest {newest} were read. What older ones say is left out."));
        }
        letters.retain(|letter| !letter.callback);
        Ok(Some(Letters(letters)))
    }

    /// Reads those of one flow or of all. It is a failure if the gateway does not list them.
    pub(super) async fn needed(context: &Context<'_>, flow: Option<&str>) -> Result<Letters, Failure> {
        Letters::read(context, flow).await?.ok_or_else(|| {
            Failure::failed(code::GATEWAY_REFUSES, "the dead letters of the queue cannot be listed")
                .because_text(format!("the gateway at {} is not that of `faasflow up`", context.api.client.base()))
                .help("leave out `--given-up`: `--idle 10m` lists the requests that have not moved for 10 minutes")
        })
    }

    /// Adds to requests of a list which dead letters they have.
    pub(super) fn add_to(&self, requests: &mut [Listed]) {
        for Listed { flow, summary, letters } in requests {
            let is_own =
                |letter: &&DeadLetterSummary| letter.request.as_ref() == Some(&summary.id) && is_of(letter, flow);
            let own: Vec<_> = self.0.iter().filter(|_| !summary.status.is_end()).filter(is_own).collect();
            *letters = OwnLetters::new(summary, &own);
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

/// Whether a dead letter is for this flow. Either may be named with or without the default namespace.
fn is_of(letter: &DeadLetterSummary, flow: &str) -> bool {
    bare_name(&letter.function) == bare_name(flow)
}

/// Whether the flow has refused the call, for example because another request had its id. That says nothing about the request.
fn is_refused(letter: &DeadLetterSummary) -> bool {
    letter.status.is_some_and(|status| (400..500).contains(&status))
}

impl OwnLetters {
    /// What the dead letters of a request, newest first, say about it.
    fn new(summary: &RequestSummary, letters: &[&DeadLetterSummary]) -> OwnLetters {
        let RequestSummary { status, at, moved_ms, .. } = summary;
        let call_id = at.as_ref().and_then(|at| at.call_id.as_deref());
        let is_at = letters.iter().any(|letter| call_id == Some(&letter.call_id));
        // The flow says when the request moved, and the gateway when it gave up a delivery.
        let is_newer = |letter: &&DeadLetterSummary| {
            !is_refused(letter) && moved_ms.is_some_and(|moved_ms| letter.died_ms.saturating_add(SKEW_MS) >= moved_ms)
        };
        let is_current = *status == RequestStatus::Running && (is_at || letters.iter().any(is_newer));
        OwnLetters {
            ids: letters.iter().map(|letter| letter.id).collect(),
            is_current,
            is_of_place: is_current && (is_at || call_id.is_none()),
        }
    }

    /// What to say about the request.
    pub(super) fn in_words(&self) -> Option<String> {
        let (newest, others) = self.ids.split_first()?;
        let others = match others.len() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let given_up = if self.is_current { "given up: " } else { "" };
        Some(format!("{given_up}dead letter {newest}{others}"))
    }
}

/// Requests of a flow that have dead letters.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Those that have not ended.
    pub(super) open: Vec<RequestSummary>,
    /// How many the flow knows nothing of: they have not begun, because their first delivery was given up, or have expired.
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
    for ids in chunks(&all) {
        let mut cursor = None::<String>;
        loop {
            let mut query = filter.query();
            query.append_pair("ids", &ids.join(","));
            query.append_pair("limit", &IDS.to_string());
            let Some(list) = context.api.page(flow, query, cursor.as_deref(), is_named).await? else { return Ok(None) };
            known += list.requests.len();
            found.open.extend(list.requests.into_iter().filter(|request| !request.status.is_end()));
            match list.cursor {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => break,
            }
        }
    }
    if !filter.excludes_known_requests() {
        found.unknown = all.len().saturating_sub(known);
    }
    Ok(Some(found))
}

/// Divides ids so that a URL has room for each part.
fn chunks<'a>(ids: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, id) in ids.iter().enumerate() {
        let more: usize = form_urlencoded::byte_serialize(id.as_bytes()).map(str::len).sum::<usize>() + "%2C".len();
        if at > start && (at - start == IDS || bytes + more > IDS_BYTES) {
            chunks.push(&ids[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += more;
    }
    chunks.extend((start < ids.len()).then(|| &ids[start..]));
    chunks
}

/// Says of how many requests flows know nothing.
pub(super) fn unknown_in_words(unknown: usize) -> String {
    let (have, its, was, are) = match unknown {
        1 => ("has", "its first delivery", "was", "is"),
        _ => ("have", "their first deliveries", "were", "are"),
    };
    format!(
        "{} with dead letters {have} not begun, because {its} {was} given up, or {are} no longer remembered: \
         `faasflow queue dead-letters` lists these.",
        counted(unknown as u64, "other request")
    )
}

/// What to do about the requests that are listed.
pub(super) fn help(requests: &[Listed]) -> String {
    let by_themselves = match requests.iter().all(|listed| listed.letters.is_current) {
        true => "",
        false => " Those without `given up` may go on by themselves.",
    };
    format!(
        "{}. To let one go on, run `faasflow queue redrive ID` with its dead letter.{by_themselves}",
        counted(requests.len() as u64, "request")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_divided_by_their_number_and_by_their_length() {
        let sizes = |id: &str, count: usize| -> Vec<usize> {
            let ids = vec![id; count];
            chunks(&ids).iter().map(|ids| ids.len()).collect()
        };
        assert_eq!(sizes("a", 250), [100, 100, 50]);
        assert_eq!(sizes("a", 0), [0; 0]);
        // Each needs 384 bytes and the comma.
        assert_eq!(sizes(&":".repeat(128), 25), [10, 10, 5]);
        assert_eq!(sizes(&"a".repeat(5000), 2), [1, 1]);
    }
}
