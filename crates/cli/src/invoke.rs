//! `faasflow invoke`

use std::io::{IsTerminal as _, Read as _, Write as _};

use faasflow_core::Unreadable;
use faasflow_core::code;
use faasflow_core::headers;
use faasflow_core::signature::Keys;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::args::Invoke;
use crate::client::{Client, error_code, is_unknown_function};
use crate::error::Failure;

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

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
    if let (Some(header), Some(key)) = (&invoke.sign, &invoke.key) {
        let signature = keys(key)?.sign([body.as_slice()]);
        headers.insert(header_name(header)?, header_value(header, &signature)?);
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
    let mut stdout = std::io::stdout().lock();
    if invoke.asynchronous {
        writeln!(stdout, "{}", text(headers::CALL_ID))?;
        eprintln!(
            "The call is queued; the line above is its ID. `faasflow queue list` shows calls that are not finished."
        );
        hint(logs.as_deref());
    } else {
        if answer.status == http::StatusCode::ACCEPTED {
            let id = text(headers::REQUEST_ID);
            eprintln!("The first phase is done; the rest of request {id} runs through the queue.");
            hint(logs.as_deref());
        }
        stdout.write_all(&answer.body)?;
        // On a terminal, end the line so that the prompt starts on a new one. Programs get the exact bytes.
        if stdout.is_terminal() && !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
            writeln!(stdout)?;
        }
        stdout.flush()?;
    }
    Ok(())
}

/// Why a function failed. A flow answers with JSON that names the phase, the step and the reason; other functions answer
/// with any text.
fn reason(body: &str) -> String {
    let failure: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let part = |name: &str| failure.as_ref().and_then(|failure| failure[name].as_str());
    let phase = failure.as_ref().and_then(|failure| failure["phase"].as_u64());
    match (phase, part("step"), part("reason")) {
        (Some(phase), Some(step), Some(reason)) => format!("phase {phase}, {step}: {reason}"),
        (_, _, Some(reason)) if part("request_id").is_some() => reason.to_owned(),
        _ => body.trim_end().to_owned(),
    }
}

/// Prints a hint, to people only.
fn hint(text: Option<&str>) {
    if let Some(text) = text
        && std::io::stderr().is_terminal()
    {
        eprintln!("{text}");
    }
}

pub(crate) fn keys(key: &str) -> Result<Keys, Failure> {
    let text = match key.strip_prefix('@') {
        None => key.to_owned(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let failure =
                Failure::unusable(code::SIGNING_KEY_UNUSABLE, format!("the signing key cannot be read from `{path}`"));
            failure
                .because(&Unreadable::from(error))
                .help("name the file that holds the key, as in `--key @secrets/faasflow-hmac-secret`")
        })?,
    };
    Keys::parse(&text).map_err(|error| {
        Failure::unusable(code::SIGNING_KEY_UNUSABLE, "the value of `--key` contains no key").help(error.help())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_of_a_flow_is_printed_as_text() {
        let body = r#"{"request_id":"a","phase":2,"step":"function `resize`","reason":"it is away","code":"FF0303"}"#;
        assert_eq!(reason(body), "phase 2, function `resize`: it is away");
        assert_eq!(
            reason(r#"{"request_id":"a","reason":"the signature is missing","code":"FF0407"}"#),
            "the signature is missing"
        );
        assert_eq!(reason("exit status 3\n"), "exit status 3");
        assert_eq!(reason(r#"{"reason":"another form"}"#), r#"{"reason":"another form"}"#);
    }
}
