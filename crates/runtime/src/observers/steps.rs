//! When the steps of a delivery were executed, for the record of the request.

use std::sync::{Mutex, PoisonError};

use faasflow_core::Step;
use faasflow_core::definition::masked_text;
use faasflow_core::graph::StepIndex;
use faasflow_core::machine::forked::{CallTimes, StepTimes, Steps};
use faasflow_http::now_ms;

use super::event::Event;
use crate::log::RequestLog;

/// The longest reason of a call that is recorded, in characters.
const REASON: usize = 200;

/// Collects the times of the steps of a delivery.
#[derive(Debug)]
pub(crate) struct StepClock {
    /// The path of the branches and items that the delivery as a whole is in.
    around: String,
    steps: Mutex<Steps>,
}

impl StepClock {
    /// Collects the times of a delivery that writes to this log.
    pub(super) fn new(log: &RequestLog) -> StepClock {
        StepClock { around: log.branch().to_owned(), steps: Mutex::default() }
    }

    /// What has been collected since the last time. It is empty if the times of the delivery tell as much.
    pub(super) fn take(&self) -> Steps {
        let steps = std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner));
        if steps.are_plain() { Steps::default() } else { steps }
    }

    /// The path of a branch or item inside the delivery, or empty.
    fn inside<'b>(&self, branch: &'b str) -> &'b str {
        branch.strip_prefix(self.around.as_str()).unwrap_or(branch).trim_start_matches('/')
    }

    fn add(&self, step: StepTimes) {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).add(step);
    }
}

/// Collects the times of one step.
#[derive(Debug)]
pub(super) struct StepWatch<'a> {
    clock: &'a StepClock,
    log: &'a RequestLog,
    step: StepTimes,
    call_began_ms: u64,
    is_calling: bool,
    has_ended: bool,
}

impl<'a> StepWatch<'a> {
    pub(super) fn begin(clock: &'a StepClock, log: &'a RequestLog, step: &Step, index: StepIndex) -> Box<Self> {
        let began_ms = now_ms();
        let step = StepTimes {
            step: index.number(),
            name: step.name().to_string(),
            branch: clock.inside(log.branch()).to_owned(),
            began_ms,
            ..StepTimes::default()
        };
        Box::new(StepWatch { clock, log, step, call_began_ms: began_ms, is_calling: false, has_ended: false })
    }

    fn called(&mut self, status: Option<u16>, reason: &str) {
        self.is_calling = false;
        let reason = masked_text(reason, &self.log.secrets()).chars().take(REASON).collect();
        self.step.add(CallTimes { began_ms: self.call_began_ms, done_ms: now_ms(), status, reason });
    }

    fn ended(&mut self, failed: bool) {
        self.has_ended = true;
        (self.step.done_ms, self.step.failed) = (now_ms(), failed);
        self.clock.add(std::mem::take(&mut self.step));
    }
}

/// A step that is dropped before it has ended was cancelled, for example because another item has failed.
impl Drop for StepWatch<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if self.is_calling {
            self.called(None, "it was cancelled");
        }
        self.ended(true);
    }
}

/// Watches an event of a step.
#[inline(always)]
pub(super) fn watch_step(watch: &mut Option<Box<StepWatch<'_>>>, event: &Event<'_>) {
    match event {
        Event::CallBegun => {
            if let Some(watch) = watch {
                (watch.call_began_ms, watch.is_calling) = (now_ms(), true);
            }
        }
        Event::Attempted { answer, .. } => {
            if let Some(watch) = watch {
                match answer {
                    Ok(answer) => watch.called(Some(answer.status().as_u16()), ""),
                    Err(kind) => watch.called(None, &kind.reason()),
                }
            }
        }
        Event::StepDone { .. } | Event::StepFailed { .. } | Event::StepInterrupted { .. } => {
            if let Some(mut watch) = watch.take() {
                watch.ended(!matches!(event, Event::StepDone { .. }));
            }
        }
        _ => {}
    }
}
