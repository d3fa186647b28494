use std::sync::Arc;
use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::{CallResponse, Context, Error, Flow, Outcome, Payload};
use faasflow_http::Limits;
use http::{HeaderMap, StatusCode};

use super::*;

async fn tidy(_: Context, payload: Payload) -> Payload {
    payload
}

fn flow() -> Flow {
    Flow::builder()
        .modify(tidy)
        .apply("resize")
        .apply("compress")
        .callback("storage.io/bucket?secret=1")
        .build()
        .unwrap()
}

fn budget() -> Budget {
    Budget::new(Limits { requests: 7, bytes: 4096 })
}

fn metrics() -> Metrics {
    Metrics::new(&flow(), "photos", budget())
}

/// The value of a series. Its labels are in alphabetical order, and `flow` comes last.
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

fn answered(status: u16) -> Result<CallResponse, FailureKind> {
    Ok(CallResponse::new(StatusCode::from_u16(status).unwrap(), HeaderMap::new(), Payload::empty().into_bytes()))
}

#[test]
fn requests_are_counted_by_outcome() {
    let metrics = metrics();
    metrics.started();
    metrics.started();
    metrics.ended(Outcome::Failure, Duration::from_millis(1500));
    assert_eq!(value(&metrics, "faasflow_requests_started_total{flow=\"photos\"}"), 2.0);
    for (outcome, count) in [("success", 0.0), ("recovered", 0.0), ("failure", 1.0)] {
        let labels = format!("{{outcome=\"{outcome}\",flow=\"photos\"}}");
        assert_eq!(value(&metrics, &format!("faasflow_requests_ended_total{labels}")), count);
        assert_eq!(value(&metrics, &format!("faasflow_request_duration_seconds_count{labels}")), count);
    }
    assert_eq!(value(&metrics, "faasflow_request_duration_seconds_sum{outcome=\"failure\",flow=\"photos\"}"), 1.5);
}

#[test]
fn deliveries_are_counted_by_kind_and_status() {
    let metrics = metrics();
    metrics.delivered(Delivery::Fresh, StatusCode::ACCEPTED);
    metrics.delivered(Delivery::Envelope, StatusCode::OK);
    metrics.refused(StatusCode::UNAUTHORIZED);
    assert_eq!(value(&metrics, "faasflow_deliveries_total{code=\"202\",kind=\"request\",flow=\"photos\"}"), 1.0);
    assert_eq!(value(&metrics, "faasflow_deliveries_total{code=\"200\",kind=\"envelope\",flow=\"photos\"}"), 1.0);
    assert_eq!(value(&metrics, "faasflow_refusals_total{code=\"401\",flow=\"photos\"}"), 1.0);
}

#[test]
fn in_flight_counts_until_the_guard_is_dropped() {
    let metrics = metrics();
    let in_flight = "faasflow_deliveries_in_flight{flow=\"photos\"}";
    let (one, other) = (metrics.in_flight(), metrics.in_flight());
    assert_eq!(value(&metrics, in_flight), 2.0);
    drop(one);
    assert_eq!(value(&metrics, in_flight), 1.0);
    drop(other);
    assert_eq!(value(&metrics, in_flight), 0.0);
}

#[test]
fn phases_and_steps_are_timed_separately() {
    let metrics = metrics();
    metrics.phase(2, Duration::from_millis(250));
    metrics.step(1, Duration::from_millis(500));
    metrics.step(4, Duration::from_millis(750));
    assert_eq!(value(&metrics, "faasflow_phase_duration_seconds_sum{phase=\"2\",flow=\"photos\"}"), 0.25);
    assert_eq!(value(&metrics, "faasflow_phase_duration_seconds_count{phase=\"1\",flow=\"photos\"}"), 0.0);
    for (step, kind, sum) in [
        ("1 tidy", "modifier", 0.5),
        ("2 resize", "call", 0.0),
        ("3 compress", "call", 0.0),
        ("4 storage.io", "callback", 0.75),
    ] {
        let series = format!("faasflow_step_duration_seconds_sum{{kind=\"{kind}\",step=\"{step}\",flow=\"photos\"}}");
        assert_eq!(value(&metrics, &series), sum);
    }
    // There is no phase and no step with these numbers.
    metrics.phase(0, Duration::ZERO);
    metrics.step(5, Duration::ZERO);
}

#[test]
fn attempts_are_counted_by_function_and_status() {
    let metrics = metrics();
    metrics.attempt(CallKind::Call, "resize", &answered(503));
    metrics.retried(CallKind::Call, "resize");
    metrics.attempt(CallKind::Call, "resize", &answered(200));
    metrics.attempt(CallKind::Callback, "storage.io", &Err(FailureKind::Unreachable(Arc::new(Error::msg("")))));
    metrics.attempt(CallKind::Report, "a secret of the caller", &Err(FailureKind::Deadline(Duration::ZERO)));
    let of = |function: &str, kind: &str, code: &str| {
        let series =
            format!("faasflow_calls_total{{code=\"{code}\",function=\"{function}\",kind=\"{kind}\",flow=\"photos\"}}");
        value(&metrics, &series)
    };
    assert_eq!(of("resize", "call", "503"), 1.0);
    assert_eq!(of("resize", "call", "200"), 1.0);
    assert_eq!(of("compress", "call", "200"), 0.0);
    assert_eq!(of("storage.io", "callback", "unreachable"), 1.0);
    assert_eq!(of("", "report", "timeout"), 1.0);
    assert_eq!(value(&metrics, "faasflow_retries_total{function=\"resize\",kind=\"call\",flow=\"photos\"}"), 1.0);
    assert!(!metrics.text().contains("secret"), "{}", metrics.text());
}

#[test]
fn forwarding_is_measured() {
    let metrics = metrics();
    metrics.queued(Duration::from_secs(3));
    metrics.envelope(1000);
    metrics.payload_stored(4096);
    metrics.forward(ForwardResult::Retried);
    metrics.forward(ForwardResult::Accepted);
    for (series, expected) in [
        ("faasflow_queue_seconds_sum{flow=\"photos\"}", 3.0),
        ("faasflow_envelope_bytes_sum{flow=\"photos\"}", 1000.0),
        ("faasflow_envelope_bytes_bucket{flow=\"photos\",le=\"1024\"}", 1.0),
        ("faasflow_payloads_stored_total{flow=\"photos\"}", 1.0),
        ("faasflow_payload_stored_bytes_total{flow=\"photos\"}", 4096.0),
        ("faasflow_forwards_total{result=\"accepted\",flow=\"photos\"}", 1.0),
        ("faasflow_forwards_total{result=\"retried\",flow=\"photos\"}", 1.0),
        ("faasflow_forwards_total{result=\"failed\",flow=\"photos\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn every_kind_of_failure_has_a_reason() {
    let metrics = metrics();
    let kinds = [
        FailureKind::Handler(Arc::new(Error::msg("internal"))),
        FailureKind::Panic(String::new()),
        FailureKind::Unreachable(Arc::new(Error::msg(""))),
        FailureKind::Interrupted(Arc::new(Error::msg(""))),
        FailureKind::Timeout(Duration::ZERO),
        FailureKind::Response(Box::new(answered(500).unwrap())),
        FailureKind::AnswerTooLarge(1),
        FailureKind::Undecodable(Arc::new(Error::msg(""))),
        FailureKind::Deadline(Duration::ZERO),
        FailureKind::Forward(Arc::new(Error::msg(""))),
        FailureKind::Storage(Arc::new(Error::msg(""))),
        FailureKind::EnvelopeTooLarge { size: 2, payload: 1, state: 0, limit: 1 },
    ];
    assert_eq!(kinds.each_ref().map(FailureKind::as_str), FAILURE_REASONS);
    for kind in kinds {
        metrics.failed(&kind);
    }
    for reason in FAILURE_REASONS {
        assert_eq!(value(&metrics, &format!("faasflow_failures_total{{reason=\"{reason}\",flow=\"photos\"}}")), 1.0);
    }
}

#[test]
fn spans_are_counted_on_another_thread() {
    let metrics = metrics();
    let spans = metrics.spans();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            spans.exported(5);
            spans.dropped(DroppedSpan::QueueFull, 2);
            spans.dropped(DroppedSpan::ExportFailed, 3);
        });
    });
    assert_eq!(value(&metrics, "faasflow_spans_exported_total{flow=\"photos\"}"), 5.0);
    assert_eq!(value(&metrics, "faasflow_spans_dropped_total{reason=\"queue_full\",flow=\"photos\"}"), 2.0);
    assert_eq!(value(&metrics, "faasflow_spans_dropped_total{reason=\"export_failed\",flow=\"photos\"}"), 3.0);
}

#[test]
fn a_long_flow_has_no_more_series_than_a_hundred_steps() {
    let long = |steps: usize| {
        let flow = (0..steps).fold(Flow::builder(), |flow, step| flow.apply(format!("f{step}"))).build().unwrap();
        Metrics::new(&flow, "long", budget())
    };
    let metrics = long(1000);
    metrics.phase(1000, Duration::from_secs(1));
    metrics.step(500, Duration::from_secs(1));
    metrics.attempt(CallKind::Call, "f100", &answered(200));
    let lines = |metrics: &Metrics| metrics.text().lines().count();
    assert_eq!(lines(&metrics), lines(&long(101)));
    assert_eq!(value(&metrics, "faasflow_phase_duration_seconds_sum{phase=\"other\",flow=\"long\"}"), 1.0);
    let step = "faasflow_step_duration_seconds_sum{kind=\"call\",step=\"other\",flow=\"long\"}";
    assert_eq!(value(&metrics, step), 1.0);
    let calls = "faasflow_calls_total{code=\"200\",function=\"other\",kind=\"call\",flow=\"long\"}";
    assert_eq!(value(&metrics, calls), 1.0);
}

#[test]
fn undefined_statuses_share_the_label_of_their_class() {
    let metrics = metrics();
    for status in 100..1000 {
        metrics.attempt(CallKind::Call, "resize", &answered(status));
        metrics.delivered(Delivery::Fresh, StatusCode::from_u16(status).unwrap());
    }
    let text = metrics.text();
    let series = text.lines().filter(|line| line.starts_with("faasflow_calls_total") && line.contains("resize"));
    assert!(series.count() < 80);
    let calls = "faasflow_calls_total{code=\"4xx\",function=\"resize\",kind=\"call\",flow=\"photos\"}";
    assert!(value(&metrics, calls) > 50.0);
    assert!(text.contains("code=\"418\"") && !text.contains("code=\"499\""));
}

#[test]
fn names_of_steps_are_shortened() {
    for (name, short) in [
        ("function `facedetect`", "facedetect"),
        ("modifier `exactly_one_face`", "exactly_one_face"),
        ("modifier at lib.rs:12", "lib.rs:12"),
        ("callback to `storage.io`", "storage.io"),
    ] {
        assert_eq!(short_name(name), short);
    }
}

/// A flow function that has done nothing yet already shows which metrics there will be.
#[test]
fn every_metric_exists_from_the_start() {
    let text = metrics().text();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    faasflow_build_info gauge
    faasflow_calls_total counter
    faasflow_deliveries_in_flight gauge
    faasflow_deliveries_total counter
    faasflow_envelope_bytes histogram
    faasflow_failures_total counter
    faasflow_forwards_total counter
    faasflow_inflight_bytes gauge
    faasflow_inflight_limit gauge
    faasflow_inflight_requests gauge
    faasflow_log_lines_dropped_total counter
    faasflow_payload_stored_bytes_total counter
    faasflow_payloads_stored_total counter
    faasflow_phase_duration_seconds histogram
    faasflow_queue_seconds histogram
    faasflow_refusals_total counter
    faasflow_request_duration_seconds histogram
    faasflow_requests_ended_total counter
    faasflow_requests_started_total counter
    faasflow_retries_total counter
    faasflow_spans_dropped_total counter
    faasflow_spans_exported_total counter
    faasflow_step_duration_seconds histogram
    ");
}
