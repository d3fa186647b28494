//! What requests can be found by: the search keys that their author gives them, and the labels of their items.
//!
//! Each request has one value with all of it, `search`. The requests with a search key are also in a scope that belongs to the key, so
//! that they are found without looking at others. No request has such a scope, because no flow has a name with a `~`.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::unseen::is_unseen;

use super::error::StateError;
use super::key::Key;
use super::layout;
use super::listing::Status;
use super::manager::{Condition, Scope, StateManager};

/// The longest search key, in bytes.
pub const MAX_SEARCH_KEY: usize = 128;
/// How many search keys a request can have.
pub const MAX_SEARCH_KEYS: usize = 8;
/// How many requests can be found by the same search key. The newest ones stay.
pub const MAX_REQUESTS_OF_KEY: usize = 500;
/// How many values with labels of a request are searched.
const MOST_LABELS: usize = 64;
/// How often a value is written again that others have changed meanwhile.
const ATTEMPTS: usize = 50;
/// How much longer the requests of a search key are kept than the record of a request that has ended: for as long as requests may be
/// in progress. What has expired before is not found.
const IN_PROGRESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a request can be found by, besides its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchTerms {
    /// Its search keys, in the order in which they were added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The keys of the values with the labels of its items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Key>,
}

/// A request that has a search key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRequest {
    /// When it started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// Its id.
    pub request: String,
}

impl SearchTerms {
    /// The key of the value in the request's scope.
    #[must_use]
    pub fn key() -> Key {
        layout::search()
    }

    /// Decodes the value; `None` if it is not one. A request without a value has no terms.
    #[must_use]
    pub fn decode(value: Option<&Bytes>) -> Option<SearchTerms> {
        value.map_or_else(|| Some(SearchTerms::default()), |value| serde_json::from_slice(value).ok())
    }

    fn encode(&self) -> Bytes {
        encoded(self)
    }
}

/// Checks a search key. Blanks around it do not count.
///
/// # Errors
///
/// If it is empty or too long, or has control characters.
pub fn search_key(text: &str) -> Result<&str> {
    let key = text.trim();
    let fault = match key.len() {
        0 => "it is empty".to_owned(),
        length if length > MAX_SEARCH_KEY => {
            format!("it has {length} bytes, and at most {MAX_SEARCH_KEY} are possible")
        }
        _ if key.chars().any(is_unseen) => {
            "it has a control character, or one that cannot be seen or changes the direction of the text".to_owned()
        }
        _ => return Ok(key),
    };
    let shown: String = key.chars().take(40).collect();
    Err(Error::msg(format!("{shown:?} cannot be a search key: {fault}")))
}

/// The scope of the requests with a search key.
fn scope_of(flow: &str, key: &str) -> Scope {
    Scope { flow: search_flow(flow), request: hex::encode(&Sha256::digest(key)[..16]) }
}

/// The name under which the search keys of a flow are listed.
#[must_use]
pub fn search_flow(flow: &str) -> String {
    format!("{flow}~search")
}

/// The key of the requests in the scope of a search key.
const REQUESTS: &str = "requests";

/// Adds a [checked](search_key) search key to the request of this scope. It changes nothing if the request has it. `keep_for` is how
/// long the record of a request is kept after its end.
///
/// # Errors
///
/// If the request has too many search keys, or the manager fails.
pub(crate) async fn add_search_key(
    manager: &dyn StateManager,
    scope: &Scope,
    started_ms: u64,
    keep_for: Duration,
    key: &str,
) -> Result<()> {
    let add = |mut terms: SearchTerms| {
        if terms.keys.iter().any(|known| known == key) {
            return Change::Nothing;
        }
        if terms.keys.len() >= MAX_SEARCH_KEYS {
            return Change::Refused;
        }
        terms.keys.push(key.to_owned());
        Change::To(terms)
    };
    if !change_terms(manager, scope, add).await? {
        let text = format!("{key:?} cannot be a search key: the request has {MAX_SEARCH_KEYS} already");
        return Err(Error::msg(text));
    }
    let request = KeyedRequest { started_ms, request: scope.request.clone() };
    Ok(add_request(manager, &scope_of(&scope.flow, key), request, keep_for.saturating_add(IN_PROGRESS)).await?)
}

/// Adds a request to those in the scope of a search key, which are kept for this time from now.
async fn add_request(
    manager: &dyn StateManager,
    of_key: &Scope,
    request: KeyedRequest,
    keep_for: Duration,
) -> Result<(), StateError> {
    // Whether this has written it, or may have: a write may have no answer.
    let mut may_have_written = false;
    for _ in 0..ATTEMPTS {
        let found = manager.get_versioned(of_key, REQUESTS).await?;
        // What cannot be read is written anew. The requests themselves are not lost.
        let mut requests: Vec<KeyedRequest> =
            found.as_ref().and_then(|(value, _)| serde_json::from_slice(value).ok()).unwrap_or_default();
        if requests.contains(&request) {
            if may_have_written {
                manager.retire_request(of_key, 0, Status::Success, keep_for, Duration::ZERO).await?;
            }
            return Ok(());
        }
        requests.retain(|known| known.request != request.request);
        requests.push(request.clone());
        requests.sort_by(|a, b| (b.started_ms, &b.request).cmp(&(a.started_ms, &a.request)));
        requests.truncate(MAX_REQUESTS_OF_KEY);
        let condition = found.map_or(Condition::Absent, |(_, version)| Condition::Version(version));
        match manager.set_if(of_key, REQUESTS, encoded(&requests), condition).await {
            Ok(Some(_)) => {
                return manager.retire_request(of_key, 0, Status::Success, keep_for, Duration::ZERO).await;
            }
            Ok(None) => {}
            Err(error) if error.is_temporary() => may_have_written = true,
            Err(error) => return Err(error),
        }
    }
    // Very many requests get the same search key at this moment. No request waits or fails for that. A search still finds this one,
    // because it reads the search keys of each request.
    Ok(())
}

/// The scope of the requests that repeat another one. No search key begins with a control character.
fn scope_of_repeats(flow: &str, original: &str) -> Scope {
    scope_of(flow, &format!("\u{1}{original}"))
}

/// Notes that the request of this scope repeats another one of its flow. `keep_for` is how long the record of a request is kept after
/// its end.
///
/// # Errors
///
/// If the manager fails.
pub async fn add_repeat(
    manager: &dyn StateManager,
    scope: &Scope,
    started_ms: u64,
    keep_for: Duration,
    original: &str,
) -> Result<(), StateError> {
    let request = KeyedRequest { started_ms, request: scope.request.clone() };
    let of_repeats = scope_of_repeats(&scope.flow, original);
    add_request(manager, &of_repeats, request, keep_for.saturating_add(IN_PROGRESS)).await
}

/// The requests of a flow that repeat another one, newest first. Some of them may have expired.
///
/// # Errors
///
/// If the manager fails.
pub async fn repeats_of(
    manager: &dyn StateManager,
    flow: &str,
    original: &str,
) -> Result<Vec<KeyedRequest>, StateError> {
    read_requests(manager, &scope_of_repeats(flow, original)).await
}

/// Adds where labels of items are to what the request of this scope can be found by. Of a request with very many labels, only the
/// first ones are searched.
///
/// # Errors
///
/// If the manager fails.
pub async fn add_labels(manager: &dyn StateManager, scope: &Scope, labels: &[Key]) -> Result<(), StateError> {
    let add = |mut terms: SearchTerms| {
        let new = labels.iter().filter(|key| !terms.labels.contains(key));
        let new: Vec<Key> = new.take(MOST_LABELS.saturating_sub(terms.labels.len())).cloned().collect();
        if new.is_empty() {
            return Change::Nothing;
        }
        terms.labels.extend(new);
        Change::To(terms)
    };
    change_terms(manager, scope, add).await.map(drop)
}

/// What becomes of the terms of a request.
enum Change {
    To(SearchTerms),
    Nothing,
    Refused,
}

/// Changes what a request can be found by. Returns whether that was not refused.
async fn change_terms(
    manager: &dyn StateManager,
    scope: &Scope,
    change: impl Fn(SearchTerms) -> Change + Send + Sync,
) -> Result<bool, StateError> {
    let key = SearchTerms::key();
    for _ in 0..ATTEMPTS {
        let found = manager.get_versioned(scope, key.as_str()).await?;
        let terms = SearchTerms::decode(found.as_ref().map(|(value, _)| value))
            .ok_or_else(|| StateError::permanent("what the request can be found by cannot be read"))?;
        let changed = match change(terms) {
            Change::To(changed) => changed,
            Change::Nothing => return Ok(true),
            Change::Refused => return Ok(false),
        };
        let condition = found.map_or(Condition::Absent, |(_, version)| Condition::Version(version));
        match manager.set_if(scope, key.as_str(), changed.encode(), condition).await {
            Ok(Some(_)) => return Ok(true),
            // Whether it was written shows when it is read again.
            Ok(None) => {}
            Err(error) if error.is_temporary() => {}
            Err(error) => return Err(error),
        }
    }
    Err(StateError::temporary("others keep changing what the request can be found by"))
}

/// The requests of a flow that have a search key, newest first. Some of them may have expired.
///
/// # Errors
///
/// If the manager fails.
pub async fn requests_with_key(
    manager: &dyn StateManager,
    flow: &str,
    key: &str,
) -> Result<Vec<KeyedRequest>, StateError> {
    read_requests(manager, &scope_of(flow, key)).await
}

async fn read_requests(manager: &dyn StateManager, of_key: &Scope) -> Result<Vec<KeyedRequest>, StateError> {
    let found = manager.get(of_key, REQUESTS).await?;
    Ok(found.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default())
}

fn encoded(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("search terms are plain data").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stores of remembered requests contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let labels = vec![layout::labels(&crate::graph::Place::from(2), "ab", 0)];
        let terms = SearchTerms { keys: vec!["order-17".to_owned()], labels };
        assert_eq!(terms.encode(), r#"{"keys":["order-17"],"labels":["labels/2-ab/0"]}"#);
        assert_eq!(SearchTerms::decode(Some(&terms.encode())), Some(terms));
        assert_eq!(SearchTerms::decode(None), Some(SearchTerms::default()));
        assert_eq!(SearchTerms::decode(Some(&Bytes::from_static(b"[]x"))), None);
        let request = KeyedRequest { started_ms: 7, request: "r".to_owned() };
        assert_eq!(encoded(&[request]), r#"[{"started_ms":7,"request":"r"}]"#);
        let scope = scope_of("upload", "order-17");
        assert_eq!((scope.flow.as_str(), scope.request.len()), ("upload~search", 32));
    }

    #[test]
    fn a_search_key_that_cannot_be_used_is_refused() {
        assert_eq!(search_key(" order 17\n").unwrap(), "order 17");
        assert_eq!(search_key(&"x".repeat(MAX_SEARCH_KEY)).unwrap().len(), MAX_SEARCH_KEY);
        let refused = |text: &str| search_key(text).unwrap_err().to_string();
        assert_eq!(refused(" "), "\"\" cannot be a search key: it is empty");
        assert!(refused(&"x".repeat(MAX_SEARCH_KEY + 1)).ends_with("it has 129 bytes, and at most 128 are possible"));
        assert!(refused("a\u{0}b").contains("a control character"));
        assert!(refused("a\u{202e}b").contains("control character"));
    }
}
