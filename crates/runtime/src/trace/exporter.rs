//! Takes spans to the trace server, on a thread of its own: no request waits for it, whatever becomes of them.

use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::answer::RejectedSpans;
use super::client::{Client, SendError};
use super::options::ExportOptions;
use super::otlp::{Origin, Span};
use super::server::TraceServer;
use crate::metrics::{DroppedSpan, SpanCounts};

/// How many spans wait at most. What comes when there are as many is dropped, and counted.
const WAITING: usize = 4096;
/// How many are sent at once.
const BATCH: usize = 512;
/// How many bytes of spans are sent at once, of several: servers take messages of 4 MiB by gRPC.
const BYTES: usize = 3 << 20;
/// How long the first of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the server may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The way to the trace server.
#[derive(Debug)]
pub(crate) struct Exporter {
    shared: Arc<Shared>,
    thread: Mutex<Option<(JoinHandle<()>, oneshot::Receiver<()>)>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Backlog>,
    /// Something has not fitted since the thread took what waits.
    full: AtomicBool,
    /// There is something to send.
    some: Notify,
    /// There is a batch to send, or nothing more will come.
    enough: Notify,
    stopping: AtomicBool,
    counts: SpanCounts,
}

#[derive(Debug, Default)]
struct Backlog {
    spans: Vec<Span>,
    /// How many the thread has taken, and the server not yet.
    in_hand: usize,
    /// The stop was over before the server had taken them: they are counted as lost, whatever still becomes of them.
    abandoned: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Backlog> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits.
    fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting();
        waiting.in_hand = waiting.spans.len();
        self.full.store(false, Ordering::Relaxed);
        std::mem::take(&mut waiting.spans)
    }

    /// So many are not in hand any more. Whether they are still to be counted.
    fn done(&self, count: usize) -> bool {
        let mut waiting = self.waiting();
        waiting.in_hand -= count;
        !waiting.abandoned
    }

    /// Gives up what waits or is in hand. How many that were.
    fn abandon(&self) -> usize {
        let mut waiting = self.waiting();
        waiting.abandoned = true;
        std::mem::take(&mut waiting.spans).len() + waiting.in_hand
    }
}

impl Exporter {
    /// Starts to send the spans of a flow. The authorities are certificates in PEM, trusted besides the public ones.
    ///
    /// # Errors
    ///
    /// If the certificates cannot be used, or there is no thread.
    pub(crate) fn start(
        server: TraceServer,
        flow: &str,
        options: &ExportOptions,
        authorities: Option<&[u8]>,
        counts: SpanCounts,
    ) -> Result<Exporter, Box<dyn std::error::Error + Send + Sync>> {
        let client = Client::new(&server, &options.headers, authorities, TIMEOUT)?;
        let origin = Origin::new(options.resource(flow));
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            full: AtomicBool::new(false),
            some: Notify::new(),
            enough: Notify::new(),
            stopping: AtomicBool::new(false),
            counts,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let sender = Sender { shared: shared.clone(), client, origin, server, lost: None, refused: false };
        let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
            runtime.block_on(sender.run());
            runtime.shutdown_background();
            let _ = end.send(());
        })?;
        Ok(Exporter { shared, thread: Mutex::new(Some((thread, ended))) })
    }

    /// Whether spans that begin now would find no place in the end, as far as can be known: while a server is away, they
    /// need not be written at all.
    pub(super) fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    /// Counts spans that were not written because there was no place for them.
    pub(super) fn left_out(&self, count: usize) {
        self.shared.counts.dropped(DroppedSpan::QueueFull, count);
    }

    /// Hands spans over, which takes a lock and no more.
    pub(super) fn send(&self, spans: Vec<Span>) {
        let mut waiting = self.shared.waiting();
        let (before, after) = (waiting.spans.len(), waiting.spans.len() + spans.len());
        // All or none: steps without their phase would be of no use. A delivery of more than fit is cut off at its end,
        // where its parents are not: they are first.
        if before > 0 && after > WAITING || self.shared.stopping.load(Ordering::SeqCst) {
            self.shared.full.store(true, Ordering::Relaxed);
            drop(waiting);
            return self.left_out(spans.len());
        }
        let over = after.saturating_sub(WAITING);
        waiting.spans.extend(spans.into_iter().take(WAITING - before));
        drop(waiting);
        if over > 0 {
            self.left_out(over);
        }
        // Woken for the first and for a batch, not for each: that would cost more than all the rest.
        if before == 0 {
            self.shared.some.notify_one();
        }
        if before < BATCH && after >= BATCH {
            self.shared.enough.notify_one();
        }
    }

    /// Sends what still waits, and ends. What the server has not taken by then is dropped.
    pub(crate) async fn stop(&self, within: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((thread, ended)) = thread else { return };
        self.signal_stop();
        if tokio::time::timeout(within, ended).await.is_ok() {
            let _ = thread.join();
        } else {
            let left = self.shared.abandon();
            self.shared.counts.dropped(DroppedSpan::ExportFailed, left);
            tracing::warn!("The trace server took too long at the stop: {left} spans are lost");
        }
    }

    fn signal_stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.some.notify_one();
        self.shared.enough.notify_one();
    }
}

impl Drop for Exporter {
    /// Nobody waits for what is still to be sent: the thread ends with its last batch.
    fn drop(&mut self) {
        self.signal_stop();
    }
}

struct Sender {
    shared: Arc<Shared>,
    client: Client,
    origin: Origin,
    server: TraceServer,
    /// How many spans were lost since the server took some, if the last batch was.
    lost: Option<usize>,
    /// Whether it was said that the server refuses spans.
    refused: bool,
}

/// As many spans as are sent at once; none if there are no more.
fn batch(spans: &mut Peekable<impl Iterator<Item = Span>>) -> Vec<Span> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let fits = |batch: &Vec<Span>, bytes| batch.is_empty() || batch.len() < BATCH && bytes <= BYTES;
    while let Some(span) = spans.next_if(|span| fits(&batch, bytes + span.len())) {
        bytes += span.len();
        batch.push(span);
    }
    batch
}

impl Sender {
    async fn run(mut self) {
        loop {
            self.shared.some.notified().await;
            if !self.shared.stopping.load(Ordering::SeqCst) {
                let _ = tokio::time::timeout(DELAY, self.shared.enough.notified()).await;
            }
            // Taken before it is looked whether there is more: what comes in between is announced.
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            let mut spans = self.shared.take().into_iter().peekable();
            while spans.peek().is_some() {
                let batch = batch(&mut spans);
                let count = batch.len();
                let request = self.origin.request(&batch);
                // Its spans are in the request, and need not wait for the answer with it.
                drop(batch);
                let sent = self.client.export(request).await;
                if !self.shared.done(count) {
                    return;
                }
                self.report(sent, count);
            }
            if stopping {
                return;
            }
        }
    }

    fn report(&mut self, sent: Result<RejectedSpans, SendError>, count: usize) {
        match sent {
            Ok(refused) => {
                self.report_rejected(&refused, count);
                if refused.spans < count
                    && let Some(lost) = self.lost.take()
                {
                    tracing::info!("Traces are delivered to {} again; at least {lost} spans were lost", self.server);
                }
            }
            Err(error) => {
                self.shared.counts.dropped(DroppedSpan::ExportFailed, count);
                if self.lost.is_none() {
                    let hint = self.server.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                    tracing::warn!(
                        "Traces are not delivered to {}, and requests go on without: {error}{hint}",
                        self.server
                    );
                }
                *self.lost.get_or_insert_default() += count;
            }
        }
    }

    /// Of a batch that was taken, but for these.
    fn report_rejected(&mut self, refused: &RejectedSpans, count: usize) {
        let spans = refused.spans.min(count);
        self.shared.counts.exported(count - spans);
        self.shared.counts.dropped(DroppedSpan::Refused, spans);
        // Said once: it is a matter of single spans, and may come with every other batch.
        if spans > 0 && !std::mem::replace(&mut self.refused, true) {
            let why = if refused.why.is_empty() { "it does not say why" } else { &refused.why };
            tracing::warn!(
                "{} took a batch of {count} spans without {spans} of them: {why}; more of that is not said, and counted \
                 by `faasflow_spans_dropped_total`",
                self.server
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use faasflow_core::Flow;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::metrics::Metrics;
    use faasflow_http::{Budget, Limits};

    fn spans(count: usize) -> Vec<Span> {
        std::iter::repeat_with(Span::new).take(count).collect()
    }

    fn to(server: &str) -> (Exporter, Metrics) {
        let budget = Budget::new(Limits::for_memory(0));
        let metrics = Metrics::new(&Flow::builder().apply("a").build().unwrap(), "flow", budget);
        let server = TraceServer::parse(server).unwrap();
        (Exporter::start(server, "flow", &ExportOptions::default(), None, metrics.spans()).unwrap(), metrics)
    }

    fn count(metrics: &Metrics, of: &str) -> usize {
        let text = metrics.text();
        let line = text.lines().find(|line| line.starts_with("faasflow_spans") && line.contains(of));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_what_is_over_is_counted() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (exporter, metrics) = to(&silent.local_addr().unwrap().to_string());
        // The sender may have taken one lot of them.
        exporter.send(spans(3 * WAITING));
        exporter.send(spans(WAITING));
        let dropped = count(&metrics, "queue_full");
        assert!((2 * WAITING..=3 * WAITING).contains(&dropped), "{dropped}");
        let begun = Instant::now();
        exporter.stop(Duration::from_millis(200)).await;
        assert!(begun.elapsed() < TIMEOUT, "the stop waited for a server that says nothing");
    }

    #[tokio::test]
    async fn what_a_server_does_not_take_is_counted() {
        for scheme in ["grpc", "http"] {
            let (exporter, metrics) = to(&format!("{scheme}://127.0.0.1:1"));
            exporter.send(spans(3));
            exporter.stop(2 * TIMEOUT).await;
            assert_eq!((count(&metrics, "export_failed"), count(&metrics, "exported_total")), (3, 0), "{scheme}");
        }
    }

    /// A server that answers each batch so, for both ways of speaking.
    async fn answering(status: &'static str) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
        serving(
            axum::Router::new()
                .fallback(move || async move { ([("grpc-status", status), ("grpc-message", "why")], "") }),
        )
        .await
    }

    async fn serving(server: axum::Router) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = faasflow_http::ServerOptions::default();
        let serving = tokio::spawn(async move {
            let _ = faasflow_http::serve(listener, server, options, std::future::pending()).await;
        });
        (address, serving)
    }

    #[tokio::test]
    async fn what_waits_at_the_stop_is_sent() {
        let (address, serving) = answering("0").await;
        for scheme in ["grpc", "http"] {
            let (exporter, metrics) = to(&format!("{scheme}://{address}"));
            exporter.send(spans(2 * BATCH + 1));
            exporter.stop(TIMEOUT).await;
            assert_eq!(count(&metrics, "exported_total"), 2 * BATCH + 1, "{scheme}");
        }
        serving.abort();
    }

    /// A server that takes each batch but for two spans, as OTLP says that; each answer takes this long.
    async fn refusing_two(after: Duration) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
        let answer = move |request: http::Request<axum::body::Body>| async move {
            tokio::time::sleep(after).await;
            let said = b"\x0a\x0b\x08\x02\x12\x07too old".as_slice();
            let kind = request.headers()[http::header::CONTENT_TYPE].clone();
            let body = if kind == "application/grpc" {
                let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                let message = bytes::Bytes::from([b"\0\0\0\0\x0d", said].concat());
                axum::body::Body::new(http_body_util::Full::new(message).with_trailers(async { Some(Ok(trailers)) }))
            } else {
                axum::body::Body::from(said)
            };
            ([(http::header::CONTENT_TYPE, kind)], body)
        };
        serving(axum::Router::new().fallback(answer)).await
    }

    #[tokio::test]
    async fn what_a_server_refuses_of_a_batch_is_counted() {
        let (address, serving) = refusing_two(Duration::ZERO).await;
        for scheme in ["grpc", "http"] {
            let (exporter, metrics) = to(&format!("{scheme}://{address}"));
            exporter.send(spans(5));
            exporter.stop(TIMEOUT).await;
            let counted = ["refused", "export_failed", "exported_total"].map(|of| count(&metrics, of));
            assert_eq!(counted, [2, 0, 3], "{scheme}");
        }
        serving.abort();
    }

    #[tokio::test]
    async fn what_the_stop_gives_up_is_counted_once() {
        let (address, serving) = refusing_two(Duration::from_millis(300)).await;
        let (exporter, metrics) = to(&format!("http://{address}"));
        exporter.send(spans(2 * BATCH));
        exporter.stop(Duration::from_millis(20)).await;
        assert_eq!(count(&metrics, "export_failed"), 2 * BATCH);
        // The thread goes on until the server has answered, and then counts nothing.
        while Arc::strong_count(&exporter.shared) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let counted = ["refused", "export_failed", "exported_total"].map(|of| count(&metrics, of));
        assert_eq!(counted, [0, 2 * BATCH, 0]);
        serving.abort();
    }

    #[test]
    fn a_batch_is_bounded_by_its_bytes() {
        let of = |bytes: usize| {
            let mut span = Span::new();
            span.attribute("text", &"x".repeat(bytes));
            span
        };
        let sizes = [BYTES / 2, BYTES / 3, BYTES / 3, 2 * BYTES, 1, 1];
        let mut spans = sizes.map(of).into_iter().peekable();
        let counts: Vec<usize> =
            std::iter::from_fn(|| Some(batch(&mut spans).len()).filter(|&count| count > 0)).collect();
        assert_eq!(counts, [2, 1, 1, 2]);
    }

    #[tokio::test]
    async fn what_grpc_refuses_is_counted() {
        let (address, serving) = answering("8").await;
        let (exporter, metrics) = to(&format!("grpc://{address}"));
        exporter.send(spans(3));
        exporter.stop(TIMEOUT).await;
        assert_eq!((count(&metrics, "export_failed"), count(&metrics, "exported_total")), (3, 0));
        serving.abort();
    }

    #[tokio::test]
    async fn while_no_more_can_wait_that_is_known() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (exporter, metrics) = to(&silent.local_addr().unwrap().to_string());
        exporter.send(spans(WAITING));
        // What the sender takes makes place once; then it waits for an answer.
        while exporter.shared.waiting().in_hand == 0 {
            std::thread::yield_now();
        }
        exporter.send(spans(WAITING));
        assert!(!exporter.is_full());
        exporter.send(spans(1));
        assert!(exporter.is_full());
        exporter.left_out(5);
        assert_eq!(count(&metrics, "queue_full"), 6);
    }
}
