//! Takes spans to the trace server, on a thread of its own: no request waits for it, whatever becomes of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::client::{Client, SendError};
use super::options::ExportOptions;
use super::otlp::{Origin, Span};
use super::server::TraceServer;
use crate::metrics::{DroppedSpan, SpanCounts};

/// How many spans wait at most. What comes when there are as many is dropped, and counted.
const WAITING: usize = 4096;
/// How many are sent at once.
const BATCH: usize = 512;
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
    waiting: Mutex<Vec<Span>>,
    /// Something has not fitted since the thread took what waits.
    full: AtomicBool,
    /// There is something to send.
    some: Notify,
    /// There is a batch to send, or nothing more will come.
    enough: Notify,
    /// How many the thread has taken, and the server not yet.
    in_hand: AtomicUsize,
    stopping: AtomicBool,
    counts: SpanCounts,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Vec<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
            in_hand: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            counts,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let sender = Sender { shared: shared.clone(), client, origin, server, lost: None };
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
        let (before, after) = (waiting.len(), waiting.len() + spans.len());
        // All or none: steps without their phase would be of no use. A delivery of more than fit is cut off at its end,
        // where its parents are not: they are first.
        if before > 0 && after > WAITING || self.shared.stopping.load(Ordering::SeqCst) {
            self.shared.full.store(true, Ordering::Relaxed);
            drop(waiting);
            return self.left_out(spans.len());
        }
        let over = after.saturating_sub(WAITING);
        waiting.extend(spans.into_iter().take(WAITING - before));
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
        self.tell_to_stop();
        if tokio::time::timeout(within, ended).await.is_ok() {
            let _ = thread.join();
        } else {
            let left = self.shared.waiting().len() + self.shared.in_hand.load(Ordering::SeqCst);
            self.shared.counts.dropped(DroppedSpan::ExportFailed, left);
            tracing::warn!("The trace server took too long at the stop: {left} spans are lost");
        }
    }

    fn tell_to_stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.some.notify_one();
        self.shared.enough.notify_one();
    }
}

impl Drop for Exporter {
    /// Nobody waits for what is still to be sent: the thread ends with its last batch.
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

struct Sender {
    shared: Arc<Shared>,
    client: Client,
    origin: Origin,
    server: TraceServer,
    /// How many spans were lost since the server took some, if the last batch was.
    lost: Option<usize>,
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
            let spans = {
                let mut waiting = self.shared.waiting();
                self.shared.in_hand.store(waiting.len(), Ordering::SeqCst);
                self.shared.full.store(false, Ordering::Relaxed);
                std::mem::take(&mut *waiting)
            };
            let mut spans = spans.into_iter();
            loop {
                let batch: Vec<Span> = spans.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                let count = batch.len();
                let request = self.origin.request(&batch);
                // Its spans are in the request, and need not wait for the answer with it.
                drop(batch);
                let sent = self.client.export(request).await;
                self.shared.in_hand.fetch_sub(count, Ordering::SeqCst);
                self.tell(sent, count);
            }
            if stopping {
                return;
            }
        }
    }

    fn tell(&mut self, sent: Result<(), SendError>, count: usize) {
        match sent {
            Ok(()) => {
                self.shared.counts.exported(count);
                if let Some(lost) = self.lost.take() {
                    tracing::info!("Traces are delivered to {} again; at least {lost} spans were lost", self.server);
                }
            }
            Err(error) => {
                self.shared.counts.dropped(DroppedSpan::ExportFailed, count);
                if self.lost.is_none() {
                    let hint =
                        if self.server.is_usual() { "" } else { "; 4317 is the usual port for gRPC, 4318 for HTTP" };
                    tracing::warn!(
                        "Traces are not delivered to {}, and requests go on without: {error}{hint}",
                        self.server
                    );
                }
                *self.lost.get_or_insert_default() += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use faasflow_core::Flow;

    use super::*;
    use crate::metrics::Metrics;

    fn spans(count: usize) -> Vec<Span> {
        std::iter::repeat_with(Span::new).take(count).collect()
    }

    fn to(server: &str) -> (Exporter, Metrics) {
        let metrics = Metrics::new(&Flow::builder().apply("a").build().unwrap(), "flow");
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
        let answer = move || async move { ([("grpc-status", status), ("grpc-message", "why")], "") };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, options) = (axum::Router::new().fallback(answer), crate::http::ServerOptions::default());
        let serving = tokio::spawn(async move {
            let _ = crate::http::serve(listener, server, options, std::future::pending()).await;
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
        while exporter.shared.in_hand.load(Ordering::SeqCst) == 0 {
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
