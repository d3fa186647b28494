//! A process for each request, as OpenFaaS's classic watchdog does it: the body on standard input, the answer on
//! standard output, the request in variables.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faasflow_core::duration;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{StatusCode, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::functions::{Function, orphan};
use crate::request_id;

/// The most bytes that a command may answer.
const OUTPUT: u64 = 64 << 20;
/// How many processes of commands run at once, in all.
static PLACES: Semaphore = Semaphore::const_new(64);

/// Runs the command of a function on a request that was read whole.
pub(crate) async fn invoke(
    function: &Arc<Function>,
    words: &[String],
    parts: &request::Parts,
    path: &str,
    body: Bytes,
) -> Response {
    let _place = PLACES.acquire().await;
    let begun = Instant::now();
    // The process has this one request, so what it writes is of it.
    let request = request_id::of(&parts.headers);
    let request = request.as_ref();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .current_dir(&function.spec.folder)
        .env_clear()
        .envs(function.environment.iter().map(|(name, value)| (name, value)))
        .envs(variables(parts, path, body.len()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Dropped with the request when its client goes away, and then killed with its group.
    orphan::bind_to_us(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            function.logs.push(request, format!("`{}` cannot be started: {error}", words[0]));
            // What is not there will not be there the next time; a lack of files or memory passes.
            let status = match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            return text(status, format!("`{}` cannot be started: {error}", words[0]));
        }
    };
    let group = Group(child.id());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = stdin.write_all(&body).await;
        }
    };
    let collect = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(OUTPUT + 1).read_to_end(&mut output).await;
        }
        if output.len() as u64 > OUTPUT {
            // Nobody reads on, so it would wait for ever.
            group.kill();
        }
        output
    };
    let combine = function.spec.environment.get("combine_output").is_some_and(|value| value == "true");
    let complain = async {
        let mut complaints = Vec::new();
        match stderr {
            Some(stderr) if combine => {
                let mut stderr = stderr.take(OUTPUT);
                let _ = stderr.read_to_end(&mut complaints).await;
                for line in String::from_utf8_lossy(&complaints).lines() {
                    function.logs.push(request, line.to_owned());
                }
                function.logs.take(request, stderr.into_inner()).await;
            }
            Some(stderr) => function.logs.take(request, stderr).await,
            None => {}
        }
        complaints
    };
    let run = async {
        let ((), output, complaints, status) = tokio::join!(feed, collect, complain, child.wait());
        (output, complaints, status)
    };
    let limit = function.spec.environment.get("exec_timeout").and_then(|text| duration::parse(text).ok());
    let limit = limit.filter(|limit| !limit.is_zero()).unwrap_or(Duration::MAX);
    let (mut output, complaints, status) = match tokio::time::timeout(limit, run).await {
        Ok(ended) => ended,
        Err(_) => {
            drop(group);
            let spent = duration::format(limit);
            function.logs.push(request, format!("killed after exec_timeout, {spent}"));
            return text(StatusCode::REQUEST_TIMEOUT, format!("the function took longer than exec_timeout, {spent}"));
        }
    };
    if output.len() as u64 > OUTPUT {
        function.logs.push(request, format!("killed: its output is larger than {OUTPUT} bytes"));
        let reason = format!("the function's output is larger than {OUTPUT} bytes");
        return text(StatusCode::INTERNAL_SERVER_ERROR, reason);
    }
    group.done();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            let how = match status.code() {
                Some(code) => format!("exit status {code}"),
                None => status.to_string(),
            };
            return text(StatusCode::INTERNAL_SERVER_ERROR, how);
        }
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
    if combine {
        output.splice(0..0, complaints);
    }
    let mut response = Response::new(Body::from(output));
    let fixed = function.spec.environment.get("content_type").and_then(|value| HeaderValue::from_str(value).ok());
    let content_type = fixed.or_else(|| parts.headers.get(CONTENT_TYPE).cloned());
    if let Some(value) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("{:.6}", begun.elapsed().as_secs_f64())) {
        response.headers_mut().insert("x-duration-seconds", value);
    }
    response
}

/// Kills the whole group of a process unless told that it is done.
struct Group(Option<u32>);

impl Group {
    fn kill(&self) {
        if let Some(leader) = self.0 {
            orphan::signal_group(leader, libc::SIGKILL);
        }
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn variables(parts: &request::Parts, path: &str, length: usize) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut variables: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (format!("Http_{}", train_case(name.as_str())), text(value)))
        .collect();
    variables.push(("Http_Method".to_owned(), parts.method.to_string()));
    variables.push(("Http_ContentLength".to_owned(), length.to_string()));
    variables.push(("Http_Path".to_owned(), if path.is_empty() { "/" } else { path }.to_owned()));
    if let Some(query) = parts.uri.query() {
        variables.push(("Http_Query".to_owned(), query.to_owned()));
    }
    if let Some(host) = parts.headers.get(http::header::HOST) {
        variables.push(("Http_Host".to_owned(), text(host)));
    }
    variables
}

/// `x-call-id` as `X_Call_Id`.
fn train_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    });
    words.collect::<Vec<_>>().join("_")
}

fn text(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
