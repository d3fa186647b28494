//! State in the store of a local gateway (`faasflow up`), over HTTP.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::state as api;
use faasflow_core::handler::BoxFuture;
use faasflow_core::names::GATEWAY_STORE;
use faasflow_core::state::{Condition, ListQuery, Listed, Scope, StateError, StateManager, Status, Version, Watch};
use http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{Method, StatusCode};

mod builder;
mod client;
mod new;
mod records;
mod watch;

pub use builder::GatewayStoreBuilder;

use client::{Answer, Client, query};

/// How many values are read with one request.
const READ_AT_ONCE: usize = 256;

/// Stores state in a local gateway, which keeps it in files beside its queue. Nothing else needs to run. Conditional writes are
/// atomic in the gateway, and what was written is on its disk.
///
/// The data of a request is removed when the request ends, and values that outlive it expire. If the request never ends, its data expires
/// some time after the last write, seven days by default.
///
/// Cloning is cheap, and a clone uses the same connections.
#[derive(Clone)]
pub struct GatewayStore {
    client: Client,
}

/// The path of a value.
fn value(scope: &Scope, key: &str) -> String {
    format!("{}?{}", api::VALUE, query(scope, &[(api::KEY_PARAMETER, key)]))
}

/// The version in the answer about a value.
fn version(what: &str, answer: &Answer) -> Result<Version, StateError> {
    let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let version = tag.map(|tag| Version::new(tag.trim_matches('"')));
    version.ok_or_else(|| StateError::permanent(format!("{what}: the answer of the gateway has no version")))
}

impl StateManager for GatewayStore {
    fn name(&self) -> &str {
        GATEWAY_STORE
    }

    fn supports_branches(&self) -> bool {
        true
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async {
            let what = "the store cannot be used";
            self.client.ask(what, Method::GET, api::STORE.to_owned(), None, Bytes::new(), None).await.map(drop)
        })
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move { Ok(self.get_versioned(scope, key).await?.map(|(value, _)| value)) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, new: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let what = "a value cannot be written";
            self.client.ask(what, Method::PUT, value(scope, key), None, new, None).await.map(drop)
        })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let what = "a value cannot be removed";
            self.client.ask(what, Method::DELETE, value(scope, key), None, Bytes::new(), None).await.map(drop)
        })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.end_request(scope, Duration::ZERO)
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let target = format!("{}?{}", api::REQUEST, query(scope, &[(api::KEEP_PARAMETER, &millis(keep_for))]));
            let what = "what a request stored cannot be removed";
            self.client.ask(what, Method::DELETE, target, None, Bytes::new(), None).await.map(drop)
        })
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(self.begin(scope, started_ms, key, value))
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.list(scope, started_ms, status, None))
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.list(scope, started_ms, status, Some((keep_for, known_for))))
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        Box::pin(self.lines(flow, query))
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(self.across(scopes, key))
    }

    fn watch<'a>(&'a self, flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        Box::pin(watch::open(&self.client, flow))
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(async move {
            let what = "values cannot be read";
            let mut values = Vec::with_capacity(keys.len());
            for keys in keys.chunks(READ_AT_ONCE) {
                let body = serde_json::json!({ "keys": keys }).to_string();
                let target = format!("{}?{}", api::VALUES, query(scope, &[]));
                let answer = self.client.ask(what, Method::POST, target, None, Bytes::from(body), None).await?;
                append(what, answer, keys.len(), &mut values)?;
            }
            Ok(values)
        })
    }

    fn create_in_order<'a>(
        &'a self,
        scope: &'a Scope,
        values: &'a [(&'a str, Bytes)],
    ) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(self.create_all(scope, values))
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(async move {
            let what = "a value cannot be read";
            let answer = self.client.ask(what, Method::GET, value(scope, key), None, Bytes::new(), None).await?;
            if answer.status == StatusCode::NO_CONTENT {
                return Ok(None);
            }
            let version = version(what, &answer)?;
            Ok(Some((answer.body, version)))
        })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        new: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move {
            let what = "a value cannot be written";
            let header: (HeaderName, HeaderValue) = match condition {
                Condition::Absent => (IF_NONE_MATCH, HeaderValue::from_static("*")),
                Condition::Version(version) => {
                    match HeaderValue::try_from(format!("\"{}\"", version.as_str().trim_matches('"'))) {
                        Ok(tag) => (IF_MATCH, tag),
                        // No value has such a version.
                        Err(_) => return Ok(None),
                    }
                }
            };
            let refused = StatusCode::PRECONDITION_FAILED;
            let asking = self.client.ask(what, Method::POST, value(scope, key), Some(header), new, Some(refused));
            let answer = asking.await?;
            if answer.status == refused { Ok(None) } else { version(what, &answer).map(Some) }
        })
    }
}

/// A duration in milliseconds: at least one, because zero means that nothing stays.
fn millis(duration: Duration) -> String {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).to_string()
}

/// Adds the values of an answer with this number of values.
fn append(what: &str, answer: Answer, count: usize, values: &mut Vec<Option<Bytes>>) -> Result<(), StateError> {
    let before = values.len();
    split(answer.body, values);
    if values.len() - before == count {
        return Ok(());
    }
    Err(StateError::temporary(format!("{what}: the answer of the gateway is cut short")))
}

/// Splits an answer with several values; see [`api::ABSENT`]. Stops where it is cut short.
fn split(mut answer: Bytes, values: &mut Vec<Option<Bytes>>) {
    while let Some(length) = answer.get(..8).and_then(|head| head.try_into().ok()).map(u64::from_be_bytes) {
        let _ = answer.split_to(8);
        if length == api::ABSENT {
            values.push(None);
            continue;
        }
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= answer.len()) else { return };
        values.push(Some(answer.split_to(length)));
    }
}

impl fmt::Debug for GatewayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayStore")
            .field("url", &faasflow_core::without_credentials(self.client.url()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_several_values_is_split() {
        let mut answer = Vec::new();
        for value in [Some("ab"), None, Some(""), Some("c")] {
            answer.extend_from_slice(&value.map_or(api::ABSENT, |value| value.len() as u64).to_be_bytes());
            answer.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        let read = |length: usize| {
            let mut values = Vec::new();
            split(Bytes::copy_from_slice(&answer[..length]), &mut values);
            values
        };
        let whole = [Some(Bytes::from("ab")), None, Some(Bytes::new()), Some(Bytes::from("c"))];
        assert_eq!(read(answer.len()), whole);
        assert_eq!(read(answer.len() - 1), whole[..3]);
        assert_eq!(read(3), []);
    }
}
