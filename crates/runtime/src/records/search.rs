//! Finds requests by their ids, search keys and labels.

use std::collections::{HashMap, HashSet};

use faasflow_admin as api;
use faasflow_core::RequestId;
use faasflow_core::envelope::Envelope;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::{Begun, decode_labels};
use faasflow_core::state::{
    Key, KeyedRequest, ListPosition, ListQuery, Listed, Scope, SearchTerms, StateError, StateManager as _, Status,
    requests_with_key,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How many requests a page of a search looks at.
const LOOKED_AT: usize = 1000;
/// How many of them are read at a time.
const PAGE: usize = 200;
/// How many requests are looked at side by side.
const AT_ONCE: usize = 16;

/// Requests that were found, newest first.
pub(super) struct Page {
    pub(super) lines: Vec<(Listed, Option<api::Found>)>,
    /// Where the next page begins, if there may be more.
    pub(super) after: Option<ListPosition>,
}

impl Page {
    /// A page of these lines, of which there is one more than its limit if another page follows.
    pub(super) fn of(mut lines: Vec<Listed>, limit: usize, found: impl Fn() -> Option<api::Found>) -> Page {
        let has_more = lines.len() > limit;
        lines.truncate(limit);
        let after = lines.last().filter(|_| has_more).map(position);
        Page { lines: lines.into_iter().map(|line| (line, found())).collect(), after }
    }
}

/// A text that requests are searched for, and the text in lower case.
struct Wanted<'a> {
    text: &'a str,
    lower: String,
}

impl Wanted<'_> {
    fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.lower)
    }
}

impl Instance {
    /// The requests with this search key.
    pub(super) async fn with_key(
        &self,
        manager: &RetryingState,
        key: &str,
        query: &ListQuery,
    ) -> Result<Page, StateError> {
        let found = requests_with_key(manager, &self.name, key).await?;
        let lines = self.lines_of(manager, found, query, query.limit + 1).await?;
        Ok(Page::of(lines, query.limit, || Some(found_by(api::FoundBy::Key, key))))
    }

    /// The requests of which the id, a search key or a label of an item contains this text, in upper or lower case. The first page
    /// begins with those that have exactly this id or search key, no matter how old they are. Each page looks at a limited number of
    /// requests.
    pub(super) async fn search(
        &self,
        manager: &RetryingState,
        text: &str,
        query: &ListQuery,
        until: Instant,
    ) -> Result<Page, StateError> {
        let wanted = Wanted { text, lower: text.to_lowercase() };
        let exact = self.exact(manager, &wanted, query).await?;
        let is_first = query.after.is_none();
        let known: HashSet<String> = exact.iter().map(|(line, _)| line.request.clone()).collect();
        let mut lines = if is_first { exact } else { Vec::new() };
        let (mut after, mut looked_at) = (query.after.clone(), 0);
        loop {
            if lines.len() >= query.limit || looked_at >= LOOKED_AT || (looked_at > 0 && Instant::now() >= until) {
                // Nothing is before the first request.
                let start = || ListPosition { started_ms: u64::MAX, request: "-".to_owned() };
                let after = Some(after.unwrap_or_else(start));
                return Ok(Page { lines: sorted(lines), after });
            }
            let page = ListQuery { after: after.clone(), limit: PAGE, ..query.clone() };
            let found = manager.list_requests(&self.name, &page).await?;
            let is_last = found.len() < PAGE;
            let matches = self.matches(manager, &wanted, &found).await?;
            for (line, found) in found.into_iter().zip(matches) {
                if lines.len() >= query.limit {
                    break;
                }
                (after, looked_at) = (Some(position(&line)), looked_at + 1);
                if let Some(found) = found.filter(|_| !known.contains(&line.request)) {
                    lines.push((line, Some(found)));
                }
            }
            if is_last && lines.len() < query.limit {
                return Ok(Page { lines: sorted(lines), after: None });
            }
        }
    }

    /// The newest requests with exactly this id or search key.
    async fn exact(
        &self,
        manager: &RetryingState,
        wanted: &Wanted<'_>,
        query: &ListQuery,
    ) -> Result<Vec<(Listed, Option<api::Found>)>, StateError> {
        let mut requests: Vec<KeyedRequest> = Vec::new();
        if let Some(id) = RequestId::parse(wanted.text) {
            let begun = manager.get(&self.scope_of(id.as_str()), Begun::key().as_str()).await?;
            let begun = begun.as_ref().and_then(Begun::decode).filter(|begun| !begun.is_given_up);
            let envelope = begun.and_then(|begun| Envelope::decode(&begun.envelope).ok());
            requests.extend(
                envelope
                    .map(|envelope| KeyedRequest { started_ms: envelope.request.started_ms, request: id.to_string() }),
            );
        }
        requests.extend(requests_with_key(manager, &self.name, wanted.text.trim()).await?);
        // They do not depend on the page.
        let query = ListQuery { after: None, ..query.clone() };
        let lines = self.lines_of(manager, requests, &query, query.limit).await?;
        let found = |line: Listed| {
            let by = if line.request == wanted.text { api::FoundBy::Id } else { api::FoundBy::Key };
            (line, Some(found_by(by, wanted.text.trim())))
        };
        Ok(lines.into_iter().map(found).collect())
    }

    /// The lines of these requests in the list, newest first. Those are left out that are not among what the query asks for, or that
    /// have expired.
    pub(super) async fn lines_of(
        &self,
        manager: &RetryingState,
        mut requests: Vec<KeyedRequest>,
        query: &ListQuery,
        limit: usize,
    ) -> Result<Vec<Listed>, StateError> {
        requests.sort_by(|a, b| (b.started_ms, &b.request).cmp(&(a.started_ms, &a.request)));
        requests.dedup();
        let is_wanted = |request: &KeyedRequest| {
            let is_after = |after: &ListPosition| {
                (request.started_ms, request.request.as_str()) < (after.started_ms, after.request.as_str())
            };
            request.started_ms >= query.since_ms && query.after.as_ref().is_none_or(is_after)
        };
        let mut lines = Vec::new();
        let looks: Vec<_> = requests
            .into_iter()
            .filter(is_wanted)
            .map(|request| self.line_of(manager, request, query.status))
            .collect();
        let mut looks = futures_util::stream::iter(looks).buffered(AT_ONCE);
        while let Some(line) = looks.try_next().await? {
            lines.extend(line);
            if lines.len() >= limit {
                break;
            }
        }
        Ok(lines)
    }

    /// The line of a request in the list.
    fn line_of<'a>(
        &'a self,
        manager: &'a RetryingState,
        request: KeyedRequest,
        status: Option<Status>,
    ) -> BoxFuture<'a, Result<Option<Listed>, StateError>> {
        Box::pin(async move {
            // No id is between this one and itself with the smallest character that an id can have.
            let KeyedRequest { started_ms, request } = request;
            let after = ListPosition { started_ms, request: format!("{request}-") };
            let query = ListQuery { status, since_ms: started_ms, after: Some(after), limit: 1 };
            let lines = manager.list_requests(&self.name, &query).await?;
            Ok(lines.into_iter().next().filter(|line| line.request == request && line.started_ms == started_ms))
        })
    }

    /// What of each of these requests matches, if anything does.
    async fn matches(
        &self,
        manager: &RetryingState,
        wanted: &Wanted<'_>,
        lines: &[Listed],
    ) -> Result<Vec<Option<api::Found>>, StateError> {
        let scopes: Vec<Scope> = lines.iter().map(|line| self.scope_of(&line.request)).collect();
        let terms = manager.get_across(&scopes, SearchTerms::key().as_str()).await?;
        let mut found = Vec::with_capacity(lines.len());
        let mut labels: HashMap<usize, Vec<Key>> = HashMap::new();
        for (index, (line, terms)) in lines.iter().zip(&terms).enumerate() {
            let terms = SearchTerms::decode(terms.as_ref()).unwrap_or_default();
            let key = terms.keys.iter().find(|key| wanted.is_in(key));
            found.push(match (wanted.is_in(&line.request), key) {
                (true, _) => Some(found_by(api::FoundBy::Id, &line.request)),
                (false, Some(key)) => Some(found_by(api::FoundBy::Key, key)),
                (false, None) if terms.labels.is_empty() => None,
                (false, None) => {
                    labels.insert(index, terms.labels);
                    None
                }
            });
        }
        let looks: Vec<_> =
            labels.iter().map(|(index, keys)| label(manager, &scopes[*index], keys, wanted, *index)).collect();
        let mut looks = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some((index, label)) = looks.try_next().await? {
            found[index] = label.map(|label| found_by(api::FoundBy::Label, &label));
        }
        Ok(found)
    }
}

/// A page of the list.
pub(super) async fn newest(manager: &RetryingState, flow: &str, query: &ListQuery) -> Result<Page, StateError> {
    let lines = manager.list_requests(flow, &ListQuery { limit: query.limit + 1, ..query.clone() }).await?;
    Ok(Page::of(lines, query.limit, || None))
}

/// The first label of a request that matches.
fn label<'a>(
    manager: &'a RetryingState,
    scope: &'a Scope,
    keys: &'a [Key],
    wanted: &'a Wanted<'_>,
    index: usize,
) -> BoxFuture<'a, Result<(usize, Option<String>), StateError>> {
    Box::pin(async move {
        let values = manager.read_all(scope, keys).await?;
        let mut labels = values.iter().flatten().filter_map(decode_labels).flatten().flatten();
        Ok((index, labels.find(|label| wanted.is_in(label))))
    })
}

fn found_by(by: api::FoundBy, text: &str) -> api::Found {
    let mut found = api::Found::default();
    (found.by, found.text) = (by, text.to_owned());
    found
}

/// The position of a line in the list.
fn position(line: &Listed) -> ListPosition {
    ListPosition { started_ms: line.started_ms, request: line.request.clone() }
}

fn sorted(mut lines: Vec<(Listed, Option<api::Found>)>) -> Vec<(Listed, Option<api::Found>)> {
    lines.sort_by(|(a, _), (b, _)| (b.started_ms, &b.request).cmp(&(a.started_ms, &a.request)));
    lines
}
