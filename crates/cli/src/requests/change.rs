//! `faasflow requests pause`, `resume` and `stop`

use faasflow_admin::{REQUESTS_VERSION, RequestChange};
use http::Method;
use serde::Serialize;

use super::api::request;
use super::context::Context;
use super::list::{all, is_about_all};
use crate::args::SomeRequests;
use crate::error::Failure;

/// What is done with requests.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Pause,
    Resume,
    Stop,
}

impl Change {
    /// The last segment of its path, which is also its verb.
    fn verb(self) -> &'static str {
        match self {
            Change::Pause => "pause",
            Change::Resume => "resume",
            Change::Stop => "stop",
        }
    }
}

#[derive(Serialize)]
struct Changed {
    flow: String,
    #[serde(flatten)]
    change: RequestChange,
}

#[derive(Serialize)]
struct Document {
    version: u32,
    requests: Vec<Changed>,
}

pub(super) async fn run(context: &Context<'_>, which: &SomeRequests, change: Change) -> Result<(), Failure> {
    let (mut changed, mut failures) = (Vec::new(), Vec::new());
    for id in &which.ids {
        match one(context, id.as_str(), which.flow.as_deref(), change).await {
            Ok(done) => {
                if !which.json {
                    say!("{}: {}", done.change.id, done.change.status);
                }
                changed.push(done);
            }
            // The next ones would fail in the same way.
            Err(failure) if is_about_all(&failure) => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    if which.json {
        let document = Document { version: REQUESTS_VERSION, requests: changed };
        say!("{}", serde_json::to_string_pretty(&document).expect("it is plain data"));
    }
    all(failures)
}

async fn one(context: &Context<'_>, id: &str, flow: Option<&str>, change: Change) -> Result<Changed, Failure> {
    let flow = match flow {
        Some(flow) => flow.to_owned(),
        None => context.api.locate(id, None, context.stack).await?.0,
    };
    let (verb, target) = (change.verb(), request(id));
    let what = format!("{verb} the request `{id}`");
    let change = context.api.ask(Method::POST, &flow, &format!("{target}/{verb}"), &what).await?;
    Ok(Changed { flow, change })
}
