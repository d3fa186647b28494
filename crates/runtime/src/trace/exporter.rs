//! Takes spans to the trace server, on a thread of its own: no request waits for it, whatever becomes of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{Notify, oneshot};

use super::client::Client;
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
    waiting: Mutex<Vec<SpanData>>,
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
    fn waiting(&self) -> MutexGuard<'_, Vec<SpanData>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exporter {
    /// Starts to send. The authorities are certificates in PEM, trusted besides the public ones.
    ///
    /// # Errors
    ///
    /// If the server cannot be one, as OpenTelemetry's library says, or there is no thread.
    pub(crate) fn start(
        server: TraceServer,
        service: &str,
        authorities: Option<Vec<u8>>,
        counts: SpanCounts,
    ) -> Result<Exporter, Box<dyn std::error::Error + Send + Sync>> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            some: Notify::new(),
            enough: Notify::new(),
            in_hand: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            counts,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let made = {
            let _entered = runtime.enter();
            exporter(&server, service, authorities)
        };
        let exporter = match made {
            Ok(exporter) => exporter,
            Err(error) => {
                // Whoever starts a flow may be on a runtime already, where this one must not wait for its threads.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (end, ended) = oneshot::channel();
        let sender = Sender { shared: shared.clone(), exporter, server, lost: None };
        let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
            runtime.block_on(sender.run());
            runtime.shutdown_background();
            let _ = end.send(());
        })?;
        Ok(Exporter { shared, thread: Mutex::new(Some((thread, ended))) })
    }

    /// Hands spans over, which takes a lock and no more.
    pub(crate) fn send(&self, spans: Vec<SpanData>) {
        let mut waiting = self.shared.waiting();
        let (before, after) = (waiting.len(), waiting.len() + spans.len());
        // All or none: steps without their phase would be of no use. A delivery of more than fit is cut off at its end,
        // where its parents are not: they are first.
        if before > 0 && after > WAITING || self.shared.stopping.load(Ordering::SeqCst) {
            drop(waiting);
            return self.shared.counts.dropped(DroppedSpan::QueueFull, spans.len());
        }
        let over = after.saturating_sub(WAITING);
        waiting.extend(spans.into_iter().take(WAITING - before));
        drop(waiting);
        if over > 0 {
            self.shared.counts.dropped(DroppedSpan::QueueFull, over);
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

fn exporter(
    server: &TraceServer,
    service: &str,
    authorities: Option<Vec<u8>>,
) -> Result<SpanExporter, Box<dyn std::error::Error + Send + Sync>> {
    let builder = SpanExporter::builder();
    let url = server.url.to_string();
    let mut exporter = if server.grpc {
        let builder = builder
            .with_tonic()
            .with_protocol(Protocol::Grpc)
            .with_endpoint(url.trim_end_matches('/'))
            .with_timeout(TIMEOUT);
        if server.url.scheme_str() == Some("https") {
            use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
            let tls = ClientTlsConfig::new().with_webpki_roots();
            let tls = match authorities {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls,
            };
            builder.with_tls_config(tls).build()?
        } else {
            builder.build()?
        }
    } else {
        let client = Client::new(authorities.as_deref(), TIMEOUT)?;
        builder
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .with_endpoint(url)
            .with_timeout(TIMEOUT)
            .build()?
    };
    exporter.set_resource(&resource(service));
    Ok(exporter)
}

/// Who the spans are of: the flow, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` name another, which the
/// library reads.
fn resource(service: &str) -> Resource {
    let resource = Resource::builder().build();
    let named = resource.get(&"service.name".into()).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if named { resource } else { Resource::builder().with_service_name(service.to_owned()).build() }
}

struct Sender {
    shared: Arc<Shared>,
    exporter: SpanExporter,
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
                std::mem::take(&mut *waiting)
            };
            let mut spans = spans.into_iter();
            loop {
                let batch: Vec<SpanData> = spans.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                let count = batch.len();
                // The library's own timeout begins when there is a connection.
                let sent = tokio::time::timeout(2 * TIMEOUT, self.exporter.export(batch)).await;
                let sent = sent.unwrap_or_else(|_| Err(OTelSdkError::Timeout(2 * TIMEOUT)));
                self.shared.in_hand.fetch_sub(count, Ordering::SeqCst);
                self.tell(sent, count);
            }
            if stopping {
                return;
            }
        }
    }

    fn tell(&mut self, sent: OTelSdkResult, count: usize) {
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
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};

    use super::*;
    use crate::metrics::Metrics;

    fn span() -> SpanData {
        SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "step".into(),
            start_time: std::time::UNIX_EPOCH,
            end_time: std::time::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: Default::default(),
        }
    }

    fn to(server: &str) -> (Exporter, Metrics) {
        let metrics = Metrics::new(&Flow::builder().apply("a").build().unwrap(), "flow");
        let server = TraceServer::parse(server).unwrap();
        (Exporter::start(server, "flow", None, metrics.spans()).unwrap(), metrics)
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
        exporter.send(vec![span(); 3 * WAITING]);
        exporter.send(vec![span(); WAITING]);
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
            exporter.send(vec![span(); 3]);
            exporter.stop(2 * TIMEOUT).await;
            assert_eq!((count(&metrics, "export_failed"), count(&metrics, "exported_total")), (3, 0), "{scheme}");
        }
    }

    #[tokio::test]
    async fn what_waits_at_the_stop_is_sent() {
        let server = axum::Router::new().fallback(|| async { "" });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = crate::http::ServerOptions::default();
        let serving = tokio::spawn(crate::http::serve(listener, server, options, std::future::pending()));
        let (exporter, metrics) = to(&format!("http://{address}"));
        exporter.send(vec![span(); 2 * BATCH + 1]);
        exporter.stop(TIMEOUT).await;
        assert_eq!(count(&metrics, "exported_total"), 2 * BATCH + 1);
        serving.abort();
    }
}
