//! `faasflow requests list`

use faasflow_admin::{FoundBy, REQUESTS_VERSION, RequestSummary};
use faasflow_core::{code, counted};
use faasflow_runtime::log::escaped;
use serde::Serialize;

use super::api::{grouped, now_ms};
use super::context::Context;
use super::filter::{Filter, Listed};
use super::given_up::{self, Letters};
use super::timeline::{short_reason, time};
use crate::args::ListRequests;
use crate::error::{Exit, Failure};
use crate::queue::table;

/// The largest page of a list.
const LARGEST_PAGE: usize = 1000;

/// The requests of flows, newest first.
pub(super) struct Found {
    pub(super) requests: Vec<Listed>,
    /// Whether there are more than were wanted.
    pub(super) more: bool,
    /// Of how many requests with dead letters the flows know nothing.
    pub(super) unknown: usize,
    /// Why a flow could not be asked.
    pub(super) failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Document {
    version: u32,
    requests: Vec<Listed>,
}

pub(super) async fn run(context: &Context<'_>, list: &ListRequests) -> Result<(), Failure> {
    let filter = Filter::new(list);
    let Found { requests, more, unknown, failures } = find(context, list.flow.as_deref(), filter).await?;
    let count = requests.len() as u64;
    if list.json {
        let document = Document { version: REQUESTS_VERSION, requests };
        say!("{}", serde_json::to_string_pretty(&document).expect("it is plain data"));
    } else {
        print(&requests)?;
        match (count, more) {
            (0, _) if failures.is_empty() => eprintln!("There are no such requests."),
            (0, _) => {}
            (_, true) if filter.looks_at_each() => {
                eprintln!("Older requests may match as well: `--all` searches all of them.");
            }
            (_, true) => eprintln!("There are more: `--limit N` lists more of them, and `--all` lists all."),
            (_, false) if filter.given_up => eprintln!("{}", given_up::help(&requests)),
            (_, false) => eprintln!("{}. Show one with `faasflow requests show ID`.", counted(count, "request")),
        }
        if unknown > 0 {
            eprintln!("{}", given_up::unknown_in_words(unknown));
        }
    }
    all(failures)
}

/// Fails if there are failures, with all of them.
pub(super) fn all(failures: Vec<Failure>) -> Result<(), Failure> {
    let problems: Vec<_> = failures
        .into_iter()
        .flat_map(|failure| match failure {
            Failure::Problems { problems, .. } => problems,
            Failure::Closed => Vec::new(),
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Failed, problems)) }
}

/// Prints requests as a table.
pub(super) fn print(requests: &[Listed]) -> Result<(), Failure> {
    let now_ms = now_ms();
    let is_search = requests.iter().any(|listed| listed.summary.found.is_some());
    let has_details = requests.iter().any(|Listed { summary, letters, .. }| {
        summary.at.is_some() || summary.reason.is_some() || !letters.ids.is_empty()
    });
    let rows = requests.iter().map(|listed| {
        let RequestSummary { id, status, started_ms, found, .. } = &listed.summary;
        let ago = format!("{} ago", time(now_ms.saturating_sub(*started_ms)));
        let found = found.as_ref().map(|found| match found.by {
            // The id is in the row already.
            FoundBy::Id => "id".to_owned(),
            by => format!("{} {}", by.as_str(), escaped(&found.text)),
        });
        let row = vec![escaped(id).into_owned(), listed.flow.clone(), status.to_string(), ago];
        let row = row.into_iter().chain(found.or(is_search.then(String::new)));
        row.chain(has_details.then(|| place(listed))).collect::<Vec<String>>()
    });
    let mut heads = vec!["ID", "FLOW", "STATUS", "STARTED"];
    heads.extend(is_search.then_some("FOUND BY"));
    heads.extend(has_details.then_some("NOW AT, OR WHY"));
    table(&heads, &rows.collect::<Vec<_>>())
}

/// Where a request is, and why.
fn place(Listed { summary: RequestSummary { at, reason, .. }, letters, .. }: &Listed) -> String {
    let mut told: Vec<String> = letters.in_words().into_iter().chain(reason.iter().map(short_reason)).collect();
    if let Some(at) = at {
        let path = at.path.iter().map(|name| format!("{name}/")).collect::<String>();
        let label = at.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
        let retried = if letters.is_of_place { "given up" } else { "being retried" };
        let why = at.reason.as_ref().map(|reason| format!(", {retried}: {}", short_reason(reason))).unwrap_or_default();
        let least = if at.partial { "at least " } else { "" };
        let more = match at.more {
            0 => String::new(),
            more => format!(", and {least}{}", counted(more, "more place")),
        };
        told.push(format!("{path}{}{label}{why}{more}", at.steps.join(", ")));
    }
    escaped(&told.join("; ")).into_owned()
}

/// The requests of one flow or of all. If all are asked, a flow that cannot be asked does not hide the others.
pub(super) async fn find(context: &Context<'_>, flow: Option<&str>, filter: Filter<'_>) -> Result<Found, Failure> {
    let mut found = Found { requests: Vec::new(), more: false, unknown: 0, failures: Vec::new() };
    let mut failures = Vec::new();
    let letters = match filter.given_up {
        true => Some(Letters::needed(context, flow).await?),
        false => None,
    };
    for name in context.flows(flow).await? {
        let listed = match &letters {
            Some(letters) => given_up::of_flow(context, &name, filter, letters, flow.is_some()).await.map(|of_flow| {
                of_flow.map(|of_flow| {
                    found.unknown += of_flow.unknown;
                    (of_flow.open, false)
                })
            }),
            None => of_flow(context, &name, filter, flow.is_some()).await,
        };
        match listed {
            Ok(Some((requests, more))) => {
                found.more |= more;
                found.requests.extend(requests.into_iter().map(|summary| Listed::new(&name, summary)));
            }
            // Such flows are usual beside others: those without a queue.
            Ok(None) => context.tell_without_records(&name),
            Err(failure) if flow.is_some() || is_about_all(&failure) => return Err(failure),
            Err(failure) if context.is_left_out(&name, &failure) => {}
            Err(failure) => failures.push((name, failure)),
        }
    }
    found.failures = grouped(failures);
    found.requests.sort_by_key(|listed| std::cmp::Reverse(listed.summary.started_ms));
    found.more |= found.requests.len() > filter.limit;
    found.requests.truncate(filter.limit);
    if filter.has_details() && found.requests.iter().any(|listed| !listed.summary.status.is_end()) {
        // Without the queue, such as that of OpenFaaS, the list says less.
        let letters = match letters {
            Some(letters) => Some(letters),
            None => Letters::read(context, flow).await.unwrap_or_else(|failure| {
                context.tell_once("The list does not show dead letters, because they cannot be read.".to_owned());
                found.failures.push(failure);
                None
            }),
        };
        if let Some(letters) = letters {
            letters.add_to(&mut found.requests);
        }
    }
    Ok(found)
}

/// Whether no flow can be asked, for the same reason.
pub(super) fn is_about_all(failure: &Failure) -> bool {
    let is_unreachable = matches!(failure, Failure::Problems { exit: Exit::Unreachable, .. });
    is_unreachable || failure.has_code(code::ACCESS_DENIED) || failure.has_code(code::GATEWAY_REFUSES)
}

/// The requests of a flow, and whether there are more. `None` if it does not remember them, unless that is a failure because the
/// command line names it.
async fn of_flow(
    context: &Context<'_>,
    flow: &str,
    filter: Filter<'_>,
    is_named: bool,
) -> Result<Option<(Vec<RequestSummary>, bool)>, Failure> {
    let (mut requests, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = filter.query();
        let page = (filter.limit - requests.len()).min(LARGEST_PAGE);
        query.append_pair("limit", &page.to_string());
        let Some(list) = context.api.page(flow, query, cursor.as_deref(), is_named).await? else { return Ok(None) };
        requests.extend(list.requests);
        match list.cursor {
            // A search looks at all requests, which may be very many. Those that match exactly are found at once.
            Some(_) if filter.looks_at_each() && !requests.is_empty() && filter.limit != usize::MAX => {
                return Ok(Some((requests, true)));
            }
            Some(next) if requests.len() < filter.limit && cursor.as_ref() != Some(&next) => cursor = Some(next),
            next => return Ok(Some((requests, next.is_some()))),
        }
    }
}
