//! Counts, in Prometheus's text format and under the names that OpenFaaS's gateway uses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::queue::QueueStats;

/// The upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Only deployed functions are counted, so the number of series is bounded by them and the statuses.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    functions: Mutex<BTreeMap<String, Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    started: u64,
    codes: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
    count: u64,
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn started(&self, function: &str) {
        let mut functions = self.lock();
        match functions.get_mut(function) {
            Some(counts) => counts.started += 1,
            None => functions.entry(function.to_owned()).or_default().started = 1,
        }
    }

    pub(crate) fn ended(&self, function: &str, status: StatusCode, took: Duration) {
        let mut functions = self.lock();
        // One that was removed in the meantime is not counted any more.
        let Some(counts) = functions.get_mut(function) else { return };
        *counts.codes.entry(status.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        counts.seconds += seconds;
        counts.count += 1;
        for (bucket, bound) in counts.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    /// Forgets a function that was removed.
    pub(crate) fn forget(&self, function: &str) {
        self.lock().remove(function);
    }

    /// How often a function was invoked.
    pub(crate) fn invocations(&self, function: &str) -> u64 {
        self.lock().get(function).map_or(0, |counts| counts.started)
    }

    pub(crate) fn text(&self, deployed: &[String], queue: &QueueStats) -> String {
        let functions = self.lock();
        let label = |function: &str| format!("function_name=\"{function}.openfaas-fn\"");
        let mut text = String::new();
        let kind = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        kind(&mut text, "gateway_function_invocation_started", "counter", "Invocations begun.");
        for (function, counts) in functions.iter() {
            let _ = writeln!(text, "gateway_function_invocation_started{{{}}} {}", label(function), counts.started);
        }
        kind(&mut text, "gateway_function_invocation_total", "counter", "Invocations ended, by status.");
        for (function, counts) in functions.iter() {
            for (code, count) in &counts.codes {
                let name = "gateway_function_invocation_total";
                let _ = writeln!(text, "{name}{{code=\"{code}\",{}}} {count}", label(function));
            }
        }
        kind(&mut text, "gateway_functions_seconds", "histogram", "How long invocations took.");
        for (function, counts) in functions.iter() {
            let label = label(function);
            for (bucket, bound) in counts.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(text, "gateway_functions_seconds_bucket{{{label},le=\"{bound}\"}} {bucket}");
            }
            let _ = writeln!(text, "gateway_functions_seconds_bucket{{{label},le=\"+Inf\"}} {}", counts.count);
            let _ = writeln!(text, "gateway_functions_seconds_sum{{{label}}} {}", counts.seconds);
            let _ = writeln!(text, "gateway_functions_seconds_count{{{label}}} {}", counts.count);
        }
        kind(&mut text, "gateway_service_count", "gauge", "Replicas of each function.");
        for function in deployed {
            let _ = writeln!(text, "gateway_service_count{{{}}} 1", label(function));
        }
        let totals = &queue.totals;
        for (name, of, help, value) in [
            ("faasflow_queue_depth", "gauge", "Calls in the queue.", queue.depth as f64),
            ("faasflow_queue_in_flight", "gauge", "Deliveries under way.", queue.in_flight as f64),
            ("faasflow_queue_oldest_age_seconds", "gauge", "Age of the oldest call.", queue.oldest_seconds),
            ("faasflow_dead_letters", "gauge", "Dead letters kept.", queue.dead_letters as f64),
            ("faasflow_queue_accepted_total", "counter", "Calls accepted.", totals.accepted as f64),
            ("faasflow_queue_duplicates_total", "counter", "Duplicate calls dropped.", totals.duplicates as f64),
            ("faasflow_queue_delivered_total", "counter", "Calls delivered.", totals.delivered as f64),
            ("faasflow_queue_retried_total", "counter", "Attempts to be made again.", totals.retried as f64),
            ("faasflow_queue_dead_total", "counter", "Calls given up.", totals.dead as f64),
        ] {
            kind(&mut text, name, of, help);
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}
