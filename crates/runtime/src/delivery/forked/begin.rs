//! How a request that is remembered begins, and how it ends.
//!
//! A request begins once: the first delivery under its id writes down how it began. Other callers with the same id and input get
//! the answer of the first.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::Outcome;
use faasflow_core::code;
use faasflow_core::envelope::{Carried, Envelope};
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{
    Attempt, Begun, Control, FailedAnswer, Steps, Tried, over_key, posted_key, result_key,
};
use faasflow_core::state::{Condition, Key, StateError, StateManager as _, Status};
use faasflow_core::{Payload, RequestId, RequestInfo};
use faasflow_http::now_ms;
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::perform::{Performer, Stop};
use crate::conclusion::Conclusion;
use crate::definitions::BegunWith;
use crate::delivery::ending::KNOWN_TO_BE_OVER;
use crate::forward::envelope;
use crate::instance::Instance;
use crate::observers::Event;
use crate::records::{branching, decide};
use crate::retrying_state::{PAUSE, UNKNOWN_IN_A_ROW};

/// How the delivery of a fresh request goes on.
pub(super) enum Start {
    /// The request begins with it, with this payload. It has written this.
    Begins(Carried, Bytes),
    /// An earlier delivery began the request with this definition, and was interrupted. The last value is when the request began, in
    /// milliseconds since the Unix epoch.
    Continues(Carried, BegunWith, u64),
    /// The delivery is answered with this, and nothing of the request is executed.
    Concludes(Conclusion),
}

/// When the request of a delivery began.
#[derive(Clone, Debug)]
pub(super) enum Beginning {
    /// With this delivery, which has written this.
    Now(Bytes),
    /// With an earlier one.
    Before,
}

/// How long after the time of an invocation is over nobody works on it any more.
const MARGIN: Duration = Duration::from_secs(2);
/// How long a delivery may take to post what follows, once the first phase is recorded.
const TO_POST: Duration = Duration::from_secs(5);
/// The time between two looks at what another delivery does.
const POLL: Duration = Duration::from_millis(100);

impl Instance {
    /// Whether this request is remembered. One that began before its flow remembered requests may have an id that is not unique.
    pub(crate) fn keeps(&self, info: &RequestInfo) -> bool {
        self.remembers && info.invocation.is_none()
    }
}

impl<'a> Performer<'a> {
    /// Writes down how the request begins, unless it has begun already.
    pub(super) async fn begin_request(
        mut self,
        invocation: &str,
        repeats: Option<&RequestId>,
    ) -> Result<Start, Stop<'a>> {
        let info = self.execution.context.request().clone();
        let Carried::Inline(payload) = self.message.payload.clone() else {
            unreachable!("the payload of a fresh request is its body");
        };
        let input_sha256 = hash(&info.query, &payload);
        let mut is_refused = false;
        loop {
            // How a request ended is known for longer than how it began.
            let found = self.read_all(&[Begun::key(), Control::key(), over_key(0)]).await?;
            let is_over = found[2].is_some();
            let begun = found[0].as_ref().map(|begun| Begun::decode(begun).zip(Control::decode(found[1].as_ref())));
            match begun {
                None if is_over => return Ok(Start::Concludes(id_was_used(&info.id))),
                Some(_) if is_over && self.is_expired().await? => return Ok(Start::Concludes(id_was_used(&info.id))),
                // A request that repeats one does not stand for a request that repeats another one, or none.
                Some(Some((begun, _)))
                    if repeats.is_some_and(|original| begun.repeats.as_deref() != Some(original.as_str()))
                        && !begun.is_given_up =>
                {
                    return Ok(Start::Concludes(id_is_taken(&info.id)));
                }
                Some(Some((begun, control))) if begun.input_sha256 == input_sha256 => {
                    if let Some(start) = self.begun_before(&payload, &begun, &control, invocation, is_over).await? {
                        return Ok(start);
                    }
                    is_refused = false;
                }
                Some(Some((begun, _))) if !begun.is_given_up => return Ok(Start::Concludes(id_is_taken(&info.id))),
                None if !is_refused => {
                    let carried = self.carried(&payload).await?;
                    let value = self.beginning(&carried, &input_sha256, invocation, repeats);
                    if self.write_begun(&Begun::key(), value.clone(), info.started_ms).await? {
                        return Ok(Start::Begins(carried, value));
                    }
                    is_refused = true;
                    continue;
                }
                Some(Some(_)) => {}
                Some(None) | None => {
                    let detail = "it does not show how the request began".to_owned();
                    return Err(self.outage(Outage::state_unreachable(detail)));
                }
            }
            if Instant::now() >= self.execution.deadline.state_in_steps() {
                return Err(self.in_progress());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the record of the request has expired. Some stores remove it later.
    async fn is_expired(&self) -> Result<bool, Stop<'a>> {
        self.manager().is_expired(&self.scope).await.map_err(|error| self.unreadable(&error))
    }

    /// The payload of the first phase as its envelope carries it.
    async fn carried(&self, payload: &Payload) -> Result<Carried, Stop<'a>> {
        // If it is too large to be stored, so is the record, which is refused when it is written.
        Ok(self.carry(payload).await?.unwrap_or_else(|_| Carried::Inline(payload.clone())))
    }

    /// What is written when the request begins.
    fn beginning(&self, carried: &Carried, input_sha256: &str, invocation: &str, repeats: Option<&RequestId>) -> Bytes {
        let plan = self.execution.route.plan();
        let branching = branching(plan, self.message);
        let envelope = envelope(self.execution.context, plan, &self.message.place, carried.clone(), branching);
        let begun = Begun {
            input_sha256: input_sha256.to_owned(),
            invocation: invocation.to_owned(),
            at_ms: now_ms(),
            caller_waits: self.caller_waits.is_some(),
            taken_over_ms: None,
            is_given_up: false,
            repeats: repeats.map(ToString::to_string),
            envelope: envelope.encode().to_bytes(),
        };
        begun.encode()
    }

    /// Returns whether it wrote the value. If a write ended without an answer, it may return `false` although it did.
    async fn write_begun(&self, key: &Key, value: Bytes, started_ms: u64) -> Result<bool, Stop<'a>> {
        let mut unknown = 0;
        loop {
            match self.manager().begin_request(&self.scope, started_ms, key.as_str(), value.clone()).await {
                Ok(written) => return Ok(written),
                Err(error) if !error.is_temporary() || unknown + 1 == UNKNOWN_IN_A_ROW => {
                    return Err(self.unreadable(&error));
                }
                Err(_) => unknown += 1,
            }
            tokio::time::sleep(PAUSE).await;
            // This waits until the store answers again.
            if self.read(key).await?.is_some() {
                return Ok(false);
            }
        }
    }

    /// How a delivery of a request goes on that has begun before; `None` if that has changed meanwhile.
    async fn begun_before(
        &mut self,
        payload: &Payload,
        begun: &Begun,
        control: &Control,
        invocation: &str,
        is_over: bool,
    ) -> Result<Option<Start>, Stop<'a>> {
        if begun.invocation == invocation && control.generation() == 0 && !begun.is_given_up {
            if is_over {
                // The answer of the first delivery was lost, or a queue delivers a request again because it has failed.
                let info = self.execution.context.request();
                return Ok(Some(Start::Concludes(self.instance.result_of(info, 0).await)));
            }
            return self.take_over(payload, begun, control, invocation).await;
        }
        self.begun_by_another(payload, begun, control, invocation).await
    }

    /// Waits until the delivery that began the request has done what a caller may rely on: the request has ended or is in the
    /// queue. If that delivery was interrupted, this one takes over. Returns `None` if how the request began has changed.
    async fn begun_by_another(
        &mut self,
        payload: &Payload,
        begun: &Begun,
        control: &Control,
        invocation: &str,
    ) -> Result<Option<Start>, Stop<'a>> {
        let generation = control.generation();
        let place = self.message.place.clone().in_generation(generation);
        let keys = [over_key(generation), posted_key(&place), result_key(&place), Begun::key()];
        let until = self.execution.deadline.state_in_steps();
        let mut recorded_since = None;
        loop {
            let found = self.read_all(&keys).await?;
            if found[0].is_some() {
                return Ok(Some(Start::Concludes(self.conclusion_of_ended(generation).await)));
            }
            // A request that was started again is in the queue.
            if found[1].is_some() || generation > 0 {
                return Ok(Some(Start::Concludes(Conclusion::Forwarded)));
            }
            if found[3].as_ref().and_then(Begun::decode).as_ref() != Some(begun) {
                return Ok(None);
            }
            let now = Instant::now();
            let recorded = found[2].as_ref().map(|_| *recorded_since.get_or_insert(now));
            let age = Duration::from_millis(now_ms().saturating_sub(begun.taken_over_ms.unwrap_or(begun.at_ms)));
            let is_left = age > self.instance.config.write_timeout + MARGIN
                || recorded.is_some_and(|since| now.duration_since(since) > TO_POST);
            if is_left {
                return self.take_over(payload, begun, control, invocation).await;
            }
            if now + POLL >= until {
                return Err(self.in_progress());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn in_progress(&self) -> Stop<'a> {
        let reason = "another delivery of the request is still in progress";
        self.outage(Outage::new(code::IN_PROGRESS, reason, "it has not finished the first phase"))
    }

    /// Takes over what another delivery has begun, so that one that is given up does not remove it; `None` if somebody else was
    /// faster.
    async fn take_over(
        &mut self,
        payload: &Payload,
        begun: &Begun,
        control: &Control,
        invocation: &str,
    ) -> Result<Option<Start>, Stop<'a>> {
        let later = begun.taken_over_ms.unwrap_or(begun.at_ms) + 1;
        let taken = Begun {
            invocation: invocation.to_owned(),
            taken_over_ms: Some(now_ms().max(later)),
            caller_waits: self.caller_waits.is_some(),
            is_given_up: false,
            ..begun.clone()
        };
        let replaced = self.replace_begun(&begun.encode(), &taken).await;
        match replaced.map_err(|error| self.unreadable(&error))? {
            true => Ok(Some(self.continued(self.carried(payload).await?, begun, control).await?)),
            false => Ok(None),
        }
    }

    /// Goes on with a request that another delivery began. If nothing of it is recorded, it can as well begin with the definition
    /// that is deployed.
    async fn continued(&self, carried: Carried, begun: &Begun, control: &Control) -> Result<Start, Stop<'a>> {
        let unreadable = || self.outage(Outage::state_unreachable("it does not show how the request began".to_owned()));
        let envelope = Envelope::decode(&begun.envelope).map_err(|_| unreadable())?;
        let instance = self.instance;
        let begun = instance.begun_with(&envelope, control);
        if matches!(begun, BegunWith::Deployed) || self.read(&result_key(&self.message.place)).await?.is_some() {
            return Ok(Start::Continues(carried, begun, envelope.request.started_ms));
        }
        let deployed = |control: Control| Some(control.with_shape(instance.flow.plan().shape()));
        let decided = decide(&self.manager(), &self.scope, deployed).await;
        decided.map_err(|error| self.unreadable(&error))?;
        Ok(Start::Continues(carried, BegunWith::Deployed, envelope.request.started_ms))
    }

    /// Writes anew how the request began, if that is still what this delivery knows. Returns whether it was.
    pub(super) async fn replace_begun(&self, known: &Bytes, new: &Begun) -> Result<bool, StateError> {
        let (manager, key) = (self.manager(), Begun::key());
        match manager.get_versioned(&self.scope, key.as_str()).await? {
            Some((found, version)) if found == *known => {
                let condition = Condition::Version(version);
                Ok(manager.set_if(&self.scope, key.as_str(), new.encode(), condition).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    /// The answer to a caller whose request has ended already.
    async fn conclusion_of_ended(&self, generation: u32) -> Conclusion {
        // The caller of an asynchronous flow has been told where to ask.
        let is_answered = self.instance.flow.plan().phase_count() == 1 || self.caller_waits.is_some();
        if !is_answered {
            return Conclusion::Forwarded;
        }
        let info = self.execution.context.request();
        self.instance.result_of(info, generation).await
    }

    /// Keeps what the request leaves behind for as long as requests are remembered.
    pub(super) async fn retire(&self, outcome: Outcome) {
        let (info, generation) = (self.execution.context.request(), self.message.place.generation());
        let (keep, known) = (self.instance.config.keep_records, KNOWN_TO_BE_OVER);
        let (scope, manager) = (&self.scope, self.manager());
        let retired = manager.retire_request(scope, info.started_ms, outcome.into(), keep, known).await;
        // Someone may have started the request again meanwhile, so it is not over.
        let control = manager.get(scope, Control::key().as_str()).await.ok();
        let control = control.and_then(|control| Control::decode(control.as_ref()));
        if control.is_some_and(|control| control.generation() > generation) {
            let _ = manager.list_request(scope, info.started_ms, Status::Running).await;
        }
        if let Err(error) = retired {
            let kind = faasflow_core::failure::FailureKind::Storage(std::sync::Arc::new(error.into()));
            self.execution.observers.emit(&Event::StateNotRemoved { kind: &kind });
        }
        self.instance.waiting.ended(scope, generation);
    }

    /// Leaves a note about attempts before this one that could not leave one themselves, because their process died.
    pub(super) async fn note_attempts_before(&self, attempt: u32) {
        let (place, earlier) = (&self.message.place, attempt - 1);
        if !self.message.remembered {
            return;
        }
        let key = Tried::key(place);
        let Ok(found) = self.read_all(&[key.clone(), result_key(place)]).await else { return };
        let before = found[0].as_ref().and_then(Tried::decode);
        // What came after the phase may have been interrupted, but not the phase.
        if found[1].is_some() || before.as_ref().is_some_and(|before| before.times >= earlier) {
            return;
        }
        let reason = "an earlier delivery ended without an answer: its process died, or it took too long";
        let attempt = Attempt {
            began_ms: 0,
            given_up_ms: now_ms(),
            reason: reason.to_owned(),
            code: code::INTERRUPTED.to_string(),
            steps: Steps::default(),
        };
        self.note(&key, before, earlier, attempt).await;
    }

    /// Notes how often this phase was tried, and why the latest attempt did not succeed.
    async fn note(&self, key: &Key, before: Option<Tried>, times: u32, latest: Attempt) {
        let tried = Tried::after(before, times, latest);
        // It only informs people.
        let _ = self.manager().set(&self.scope, key.as_str(), tried.encode()).await;
    }

    /// Keeps the answer of a function that made the phase fail.
    pub(super) async fn keep_answer(&self) {
        let Some(answer) = self.failure.as_ref().and_then(faasflow_core::Failure::response) else { return };
        if !self.message.remembered {
            return;
        }
        let kept = FailedAnswer::new(answer);
        // It only informs people.
        let _ = self.manager().set(&self.scope, FailedAnswer::key(&self.message.place).as_str(), kept.encode()).await;
    }

    /// Leaves a note about a delivery that was given up. If the request has begun with it and nothing of it was recorded, the
    /// request has not begun: its caller is told to send it again.
    pub(super) async fn gave_up(&self, outage: &Outage, begun: &Beginning) {
        if !self.message.remembered || outage.code == code::STATE_UNREACHABLE {
            return;
        }
        // A request that was stopped meanwhile keeps its record as it is.
        if !matches!(self.read(&over_key(self.message.place.generation())).await, Ok(None)) {
            return;
        }
        if let Beginning::Now(written) = begun {
            let recorded = self.read(&result_key(&self.message.place)).await;
            if matches!(recorded, Ok(None)) {
                self.take_back(written).await;
            }
            return;
        }
        let key = Tried::key(&self.message.place);
        let Ok(before) = self.read(&key).await else { return };
        let before = before.and_then(|value| Tried::decode(&value));
        let times = before.as_ref().map_or(0, |before| before.times).saturating_add(1);
        // Callers may read the note. The detail is in the log.
        let attempt = Attempt {
            began_ms: self.began_ms,
            given_up_ms: now_ms(),
            reason: outage.reason.clone(),
            code: outage.code.to_string(),
            steps: self.execution.observers.take_steps(),
        };
        self.note(&key, before, times, attempt).await;
    }

    /// Removes a request that has begun with this delivery, unless another one has taken it over. No other takes it over once it
    /// is known to be given up.
    async fn take_back(&self, written: &Bytes) {
        let Some(begun) = Begun::decode(written) else { return };
        let given_up = Begun { is_given_up: true, ..begun };
        if let Ok(true) = self.replace_begun(written, &given_up).await {
            let (started_ms, zero) = (self.execution.context.request().started_ms, Duration::ZERO);
            let _ = self.manager().retire_request(&self.scope, started_ms, Status::Failure, zero, zero).await;
        }
    }
}

/// The answer to a request whose id another one has.
fn id_is_taken(id: &RequestId) -> Conclusion {
    let reason = format!(
        "the request id `{id}` is taken: a request with another body or query has it; send this one with an id of its own"
    );
    Conclusion::Refused(StatusCode::CONFLICT, code::ID_TAKEN, reason)
}

/// The answer to a request whose id was that of another, which is not remembered any more.
fn id_was_used(id: &RequestId) -> Conclusion {
    let reason = format!(
        "the request id `{id}` was used before: that request has ended, and its record has expired; send this one with another id"
    );
    Conclusion::Refused(StatusCode::GONE, code::REQUEST_EXPIRED, reason)
}

/// The hash of what a request was sent with.
fn hash(query: &str, payload: &Payload) -> String {
    let digest = Sha256::new().chain_update(query.as_bytes()).chain_update([0]).chain_update(payload.bytes());
    hex::encode(digest.finalize())
}
