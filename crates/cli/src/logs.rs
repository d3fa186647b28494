//! `faasflow logs`

use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::{LOG_DROPPED, LogLine, paths};
use faasflow_core::RequestId;
use faasflow_core::code;
use faasflow_gateway::KEPT_LOG;
use faasflow_runtime::http::read_body;
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::args::Logs;
use crate::client::Client;
use crate::error::Failure;
use faasflow_runtime::log::escaped;

/// The most that is read of an answer that says what is wrong, in bytes.
const COMPLAINT: u64 = 64 * 1024;

/// How long the gateway may take to begin its answer. Lines may then be as long in coming as they like.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(logs: Logs) -> Result<(), Failure> {
    let client = Client::new(&logs.gateway)?;
    let answer = ask(&client, &path(&logs), PATIENCE).await?;
    let (parts, body) = answer.into_parts();
    if !parts.status.is_success() {
        let text = read_body(body, COMPLAINT, Duration::from_secs(10)).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let refused = client.check(parts.status, &parts.headers, &text);
        // A gateway of OpenFaaS wants the name of a function, and answers with one of these in words that do not say so.
        let fails = matches!(parts.status.as_u16(), 404 | 422 | 500 | 501);
        return if fails && logs.request.is_some() {
            Err(not_ours(&client, &format!("{} {}", parts.status, text.trim())))
        } else {
            refused
        };
    }
    // Where there is none, the gateway is not one of `faasflow up`, or one of OpenFaaS is before that.
    let dropped = parts.headers.get(LOG_DROPPED).map(|names| String::from_utf8_lossy(names.as_bytes()));
    let is_ours = dropped.is_some();
    if let Some(names) = dropped.filter(|names| !names.is_empty() && logs.request.is_some()) {
        eprintln!("The gateway does not have all that {} wrote any more: {}.", names.replace(',', ", "), kept());
    }
    let mut found = false;
    let mut lines = Lines { body, read: Vec::new(), client: &client };
    while let Some(line) = lines.next().await? {
        // A gateway that knows of no requests may tell of any.
        if logs.request.as_ref().is_none_or(|request| is_ours || is_of(&line.line, request)) {
            found = true;
            show(&logs, &line)?;
        }
    }
    match &logs.request {
        Some(_) if !found && !is_ours => Err(not_ours(&client, "no line of it")),
        Some(request) if !found => {
            let at = client.base();
            let what = format!("the gateway at {at} has no line of the request `{request}`");
            Err(Failure::failed(code::NO_LINES, what).because_text(kept()))
        }
        _ => Ok(()),
    }
}

async fn ask(client: &Client, path: &str, patience: Duration) -> Result<Response<Incoming>, Failure> {
    let asking = client.open(Method::GET, path, HeaderMap::new(), Bytes::new());
    let late = |_| client.unreachable(&format!("it did not begin to answer within {patience:?}"));
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

fn kept() -> String {
    format!("it keeps the last {} MiB of what each function writes, from its own start on", KEPT_LOG >> 20)
}

fn not_ours(client: &Client, answered: &str) -> Failure {
    let what =
        format!("the gateway at {} does not gather the lines of a request, as `faasflow up` does", client.base());
    Failure::failed(code::NO_LINES, what).because_text(format!("it answered: {}", answered.trim())).help(
        "`faasflow logs --function NAME` shows the lines of a function; on a cluster, search the store of its logs for the id",
    )
}

/// A line, and all that a gateway tells of it.
struct Line {
    line: LogLine,
    whole: Value,
}

impl Line {
    fn read(text: &[u8]) -> serde_json::Result<Line> {
        Ok(Line { line: serde_json::from_slice(text)?, whole: serde_json::from_slice(text)? })
    }
}

/// The lines of an answer, as they come.
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
                Some(Err(error)) => return Err(self.client.unreachable(&format!("it broke off: {error}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Gateway;

    #[tokio::test]
    async fn a_gateway_that_says_nothing_is_not_waited_for_for_ever() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = Client::new(&Gateway { gateway: url.clone() }).ok().unwrap();
        let failure = ask(&client, "/system/logs?request=a-1", Duration::from_millis(50)).await.err().unwrap();
        assert!(matches!(failure, Failure::Told { exit: crate::error::Exit::Unreachable, .. }));
        let says = format!("the gateway at {url} cannot be reached: it did not begin to answer within 50ms");
        assert_eq!(failure.to_string(), says);
    }
}
