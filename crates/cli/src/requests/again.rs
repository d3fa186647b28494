//! `faasflow requests again`

use std::time::Duration;

use faasflow_admin::RequestChange;
use faasflow_core::RequestId;
use http::Method;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::api::{is_temporary, pause, request};
use super::context::Context;
use super::show::print_json;
use super::{result, wait};
use crate::args::OneRequest;
use crate::error::Failure;
use crate::invoke::RESULT_ATTEMPTS;

/// How often the flow is asked, if it cannot begin the request now.
const ATTEMPTS: u32 = 5;

pub(super) async fn run(
    context: &Context<'_>,
    asked: &OneRequest,
    new_id: Option<RequestId>,
    limit: Option<Option<Duration>>,
    json: bool,
) -> Result<(), Failure> {
    let (id, api) = (asked.id.as_str(), &context.api);
    let flow = match &asked.flow {
        Some(flow) => flow.clone(),
        None => api.locate(id, None, context.stack).await?.0,
    };
    // The flow begins one request for each id, however often it is asked.
    let new_id = new_id.map_or_else(|| Uuid::now_v7().to_string(), |id| id.to_string());
    let target = format!("{}/again?id={new_id}", request(id));
    let what = format!("run the request `{id}` again");
    let deadline = limit.map(|limit| limit.map(|limit| (limit, Instant::now() + limit)));
    let once = format!(
        "the request may have begun; repeat `faasflow requests again {id} --flow {flow} --new-id {new_id}`, which begins it once"
    );
    let mut attempt = 1;
    let answer = loop {
        let sent = api.send(Method::POST, &flow, &target, None).await;
        let answer = sent.map_err(|failure| failure.help(once.as_str()))?;
        if !is_temporary(&answer) || attempt == ATTEMPTS {
            break answer;
        }
        attempt += 1;
        sleep(pause(&answer)).await;
    };
    let begun: RequestChange = match api.read(&answer, &flow, &what) {
        Err(failure) if is_temporary(&answer) => return Err(failure.help(once)),
        begun => begun?,
    };
    if json {
        return print_json(&answer.body);
    }
    let Some(deadline) = deadline else {
        say!("{}", begun.id);
        return Ok(());
    };
    eprintln!("Request {} repeats {id}.", begun.id);
    wait::until_end(api, &flow, &begun.id, deadline).await?;
    result::fetch(api, &flow, &begun.id, result::Form::Bytes(None), RESULT_ATTEMPTS).await
}
