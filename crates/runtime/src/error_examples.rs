//! The examples in the reference of errors (`docs/reference/errors.md`) are what the runtime prints and answers today.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::envelope::{self, Envelope};
use faasflow_core::failure::FailureKind;
use faasflow_core::state::StateError;
use faasflow_core::{
    CallResponse, Error, Failure, Flow, Json, Outcome, Payload, RequestId, Retry, Unreadable, headers,
};
use faasflow_http::{BadAuthorities, Codings, HttpClient, Limits, NoRoom, ReadBodyError};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::conclusion::{Conclusion, Delivery};
use crate::config::{Config, KeyError, SettingValue};
use crate::deadline::Deadline;
use crate::delivery::internal_failure;
use crate::delivery::{decoding_too_slow, failure_payload, respond};
use crate::error::StartError;
use crate::forward::ForwardError;
use crate::instance::Instance;
use crate::observers::{CallKind, Event, Origin, Peer, Report, log_line};
use crate::step::detect;
use crate::testing::{Queue, Shelf, instance};

#[path = "../../core/tests/support/errors_page.rs"]
mod errors_page;

use errors_page::compare;

#[test]
fn settings() {
    let of = |code: Code, changes: &[(&str, &str)]| {
        let mut variables = BTreeMap::from([("workflow_name", "flow")]);
        variables.extend(changes.iter().copied());
        let look_up =
            |name: &str| Some(SettingValue { value: (*variables.get(name)?).to_owned(), origin: String::new() });
        let error = Config::load(look_up).unwrap_err();
        (code, error.problems().next().unwrap().to_string())
    };
    compare([
        of(code::NO_NAME, &[("workflow_name", "")]),
        of(code::BAD_NAME, &[("workflow_name", "my flow")]),
        of(code::BAD_GATEWAY, &[("gateway", "ftp://gateway")]),
        of(code::BAD_SWITCH, &[("enable_hmac", "maybe")]),
        of(code::BAD_DURATION, &[("read_timeout", "soon")]),
        of(code::BAD_SIZE, &[("envelope_limit", "much")]),
        of(code::BAD_COUNT, &[("max_inflight_requests", "0")]),
        of(code::BAD_PORT, &[("port", "http")]),
        of(code::BAD_METHOD, &[("default_method", "FETCH")]),
        of(code::BAD_LOG_FORMAT, &[("log_format", "xml")]),
        of(code::BAD_LOG_FILTER, &[("RUST_LOG", "warning")]),
        of(code::BAD_TRACE_SERVER, &[("trace_server", "ftp://jaeger")]),
        of(code::BAD_SAMPLER, &[("enable_tracing", "true"), ("OTEL_TRACES_SAMPLER", "jaeger_remote")]),
        of(code::BAD_TRACE_OPTION, &[("enable_tracing", "true"), ("OTEL_EXPORTER_OTLP_HEADERS", "authorization")]),
        of(code::VERIFY_WITHOUT_SIGNING, &[("verify_request", "true"), ("enable_hmac", "false")]),
    ]);
}

#[test]
fn examples_about_the_start_of_a_flow_are_real() {
    let secret = PathBuf::from("/var/openfaas/secrets/faasflow-hmac-secret");
    let absent = || Unreadable::from(io::Error::from(io::ErrorKind::NotFound));
    let certificates = PathBuf::from("/etc/ssl/own.pem");
    let of = |error: StartError| (error.code(), error.report().problems()[0].to_string());
    compare([
        of(KeyError::Unreadable { path: secret.clone(), source: absent() }.into()),
        of(KeyError::Empty(secret).into()),
        of(StartError::Listen { address: "0.0.0.0:8080".to_owned(), source: io::Error::from_raw_os_error(98) }),
        of(StartError::NowhereToStore),
        of(StartError::NoSharedStore),
        of(StartError::StoreWithoutBranches("files".into())),
        of(StartError::StateNotShared("memory".to_owned())),
        of(StartError::TwoStateManagers { definition: "redis".to_owned(), setting: "s3".to_owned() }),
        of(StartError::UnreadableAuthorities { path: certificates.clone(), source: absent() }),
        of(StartError::Authorities { path: certificates, source: BadAuthorities::None.into() }),
        of(StartError::Tracing {
            server: "http://jaeger:4318/v1/traces".to_owned(),
            source: BadAuthorities::None.into(),
        }),
        of(StartError::Argument("--help".to_owned())),
        of(StartError::Unhealthy {
            address: "127.0.0.1:8080".to_owned(),
            source: io::Error::from_raw_os_error(111).into(),
        }),
        of(StartError::System(io::Error::from_raw_os_error(11))),
    ]);
}

fn id() -> RequestId {
    RequestId::parse("0193c6b2").unwrap()
}

/// The log line of an event.
fn line(phase: usize, event: &Event<'_>) -> String {
    let line = RefCell::new(String::new());
    log_line(event, |level, code, text| {
        let code = code.expect("the line has a code");
        *line.borrow_mut() = format!("{level} [Request `{}`] {text} phase={phase} code={code}", id());
    });
    line.into_inner()
}

fn failed(step: usize, name: &str, kind: FailureKind) -> Failure {
    Failure::new(1, step, name.into(), kind, Payload::empty())
}

fn response(status: u16, name: impl http::header::IntoHeaderName, value: &'static str) -> CallResponse {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_static(value));
    CallResponse::new(StatusCode::from_u16(status).unwrap(), headers, Bytes::new())
}

#[tokio::test]
async fn examples_of_log_lines_are_real() {
    let failure = |step, name, kind| {
        let failure = failed(step, name, kind);
        (failure.code(), line(1, &Event::Failed { failure: &failure, origin: Origin::Step }))
    };
    let waiting = |answer: &Result<CallResponse, FailureKind>, wait| {
        let outage = detect(answer, CallKind::Call, &Retry::never(), "function `resize`").unwrap();
        let to = Peer { kind: CallKind::Call, name: "function `resize`", function: "resize", step: None };
        let wait = Duration::from_millis(wait);
        (outage.code, line(1, &Event::WaitingOut { to, outage: &outage, wait }))
    };
    let unreachable = async || {
        let request = Request::get("http://127.0.0.1:1").body(Body::empty()).unwrap();
        HttpClient::new(Duration::from_secs(1)).send(request).await.unwrap_err()
    };
    let died = response(502, headers::GATEWAY_ERROR, "function-died");
    let asks = response(503, RETRY_AFTER, "1");
    let refused = ForwardError::permanent("the gateway answered 404 Not Found");
    let away = ForwardError::temporary("the gateway cannot be reached", None).with_source(unreachable().await);
    let denied = Error::from(StateError::permanent("access is denied")).context("the payload cannot be stored");
    let report = Event::Reported { outcome: Outcome::Success, report: Report::GivenUp("it answered 403 Forbidden") };
    compare([
        failure(2, "modifier `validate`", FailureKind::Handler(Arc::new(Error::msg("disk full")))),
        failure(2, "modifier `validate`", FailureKind::Panic("index out of bounds".to_owned())),
        waiting(&Err(FailureKind::Unreachable(Arc::new(unreachable().await.into()))), 90),
        waiting(&Ok(died), 90),
        failure(2, "forwarding to phase 2", FailureKind::Forward(Arc::new(refused.into()))),
        (code::NOT_QUEUED_YET, line(1, &Event::ForwardRetried { next: &2.into(), error: &away })),
        failure(2, "forwarding to phase 2", FailureKind::Storage(Arc::new(denied))),
        waiting(&Ok(asks), 1000),
        (code::NOT_REPORTED, line(2, &report)),
    ]);
}

#[tokio::test]
async fn examples_of_answers_about_failed_steps_are_real() {
    let answer = |kind| {
        let failure = failed(2, "function `resize`", kind);
        (failure.code(), String::from_utf8(failure_payload(&id(), &failure).bytes().to_vec()).unwrap())
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let budget = faasflow_http::Budget::new(Limits { requests: 1, bytes: 1 << 20 });
    let codings = Codings::from_headers(&headers).unwrap();
    let undecodable = codings.decode("plain".into(), 1000, &mut budget.request_share()).await.unwrap_err();
    let broken = io::Error::from(io::ErrorKind::InvalidData);
    compare([
        answer(FailureKind::Unusable(Arc::new(broken.into()))),
        answer(FailureKind::Timeout(Duration::from_secs(30))),
        answer(FailureKind::Response(Box::new(response(502, RETRY_AFTER, "1")))),
        answer(FailureKind::AnswerTooLarge(64 << 20)),
        answer(FailureKind::Undecodable(Arc::new(undecodable.into()))),
        answer(FailureKind::Deadline(Duration::from_secs(60))),
    ]);
}

async fn text(response: Response) -> (Code, String) {
    let code = response.headers()[headers::ERROR_CODE].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (Code::find(&code).unwrap(), String::from_utf8(body.to_vec()).unwrap())
}

/// The answer to a delivery with this header.
async fn deliver(
    instance: &Instance,
    name: impl http::header::IntoHeaderName,
    value: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let mut parts = Request::post("/").body(()).unwrap().into_parts().0;
    parts.headers.insert(name, HeaderValue::from_static(value));
    let deadline = Deadline::starting_now(instance.config.write_timeout);
    instance.deliver(id(), parts, body.into(), deadline).await
}

#[tokio::test]
async fn examples_of_answers_of_modifiers_are_real() {
    async fn validate(Json(email): Json<String>) -> Result<String, Error> {
        Err(Error::refused(format!("`{email}` is not a valid address")))
    }
    async fn greet(name: String) -> String {
        name
    }
    let queue = Arc::new(Queue::default());
    let validate = instance(Flow::builder().modify(validate).build().unwrap(), &[], &queue);
    let greet = instance(Flow::builder().modify(greet).build().unwrap(), &[], &queue);
    compare([
        text(deliver(&validate, CONTENT_TYPE, "application/json", "\"email\"").await).await,
        text(deliver(&validate, CONTENT_TYPE, "application/json", "{").await).await,
        text(deliver(&greet, CONTENT_TYPE, "text/plain", &b"\xff"[..]).await).await,
    ]);
}

#[tokio::test]
async fn examples_of_refused_requests_are_real() {
    async fn echo(payload: Payload) -> Payload {
        payload
    }
    let instance = instance(Flow::builder().modify(echo).build().unwrap(), &[], &Arc::new(Queue::default()));
    let parts = Request::post("/").body(()).unwrap().into_parts().0;
    let refused =
        async |error: ReadBodyError| text(instance.turn_away(&parts, Body::empty(), error, &id()).await).await;
    let broken = ReadBodyError::Broken(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    let slow = decoding_too_slow(Duration::from_secs(60));
    let slow = respond(Conclusion::Refused(slow.status, slow.code, slow.reason), &id(), Delivery::Fresh, None);
    compare([
        refused(ReadBodyError::TooLarge { limit: 64 << 20 }).await,
        refused(ReadBodyError::TooSlow(Duration::from_secs(10))).await,
        refused(broken).await,
        refused(ReadBodyError::NoRoom(NoRoom::Requests { limit: 1000 })).await,
        refused(ReadBodyError::NoRoom(NoRoom::Never { limit: 8 << 20 })).await,
        text(deliver(&instance, CONTENT_ENCODING, "rot13", "x").await).await,
        text(deliver(&instance, CONTENT_ENCODING, "gzip", "plain").await).await,
        text(slow).await,
        text(deliver(&instance, headers::CALLBACK_URL, "http://:80", "x").await).await,
        text(internal_failure(&id())).await,
    ]);
}

/// Sends a head to a server of this crate's HTTP. Returns the beginning of its answer as the reference shows it.
async fn refused_head(headers: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = faasflow_http::ServerOptions::default();
    let serving = faasflow_http::serve(listener, axum::Router::new(), options, async move {
        let _ = stopped.await;
    });
    let exchange = async move {
        stream.write_all(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        drop(stop);
        answer
    };
    let (served, answer) = tokio::join!(serving, exchange);
    served.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.lines().next().unwrap();
    let code = head.lines().find(|line| line.starts_with("x-faasflow-error-code: ")).expect("a code");
    format!("{status}\n{code}\n\n{}", body.trim_end())
}

#[tokio::test]
async fn examples_of_refused_heads_are_real() {
    compare([
        (code::BAD_HEAD, refused_head("host: a\r\nhost: b\r\n").await),
        (code::HEAD_TOO_LARGE, refused_head(&"a: b\r\n".repeat(2001)).await),
    ]);
}

#[tokio::test]
async fn examples_of_refused_envelopes_are_real() {
    let flow = || Flow::builder().apply("first").apply("second");
    let queue = Arc::new(Queue::default());
    let shelf = Shelf::default();
    let plain = instance(flow().build().unwrap(), &[], &queue);
    let storing = [("intermediate_storage", "true")];
    let storing = instance(flow().state(shelf.clone()).build().unwrap(), &storing, &queue);
    let changed = instance(flow().apply("third").build().unwrap(), &[], &queue);
    let unkeyed = [("enable_hmac", "true"), ("secret_mount_path", "/nonexistent")];
    let unkeyed = instance(Flow::builder().apply("first").build().unwrap(), &unkeyed, &queue);

    let sealed = async |instance: &Instance| -> Bytes {
        let request = crate::testing::request_with_id("0193c6b2");
        let context = faasflow_core::Context::embedded(request, 1, faasflow_core::state::EmbeddedState::new());
        let token = faasflow_core::machine::Token::new(2.into(), Payload::new("photo"));
        let observers = crate::observers::Observers::for_request(id(), &instance.metrics);
        let deadline = Deadline::starting_now(Duration::from_secs(10));
        assert!(instance.forward(&context, (&token).into(), &deadline, &observers).await.is_ok());
        queue.taken().last().unwrap().body.concat().into()
    };
    let send = async |to: &Instance, body: &Bytes| {
        text(deliver(to, CONTENT_TYPE, envelope::CONTENT_TYPE, body.clone()).await).await
    };
    let own = sealed(&plain).await;
    let mut of_other = Envelope::decode(&own).unwrap();
    Arc::make_mut(&mut of_other.request).flow = "other".into();
    let of_other: Bytes = of_other.encode().into_parts().concat().into();
    let stored = sealed(&storing).await;
    let mut beyond = Envelope::decode(&own).unwrap();
    beyond.place = 9.into();
    let beyond: Bytes = beyond.encode().into_parts().concat().into();
    shelf.lose();
    compare([
        send(&plain, &of_other).await,
        send(&changed, &own).await,
        send(&plain, &beyond).await,
        send(&unkeyed, &own).await,
        send(&storing, &stored).await,
        send(&plain, &stored).await,
    ]);
}
