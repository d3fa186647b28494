//! Requests that are remembered.

use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::state::{self as api, StateRequest, StateRequests, StateScope, StateScopes};
use faasflow_core::state::{ListPosition, ListQuery, Listed, Scope, StateError, Status};
use http::{Method, StatusCode};

use super::client::{query, query_of};
use super::{GatewayStore, READ_AT_ONCE, append, millis};

impl GatewayStore {
    pub(super) async fn begin(
        &self,
        scope: &Scope,
        started_ms: u64,
        key: &str,
        value: Bytes,
    ) -> Result<bool, StateError> {
        let started_ms = started_ms.to_string();
        let parameters = [(api::KEY_PARAMETER, key), (api::STARTED_PARAMETER, &started_ms)];
        let target = format!("{}?{}", api::REQUEST, query(scope, &parameters));
        let (what, refused) = ("a request cannot begin", StatusCode::PRECONDITION_FAILED);
        let answer = self.client.ask(what, Method::POST, target, None, value, Some(refused)).await?;
        Ok(answer.status != refused)
    }

    /// Changes the status of a request. If it has ended, `retired` is how long everything stays, and how long the rest after that.
    pub(super) async fn list(
        &self,
        scope: &Scope,
        started_ms: u64,
        status: Status,
        retired: Option<(Duration, Duration)>,
    ) -> Result<(), StateError> {
        let started_ms = started_ms.to_string();
        let times = retired.map(|(keep_for, known_for)| (millis(keep_for), millis(known_for)));
        let mut parameters = vec![(api::STARTED_PARAMETER, started_ms.as_str())];
        parameters.push((api::STATUS_PARAMETER, status.as_str()));
        if let Some((keep_ms, known_ms)) = &times {
            parameters.extend([(api::KEEP_PARAMETER, keep_ms.as_str()), (api::KNOWN_PARAMETER, known_ms)]);
        }
        let target = format!("{}?{}", api::REQUEST, query(scope, &parameters));
        let what = "the status of a request cannot be written";
        self.client.ask(what, Method::PUT, target, None, Bytes::new(), None).await.map(drop)
    }

    pub(super) async fn lines(&self, flow: &str, wanted: &ListQuery) -> Result<Vec<Listed>, StateError> {
        let (mut lines, mut after) = (Vec::new(), wanted.after.clone());
        while lines.len() < wanted.limit {
            let limit = (wanted.limit - lines.len()).min(api::MOST_LINES);
            let target = page(flow, wanted, after.as_ref(), limit);
            let what = "requests cannot be listed";
            let answer = self.client.ask(what, Method::GET, target, None, Bytes::new(), None).await?;
            let page: StateRequests = serde_json::from_slice(&answer.body).map_err(|error| {
                StateError::permanent(format!("{what}: the answer of the gateway is not a list")).with_source(error)
            })?;
            let Some(last) = page.requests.last() else { break };
            after = Some(ListPosition { started_ms: last.started_ms, request: last.request.clone() });
            for line in page.requests {
                lines.push(listed(line)?);
            }
            if !page.more {
                break;
            }
        }
        Ok(lines)
    }

    pub(super) async fn across(&self, scopes: &[Scope], key: &str) -> Result<Vec<Option<Bytes>>, StateError> {
        let what = "values cannot be read";
        let target = format!("{}?{}", api::ACROSS, query_of([(api::KEY_PARAMETER, key)]));
        let mut values = Vec::with_capacity(scopes.len());
        for scopes in scopes.chunks(READ_AT_ONCE) {
            let tell = |scope: &Scope| StateScope { flow: scope.flow.clone(), request: scope.request.clone() };
            let body = serde_json::to_vec(&StateScopes { requests: scopes.iter().map(tell).collect() });
            let body = body.map_err(|error| StateError::permanent(what).with_source(error))?;
            let answer = self.client.ask(what, Method::POST, target.clone(), None, body.into(), None).await?;
            append(what, answer, scopes.len(), &mut values)?;
        }
        Ok(values)
    }
}

/// The path of a page of the list.
fn page(flow: &str, wanted: &ListQuery, after: Option<&ListPosition>, limit: usize) -> String {
    let (limit, since_ms) = (limit.to_string(), wanted.since_ms.to_string());
    let after_ms = after.map(|position| position.started_ms.to_string());
    let mut parameters = vec![(api::FLOW_PARAMETER, flow), (api::LIMIT_PARAMETER, &limit)];
    parameters.push((api::SINCE_PARAMETER, &since_ms));
    parameters.extend(wanted.status.map(|status| (api::STATUS_PARAMETER, status.as_str())));
    if let (Some(position), Some(after_ms)) = (after, &after_ms) {
        let [name_ms, name] = api::AFTER_PARAMETERS;
        parameters.extend([(name_ms, after_ms.as_str()), (name, &position.request)]);
    }
    format!("{}?{}", api::REQUESTS, query_of(parameters))
}

fn listed(line: StateRequest) -> Result<Listed, StateError> {
    let status = line
        .status
        .parse()
        .map_err(|error| StateError::permanent("the gateway lists a request with another status").with_source(error))?;
    Ok(Listed { request: line.request, started_ms: line.started_ms, status })
}
