//! What the store counts, for the metrics of the gateway.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// The upper bounds of the buckets for a flush, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Why the registry accepts every metric.
const VALID: &str = "names of metrics are valid, and each is registered once";

/// Counts what is read and written.
#[derive(Debug)]
pub(super) struct Counts {
    registry: Registry,
    reads: IntCounter,
    read_bytes: IntCounter,
    writes: IntCounter,
    written_bytes: IntCounter,
    flushes: Histogram,
    requests: IntGauge,
    removals: IntGauge,
}

/// What is in the file at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The requests that have values.
    pub(super) requests: u64,
    /// The requests that have ended and whose values are still to be removed.
    pub(super) removals: u64,
}

impl Default for Counts {
    fn default() -> Counts {
        let registry = Registry::new();
        let counter = |name, help| registered(&registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help));
        let flushes = HistogramOpts::new(
            "faasflow_store_flush_seconds",
            "How long a transaction took until it was on disk. Writes that arrive meanwhile share the next one.",
        );
        let flushes = Histogram::with_opts(flushes.buckets(BUCKETS.into()));
        Counts {
            reads: counter("faasflow_store_reads_total", "Values that the store has looked up."),
            read_bytes: counter("faasflow_store_read_bytes_total", "Their bytes."),
            writes: counter("faasflow_store_writes_total", "Values that the store has written."),
            written_bytes: counter("faasflow_store_written_bytes_total", "Their bytes."),
            flushes: registered(&registry, flushes),
            requests: gauge("faasflow_store_requests", "Requests that have values in the store."),
            removals: gauge(
                "faasflow_store_removals",
                "Sets of values of ended or expired requests that are still to be removed.",
            ),
            registry,
        }
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect(VALID);
    registry.register(Box::new(metric.clone())).expect(VALID);
    metric
}

impl Counts {
    /// A value was looked up. It has this many bytes, or does not exist.
    pub(super) fn read(&self, bytes: Option<u64>) {
        self.reads.inc();
        self.read_bytes.inc_by(bytes.unwrap_or_default());
    }

    pub(super) fn written(&self, bytes: u64) {
        self.writes.inc();
        self.written_bytes.inc_by(bytes);
    }

    pub(super) fn flushed(&self, took: Duration) {
        self.flushes.observe(took.as_secs_f64());
    }

    /// All metrics, with what is in the file now.
    pub(super) fn gather(&self, held: Held) -> Vec<MetricFamily> {
        self.requests.set(i64::try_from(held.requests).unwrap_or(i64::MAX));
        self.removals.set(i64::try_from(held.removals).unwrap_or(i64::MAX));
        self.registry.gather()
    }
}
