//! `faasflow requests recover`

use std::time::Duration;

use faasflow_admin::{REQUESTS_VERSION, Recovery};
use faasflow_core::{code, counted, duration};
use faasflow_runtime::log::escaped;
use http::Method;
use serde::Serialize;

use super::api::grouped;
use super::context::Context;
use super::list::all;
use crate::error::{Exit, Failure};

#[derive(Serialize)]
struct OfFlow {
    flow: String,
    #[serde(flatten)]
    recovery: Recovery,
}

#[derive(Serialize)]
struct Document {
    version: u32,
    flows: Vec<OfFlow>,
}

/// Which requests are recovered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stalled {
    /// How long they must not have moved. The flow has a default.
    pub(super) older: Option<Duration>,
    /// Whether that may be shorter than a phase takes.
    pub(super) force: bool,
}

pub(super) async fn run(
    context: &Context<'_>,
    flow: Option<&str>,
    stalled: Stalled,
    json: bool,
) -> Result<(), Failure> {
    let (mut flows, mut failures, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for name in context.flows(flow).await? {
        match of_flow(context, &name, stalled).await {
            Ok(recovery) => {
                if !json {
                    print(&name, &recovery)?;
                }
                let used = Duration::from_millis(recovery.older_ms);
                if stalled.older.is_some_and(|older| older < used) {
                    let used = duration::format(used);
                    eprintln!(
                        "{name}: requests that have moved within {used} were left alone, because a phase may take that long; \
                         `--force` does not wait for it."
                    );
                }
                failures.extend(fault(&name, &recovery));
                flows.push(OfFlow { flow: name, recovery });
            }
            Err(failure @ Failure::Problems { exit: Exit::Unreachable, .. }) => return Err(failure),
            Err(failure) if flow.is_none() && context.is_left_out(&name, &failure) => {}
            // Such flows are usual beside others: those without a queue.
            Err(failure) if flow.is_none() && failure.has_code(code::NO_RECORDS) => {
                context.tell_without_records(&name);
            }
            Err(failure) => refusals.push((name, failure)),
        }
    }
    failures.extend(grouped(refusals));
    if json {
        let document = Document { version: REQUESTS_VERSION, flows };
        say!("{}", serde_json::to_string_pretty(&document).expect("it is plain data"));
    }
    all(failures)
}

/// Recovers all requests of a flow. The answers of the pages become one.
async fn of_flow(context: &Context<'_>, flow: &str, stalled: Stalled) -> Result<Recovery, Failure> {
    let mut whole = Recovery::default();
    whole.version = REQUESTS_VERSION;
    let mut cursor = None::<String>;
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(stalled.older.map(|older| ("older", duration::format(older))));
        query.extend_pairs(stalled.force.then_some(("force", "true")));
        query.extend_pairs(cursor.as_ref().map(|cursor| ("cursor", cursor)));
        let query = query.finish();
        let target = if query.is_empty() { "/recover".to_owned() } else { format!("/recover?{query}") };
        let page: Recovery = context.api.ask(Method::POST, flow, &target, "recover its requests").await?;
        whole.looked_at += page.looked_at;
        whole.removed += page.removed;
        whole.older_ms = page.older_ms;
        whole.recovered.extend(page.recovered);
        whole.failed.extend(page.failed);
        match page.cursor {
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(whole),
        }
    }
}

fn print(flow: &str, recovery: &Recovery) -> Result<(), Failure> {
    let looked_at = counted(recovery.looked_at, "request");
    let (on, removed) = (recovery.recovered.len(), recovery.removed);
    say!("{flow}: looked at {looked_at}; {on} made to go on, {removed} expired and removed");
    for request in &recovery.recovered {
        say!("  {} goes on", escaped(&request.id));
    }
    Ok(())
}

/// The requests that could not be made to go on.
fn fault(flow: &str, recovery: &Recovery) -> Option<Failure> {
    let count = recovery.failed.len() as u64;
    if count == 0 {
        return None;
    }
    let what = format!("the flow `{flow}` cannot make {} go on", counted(count, "request"));
    let failure = Failure::failed(code::NOT_CHANGED, what);
    let reason = |failure: Failure, id: &str, reason: &str| failure.because_text(escaped(&format!("{id}: {reason}")));
    let failure = recovery.failed.iter().take(10).fold(failure, |failure, one| reason(failure, &one.id, &one.reason));
    Some(failure.help("remove the cause, and run the command again"))
}
