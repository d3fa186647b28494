//! The ends of a flow's requests, in an answer that goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_admin::state as api;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::access::{Caller, StateAccess, answer, short};
use super::watches::Open;
use crate::answer::busy;
use crate::http::system::extract::Parameters;
use crate::store::{End, Ends};

/// After this time, an answer ends, so that one that nobody reads any longer does not count for ever.
const LIFETIME: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
pub(super) struct Watched {
    flow: String,
}

/// What an answer tells.
struct Telling {
    ends: Ends,
    flow: String,
    open: Open,
    until: Instant,
    silent: CancellationToken,
}

impl Telling {
    /// The next line; `None` at the end of the answer.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let end = tokio::select! {
                end = timeout_at(self.until, self.ends.next()) => end.ok()??,
                () = self.silent.cancelled() => return None,
            };
            let request = match &end {
                End::Of(scope) if scope.function != self.open.function() || scope.flow != self.flow => continue,
                End::Of(scope) => Some(&scope.request),
                End::Missed => None,
            };
            let mut line = serde_json::to_vec(&request).ok()?;
            line.push(b'\n');
            return Some(line.into());
        }
    }
}

/// Answers with a line for each request that ends from now on.
pub(super) async fn watch(
    State(access): State<Arc<StateAccess>>,
    Extension(Caller(function)): Extension<Caller>,
    Parameters(Watched { flow }): Parameters<Watched>,
) -> Response {
    let watch = || {
        short(api::FLOW_PARAMETER, &flow)?;
        let Some(open) = access.watches.open(&function) else {
            let most = api::MOST_WATCHES;
            return Err(Box::new(busy(format!("the function has {most} watches, and no more are possible"))));
        };
        let (until, silent) = (Instant::now() + LIFETIME, access.silent.clone());
        let telling = Telling { ends: access.store.ends(), flow, open, until, silent };
        let lines = stream::unfold(telling, async |mut telling| Some((telling.next().await?, telling)));
        let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
        Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
    };
    answer(watch())
}
