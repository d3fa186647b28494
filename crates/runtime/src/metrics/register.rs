//! Registers metrics.

use std::collections::HashMap;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// The upper bounds of durations of requests, in the queue or as a whole. They go up to an hour, because a queue may be
/// long.
pub(super) const SECONDS_OF_REQUESTS: [f64; 18] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 300.0, 3600.0];

/// The upper bounds of durations of steps and phases. They go up to the longest common `write_timeout`.
pub(super) const SECONDS_OF_STEPS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 60.0, 300.0];

/// The upper bounds of envelope sizes in bytes. One of them is the default of `envelope_limit`.
pub(super) const SIZES: [f64; 11] =
    [256.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0, 131_072.0, 256_000.0, 524_288.0, 1_048_576.0, 8_388_608.0];

/// Registers the metrics of one flow. The names are constants of this crate, so a mistake in them shows at every start.
pub(super) struct Register {
    pub(super) registry: Registry,
}

impl Register {
    pub(super) fn new(flow: &str) -> Register {
        let labels = HashMap::from([("flow".to_owned(), flow.to_owned())]);
        let registry = Registry::new_custom(None, Some(labels)).expect("a registry without a prefix is valid");
        Register { registry }
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }

    fn add<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("a metric's name, labels and buckets are well-formed");
        self.registry.register(Box::new(metric.clone())).expect("a metric is registered once");
        metric
    }
}
