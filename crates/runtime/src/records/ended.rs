//! The end of a request, for those who ask for its result.

use std::sync::Arc;
use std::time::Duration;

use faasflow_core::code::{self, Code};
use faasflow_core::machine::forked::{Begun, Control, Ended, MemberRecord, Reason, end_of, over_key};
use faasflow_core::state::StateManager as _;
use faasflow_core::{Outcome, RequestInfo};
use http::StatusCode;
use tokio::time::Instant;

use super::not_done::{EXPIRED, NotDone};
use crate::conclusion::Conclusion;
use crate::deadline::Deadline;
use crate::delivery::reason_payload;
use crate::instance::Instance;
use faasflow_core::machine::Outage;

/// The pause before a store is asked again that does not show yet how a request has ended.
pub(super) const NOT_SHOWN: Duration = Duration::from_millis(100);

/// The reason of a request that was stopped.
pub(super) fn stopped() -> Reason {
    Reason {
        step: 0,
        name: "stop".to_owned(),
        text: "the request was stopped from outside".to_owned(),
        code: code::REQUEST_STOPPED.to_string(),
    }
}

impl Instance {
    /// Waits until a request has ended, but not longer than this, and returns what its caller is answered with.
    pub(crate) async fn end_of(&self, info: &Arc<RequestInfo>, until: Instant) -> Option<Conclusion> {
        let manager = self.flow.state_manager()?;
        let scope = info.scope();
        let control = self.store(until)?.get(&scope, Control::key().as_str()).await.ok()?;
        let generation = Control::decode(control.as_ref())?.generation();
        let mut wait = self.waiting.begin(manager, scope.clone(), generation)?;
        let is_over = async || {
            let now = Instant::now() + Duration::from_millis(500);
            let over = self.store(until.max(now))?.get(&scope, over_key(generation).as_str()).await.ok()?;
            over.map(drop)
        };
        // It may have ended before the wait began, or in its last moment.
        if is_over().await.is_none() && !wait.until(until).await && is_over().await.is_none() {
            return None;
        }
        loop {
            match self.result_of(info, generation).await {
                // The store does not show the end yet.
                Conclusion::Transient(_) if Instant::now() < until => tokio::time::sleep(NOT_SHOWN).await,
                Conclusion::Transient(_) => return None,
                conclusion => return Some(conclusion),
            }
        }
    }

    /// What the caller of a request that has ended is answered with.
    pub(crate) async fn result_of(&self, info: &RequestInfo, generation: u32) -> Conclusion {
        let until = Deadline::starting_now(self.config.write_timeout).state_in_ending();
        match self.try_result_of(info, generation, until).await {
            Ok(conclusion) => conclusion,
            Err(detail) => Conclusion::Transient(Outage::state_unreachable(detail)),
        }
    }

    async fn try_result_of(&self, info: &RequestInfo, generation: u32, until: Instant) -> Result<Conclusion, String> {
        let manager = self.store(until).ok_or("the flow has no state manager")?;
        let scope = info.scope();
        let read = async |key: &str| manager.get(&scope, key).await.map_err(|error| faasflow_core::chain(&error));
        let over = read(over_key(generation).as_str()).await?.ok_or("it does not show how the request ended")?;
        let (outcome, record) = end_of(&over).ok_or("the end of the request cannot be read by this version")?;
        if manager.is_expired(&scope).await.map_err(|error| faasflow_core::chain(&error))? {
            return Ok(expired());
        }
        let Some(key) = record else {
            if outcome != Outcome::Stopped {
                return Ok(expired());
            }
            let payload = reason_payload(&info.id, 0, &stopped());
            return Ok(Conclusion::Ended(Outcome::Stopped, payload, Some(code::REQUEST_STOPPED)));
        };
        let Some(value) = read(&key).await? else {
            if read(Begun::key().as_str()).await?.is_some() {
                return Err("it does not show the result of the request yet".to_owned());
            }
            return Ok(expired());
        };
        let record = MemberRecord::decode(&value).ok_or("the result of the request cannot be read by this version")?;
        if let (Ended::Failed, Some(reason)) = (record.ended, &record.reason) {
            let code = Code::all().iter().copied().find(|code| code.as_str() == reason.code);
            return Ok(Conclusion::Ended(outcome, reason_payload(&info.id, phase_of(&key), reason), code));
        }
        match self.recorded(record.output, info, &manager, EXPIRED).await {
            Ok(payload) => Ok(Conclusion::Ended(outcome, payload, None)),
            Err(NotDone::NotThere(_)) => Ok(expired()),
            Err(NotDone::Outage(outage)) => Err(outage.detail),
            // There is no room for it now.
            Err(error) => {
                let (_, code, reason) = error.answer();
                Ok(Conclusion::Transient(Outage::new(code, "there is no room for the result now", reason)))
            }
        }
    }
}

/// The answer to somebody who asks for what is no longer kept.
pub(super) fn expired() -> Conclusion {
    Conclusion::Refused(StatusCode::GONE, code::REQUEST_EXPIRED, EXPIRED.to_owned())
}

/// The number of the phase in the key of its record.
fn phase_of(key: &str) -> usize {
    let place = key.rsplit('/').next().unwrap_or_default();
    place.split('@').next().and_then(|phase| phase.parse().ok()).unwrap_or_default()
}
