//! What happens at the gateway, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_admin::{MOST_EVENT_STREAMS, SNAPSHOT_EVENT};
use faasflow_core::code;
use faasflow_dashboard::is_of_another_site;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::extract::Parameters;
use crate::answer::{busy, refusal};
use crate::monitor::{Monitor, Open, Since};

/// After this time without an event, a comment is sent. A connection that is no longer there is noticed in this way.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a browser waits until it connects again, in the form of an event stream.
const BEGIN: &[u8] = b"retry: 1000\n\n";
const COMMENT: &[u8] = b":\n\n";
/// The id of the last event that a browser got before its connection broke.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The source of events.
pub(crate) struct EventSource {
    pub(crate) monitor: Monitor,
    /// Cancelled when the gateway stops and all functions have ended.
    pub(crate) silent: CancellationToken,
}

#[derive(Deserialize)]
pub(super) struct Resumed {
    #[serde(default)]
    after: String,
}

/// Answers with events until the client goes away or the gateway stops.
pub(super) async fn events(
    State(source): State<Arc<EventSource>>,
    Parameters(Resumed { after }): Parameters<Resumed>,
    request: Request,
) -> Response {
    // Another page could not read them, but it could take all places.
    if is_of_another_site(&request) {
        let text = "only the gateway's own pages, and programs that are not web pages, get events";
        return refusal(StatusCode::FORBIDDEN, code::FROM_WEB_PAGE, text);
    }
    let monitor = source.monitor.clone();
    let Some(open) = monitor.feed().open() else {
        return busy(format!("{MOST_EVENT_STREAMS} clients get events, and no more are possible: close one of them"));
    };
    // A browser that connects again has the same URL as before, but a newer id in the header.
    let last = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).unwrap_or(&after);
    let next = monitor.feed().after(last);
    let news = monitor.feed().news();
    let stream = EventStream { monitor, next, has_begun: false, news, silent: source.silent.clone(), open };
    let events = stream::unfold(stream, async |mut stream| Some((stream.next().await?, stream)));
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// The events for one client. It reads them at its own speed, and what it has not read is not kept for it.
struct EventStream {
    monitor: Monitor,
    /// The number of the event that comes next; `None` if a snapshot comes first.
    next: Option<u64>,
    has_begun: bool,
    news: watch::Receiver<u64>,
    silent: CancellationToken,
    open: Open,
}

impl EventStream {
    /// The next bytes; `None` when the gateway stops, or if the client was silent for so long that another one has its place.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(Bytes::from_static(BEGIN));
        }
        loop {
            if self.silent.is_cancelled() || !self.open.is_ready() {
                return None;
            }
            let Some(next) = self.next else { return Some(self.snapshot().await) };
            // Before the events are read, so that none is missed between the two.
            self.news.borrow_and_update();
            match self.monitor.feed().since(next) {
                Since::Events(events, next) => {
                    self.next = Some(next);
                    return Some(events);
                }
                Since::Lost => self.next = None,
                Since::Nothing => tokio::select! {
                    () = self.silent.cancelled() => return None,
                    // The sender lives as long as the monitor.
                    _ = self.news.changed() => {}
                    () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(COMMENT)),
                },
            }
        }
    }

    async fn snapshot(&mut self) -> Bytes {
        // Later events may repeat what the snapshot has, but nothing is missed.
        let next = self.monitor.feed().next();
        self.next = Some(next);
        let snapshot = self.monitor.snapshot().await;
        self.monitor.feed().write(SNAPSHOT_EVENT, next - 1, &snapshot)
    }
}

#[cfg(test)]
mod tests {
    use faasflow_admin::{CHANGE_EVENT, EndedCall, GatewayEvent};

    use super::*;
    use crate::functions::Functions;
    use crate::queue::{Queue, QueueOptions};

    /// A client, and what its events come from.
    fn client(folder: &tempfile::TempDir) -> (EventStream, Monitor, CancellationToken) {
        let queue = Queue::open(&folder.path().join("queue.redb"), QueueOptions::default()).unwrap();
        let monitor = Monitor::new(Functions::default(), queue, Arc::default());
        let (open, news) = (monitor.feed().open().unwrap(), monitor.feed().news());
        let silent = CancellationToken::new();
        let (of_client, next) = (silent.clone(), None);
        let stream = EventStream { monitor: monitor.clone(), next, has_begun: false, news, silent: of_client, open };
        (stream, monitor, silent)
    }

    async fn text(stream: &mut EventStream) -> String {
        String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_gets_a_snapshot_instead_of_what_it_has_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut stream, monitor, _silent) = client(&folder);
        assert_eq!(text(&mut stream).await.as_bytes(), BEGIN);
        assert!(text(&mut stream).await.contains("\nevent: snapshot\n"));
        let mut large = GatewayEvent::default();
        large.ended = vec![EndedCall::default(); 100];
        (0..1000).for_each(|_| monitor.feed().publish(CHANGE_EVENT, &large));
        let told = text(&mut stream).await;
        assert!(told.contains("\nevent: snapshot\n") && told.len() < 1000, "{} bytes", told.len());
        (0..2).for_each(|_| monitor.feed().publish(CHANGE_EVENT, &large));
        assert_eq!(text(&mut stream).await.matches("\nevent: change\n").count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_is_sent_while_nothing_happens_and_nothing_after_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let (mut stream, monitor, silent) = client(&folder);
        for expected in ["retry: ", "id: "] {
            assert!(text(&mut stream).await.starts_with(expected));
        }
        assert_eq!(text(&mut stream).await.as_bytes(), COMMENT);
        monitor.feed().publish(CHANGE_EVENT, &GatewayEvent::default());
        silent.cancel();
        assert_eq!(stream.next().await, None);
    }
}
