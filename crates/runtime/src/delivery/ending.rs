//! The end of a request: the report that its caller asked for, `finally`, and the removal of its state.

use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::machine::{OnOutage, Outage};
use faasflow_core::state::StateManager as _;
use faasflow_core::{CallResponse, Outcome, Payload, Retry, code};

use crate::config::show;
use crate::instance::Instance;
use crate::observers::{Event, Report};
use crate::step::{Execution, Unanswered};

impl Instance {
    /// Reports the end of a request if its caller asked for it.
    ///
    /// # Errors
    ///
    /// If the report was not accepted, but may be accepted later.
    pub(crate) async fn report(
        &self,
        execution: &Execution<'_>,
        outcome: Outcome,
        payload: &Payload,
    ) -> Result<(), Outage> {
        let Some(url) = &execution.context.request().callback_url else { return Ok(()) };
        let answer = Box::pin(self.caller.report(url, execution.reporting(), outcome, payload)).await;
        let tell = |report: Report<'_>| execution.observers.emit(&Event::Reported { outcome, report });
        if let Ok(response) = &answer
            && response.status().is_success()
        {
            tell(Report::Accepted(response.status()));
            return Ok(());
        }
        let what = shown(&answer);
        match unreported(answer) {
            Some(outage) => {
                tell(Report::Postponed(&what));
                Err(outage)
            }
            None => {
                tell(Report::GivenUp(&what));
                Ok(())
            }
        }
    }

    /// Runs the finaliser, if there is one. If it fails, the outcome of the request stays the same.
    ///
    /// # Errors
    ///
    /// If the finaliser met an outage and the delivery should be retried.
    pub(crate) async fn finally(
        &self,
        execution: &Execution<'_>,
        outcome: Outcome,
        on_outage: OnOutage,
    ) -> Result<(), Outage> {
        let Some(finaliser) = self.flow.finaliser() else { return Ok(()) };
        execution.observers.emit(&Event::FinallyBegun);
        let context = execution.at_the_end().with_outcome(outcome);
        let ran = execution.handled(execution.deadline.ending(), finaliser(context, outcome)).await;
        execution.observers.emit(&Event::FinallyRan { succeeded: ran.is_ok() });
        let Err(kind) = ran else { return Ok(()) };
        if on_outage == OnOutage::ComeAgain
            && let Unanswered::Outage(outage) = execution.classify(kind.clone())
        {
            return Err(outage);
        }
        execution.observers.emit(&Event::FinallyFailed { kind: &kind });
        Ok(())
    }

    /// Removes the state of the request, unless the settings say to keep it. State that cannot be removed is left behind.
    pub(super) async fn forget(&self, execution: &Execution<'_>) {
        let deadline = execution.deadline;
        let Some(manager) = self.retrying_state(deadline.state_in_ending()).filter(|_| !self.config.keep_state) else {
            return;
        };
        let scope = execution.context.request().scope();
        let removing = async {
            match self.flow.plan().needs_store() {
                false => manager.remove_request(&scope).await?,
                true => manager.end_request(&scope, KNOWN_TO_BE_OVER).await?,
            }
            Ok(())
        };
        if let Err(kind) = execution.handled(deadline.ending(), removing).await {
            execution.observers.emit(&Event::StateNotRemoved { kind: &kind });
        }
    }
}

/// How long a request with branches is known to be over, so that envelopes that arrive late are not executed.
pub(crate) const KNOWN_TO_BE_OVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The outage that a report met, if the report may be accepted later.
fn unreported(answer: Result<CallResponse, Unanswered>) -> Option<Outage> {
    let what = "the end of the request cannot be reported now";
    match answer {
        Err(Unanswered::Outage(outage)) => Some(Outage { reason: format!("{what}: {}", outage.reason), ..outage }),
        Err(Unanswered::Failed(FailureKind::Deadline(after) | FailureKind::Timeout(after))) => {
            Some(Outage::new(code::TIMEOUT, what, format!("no answer within {}", show(after))))
        }
        Ok(response) if Retry::attempts(2).retries_status(response.status()) => {
            Some(Outage::new(code::ASKED_TO_WAIT, what, format!("it answered {}", response.status())))
        }
        _ => None,
    }
}

fn shown(answer: &Result<CallResponse, Unanswered>) -> String {
    match answer {
        Ok(response) => format!("it answered {}", response.status()),
        Err(Unanswered::Outage(outage)) => outage.detail.clone(),
        Err(Unanswered::Failed(FailureKind::Deadline(after) | FailureKind::Timeout(after))) => {
            format!("no answer within {}", show(*after))
        }
        Err(Unanswered::Failed(kind)) => kind.to_string(),
    }
}
