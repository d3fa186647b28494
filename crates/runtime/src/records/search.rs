//! Finds requests by their ids, search keys and labels.

use std::collections::HashMap;

use faasflow_admin as api;
use faasflow_core::RequestId;
use faasflow_core::envelope::Envelope;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::{Begun, decode_labels};
use faasflow_core::state::{
    Key, KeyedRequest, ListPosition, ListQuery, Listed, Scope, SearchTerms, StateError, StateManager as _, Status,
    repeats_of, requests_with_key,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::filter::Text;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How many requests are looked at side by side.
const AT_ONCE: usize = 16;

/// A text that requests are searched for.
pub(super) struct Wanted<'a> {
    text: &'a str,
    lower: Text,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(text: &'a str) -> Wanted<'a> {
        Wanted { text, lower: Text::new(text) }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The text as the call id of a place, if it can be one.
    pub(super) fn call_id(&self) -> Option<Uuid> {
        self.text.parse().ok().filter(|id: &Uuid| id.get_version_num() == 8)
    }

    fn is_in(&self, text: &str) -> bool {
        self.lower.is_in(text)
    }
}

impl Instance {
    /// The requests with this search key.
    pub(super) async fn keyed(&self, manager: &RetryingState, key: &str) -> Result<Vec<KeyedRequest>, StateError> {
        requests_with_key(manager, &self.name, key).await
    }

    /// The requests that repeat this one.
    pub(super) async fn repeats(
        &self,
        manager: &RetryingState,
        original: &RequestId,
    ) -> Result<Vec<KeyedRequest>, StateError> {
        repeats_of(manager, &self.name, original.as_str()).await
    }

    /// Those of the requests with these ids that have begun.
    pub(super) async fn begun_among(
        &self,
        manager: &RetryingState,
        ids: &[RequestId],
    ) -> Result<Vec<KeyedRequest>, StateError> {
        let mut requests = Vec::new();
        for ids in ids.chunks(AT_ONCE) {
            let scopes: Vec<Scope> = ids.iter().map(|id| self.scope_of(id.as_str())).collect();
            let begun = manager.get_across(&scopes, Begun::key().as_str()).await?;
            for (id, begun) in ids.iter().zip(&begun) {
                let begun = begun.as_ref().and_then(Begun::decode).filter(|begun| !begun.is_given_up);
                let Some(envelope) = begun.and_then(|begun| Envelope::decode(&begun.envelope).ok()) else { continue };
                requests.push(KeyedRequest { started_ms: envelope.request.started_ms, request: id.to_string() });
            }
        }
        Ok(requests)
    }

    /// The requests with exactly this id or search key.
    pub(super) async fn exact(
        &self,
        manager: &RetryingState,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<KeyedRequest>, StateError> {
        let mut requests = self.begun_among(manager, RequestId::parse(wanted.text).as_slice()).await?;
        requests.extend(self.keyed(manager, wanted.text.trim()).await?);
        Ok(requests)
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
    pub(super) async fn matches(
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

pub(super) fn found_by(by: api::FoundBy, text: &str) -> api::Found {
    let mut found = api::Found::default();
    (found.by, found.text) = (by, text.to_owned());
    found
}
