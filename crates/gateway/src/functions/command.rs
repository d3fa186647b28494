//! Runs a process for each request, like OpenFaaS's watchdogs: the body is on standard input, the answer on standard output,
//! and the request in variables.
//!
//! Each process runs in its own task. So it finishes its work if the caller disconnects, as under of-watchdog.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use faasflow_core::code;
use faasflow_http::{Budget, ReadBodyError, drain, drain_up_to, read_body, read_body_into};
use http::header::CONTENT_TYPE;
use http::{StatusCode, request};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::functions::Function;
use crate::functions::NoAnswer;
use crate::functions::command::run::{Job, run};
use crate::functions::command::variables::Variables;
use crate::functions::origin::Origin;
use crate::room;
use crate::wanted::AnswerPart;

mod answer;
mod excerpt;
mod run;
mod variables;

pub(crate) use answer::Cause;

/// The largest body that a command gets, in bytes.
const BODY: u64 = 64 << 20;

/// Runs commands, and ends them when the gateway stops.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    /// A task for each process that runs.
    tasks: TaskTracker,
    /// Cancelled to kill the processes that still run.
    stop: CancellationToken,
    /// The memory for bodies and outputs.
    budget: Budget,
}

/// A request to a command.
pub(crate) struct Invocation<'a> {
    pub(crate) function: Arc<Function>,
    pub(crate) words: Vec<String>,
    pub(crate) parts: &'a request::Parts,
    /// The part of the path after the function's name, as it was sent.
    pub(crate) path: &'a str,
    pub(crate) body: Body,
    /// Whether memory for the body is reserved already, as for deliveries from the queue.
    pub(crate) has_room: bool,
    /// Whether the whole output is wanted, and not only its beginning.
    pub(crate) wanted: AnswerPart,
}

impl Commands {
    /// After cancelling `stop`, wait for `tasks`.
    pub(crate) fn new(tasks: TaskTracker, stop: CancellationToken, budget: Budget) -> Commands {
        Commands { tasks, stop, budget }
    }

    /// Reads the body, waits for a place, and runs the command. Each of these may take as long as `timeout`.
    ///
    /// If this is dropped before the process is started, none is started. If it is dropped later, the process goes on. `held`
    /// is dropped when the process has ended, or was not started.
    pub(crate) async fn invoke(
        &self,
        invocation: Invocation<'_>,
        timeout: Duration,
        guard: impl Send + 'static,
    ) -> Result<Response, NoAnswer> {
        let Invocation { function, words, parts, path, mut body, has_room, wanted } = invocation;
        let read = if has_room {
            read_body(&mut body, BODY, timeout).await
        } else {
            let mut share = self.budget.request_share();
            let read = read_body_into(&mut body, BODY, timeout, &mut share).await;
            read.map(|body| share.keep(body))
        };
        match &read {
            Err(ReadBodyError::TooLarge { .. }) => drain(&parts.headers, body).await,
            Err(ReadBodyError::NoRoom(full)) => {
                drain_up_to(&parts.headers, body, BODY).await;
                return Err(NoAnswer::NoRoom(*full));
            }
            _ => {}
        }
        let body = read.map_err(|error| {
            let status = match error {
                ReadBodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                ReadBodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
                _ => StatusCode::BAD_REQUEST,
            };
            NoAnswer::Request(status, error.code(), error.to_string())
        })?;
        let variables = Variables::new(parts, path, body.len()).map_err(|_| {
            let why = "the path has `%00` in it, which the variables of a command cannot have".to_owned();
            NoAnswer::Request(StatusCode::BAD_REQUEST, code::BAD_HEAD, why)
        })?;
        let place = function.limits.process(timeout).await.map_err(NoAnswer::Busy)?;
        let job = Job {
            function: function.clone(),
            words,
            variables,
            body,
            origin: Origin::from_headers(&parts.headers),
            content_type: parts.headers.get(CONTENT_TYPE).cloned(),
            wanted: if wanted == AnswerPart::Whole { run::OUTPUT } else { room::EXCERPT },
            timeout,
        };
        let origin = job.origin.clone();
        let (tell, done) = oneshot::channel();
        let stop = self.stop.clone();
        let share = self.budget.answer_share(room::PATIENCE).beside(job.body.len() as u64);
        // Standard error is always read, so it does not wait for memory.
        let complaints = self.budget.request_share();
        self.tasks.spawn(async move {
            let ended = run(&job, share, complaints, &stop).await;
            // Before the answer, because the caller may send the next request at once.
            drop((place, guard));
            ended.log(&job);
            let summary = ended.summary(job.program());
            if tell.send(ended.answer(&job)).is_err() {
                job.log(format!("gateway: the command ended after its caller had left: {summary}"));
            }
        });
        let waiting = CallerGuard { done: false, log: || function.logs.push(origin.as_ref(), LEFT.to_owned()) };
        let answer = done.await;
        waiting.end();
        answer.unwrap_or_else(|_| Err(NoAnswer::Unreachable("what runs the command has panicked".to_owned())))
    }
}

const LEFT: &str = "gateway: the caller is gone; the command goes on";

/// Logs that the caller has left, if it is dropped before the answer.
struct CallerGuard<F: FnMut()> {
    done: bool,
    log: F,
}

impl<F: FnMut()> CallerGuard<F> {
    fn end(mut self) {
        self.done = true;
    }
}

impl<F: FnMut()> Drop for CallerGuard<F> {
    fn drop(&mut self) {
        if !self.done {
            (self.log)();
        }
    }
}
