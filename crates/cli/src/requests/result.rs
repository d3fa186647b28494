//! `faasflow requests result`

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use faasflow_admin::{FlowRequest, RequestStatus};
use faasflow_core::headers::OUTCOME;
use faasflow_core::{Problem, code};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::api::{FlowApi, is_temporary, pause, request};
use super::context::Context;
use super::timeline::reason_text;
use crate::args::OneRequest;
use crate::client::{Answer, error_code};
use crate::error::{Exit, Failure};
use crate::flow_failure::reason;

/// How a result is printed.
#[derive(Clone, Copy)]
pub(crate) enum Form<'a> {
    /// As it is, to a file if one is named.
    Bytes(Option<&'a Path>),
    /// With the outcome, in a JSON object.
    Json,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    version: u32,
    id: &'a str,
    flow: &'a str,
    status: &'a str,
    content_type: Option<&'a str>,
    #[serde(flatten)]
    result: ResultBody<'a>,
}

/// The payload of a result, as JSON can hold it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ResultBody<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Base64(String),
}

impl ResultBody<'_> {
    fn new(body: &[u8]) -> ResultBody<'_> {
        match (serde_json::from_slice(body), std::str::from_utf8(body)) {
            // As it was written: numbers may be longer than a program can hold.
            (Ok(value), _) => ResultBody::Json(value),
            (_, Ok(text)) => ResultBody::Text(text),
            _ => ResultBody::Base64(BASE64_STANDARD.encode(body)),
        }
    }
}

pub(super) async fn run(context: &Context<'_>, asked: &OneRequest, form: Form<'_>) -> Result<(), Failure> {
    let id = asked.id.as_str();
    let flow = match &asked.flow {
        Some(flow) => flow.clone(),
        None => context.api.locate(id, None, context.stack).await?.0,
    };
    fetch(&context.api, &flow, id, form, 1).await
}

/// Prints the result of a request. Fails if the request has not ended with a success. If the flow or its
/// store is away, the result is asked for `attempts` times.
pub(crate) async fn fetch(
    api: &FlowApi<'_>,
    flow: &str,
    id: &str,
    form: Form<'_>,
    attempts: u32,
) -> Result<(), Failure> {
    let target = format!("{}/result", request(id));
    let mut attempt = 1;
    let answer = loop {
        let answer = api.send(Method::GET, flow, &target, None).await?;
        if attempt >= attempts || !is_temporary(&answer) {
            break answer;
        }
        attempt += 1;
        sleep(pause(&answer)).await;
    };
    let outcome = answer.headers.get(OUTCOME).and_then(|outcome| outcome.to_str().ok());
    if let (Form::Json, Some(status)) = (form, outcome) {
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let told = Told { version: 1, id, flow, status, content_type, result: ResultBody::new(&answer.body) };
        say!("{}", serde_json::to_string_pretty(&told).expect("it is plain data"));
    }
    match (answer.status, outcome) {
        (StatusCode::ACCEPTED, _) => {
            let request: FlowRequest = serde_json::from_slice(&answer.body).unwrap_or_default();
            let what = format!("the request `{id}` of `{flow}` has no result yet");
            Err(not_ended(what, request.status, id))
        }
        (status, _) if status.is_success() => match form {
            Form::Json => Ok(()),
            Form::Bytes(output) => write(&answer, output),
        },
        (_, Some("failure")) => {
            let code = error_code(&answer.headers).unwrap_or(code::REQUEST_FAILED);
            let failure = Failure::failed(code, format!("the request `{id}` of `{flow}` has failed"));
            let body = String::from_utf8_lossy(&answer.body);
            let failure = if body.trim().is_empty() { failure } else { failure.because_text(reason(&body)) };
            Err(failure.help(after_failure(id)))
        }
        (StatusCode::CONFLICT, _) => Err(stopped(flow, id)),
        _ => Err(api.refusal(&answer, flow, &format!("give the result of the request `{id}`"))),
    }
}

/// The failure of a request that has ended, or success.
pub(super) fn outcome(request: &FlowRequest) -> Result<(), Failure> {
    let FlowRequest { id, flow, .. } = request;
    match request.status {
        RequestStatus::Failure => {
            let code = request.reason.as_ref().and_then(|reason| code::Code::find(reason.code.as_deref()?));
            let what = format!("the request `{id}` of `{flow}` has failed");
            let failure = Failure::failed(code.unwrap_or(code::REQUEST_FAILED), what);
            let reason = request.reason.as_ref().map(reason_text);
            let failure = reason.into_iter().fold(failure, Failure::because_text);
            Err(failure.help(after_failure(id)))
        }
        RequestStatus::Stopped => Err(stopped(flow, id)),
        _ => Ok(()),
    }
}

pub(super) fn not_ended(what: String, status: RequestStatus, id: &str) -> Failure {
    let problem = Problem::new(code::NOT_ENDED, what).because_text(match status {
        RequestStatus::Paused => "it is paused".to_owned(),
        RequestStatus::Parked => "it is parked: the definition of the flow has changed ahead of it".to_owned(),
        status => format!("its status is `{status}`"),
    });
    let problem = match status {
        RequestStatus::Paused => problem.help(format!("make it go on with `faasflow requests resume {id}`")),
        RequestStatus::Parked => problem.help(format!(
            "deploy the old definition and make it go on with `faasflow requests resume {id}`, start it again from a phase with \
             `faasflow requests redrive {id} --from N`, or end it with `faasflow requests stop {id}`"
        )),
        _ => problem.help(format!("wait for it with `faasflow requests wait {id}`")),
    };
    Failure::new(Exit::NotEnded, [problem.help(format!("see where it is with `faasflow requests show {id}`"))])
}

fn stopped(flow: &str, id: &str) -> Failure {
    Failure::failed(code::REQUEST_FAILED, format!("the request `{id}` of `{flow}` was stopped"))
        .help(format!("make it go on from there with `faasflow requests redrive {id}`"))
}

fn after_failure(id: &str) -> String {
    format!(
        "see where with `faasflow requests show {id}`; start it again from there with `faasflow requests redrive {id}`"
    )
}

fn write(answer: &Answer, output: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = output else { return print(&answer.body) };
    std::fs::write(path, &answer.body).map_err(|error| {
        Failure::failed(code::NOT_WRITTEN, format!("the result cannot be written to {}", path.display()))
            .because(&error)
            .help("choose another file with `--output`")
    })
}

/// Prints a result. Programs get the exact bytes; on a terminal, the line is ended, so that the prompt starts on a new one.
pub(crate) fn print(body: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(body)?;
    if stdout.is_terminal() && !body.is_empty() && !body.ends_with(b"\n") {
        writeln!(stdout)?;
    }
    stdout.flush()?;
    Ok(())
}
