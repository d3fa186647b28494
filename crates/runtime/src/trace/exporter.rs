//! Sends spans to the trace server from a separate thread. Requests never wait for it.

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

/// The most spans that may wait to be sent. Further spans are dropped and counted.
const MAX_WAITING: usize = 4096;
/// The most spans in one batch.
const BATCH: usize = 512;
/// The most bytes in a batch of several spans. Servers accept gRPC messages of 4 MiB.
const BYTES: usize = 3 << 20;
/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the server may take to answer a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Passes spans to the thread that sends them.
#[derive(Debug)]
pub(crate) struct Exporter {
    shared: Arc<Shared>,
    thread: Mutex<Option<(JoinHandle<()>, oneshot::Receiver<()>)>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Backlog>,
    /// Whether spans were dropped since the thread last took the waiting ones.
    full: AtomicBool,
    /// Notified when there is something to send.
    some: Notify,
    /// Notified when there is a whole batch to send, or when nothing more will come.
    enough: Notify,
    stopping: AtomicBool,
    counts: SpanCounts,
}

#[derive(Debug, Default)]
struct Backlog {
    spans: Vec<Span>,
    /// How many spans the thread has taken and the server has not yet accepted.
    in_hand: usize,
    /// Whether stopping took too long. The spans are then counted as lost, no matter what happens to them later.
    abandoned: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Backlog> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the waiting spans.
    fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting();
        waiting.in_hand = waiting.spans.len();
        self.full.store(false, Ordering::Relaxed);
        std::mem::take(&mut waiting.spans)
    }

    /// Marks spans as done. Returns whether they should still be counted.
    fn done(&self, count: usize) -> bool {
        let mut waiting = self.waiting();
        waiting.in_hand -= count;
        !waiting.abandoned
    }

    /// Gives up all spans that wait or are being sent. Returns their number.
    fn abandon(&self) -> usize {
        let mut waiting = self.waiting();
        waiting.abandoned = true;
        std::mem::take(&mut waiting.spans).len() + waiting.in_hand
    }
}

impl Exporter {
    /// Starts to export the spans of a flow. `authorities` are CA certificates in PEM that are trusted in addition to the
    /// public ones.
    ///
    /// # Errors
    ///
    /// If the certificates cannot be used, or the operating system refuses a thread.
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

    /// Whether spans that begin now will probably be dropped. While a server is unavailable, they need not be recorded at
    /// all.
    pub(super) fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    /// Counts spans that were not recorded because there was no room for them.
    pub(super) fn left_out(&self, count: usize) {
        self.shared.counts.dropped(DroppedSpan::QueueFull, count);
    }

    /// Hands spans over. This only takes a lock.
    pub(super) fn send(&self, spans: Vec<Span>) {
        let mut waiting = self.shared.waiting();
        let (before, after) = (waiting.spans.len(), waiting.spans.len() + spans.len());
        // All of them or none, because steps without their phase would be useless. If a single delivery has more spans than
        // fit, its last ones are dropped, and parents come first.
        if before > 0 && after > MAX_WAITING || self.shared.stopping.load(Ordering::SeqCst) {
            self.shared.full.store(true, Ordering::Relaxed);
            drop(waiting);
            return self.left_out(spans.len());
        }
        let over = after.saturating_sub(MAX_WAITING);
        waiting.spans.extend(spans.into_iter().take(MAX_WAITING - before));
        drop(waiting);
        if over > 0 {
            self.left_out(over);
        }
        // Notify only for the first span and for a full batch. Notifying for each span would cost more than everything else.
        if before == 0 {
            self.shared.some.notify_one();
        }
        if before < BATCH && after >= BATCH {
            self.shared.enough.notify_one();
        }
    }

    /// Sends the waiting spans and stops. Spans that the server has not accepted in time are dropped.
    pub(crate) async fn stop(&self, within: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((thread, ended)) = thread else { return };
        self.signal_stop();
        if tokio::time::timeout(within, ended).await.is_ok() {
            let _ = thread.join();
        } else {
            let left = self.shared.abandon();
            self.shared.counts.dropped(DroppedSpan::ExportFailed, left);
            tracing::warn!("The trace server did not answer in time before the stop: {left} spans are lost");
        }
    }

    fn signal_stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.some.notify_one();
        self.shared.enough.notify_one();
    }
}

impl Drop for Exporter {
    /// Does not wait. The thread ends after its last batch.
    fn drop(&mut self) {
        self.signal_stop();
    }
}

struct Sender {
    shared: Arc<Shared>,
    client: Client,
    origin: Origin,
    server: TraceServer,
    /// How many spans were lost since the server last accepted some. `None` if the last batch was accepted.
    lost: Option<usize>,
    /// Whether the log has mentioned that the server rejects spans.
    refused: bool,
}

/// The next batch of spans. It is empty at the end.
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
            // Read the flag before taking the spans, so that spans that arrive in between are not missed.
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            let mut spans = self.shared.take().into_iter().peekable();
            while spans.peek().is_some() {
                let batch = batch(&mut spans);
                let count = batch.len();
                let request = self.origin.request(&batch);
                // The request contains the spans, so they need not be kept until the answer arrives.
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
                    tracing::info!("Exporting traces to {} again; at least {lost} spans were lost", self.server);
                }
            }
            Err(error) => {
                self.shared.counts.dropped(DroppedSpan::ExportFailed, count);
                if self.lost.is_none() {
                    let hint = self.server.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                    tracing::warn!(
                        "Cannot export traces to {}, so requests continue without them: {error}{hint}",
                        self.server
                    );
                }
                *self.lost.get_or_insert_default() += count;
            }
        }
    }

    /// Counts a batch of which the server rejected some spans.
    fn report_rejected(&mut self, refused: &RejectedSpans, count: usize) {
        let spans = refused.spans.min(count);
        self.shared.counts.exported(count - spans);
        self.shared.counts.dropped(DroppedSpan::Refused, spans);
        // Logged only once. This concerns single spans, and may happen with every other batch.
        if spans > 0 && !std::mem::replace(&mut self.refused, true) {
            let why = if refused.why.is_empty() { "it gave no reason" } else { &refused.why };
            tracing::warn!(
                "{} rejected {spans} of {count} spans: {why}; further rejections are not logged, but \
                 `faasflow_spans_dropped_total` counts them",
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
    async fn waiting_spans_are_bounded_and_dropped_ones_are_counted() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (exporter, metrics) = to(&silent.local_addr().unwrap().to_string());
        // The sender may already have taken one full backlog.
        exporter.send(spans(3 * MAX_WAITING));
        exporter.send(spans(MAX_WAITING));
        let dropped = count(&metrics, "queue_full");
        assert!((2 * MAX_WAITING..=3 * MAX_WAITING).contains(&dropped), "{dropped}");
        let begun = Instant::now();
        exporter.stop(Duration::from_millis(200)).await;
        assert!(begun.elapsed() < TIMEOUT, "stopping waited for a silent server");
    }

    #[tokio::test]
    async fn spans_that_a_server_does_not_accept_are_counted() {
        for scheme in ["grpc", "http"] {
            let (exporter, metrics) = to(&format!("{scheme}://127.0.0.1:1"));
            exporter.send(spans(3));
            exporter.stop(2 * TIMEOUT).await;
            assert_eq!((count(&metrics, "export_failed"), count(&metrics, "exported_total")), (3, 0), "{scheme}");
        }
    }

    /// A server that answers each batch with this gRPC status. As an HTTP answer, its status is 200.
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
    async fn waiting_spans_are_sent_when_stopping() {
        let (address, serving) = answering("0").await;
        for scheme in ["grpc", "http"] {
            let (exporter, metrics) = to(&format!("{scheme}://{address}"));
            exporter.send(spans(2 * BATCH + 1));
            exporter.stop(TIMEOUT).await;
            assert_eq!(count(&metrics, "exported_total"), 2 * BATCH + 1, "{scheme}");
        }
        serving.abort();
    }

    /// A server that rejects two spans of each batch and answers after a delay.
    async fn refusing_two(after: Duration) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
        let answer = move |request: http::Request<axum::body::Body>| async move {
            tokio::time::sleep(after).await;
            let rejection = b"\x0a\x0b\x08\x02\x12\x07too old".as_slice();
            let kind = request.headers()[http::header::CONTENT_TYPE].clone();
            let body = if kind == "application/grpc" {
                let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                let message = bytes::Bytes::from([b"\0\0\0\0\x0d", rejection].concat());
                axum::body::Body::new(http_body_util::Full::new(message).with_trailers(async { Some(Ok(trailers)) }))
            } else {
                axum::body::Body::from(rejection)
            };
            ([(http::header::CONTENT_TYPE, kind)], body)
        };
        serving(axum::Router::new().fallback(answer)).await
    }

    #[tokio::test]
    async fn rejected_spans_of_a_batch_are_counted() {
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
    async fn spans_given_up_when_stopping_are_counted_once() {
        let (address, serving) = refusing_two(Duration::from_millis(300)).await;
        let (exporter, metrics) = to(&format!("http://{address}"));
        exporter.send(spans(2 * BATCH));
        exporter.stop(Duration::from_millis(20)).await;
        assert_eq!(count(&metrics, "export_failed"), 2 * BATCH);
        // The thread continues until the server answers, and must not count the spans again.
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
    async fn spans_refused_with_a_grpc_status_are_counted() {
        let (address, serving) = answering("8").await;
        let (exporter, metrics) = to(&format!("grpc://{address}"));
        exporter.send(spans(3));
        exporter.stop(TIMEOUT).await;
        assert_eq!((count(&metrics, "export_failed"), count(&metrics, "exported_total")), (3, 0));
        serving.abort();
    }

    #[tokio::test]
    async fn a_full_exporter_says_so() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (exporter, metrics) = to(&silent.local_addr().unwrap().to_string());
        exporter.send(spans(MAX_WAITING));
        // Room becomes free when the sender takes the spans. After that it waits for an answer.
        while exporter.shared.waiting().in_hand == 0 {
            std::thread::yield_now();
        }
        exporter.send(spans(MAX_WAITING));
        assert!(!exporter.is_full());
        exporter.send(spans(1));
        assert!(exporter.is_full());
        exporter.left_out(5);
        assert_eq!(count(&metrics, "queue_full"), 6);
    }
}
