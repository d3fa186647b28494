//! `faasflow invoke`

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use faasflow_core::code;
use faasflow_core::headers;
use faasflow_core::signature::Keys;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use tokio::time::Instant;

use crate::args::Invoke;
use crate::client::{Answer, Client, error_code, is_unknown_function};
use crate::error::Failure;
use crate::flow_failure::reason;
use crate::requests::api::FlowApi;
use crate::requests::{result, wait};
use crate::signing_key::keys;

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How long a flow is asked to hold its answer. A gateway may give up after a minute. On a terminal the time is shorter,
/// because progress is shown only after the answer.
const FIRST_WAIT: Duration = Duration::from_secs(20);
const FIRST_WAIT_ON_TERMINAL: Duration = Duration::from_secs(1);
/// How often the result of a request that has ended is asked for, if the flow or its store is away.
pub(crate) const RESULT_ATTEMPTS: u32 = 5;

pub(crate) async fn run(invoke: Invoke) -> Result<(), Failure> {
    let client = Client::new(&invoke.gateway)?;
    let mut body = Vec::new();
    if std::io::stdin().is_terminal() {
        let end = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };
        eprintln!(
            "Reading the request body from the terminal: type it, then press {end}. To send a file, use `< FILE`."
        );
    }
    std::io::stdin().read_to_end(&mut body)?;

    let mut headers = HeaderMap::new();
    for (name, value) in &invoke.header {
        headers.append(header_name(name)?, header_value(name, value)?);
    }
    if let Some(content_type) = &invoke.content_type {
        headers.insert(http::header::CONTENT_TYPE, header_value("content-type", content_type)?);
    }
    let keys = invoke.key.as_deref().map(keys).transpose()?;
    if let (Some(header), Some(keys)) = (&invoke.sign, &keys) {
        let signature = keys.sign([body.as_slice()]);
        headers.insert(header_name(header)?, header_value(header, &signature)?);
    }
    let deadline = invoke.wait.map(|limit| limit.map(|limit| (limit, Instant::now() + limit)));
    if let Some(limit) = invoke.wait {
        let first = if std::io::stderr().is_terminal() { FIRST_WAIT_ON_TERMINAL } else { FIRST_WAIT };
        let seconds = limit.map_or(first, |limit| limit.min(first)).as_millis().div_ceil(1000);
        let value = HeaderValue::try_from(format!("wait={seconds}")).expect("it has only ASCII characters");
        headers.entry(PREFER).or_insert(value);
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&invoke.query);
    let query = query.finish();
    let route = if invoke.asynchronous { "async-function" } else { "function" };
    let separator = if query.is_empty() { "" } else { "?" };
    let path = format!("/{route}/{}{separator}{query}", invoke.name);

    let answer = client.send(invoke.method, &path, headers, body.into()).await?;
    let text = |name: HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Only the local gateway collects log lines by request.
    let id = [headers::REQUEST_ID, headers::CALL_ID].map(text).into_iter().find(|id| !id.is_empty());
    let id = id.filter(|_| text(SERVED_BY) == "faasflow");
    let logs = id.map(|id| format!("see what functions logged with `faasflow logs {id}`"));
    if !answer.status.is_success() {
        let body = String::from_utf8_lossy(&answer.body);
        if is_unknown_function(answer.status, &answer.headers) {
            return Err(client.not_deployed(&invoke.name, &body));
        }
        // The code of the function or the gateway is more specific than ours.
        let code = error_code(&answer.headers).unwrap_or(code::FUNCTION_FAILED);
        let failure = Failure::failed(code, format!("the function `{}` answered {}", invoke.name, answer.status));
        let failure = if body.trim().is_empty() { failure } else { failure.because_text(reason(&body)) };
        return Err(failure.help(logs.as_deref().unwrap_or("find out more in the log of the function")));
    }
    if invoke.asynchronous {
        say!("{}", text(headers::CALL_ID));
        eprintln!(
            "The call is queued; the line above is its ID. `faasflow queue list` shows calls that are not finished."
        );
        hint(logs.as_deref());
        return Ok(());
    }
    if answer.status == http::StatusCode::ACCEPTED {
        let id = text(headers::REQUEST_ID);
        // While the caller has waited, more phases than the first may have ended.
        match deadline {
            Some(_) => eprintln!("Request {id} goes on in the background."),
            None => eprintln!("The first phase is done; the rest of request {id} runs through the queue."),
        }
        hint(logs.as_deref());
        if let Some(deadline) = deadline {
            return wait_for_result(&client, &invoke.name, &answer, keys, deadline).await;
        }
    }
    result::print(&answer.body)
}

/// Waits until the request of an answer has ended, and prints its result.
async fn wait_for_result(
    client: &Client,
    name: &str,
    answer: &Answer,
    keys: Option<Keys>,
    deadline: Option<(Duration, Instant)>,
) -> Result<(), Failure> {
    let flow = name.split('/').next().unwrap_or_default();
    // A flow says where its request is only if it remembers it.
    let id = answer.headers.get(headers::REQUEST_ID).filter(|_| answer.headers.contains_key(LOCATION));
    let Some(id) = id.and_then(|id| id.to_str().ok()) else {
        let what = format!("the request was accepted, but `{flow}` does not say what becomes of it");
        return Err(Failure::failed(code::CANNOT_WAIT, what)
            .because_text("it does not remember its requests, or it is not a flow")
            .help("give the flow a state manager in which it can remember its requests, or leave out `--wait`"));
    };
    // A flow with `verify_request` wants this to be signed as well.
    let api = match keys {
        Some(keys) => FlowApi::new(client, Some(keys)),
        None => FlowApi::unsigned(client),
    };
    wait::until_end(&api, flow, id, deadline).await?;
    result::fetch(&api, flow, id, result::Form::Bytes(None), RESULT_ATTEMPTS).await
}

/// Prints a hint, to people only.
fn hint(text: Option<&str>) {
    if let Some(text) = text
        && std::io::stderr().is_terminal()
    {
        eprintln!("{text}");
    }
}

fn header_name(name: &str) -> Result<HeaderName, Failure> {
    name.parse().map_err(|_| {
        Failure::unusable(code::BAD_OPTION_HEADER, format!("`{name}` is not a valid header name"))
            .help("use letters, digits and `-`, as in `x-token`")
    })
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    value.parse().map_err(|_| {
        Failure::unusable(
            code::BAD_OPTION_HEADER,
            format!("the value of the header `{name}` contains control characters"),
        )
        .help("remove them, or send the value in the body")
    })
}
