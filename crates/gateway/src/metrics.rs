//! The metrics of the gateway, in Prometheus's text format. Those about calls have the names of OpenFaaS's gateway.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use faasflow_http::Budget;

use crate::functions::{Function, Functions};
use crate::namespace::NAMESPACE;
use crate::queue::QueueStats;

/// The upper bounds of the histogram's buckets, in seconds: those of OpenFaaS's gateway, and some for faster and slower calls.
const BUCKETS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// The status of a call whose caller has disconnected before the answer, as in nginx.
pub(crate) const GONE: u16 = 499;
/// Why the registry accepts every metric.
const VALID: &str = "names of metrics and labels are valid, and each is registered once";

/// Counts calls of deployed functions only, so the number of series is limited by their number and by the known statuses.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    registry: Registry,
    functions: RwLock<BTreeMap<String, Arc<Invocations>>>,
}

/// The counts of one function.
#[derive(Debug)]
struct Invocations {
    started: IntCounter,
    ended: IntCounterVec,
    seconds: HistogramVec,
    /// The counters for each status so far. Looking them up by label would take longer than counting.
    by_status: RwLock<BTreeMap<u16, (IntCounter, Histogram)>>,
}

impl Invocations {
    fn new(function: &str) -> Invocations {
        let label = |opts: Opts| opts.const_label("function_name", labelled(function));
        let (started, ended) = ("gateway_function_invocation_started", "gateway_function_invocation_total");
        let started = label(Opts::new(started, "The total number of function HTTP requests started."));
        let ended = label(Opts::new(ended, "Function metrics"));
        let seconds = HistogramOpts::new("gateway_functions_seconds", "Function time taken").buckets(BUCKETS.into());
        let seconds = HistogramOpts { common_opts: label(seconds.common_opts), ..seconds };
        Invocations {
            started: IntCounter::with_opts(started).expect(VALID),
            ended: IntCounterVec::new(ended, &["code"]).expect(VALID),
            seconds: HistogramVec::new(seconds, &["code"]).expect(VALID),
            by_status: RwLock::default(),
        }
    }

    fn ended(&self, status: u16, took: Duration) {
        let count = |(ended, seconds): &(IntCounter, Histogram)| {
            ended.inc();
            seconds.observe(took.as_secs_f64());
        };
        if let Some(known) = self.by_status.read().unwrap_or_else(PoisonError::into_inner).get(&status) {
            return count(known);
        }
        let code = code(status);
        let new = (self.ended.with_label_values(&[&code]), self.seconds.with_label_values(&[&code]));
        count(&new);
        self.by_status.write().unwrap_or_else(PoisonError::into_inner).insert(status, new);
    }

    fn collectors(&self) -> [Box<dyn Collector>; 3] {
        [Box::new(self.started.clone()), Box::new(self.ended.clone()), Box::new(self.seconds.clone())]
    }
}

/// A call under way.
pub(crate) struct InvocationInProgress {
    invocations: Arc<Invocations>,
    begun: Instant,
    status: u16,
}

impl InvocationInProgress {
    pub(crate) fn end(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for InvocationInProgress {
    fn drop(&mut self) {
        self.invocations.ended(self.status, self.begun.elapsed());
    }
}

impl Metrics {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Invocations>>> {
        self.functions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Invocations>>> {
        self.functions.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call as started. It is counted as ended by [`InvocationInProgress::end`], or when it is dropped. If the function has been
    /// removed by then, the count is lost.
    pub(crate) fn start(&self, function: &str) -> InvocationInProgress {
        let known = self.read().get(function).cloned();
        let invocations = known.unwrap_or_else(|| self.invocations_of(&mut self.write(), function).clone());
        invocations.started.inc();
        InvocationInProgress { invocations, begun: Instant::now(), status: GONE }
    }

    fn invocations_of<'a>(
        &self,
        functions: &'a mut BTreeMap<String, Arc<Invocations>>,
        function: &str,
    ) -> &'a Arc<Invocations> {
        functions.entry(function.to_owned()).or_insert_with(|| {
            let invocations = Invocations::new(function);
            for collector in invocations.collectors() {
                self.registry.register(collector).expect(VALID);
            }
            Arc::new(invocations)
        })
    }

    /// Removes the counts of a function that was removed.
    pub(crate) fn forget(&self, function: &str) {
        // Locked until the end, because the function may be deployed again at once.
        let mut functions = self.write();
        for collector in functions.remove(function).iter().flat_map(|invocations| invocations.collectors()) {
            self.registry.unregister(collector).expect(VALID);
        }
    }

    /// How often a function was called.
    pub(crate) fn invocations(&self, function: &str) -> u64 {
        self.read().get(function).map_or(0, |invocations| invocations.started.get())
    }

    /// All metrics as text, with those of the store and the current state of functions and queue.
    pub(crate) fn text(
        &self,
        functions: &Functions,
        queue: &QueueStats,
        budget: &Budget,
        store: Vec<MetricFamily>,
    ) -> String {
        let mut counted = self.write();
        // Read under the lock, so that a function that is removed now is forgotten afterwards.
        let deployed = functions.all();
        for function in &deployed {
            // Prometheus sees an increase only between two values, so the series must exist with 0 before the first call.
            self.invocations_of(&mut counted, &function.spec.name).ended.with_label_values(&["200"]);
        }
        drop(counted);
        let mut families = self.registry.gather();
        families.extend(standing(&deployed, queue, budget).expect(VALID).gather());
        families.extend(store);
        TextEncoder::new().encode_to_string(&families).expect(VALID)
    }
}

/// The label for a status. Unregistered statuses are counted by their class, so that a function cannot create any number of
/// series.
fn code(status: u16) -> String {
    let registered = StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
    if registered || status == GONE { status.to_string() } else { format!("{}xx", status / 100) }
}

fn labelled(function: &str) -> String {
    format!("{function}.{NAMESPACE}")
}

/// The metrics that are copied from elsewhere for each answer.
fn standing(deployed: &[Arc<Function>], queue: &QueueStats, budget: &Budget) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    let by_function = |name, help| IntGaugeVec::new(Opts::new(name, help), &["function_name"]);
    let replicas = by_function("gateway_service_count", "Current count of replicas for function")?;
    let available = by_function("faasflow_function_available", "How many of it take requests now.")?;
    let restarts = Opts::new("faasflow_function_restarts_total", "Processes that ended by themselves.");
    let restarts = IntCounterVec::new(restarts, &["function_name"])?;
    for function in deployed {
        let name = labelled(&function.spec.name);
        replicas.with_label_values(&[&name]).set(function.replicas().into());
        available.with_label_values(&[&name]).set(i64::try_from(function.available()).unwrap_or(i64::MAX));
        restarts.with_label_values(&[&name]).inc_by(function.restarts.load(Ordering::Relaxed));
    }
    registry.register(Box::new(replicas))?;
    registry.register(Box::new(available))?;
    registry.register(Box::new(restarts))?;
    for (name, help, value) in [
        ("faasflow_queue_depth", "Calls and callbacks in the queue.", queue.depth as f64),
        ("faasflow_queue_in_flight", "Deliveries under way.", queue.in_flight as f64),
        ("faasflow_queue_oldest_age_seconds", "Age of the oldest call.", queue.oldest_seconds),
        ("faasflow_queue_unreadable", "Records that cannot be read.", queue.unreadable as f64),
        ("faasflow_dead_letters", "Dead letters kept.", queue.dead_letters as f64),
        ("faasflow_gateway_inflight_requests", "Invocations in flight.", budget.requests() as f64),
        ("faasflow_gateway_inflight_requests_limit", "Most invocations at once.", budget.limits().requests as f64),
        ("faasflow_gateway_inflight_bytes", "Bytes of the bodies that are held.", budget.bytes() as f64),
        ("faasflow_gateway_inflight_bytes_limit", "Most bytes at once.", budget.limits().bytes as f64),
    ] {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))?;
    }
    let totals = &queue.totals;
    for (name, help, value) in [
        ("faasflow_queue_accepted_total", "Calls accepted.", totals.accepted),
        ("faasflow_queue_duplicates_total", "Duplicate calls dropped.", totals.duplicates),
        ("faasflow_queue_delivered_total", "Calls and callbacks delivered.", totals.delivered),
        ("faasflow_queue_retried_total", "Attempts to be made again.", totals.retried),
        ("faasflow_queue_dead_total", "Calls and callbacks given up.", totals.dead),
        ("faasflow_dead_letters_removed_total", "Dead letters that were too many or too old.", totals.letters_removed),
    ] {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    let build = Opts::new("faasflow_gateway_build_info", "The version of this gateway.");
    let build = Gauge::with_opts(build.const_label("version", env!("CARGO_PKG_VERSION")))?;
    build.set(1.0);
    registry.register(Box::new(build))?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use faasflow_http::Limits;

    use super::*;

    fn budget() -> Budget {
        Budget::new(Limits::for_memory(0))
    }

    #[test]
    fn a_function_that_answers_with_any_status_makes_few_series() {
        let metrics = Metrics::default();
        for function in ["f", "g"] {
            metrics.start(function).end(StatusCode::OK);
            for status in (100..1000).filter(|&status| status != 200) {
                metrics.read()[function].ended(status, Duration::from_millis(300));
            }
        }
        let lines = |start: &str| {
            let text = metrics.text(&Functions::default(), &QueueStats::default(), &budget(), Vec::new());
            text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect::<Vec<_>>()
        };
        let counted = lines("gateway_function_invocation_total{");
        assert!((100..160).contains(&counted.len()), "{}", counted.len());
        for line in [
            "gateway_function_invocation_total{code=\"200\",function_name=\"f.openfaas-fn\"} 1",
            "gateway_function_invocation_total{code=\"9xx\",function_name=\"g.openfaas-fn\"} 100",
        ] {
            assert!(counted.iter().any(|found| found == line), "{line}\n{counted:?}");
        }
        assert_eq!(lines("# TYPE gateway_functions_seconds").len(), 1, "of all functions together");
        let bucket = "gateway_functions_seconds_bucket{code=\"404\",function_name=\"f.openfaas-fn\",le=";
        assert!(lines(bucket)[7].ends_with("le=\"0.25\"} 0") && lines(bucket)[8].ends_with("le=\"0.5\"} 1"));
        let late = metrics.start("f");
        metrics.forget("f");
        late.end(StatusCode::OK);
        assert_eq!((metrics.invocations("f"), metrics.invocations("g")), (0, 1));
        let text = metrics.text(&Functions::default(), &QueueStats::default(), &budget(), Vec::new());
        assert!(!text.contains("f.openfaas-fn\"") && text.contains("g.openfaas-fn\""), "{text}");
        drop(metrics.start("f"));
        assert_eq!(metrics.invocations("f"), 1);
        let gone = "gateway_function_invocation_total{code=\"499\",function_name=\"f.openfaas-fn\"} 1";
        assert!(metrics.text(&Functions::default(), &QueueStats::default(), &budget(), Vec::new()).contains(gone));
    }
}
