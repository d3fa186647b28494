//! `faasflow logs`

use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::{LOG_DROPPED, LogLine, paths};
use faasflow_core::RequestId;
use faasflow_core::code;
use faasflow_gateway::KEPT_LOG;
use faasflow_http::read_body;
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::args::Logs;
use crate::client::{Client, error_code};
use crate::error::Failure;
use faasflow_runtime::log::escaped;

/// How many bytes of an error answer are read at most.
const ERROR_BODY: u64 = 64 * 1024;

/// How long the gateway may take to begin its answer. After that, there is no limit on the time between lines.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(logs: Logs) -> Result<(), Failure> {
    let client = Client::new(&logs.gateway)?;
    let answer = ask(&client, &path(&logs), PATIENCE).await?;
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        let text = read_body(body, ERROR_BODY, Duration::from_secs(10)).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let refused = client.check(parts.status, &parts.headers, &text);
        // OpenFaaS requires the name of a function, and answers with one of these statuses, without saying so.
        let fails = matches!(parts.status.as_u16(), 404 | 422 | 500 | 501);
        if let Some(function) = &logs.function
            && error_code(&parts.headers) == Some(code::UNKNOWN_FUNCTION)
        {
            return Err(client.not_deployed(function, &text));
        }
        return if fails && logs.request.is_some() {
            Err(not_ours(&client, &format!("{} {}", parts.status, text.trim())))
        } else {
            refused
        };
    }
    // Without this header, it is not the gateway of `faasflow up`, or OpenFaaS is in front of it.
    let dropped = parts.headers.get(LOG_DROPPED).map(|names| String::from_utf8_lossy(names.as_bytes()));
    let is_ours = dropped.is_some();
    if let Some(names) = dropped.filter(|names| !names.is_empty() && logs.request.is_some()) {
        eprintln!("Older lines of {} are missing: {}.", names.replace(',', ", "), retention());
    }
    let mut found = false;
    let mut lines = Lines { body, read: Vec::new(), client: &client };
    while let Some(line) = lines.next().await? {
        // A gateway that cannot filter by request may send any line.
        if logs.request.as_ref().is_none_or(|request| is_ours || is_of(&line.line, request)) {
            found = true;
            show(&logs, &line)?;
        }
    }
    match &logs.request {
        Some(_) if !found && !is_ours => Err(not_ours(&client, "no line of this request")),
        Some(request) if !found => {
            let at = client.base();
            let what = format!("the gateway at {at} has no log lines of the request `{request}`");
            Err(Failure::failed(code::NO_LINES, what)
                .because_text(format!(
                    "the ID is wrong, no function logged anything, or the lines are too old: {}",
                    retention()
                ))
                .help("check the ID: it is the header X-Faasflow-Request-Id of the answer"))
        }
        _ => Ok(()),
    }
}

async fn ask(client: &Client, path: &str, patience: Duration) -> Result<Response<Incoming>, Failure> {
    let asking = client.open(Method::GET, path, HeaderMap::new(), Bytes::new());
    let late = |_| client.unreachable(&format!("it did not answer within {patience:?}"));
    tokio::time::timeout(patience, asking).await.map_err(late)?
}

fn path(logs: &Logs) -> String {
    let mut query = form_urlencoded::Serializer::new(format!("{}?", paths::LOGS));
    query.extend_pairs(logs.request.as_ref().map(|request| ("request", request.as_str())));
    query.extend_pairs(logs.function.as_ref().map(|function| ("name", function)));
    query.extend_pairs(logs.tail.map(|tail| ("tail", tail.to_string())));
    query.append_pair("follow", if logs.follow { "true" } else { "false" });
    query.finish()
}

fn is_of(line: &LogLine, request: &RequestId) -> bool {
    line.request_id.as_deref() == Some(request.as_str()) || line.text.contains(request.as_str())
}

fn show(logs: &Logs, Line { line, whole }: &Line) -> Result<(), Failure> {
    let shown = |text: &str| escaped(text.trim_end()).into_owned();
    if logs.json {
        say!("{whole}");
    } else if logs.timestamps {
        say!("{} {} | {}", shown(&line.timestamp), shown(&line.name), shown(&line.text));
    } else {
        say!("{} | {}", shown(&line.name), shown(&line.text));
    }
    Ok(())
}

fn retention() -> String {
    format!("the gateway keeps the last {} MiB of each function's output since its own start", KEPT_LOG >> 20)
}

fn not_ours(client: &Client, answered: &str) -> Failure {
    let what = format!(
        "the gateway at {} cannot find log lines by request; only the gateway of `faasflow up` can",
        client.base()
    );
    Failure::failed(code::NO_LINES, what).because_text(format!("it answered: {}", answered.trim())).help(
        "show the lines of one function with `faasflow logs --function NAME`; on a cluster, search its log storage for the ID",
    )
}

/// A log line, parsed and as untyped JSON with all fields.
struct Line {
    line: LogLine,
    whole: Value,
}

impl Line {
    fn read(text: &[u8]) -> serde_json::Result<Line> {
        Ok(Line { line: serde_json::from_slice(text)?, whole: serde_json::from_slice(text)? })
    }
}

/// Reads the lines of an answer as they arrive.
struct Lines<'a> {
    body: Incoming,
    read: Vec<u8>,
    client: &'a Client,
}

impl Lines<'_> {
    async fn next(&mut self) -> Result<Option<Line>, Failure> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=searched + end).collect();
                return Line::read(&line).map(Some).map_err(|error| self.client.not_json(&error));
            }
            searched = self.read.len();
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self.read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(error)) => return Err(self.client.unreachable(&format!("the connection broke: {error}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Gateway;

    #[tokio::test]
    async fn a_gateway_that_does_not_answer_is_given_up() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = Client::new(&Gateway { gateway: url.clone() }).ok().unwrap();
        let failure = ask(&client, "/system/logs?request=a-1", Duration::from_millis(50)).await.err().unwrap();
        assert!(matches!(failure, Failure::Problems { exit: crate::error::Exit::Unreachable, .. }));
        let expected = format!("the gateway at {url} cannot be reached: it did not answer within 50ms");
        assert_eq!(failure.to_string(), expected);
    }
}
