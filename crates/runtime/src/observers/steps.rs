//! When the steps of a delivery were executed, for the record of the request.

use std::sync::{Mutex, PoisonError};

use faasflow_core::Step;
use faasflow_core::definition::masked_text;
use faasflow_core::graph::StepIndex;
use faasflow_core::machine::forked::{CallTimes, StepTimes, Steps};
use faasflow_http::now_ms;

use super::event::Event;
use crate::log::RequestLog;

/// Collects the times of the steps of a delivery. While they are collected, times are in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(crate) struct StepClock(Mutex<Steps>);

impl StepClock {
    /// What has been collected since the last time, in milliseconds since `began_ms`. It is empty if the times of the delivery tell
    /// as much.
    pub(crate) fn take(&self, began_ms: u64) -> Steps {
        let mut steps = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if steps.are_plain() {
            return Steps::default();
        }
        for step in &mut steps.listed {
            let calls = step.calls.iter_mut().flat_map(|call| [&mut call.began_ms, &mut call.done_ms]);
            for time in calls.chain([&mut step.began_ms, &mut step.done_ms]) {
                *time = time.saturating_sub(began_ms);
            }
        }
        steps
    }

    fn add(&self, step: StepTimes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(step);
    }
}

/// Collects the times of one step.
#[derive(Debug)]
pub(super) struct StepWatch<'a> {
    clock: &'a StepClock,
    log: &'a RequestLog,
    step: StepTimes,
    call_began_ms: u64,
}

impl<'a> StepWatch<'a> {
    pub(super) fn begin(clock: &'a StepClock, log: &'a RequestLog, step: &Step, index: StepIndex) -> Box<Self> {
        let began_ms = now_ms();
        let step = StepTimes {
            step: index.number(),
            name: step.name().to_string(),
            branch: log.branch().to_owned(),
            began_ms,
            ..StepTimes::default()
        };
        Box::new(StepWatch { clock, log, step, call_began_ms: began_ms })
    }

    fn called(&mut self, status: Option<u16>, reason: &str) {
        let reason = masked_text(reason, &self.log.secrets()).into_owned();
        self.step.add(CallTimes { began_ms: self.call_began_ms, done_ms: now_ms(), status, reason });
    }

    fn ended(mut self, failed: bool) {
        (self.step.done_ms, self.step.failed) = (now_ms(), failed);
        self.clock.add(self.step);
    }
}

/// Watches an event of a step.
#[inline(always)]
pub(super) fn watch_step(watch: &mut Option<Box<StepWatch<'_>>>, event: &Event<'_>) {
    match event {
        Event::Sending { .. } => {
            if let Some(watch) = watch {
                watch.call_began_ms = now_ms();
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
        // The next call begins after this pause.
        Event::Retrying { wait, .. } | Event::WaitingOut { wait, .. } => {
            if let Some(watch) = watch {
                watch.call_began_ms = now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            }
        }
        Event::StepDone { .. } | Event::StepFailed { .. } | Event::StepInterrupted { .. } => {
            if let Some(watch) = watch.take() {
                watch.ended(!matches!(event, Event::StepDone { .. }));
            }
        }
        _ => {}
    }
}
