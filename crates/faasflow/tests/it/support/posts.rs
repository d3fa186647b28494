//! A forwarder that posts envelopes to the queue of the test kit, and can hold some of them back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::{BoxFuture, Flow, Forward, ForwardError, Forwarder, Uuid};
use faasflow_http::HttpClient;
use faasflow_testkit::TestKit;
use http::{Request, StatusCode};

use crate::support::until;

/// Whether an envelope is held back.
type Filter = Box<dyn FnMut(&Forward) -> bool + Send>;

/// The forwarder of a flow, as the test sees it.
#[derive(Clone, Default)]
pub(crate) struct Posts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    filter: Mutex<Option<Filter>>,
    held: AtomicUsize,
    /// The sizes of the envelopes that were posted, in bytes.
    sizes: Mutex<Vec<usize>>,
    /// The call ids that the queue has accepted. It is locked until a post has ended.
    accepted: tokio::sync::Mutex<HashSet<Uuid>>,
}

impl Posts {
    /// A kit for this flow whose envelopes go through the forwarder. Its queue drops envelopes that it has accepted before,
    /// as the local gateway does.
    pub(crate) fn kit(&self, flow: Flow) -> TestKit {
        let mut gateway = String::new();
        let kit = TestKit::define(|url| {
            url.clone_into(&mut gateway);
            flow
        });
        kit.forwarder(Poster { shared: self.0.clone(), gateway })
    }

    /// Holds back the envelopes for which the closure returns `true`. Their posts do not end, unless the process dies.
    pub(crate) fn hold(&self, filter: impl FnMut(&Forward) -> bool + Send + 'static) {
        *self.0.filter.lock().unwrap() = Some(Box::new(filter));
    }

    /// Lets all envelopes pass that are posted from now on.
    pub(crate) fn pass(&self) {
        *self.0.filter.lock().unwrap() = None;
    }

    /// How many posts are held back.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(SeqCst)
    }

    /// Waits until an envelope is held back.
    pub(crate) async fn until_held(&self) {
        until(async || self.held() > 0).await;
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.0.sizes.lock().unwrap().clone()
    }
}

struct Poster {
    shared: Arc<Shared>,
    gateway: String,
}

impl Poster {
    async fn post(&self, forward: Forward) -> Result<(), ForwardError> {
        let body = forward.body.concat();
        let size = body.len();
        let url = format!("{}/async-function/{}", self.gateway, forward.flow);
        let mut request = Request::post(url).body(axum::body::Body::from(body)).unwrap();
        *request.headers_mut() = forward.headers();
        // The connections of a shared client would not survive a crash of the flow function.
        let response = HttpClient::new(Duration::from_secs(5)).send(request).await;
        let response = response.map_err(|error| ForwardError::temporary(error.to_string(), None))?;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        self.shared.sizes.lock().unwrap().push(size);
        Ok(())
    }
}

impl Forwarder for Poster {
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>> {
        Box::pin(async move {
            let is_held = self.shared.filter.lock().unwrap().as_mut().is_some_and(|holds| holds(&forward));
            if is_held {
                self.shared.held.fetch_add(1, SeqCst);
                std::future::pending::<()>().await;
            }
            let id = forward.call_id;
            let mut accepted = self.shared.accepted.lock().await;
            if !accepted.contains(&id) {
                self.post(forward).await?;
                accepted.insert(id);
            }
            Ok(())
        })
    }
}
