//! The route that lists the requests of a flow.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use faasflow_admin as api;
use faasflow_core::state::{ListPosition, ListQuery, MAX_SEARCH_KEY, Status, search_key};
use faasflow_core::{RequestId, duration};
use faasflow_http::now_ms;
use tokio::time::Instant;

use super::answer;
use super::api::{LISTED, MOST_LISTED, flag, number, parameters};
use super::cursor::{NOT_A_CURSOR, cursor, positions};
use super::filter::{Filter, Text};
use super::pages::{Among, Asked, Line};
use super::parameters::Listing;
use super::progress::NotFound;
use super::refused::{Answered, answered, bad};
use super::search::Wanted;
use crate::instance::Instance;

/// How long a page looks at requests. People wait for it, and the next page goes on.
const SOON: Duration = Duration::from_secs(2);

/// How many ids a request may name. More could make the URL longer than gateways accept.
const MOST_IDS: usize = 100;

/// The route.
pub(super) fn routes(function: Arc<Instance>) -> Router {
    Router::new().route("/_/requests", get(list)).with_state(function)
}

async fn list(State(function): State<Arc<Instance>>, RawQuery(query): RawQuery, request: Request) -> Response {
    let answer = async {
        function.signed(request).await?;
        let given: Listing = parameters(query.as_deref())?;
        let asked = asked(&given)?;
        let until = function.patience();
        let manager = function.records(until);
        // The answer must not be late because of what is read last.
        let soon = Instant::now() + SOON.min(until.saturating_duration_since(Instant::now()) / 2);
        let page = function.page(&manager, &asked, soon).await.map_err(NotFound::Store)?;
        let mut told = api::RequestList::default();
        told.version = api::REQUESTS_VERSION;
        told.cursor = page.next.as_ref().map(|(after, exact_to)| match exact_to {
            None => cursor(after),
            Some(exact_to) => format!("{}~{}", cursor(after), cursor(exact_to)),
        });
        told.requests = page.lines.into_iter().map(summary).collect();
        Ok(Json(told).into_response())
    };
    answered(answer.await)
}

fn summary(Line { listed, found, details }: Line) -> api::RequestSummary {
    let mut told = api::RequestSummary::default();
    (told.id, told.status, told.started_ms) = (listed.request, answer::status_of(listed.status), listed.started_ms);
    told.found = found;
    if let Some(details) = details {
        (told.moved_ms, told.at, told.reason) = (details.moved_ms, details.at, details.reason);
    }
    told
}

/// What the parameters ask for.
fn asked(given: &Listing) -> Answered<Asked<'_>> {
    let status: Option<Status> = match given.status.as_deref().map(str::parse).transpose() {
        Ok(status) => status,
        Err(error) => return bad(faasflow_core::chain(&error)),
    };
    let among = match (&given.key, &given.search) {
        _ if given.ids.is_some() => {
            if given.key.is_some() || given.search.is_some() || given.repeats.is_some() {
                return bad("`ids` excludes `key`, `search` and `repeats`: it names the requests that are listed");
            }
            Among::Ids(ids(given.ids.as_deref().unwrap_or_default())?)
        }
        _ if given.repeats.is_some() => {
            if given.key.is_some() || given.search.is_some() {
                return bad("`repeats` excludes `key` and `search`: it finds the requests that repeat one request");
            }
            match given.repeats.as_deref().and_then(RequestId::parse) {
                Some(original) => Among::Repeating(original),
                None => return bad(format!("`repeats` must be a request id: an id has {}", RequestId::FORM)),
            }
        }
        (Some(_), Some(_)) => {
            return bad("`key` and `search` exclude each other: `search` finds search keys as well");
        }
        (Some(key), None) => Among::Keyed(searched("key", key)?),
        (None, Some(text)) => Among::Searched(Wanted::new(searched("search", text)?)),
        (None, None) => Among::All,
    };
    let filter = filter(given, status)?;
    let (after, exact_to) = match given.cursor.as_deref().map(positions_of).transpose()? {
        Some((after, exact_to)) => (Some(after), exact_to),
        None => (None, None),
    };
    let limit = number("limit", given.limit.as_deref(), LISTED, MOST_LISTED)?;
    let since_ms = time("since", given.since.as_deref())?.unwrap_or(0);
    let until_ms = time("until", given.until.as_deref())?;
    if until_ms.is_some_and(|until_ms| until_ms <= since_ms) {
        return bad("no time is between `since` and `until`: `since` must be the earlier one");
    }
    let is_first = after.is_none();
    let after = after.into_iter().chain(until_ms.map(before)).min();
    let query = ListQuery { status, since_ms, after, limit };
    Ok(Asked { query, among, filter, details: flag("details", given.details.as_deref())?, is_first, exact_to })
}

/// The ids in a text, between commas.
fn ids(text: &str) -> Answered<Vec<RequestId>> {
    let mut ids = Vec::new();
    for id in text.split(',') {
        match RequestId::parse(id) {
            Some(id) if ids.len() < MOST_IDS => ids.push(id),
            Some(_) => {
                return bad(format!("`ids` has more than {MOST_IDS} ids: ask for the others in another request"));
            }
            None => return bad(format!("`ids` must be request ids between commas: an id has {}", RequestId::FORM)),
        }
    }
    Ok(ids)
}

fn filter(given: &Listing, status: Option<Status>) -> Answered<Filter> {
    let text = |name, text: &Option<String>| -> Answered<Option<Text>> {
        Ok(text.as_deref().map(|text| searched(name, text)).transpose()?.map(Text::new))
    };
    let idle = match given.idle.as_deref().map(duration::parse) {
        None => None,
        Some(Ok(idle)) => Some(idle),
        Some(Err(_)) => return bad("`idle` must be a duration such as `10m`: for how long a request has not moved"),
    };
    let filter = Filter {
        at: text("at", &given.at)?,
        retrying: flag("retrying", given.retrying.as_deref())?,
        idle,
        reason: text("reason", &given.reason)?,
    };
    match (status.filter(|status| !filter.allows(*status)), filter.open_only()) {
        (None, _) => Ok(filter),
        (Some(status), Some(name)) => bad(format!(
            "`{name}` finds only requests that have not ended, so leave out `status={status}`, or use `status` without `{name}`"
        )),
        (Some(status), None) => {
            bad(format!("a request with `status={status}` has no reason, so leave out `status` or `reason`"))
        }
    }
}

/// A text that is searched for. Ids, search keys and labels are not longer.
pub(super) fn searched<'a>(name: &str, text: &'a str) -> Answered<&'a str> {
    match search_key(text) {
        Ok(text) => Ok(text),
        Err(_) => bad(format!("`{name}` must have 1 to {MAX_SEARCH_KEY} bytes, and no control characters")),
    }
}

/// The positions of a cursor.
fn positions_of(text: &str) -> Answered<(ListPosition, Option<ListPosition>)> {
    positions(text).map_or_else(|| bad(NOT_A_CURSOR), Ok)
}

/// The position after which requests are listed that began before a time. The list goes from the newest to the oldest, and no id comes
/// before `-`.
fn before(until_ms: u64) -> ListPosition {
    ListPosition { started_ms: until_ms, request: "-".to_owned() }
}

/// A time in milliseconds since the Unix epoch: it is given as the duration from then until now, or as itself.
fn time(name: &str, text: Option<&str>) -> Answered<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(ms) = text.parse() {
        return Ok(Some(ms));
    }
    match duration::parse(text) {
        Ok(past) => Ok(Some(now_ms().saturating_sub(u64::try_from(past.as_millis()).unwrap_or(u64::MAX)))),
        Err(_) => {
            bad(format!("`{name}` must be a duration such as `1h`, or a number of milliseconds since the Unix epoch"))
        }
    }
}
