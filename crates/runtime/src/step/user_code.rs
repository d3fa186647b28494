//! Runs the flow's own code: catches its panics, and cuts it off at the deadline.

use std::fmt::Write as _;
use std::sync::Arc;

use faasflow_core::failure::FailureKind;
use faasflow_core::handler::BoxFuture;
use faasflow_core::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::execute::Execution;
use super::panics::caught;

impl Execution<'_> {
    /// Runs a handler or modifier until it returns, fails, panics or reaches the deadline.
    pub(super) async fn user_code<T: Send + 'static>(
        &self,
        until: Instant,
        running: BoxFuture<'static, Result<T>>,
    ) -> Result<T, FailureKind> {
        match self.branch {
            None => self.handled(until, running).await,
            Some(_) => Box::pin(self.in_task(until, running)).await,
        }
    }

    /// The same in a task of its own. All branches of a phase share the task of the request. Code that blocks its thread
    /// must not keep the calls of the other branches from going on.
    async fn in_task<T: Send + 'static>(
        &self,
        until: Instant,
        running: BoxFuture<'static, Result<T>>,
    ) -> Result<T, FailureKind> {
        let (heartbeat, log) = (self.heartbeat.clone(), self.observers.log().clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _running = heartbeat.enter();
            log.scope(caught(described(running))).await
        });
        match tokio::time::timeout_at(until, task.join_next()).await {
            Ok(Some(Ok(output))) => output,
            // The panics of the code are caught inside the task. The runtime cancels tasks only when it shuts down.
            Ok(Some(Err(_)) | None) => Err(FailureKind::Handler(Arc::new(Error::msg("the process is shutting down")))),
            Err(_) => Err(self.deadline.exceeded()),
        }
    }

    /// Runs user code within the current task until it returns, fails, panics or reaches the deadline.
    pub(crate) async fn handled<T>(
        &self,
        until: Instant,
        running: impl Future<Output = Result<T>>,
    ) -> Result<T, FailureKind> {
        let _running = self.heartbeat.enter();
        match tokio::time::timeout_at(until, caught(described(running))).await {
            Ok(output) => output,
            Err(_) => Err(self.deadline.exceeded()),
        }
    }
}

async fn described<T>(running: impl Future<Output = Result<T>>) -> Result<T, FailureKind> {
    running.await.map_err(|error| {
        // Formatting the error also runs user code. Do it here, where a panic is caught.
        let _ = write!(String::new(), "{error:#}");
        FailureKind::Handler(Arc::new(error))
    })
}
