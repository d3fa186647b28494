//! Receives the results of asynchronous requests, as the server behind `X-Faasflow-Callback-Url`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use faasflow_core::code;
use faasflow_core::headers;
use http::{HeaderMap, HeaderValue};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Failure;

/// How long one asynchronous request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do if a request of the demo did not end as expected.
pub(super) const RUN_AGAIN: &str =
    "run the demo again if the machine was busy; otherwise please report the lines above";

#[derive(Default)]
struct Inbox {
    ends: Mutex<HashMap<String, (String, Bytes)>>,
    changed: Notify,
}

pub(crate) struct Reports {
    address: SocketAddr,
    received: Arc<Inbox>,
    _serving: AbortOnDropHandle<()>,
}

impl Reports {
    pub(crate) async fn listen() -> std::io::Result<Reports> {
        let received = Arc::new(Inbox::default());
        let app = Router::new().route("/", post(receive)).with_state(received.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            let options = faasflow_http::ServerOptions::default();
            let _ = faasflow_http::serve(listener, app, options, std::future::pending()).await;
        });
        Ok(Reports { address, received, _serving: AbortOnDropHandle::new(serving) })
    }

    /// The URL to send as `X-Faasflow-Callback-Url`.
    pub(crate) fn url(&self) -> Result<HeaderValue, Failure> {
        HeaderValue::from_str(&format!("http://{}/", self.address)).map_err(|error| {
            Failure::failed(code::BAD_REPORT_URL, "the callback URL of the demo cannot be used")
                .because(&error)
                .help("please report this, with the network addresses of the machine")
        })
    }

    /// Waits for a request to end; returns its outcome and payload.
    pub(crate) async fn end_of(&self, id: &str) -> Result<(String, Bytes), Failure> {
        let waiting = async {
            loop {
                let changed = self.received.changed.notified();
                let end = self.received.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                match end {
                    Some(end) => return end,
                    None => changed.await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| {
            Failure::failed(code::DEMO_FAILED, format!("request {id} did not end within {PATIENCE:?}")).help(RUN_AGAIN)
        })
    }
}

async fn receive(State(received): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, outcome) = (text(headers::REQUEST_ID), text(headers::OUTCOME));
    received.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (outcome, body));
    received.changed.notify_one();
}
