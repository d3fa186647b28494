//! The flow function's metrics for Prometheus.
//!
//! Each flow function has its own registry, so two of them in one process do not affect each other. Every series has the
//! label `flow`. No label takes its value from a request, so the definition limits the number of series.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, StepIndex};
use faasflow_core::{Action, CallResponse, Flow, MemberOutcome, Outcome, Step};
use faasflow_http::Budget;
use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use crate::conclusion::Delivery;
use crate::observers::CallKind;

mod labels;
mod members;
mod register;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use labels::{DroppedSpan, ForwardResult, short_name};
pub(crate) use server::{MetricsListener, router};

use labels::{FAILURE_REASONS, MAX_SERIES, OTHER, attempt_code, call_kind, status_code, step_kind};
use members::Members;
use register::{Register, SECONDS_OF_REQUESTS, SECONDS_OF_STEPS, SIZES};

/// The statuses with which this crate refuses deliveries.
const REFUSALS: [&str; 8] = ["400", "401", "408", "409", "410", "413", "415", "503"];

/// The metrics of one flow function. The histograms of phases and steps are looked up in advance, so that recording a value
/// needs no search.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// The functions and hosts of the definition that have their own series.
    functions: BTreeSet<String>,
    started: IntCounter,
    /// In the order of [`OUTCOMES`].
    ended: [(IntCounter, Histogram); 4],
    deliveries: IntCounterVec,
    /// Counts fresh requests answered with 200. Most deliveries are like this, so the counter is looked up in advance.
    requests_answered: IntCounter,
    in_flight: IntGauge,
    /// The budget, and the gauges of its use, which are updated when the metrics are read.
    budget: (Budget, [IntGauge; 2]),
    phases: Vec<Histogram>,
    steps: Vec<Histogram>,
    members: Members,
    calls: IntCounterVec,
    /// For each step, counts the attempts that were answered with 200. Nearly all attempts are, so the counters are looked
    /// up in advance.
    steps_answered: Vec<Option<IntCounter>>,
    retries: IntCounterVec,
    queued: Histogram,
    forwards: IntCounterVec,
    envelopes: Histogram,
    payloads_stored: IntCounter,
    payload_bytes_stored: IntCounter,
    failures: IntCounterVec,
    refusals: IntCounterVec,
    spans: SpanCounts,
    log_lines_dropped: IntCounter,
    /// How many dropped lines the counter already includes.
    log_lines_counted: AtomicU64,
}

const OUTCOMES: [Outcome; 4] = [Outcome::Success, Outcome::Recovered, Outcome::Failure, Outcome::Stopped];

impl Metrics {
    /// The metrics of `flow`, deployed as `name`. Every series that is certain to occur exists from the start, with the
    /// value 0. If a series only appeared with its first event, Prometheus would not see an increase.
    pub(crate) fn new(flow: &Flow, name: &str, budget: Budget) -> Metrics {
        let register = Register::new(name);
        let build = register.gauges("faasflow_build_info", "The version of Faasflow; always 1.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

        let ended = register.counters("faasflow_requests_ended_total", "Requests ended, by outcome.", &["outcome"]);
        let took = register.histograms(
            "faasflow_request_duration_seconds",
            "Time from the start of a request to its end, through all phases.",
            &["outcome"],
            &SECONDS_OF_REQUESTS,
        );
        let deliveries = register.counters(
            "faasflow_deliveries_total",
            "Invocations of the flow function, by kind of delivery and status.",
            &["kind", "code"],
        );
        for kind in ["request", "envelope"] {
            deliveries.with_label_values(&[kind, "200"]);
        }
        if flow.plan().phase_count() > 1 {
            deliveries.with_label_values(&["request", "202"]);
        }
        let phases = register.histograms(
            "faasflow_phase_duration_seconds",
            "How long one execution of a phase took.",
            &["phase"],
            &SECONDS_OF_STEPS,
        );
        let steps = register.histograms(
            "faasflow_step_duration_seconds",
            "How long one execution of a step took, with its retries.",
            &["step", "kind"],
            &SECONDS_OF_STEPS,
        );
        let calls = register.counters(
            "faasflow_calls_total",
            "Attempts of calls, callbacks and reports, by status or kind of error.",
            &["function", "kind", "code"],
        );
        let retries = register.counters(
            "faasflow_retries_total",
            "Attempts of calls, callbacks and reports after the first.",
            &["function", "kind"],
        );
        let functions = functions(flow);
        for (kind, function) in called(flow).chain([(CallKind::Report, "")]) {
            let function = listed(&functions, kind, function);
            calls.with_label_values(&[function, call_kind(kind), "200"]);
            retries.with_label_values(&[function, call_kind(kind)]);
        }
        let forwards = register.counters(
            "faasflow_forwards_total",
            "Attempts to forward a request to its next phase, by result.",
            &["result"],
        );
        for result in ForwardResult::ALL {
            forwards.with_label_values(&[result.as_str()]);
        }
        let failures = register.counters(
            "faasflow_failures_total",
            "Failures of steps, handlers and forwarding, by reason.",
            &["reason"],
        );
        for reason in FAILURE_REASONS {
            failures.with_label_values(&[reason]);
        }
        let refusals =
            register.counters("faasflow_refusals_total", "Deliveries refused: nothing was executed.", &["code"]);
        for code in REFUSALS {
            refusals.with_label_values(&[code]);
        }
        let limits = register.gauges("faasflow_inflight_limit", "Limits on requests and bytes in flight.", &["of"]);
        for (of, limit) in [("requests", budget.limits().requests as u64), ("bytes", budget.limits().bytes)] {
            limits.with_label_values(&[of]).set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        let dropped =
            register.counters("faasflow_spans_dropped_total", "Spans that were not exported, by reason.", &["reason"]);
        let answered_well = |step: &Step| {
            let (kind, function) = called_by(step)?;
            Some(calls.with_label_values(&[listed(&functions, kind, function), call_kind(kind), "200"]))
        };
        Metrics {
            started: register.counter(
                "faasflow_requests_started_total",
                "Requests started; one that a queue delivers again starts again.",
            ),
            ended: OUTCOMES.map(|outcome| {
                let outcome = &[outcome.as_str()];
                (ended.with_label_values(outcome), took.with_label_values(outcome))
            }),
            requests_answered: deliveries.with_label_values(&["request", "200"]),
            deliveries,
            in_flight: register.gauge("faasflow_deliveries_in_flight", "Invocations under way."),
            budget: (
                budget,
                [
                    register
                        .gauge("faasflow_inflight_requests", "Requests and envelopes admitted and not yet answered."),
                    register.gauge("faasflow_inflight_bytes", "Bytes of all bodies in flight."),
                ],
            ),
            phases: (0..flow.plan().phase_count())
                .map(|index| phases.with_label_values(&[labels::phase(index + 1)]))
                .collect(),
            steps: flow
                .steps()
                .iter()
                .enumerate()
                .map(|(index, step)| steps.with_label_values(&[&*labels::step(index + 1, step), step_kind(step)]))
                .collect(),
            members: Members::new(flow, &register),
            steps_answered: flow.steps().iter().map(answered_well).collect(),
            calls,
            retries,
            queued: register.histogram(
                "faasflow_queue_seconds",
                "Time from forwarding a request until the next phase receives it.",
                &SECONDS_OF_REQUESTS,
            ),
            forwards,
            envelopes: register.histogram("faasflow_envelope_bytes", "Sizes of the envelopes sent.", &SIZES),
            payloads_stored: register.counter(
                "faasflow_payloads_stored_total",
                "Payloads stored in the state manager rather than in an envelope.",
            ),
            payload_bytes_stored: register
                .counter("faasflow_payload_stored_bytes_total", "Bytes of payloads stored in the state manager."),
            failures,
            refusals,
            spans: SpanCounts {
                exported: register.counter("faasflow_spans_exported_total", "Spans exported."),
                dropped: DroppedSpan::ALL.map(|reason| dropped.with_label_values(&[reason.as_str()])),
            },
            log_lines_dropped: register
                .counter("faasflow_log_lines_dropped_total", "Log lines dropped because standard error was not read."),
            log_lines_counted: AtomicU64::new(0),
            functions,
            registry: register.registry,
        }
    }

    /// A request has begun.
    pub(crate) fn started(&self) {
        self.started.inc();
    }

    /// A request has ended, this long after its start.
    pub(crate) fn ended(&self, outcome: Outcome, took: Duration) {
        let index = OUTCOMES.iter().position(|&known| known == outcome);
        if let Some((ended, durations)) = index.and_then(|index| self.ended.get(index)) {
            ended.inc();
            durations.observe(took.as_secs_f64());
        }
    }

    /// An invocation was answered.
    pub(crate) fn delivered(&self, delivery: Delivery, status: StatusCode) {
        let kind = match delivery {
            Delivery::Fresh if status == StatusCode::OK => return self.requests_answered.inc(),
            Delivery::Fresh => "request",
            Delivery::Envelope => "envelope",
        };
        self.deliveries.with_label_values(&[kind, status_code(status).as_ref()]).inc();
    }

    /// Counts an invocation as under way until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A phase was executed. Phases are numbered from 1.
    pub(crate) fn phase(&self, phase: usize, took: Duration) {
        observe(&self.phases, phase, took);
    }

    /// A step was executed. Steps are numbered from 1.
    pub(crate) fn step(&self, number: usize, took: Duration) {
        observe(&self.steps, number, took);
    }

    /// A branch or an item has ended, or does not begin. `took` is the time since it began.
    pub(crate) fn member(&self, body: BodyIndex, outcome: MemberOutcome, took: Option<Duration>) {
        self.members.ended(body, outcome, took);
    }

    /// One attempt of a call, a callback or a report. `function` is the function's name or the callback's host. It is
    /// ignored for a report, because its URL comes with the request.
    pub(crate) fn attempt(&self, kind: CallKind, function: &str, answer: &Result<CallResponse, FailureKind>) {
        let function = listed(&self.functions, kind, function);
        self.calls.with_label_values(&[function, call_kind(kind), attempt_code(answer).as_ref()]).inc();
    }

    /// One attempt of a step was answered with 200.
    pub(crate) fn answered_well(&self, step: StepIndex) {
        if let Some(Some(counter)) = self.steps_answered.get(step.index()) {
            counter.inc();
        }
    }

    /// Another attempt of a call, a callback or a report will follow.
    pub(crate) fn retried(&self, kind: CallKind, function: &str) {
        let function = listed(&self.functions, kind, function);
        self.retries.with_label_values(&[function, call_kind(kind)]).inc();
    }

    /// A request was received. `waited` is the time since it was forwarded.
    pub(crate) fn queued(&self, waited: Duration) {
        self.queued.observe(waited.as_secs_f64());
    }

    /// An envelope was made.
    pub(crate) fn envelope(&self, bytes: usize) {
        self.envelopes.observe(bytes as f64);
    }

    /// A payload was stored in the state manager.
    pub(crate) fn payload_stored(&self, bytes: usize) {
        self.payloads_stored.inc();
        self.payload_bytes_stored.inc_by(bytes as u64);
    }

    /// One attempt to forward a request.
    pub(crate) fn forward(&self, result: ForwardResult) {
        self.forwards.with_label_values(&[result.as_str()]).inc();
    }

    /// A step has failed.
    pub(crate) fn failed(&self, kind: &FailureKind) {
        self.failures.with_label_values(&[kind.as_str()]).inc();
    }

    /// A delivery was refused.
    pub(crate) fn refused(&self, status: StatusCode) {
        self.refusals.with_label_values(&[status_code(status).as_ref()]).inc();
    }

    /// The counters of spans, for the exporter.
    pub(crate) fn spans(&self) -> SpanCounts {
        self.spans.clone()
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    pub(crate) fn text(&self) -> String {
        let (budget, [requests, bytes]) = &self.budget;
        requests.set(i64::try_from(budget.requests()).unwrap_or(i64::MAX));
        bytes.set(i64::try_from(budget.bytes()).unwrap_or(i64::MAX));
        // The log belongs to the process and counts its dropped lines itself.
        let dropped = crate::log::dropped();
        let counted = self.log_lines_counted.fetch_max(dropped, Ordering::Relaxed);
        self.log_lines_dropped.inc_by(dropped.saturating_sub(counted));
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("registered metrics can be encoded")
    }
}

/// Counts an invocation as under way until it is dropped.
#[derive(Debug)]
#[must_use = "the invocation is over when this is dropped"]
pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts spans, on any thread. Clones share the counters.
#[derive(Clone, Debug)]
pub(crate) struct SpanCounts {
    exported: IntCounter,
    /// In the order of [`DroppedSpan::ALL`].
    dropped: [IntCounter; 3],
}

impl SpanCounts {
    /// Spans were accepted by the trace server.
    pub(crate) fn exported(&self, spans: usize) {
        self.exported.inc_by(spans as u64);
    }

    /// Spans were lost.
    pub(crate) fn dropped(&self, reason: DroppedSpan, spans: usize) {
        self.dropped[reason as usize].inc_by(spans as u64);
    }
}

/// The functions and hosts that the definition sends requests to, in order and with repetitions.
fn called(flow: &Flow) -> impl Iterator<Item = (CallKind, &str)> {
    flow.steps().iter().filter_map(called_by)
}

/// The function or host that a step sends requests to, if any.
fn called_by(step: &Step) -> Option<(CallKind, &str)> {
    match step.action() {
        Action::Call(call) => Some((CallKind::Call, call.function())),
        Action::Callback(_) => Some((CallKind::Callback, short_name(step.name()))),
        _ => None,
    }
}

/// The first functions and hosts that the definition sends requests to.
fn functions(flow: &Flow) -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for (_, function) in called(flow) {
        if functions.len() < MAX_SERIES {
            functions.insert(function.to_owned());
        }
    }
    functions
}

fn listed<'a>(functions: &BTreeSet<String>, kind: CallKind, function: &'a str) -> &'a str {
    match kind {
        CallKind::Report => "",
        _ if functions.contains(function) => function,
        _ => OTHER,
    }
}

/// Records a value in the histogram with this number, counted from 1, if there is one.
fn observe(histograms: &[Histogram], number: usize, took: Duration) {
    if let Some(histogram) = number.checked_sub(1).and_then(|index| histograms.get(index)) {
        histogram.observe(took.as_secs_f64());
    }
}
