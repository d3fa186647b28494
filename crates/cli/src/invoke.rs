//! `faasflow invoke`

use std::io::{IsTerminal as _, Read as _, Write as _};

use faasflow_core::Unreadable;
use faasflow_core::code::{self, Code};
use faasflow_core::headers;
use faasflow_core::signature::Keys;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::args::Invoke;
use crate::client::Client;
use crate::error::Failure;

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

pub(crate) async fn run(invoke: Invoke) -> Result<(), Failure> {
    let client = Client::new(&invoke.gateway)?;
    let mut body = Vec::new();
    if std::io::stdin().is_terminal() {
        eprintln!("Reading the body from the terminal; end it with Ctrl-D, or give it with `< FILE`.");
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
    // Of the local gateway: others do not gather the lines of a request.
    let id = [headers::REQUEST_ID, headers::CALL_ID].map(text).into_iter().find(|id| !id.is_empty());
    let id = id.filter(|_| text(SERVED_BY) == "faasflow");
    let logs = id.map(|id| format!("`faasflow logs {id}` shows what functions logged of it."));
    if !answer.status.is_success() {
        let body = String::from_utf8_lossy(&answer.body);
        // The function's own code says more than ours.
        let code = Code::find(text(headers::ERROR_CODE)).unwrap_or(code::FUNCTION_FAILED);
        let failure = Failure::failed(code, format!("`{}` answered {}", invoke.name, answer.status));
        let failure = if body.trim().is_empty() { failure } else { failure.because_text(body.trim_end()) };
        return Err(logs.into_iter().fold(failure, Failure::help));
    }
    let mut stdout = std::io::stdout().lock();
    if invoke.asynchronous {
        writeln!(stdout, "{}", text(headers::CALL_ID))?;
        eprintln!("Accepted; the line above is the id of the call. `faasflow queue list` shows what is on its way.");
        hint(logs.as_deref());
    } else {
        if answer.status == http::StatusCode::ACCEPTED {
            let id = text(headers::REQUEST_ID);
            eprintln!("The first phase is done; request {id} goes on through the queue.");
            hint(logs.as_deref());
        }
        stdout.write_all(&answer.body)?;
        // For a person, whose prompt is to stand on a line of its own; never for a program.
        if stdout.is_terminal() && !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
            writeln!(stdout)?;
        }
        stdout.flush()?;
    }
    Ok(())
}

/// For a person, who has not asked for it.
fn hint(text: Option<&str>) {
    if let Some(text) = text
        && std::io::stderr().is_terminal()
    {
        eprintln!("{text}");
    }
}

fn keys(key: &str) -> Result<Keys, Failure> {
    let text = match key.strip_prefix('@') {
        None => key.to_owned(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let failure = Failure::unusable(code::SIGNING_KEY_UNUSABLE, format!("the key cannot be read from {path}"));
            failure.because(&Unreadable::from(error))
        })?,
    };
    Keys::parse(&text).map_err(|_| {
        Failure::unusable(code::SIGNING_KEY_UNUSABLE, "there is no key in what `--key` gives")
            .help("write one key per line")
    })
}

fn header_name(name: &str) -> Result<HeaderName, Failure> {
    name.parse().map_err(|_| {
        Failure::unusable(code::BAD_OPTION_HEADER, format!("`{name}` is not the name of a header"))
            .help("use letters, digits and `-`, as in `x-token`")
    })
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    value.parse().map_err(|_| {
        Failure::unusable(code::BAD_OPTION_HEADER, format!("the value of header `{name}` has control characters"))
    })
}
