//! Carries out the effects that the machine decides on for a request with branches, and reports the results back to it.
//!
//! The machine is asked again and again with a growing journal. A store or a queue that is unavailable is never put into the
//! journal: the delivery is answered with "come again", and the next one starts with an empty journal.

mod again;
mod begin;
mod chunk;
mod input;
mod onward;
mod perform;
mod stop;
mod store;
mod while_waiting;
mod within;

pub(crate) use again::NotRepeated;
pub(crate) use chunk::item as list_item;
pub(crate) use within::restart_clocks;

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::envelope::Carried;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::{Effect, Ended, Ending, Journal, MemberRecord, Message, Reply, proceed};
use faasflow_core::machine::{Caller, Outage, Route, Token, Unfit};
use faasflow_core::state::{Key, add_repeat};
use faasflow_core::{Context, MemberOutcome, Outcome, Payload, RequestId, RequestInfo};

use self::begin::{Beginning, Start};
use self::perform::{Performer, Stop};
use self::within::Limit;
use super::drive::refuse;
use super::request::{Arrival, Refusal};
use crate::conclusion::Conclusion;
use crate::deadline::Deadline;
use crate::definitions::BegunWith;
use crate::first_outage::FirstOutage;
use crate::instance::Instance;
use crate::observers::{Activity, Event, Observers, member_of};
use crate::records::Patience;

/// What came of a delivery.
enum Performed {
    Concluded(Conclusion),
    /// Nothing yet: the request began with an earlier delivery, at this time. This is its payload.
    Began(u64, Carried),
}

impl From<Conclusion> for Performed {
    fn from(conclusion: Conclusion) -> Performed {
        Performed::Concluded(conclusion)
    }
}

impl Instance {
    /// Executes one phase of a request with branches, and whatever follows from it.
    ///
    /// The future is boxed here, because the compiler cannot prove from the outside that it can move between threads.
    pub(super) fn drive_with_store<'a>(
        &'a self,
        mut arrived: Arrival,
        deadline: &'a Deadline,
        observers: &'a Observers<'_>,
        caller_waits: Option<&'a Patience>,
    ) -> BoxFuture<'a, (Conclusion, Option<Message>)> {
        Box::pin(async move {
            let mut onward = None;
            // Without the payload, which would be held in memory for as long as the phase takes.
            let with = |token: &Token, payload| Token::new(token.place().clone(), payload).with_caller(token.caller());
            let payload = arrived.token.take_payload();
            let again = arrived.sent_ms.is_none().then(|| arrived.clone());
            arrived.token = with(&arrived.token, payload);
            let mut performed = self.perform_all(arrived, deadline, observers, caller_waits, &mut onward).await;
            if let (Performed::Began(started_ms, payload), Some(mut again)) = (&performed, again) {
                again.info = Arc::new(RequestInfo { started_ms: *started_ms, ..(*again.info).clone() });
                again.token = with(&again.token, payload.clone());
                performed = self.perform_all(again, deadline, observers, caller_waits, &mut onward).await;
            }
            let conclusion = match performed {
                Performed::Concluded(conclusion) => conclusion,
                Performed::Began(..) => Conclusion::Transient(other_delivery("it has begun the request meanwhile")),
            };
            (conclusion, onward)
        })
    }

    async fn perform_all(
        &self,
        arrived: Arrival,
        deadline: &Deadline,
        observers: &Observers<'_>,
        caller_waits: Option<&Patience>,
        onward: &mut Option<Message>,
    ) -> Performed {
        let Arrival { info, mut token, branching, earlier, invocation, repeats, sent_ms, attempt, .. } = arrived;
        let route = Route::new(&self.flow, earlier.as_deref());
        let is_fresh = sent_ms.is_none();
        let (place, payload) = (token.place().clone(), token.take_payload());
        let mut message = match branching {
            Some(branching) => Message::arrived(place.clone(), payload, branching),
            None => Message::fresh(place.clone(), payload, token.caller()),
        };
        message.span = observers.span_id();
        message.remembered = self.keeps(&info);
        let Some(in_steps) = self.retrying_state(deadline.state_in_steps()) else {
            return refuse(Unfit::NoStateManager).into();
        };
        let outage = FirstOutage::default();
        let mut context = Context::external(info.clone(), &place, Arc::new(in_steps.noting(outage.clone())));
        if message.remembered {
            context = context.remembered_for(self.config.keep_records);
        }
        let body = (is_fresh && message.remembered).then(|| message.payload.clone());
        let phase = self.caller.phase_headers(&context, observers);
        let limit = Limit::of_token(route, &message);
        let deadline = limit.map_or_else(|| deadline.clone(), |limit| limit.deadline(deadline));
        let Some(alone) = self.in_progress.alone(info.id.as_str(), &place, deadline.steps()).await else {
            let outage = other_delivery("it has taken all the time that this one had");
            observers.emit(&Event::Interrupted { doing: Activity::Executing(&place), outage: &outage });
            return Conclusion::Transient(outage).into();
        };
        if alone.has_waited {
            outage.note(|| other_delivery("it has taken some of the time that this one had"));
        }
        let mut continued = BegunWith::Deployed;
        let mut execution = self.execution(&context, &phase, route, &deadline, observers, outage);
        execution.stoppable = message.remembered;
        let mut begun = Beginning::Before;
        if let Some(invocation) = &invocation {
            let performer = Performer::new(self, &message, &execution, caller_waits);
            match performer.begin_request(invocation, repeats.as_ref()).await {
                Ok(Start::Begins(payload, written)) => {
                    (message.payload, begun) = (payload, Beginning::Now(written));
                }
                // It is known by the time at which it first began.
                Ok(Start::Continues(.., started_ms)) if started_ms != info.started_ms => {
                    return Performed::Began(started_ms, message.payload.clone());
                }
                Ok(Start::Continues(payload, begun, _)) => (message.payload, continued) = (payload, begun),
                Ok(Start::Concludes(conclusion)) => return conclusion.into(),
                Err(stop) => return self.stopped(observers, stop).into(),
            }
            if let Some(patience) = caller_waits {
                patience.begun(&info);
            }
        }
        if is_fresh {
            execution.route = continued.route(&self.flow);
        }
        let route = execution.route;
        let mut performer = Performer::new(self, &message, &execution, caller_waits);
        performer.queued_ms = sent_ms.unwrap_or_default();
        if let Some(attempt) = attempt.filter(|attempt| *attempt > 1 && matches!(begun, Beginning::Before)) {
            performer.note_attempts_before(attempt).await;
        }
        if let Some(body) = body
            && let Err(stop) = performer.make_findable(&body, repeats.as_ref()).await
        {
            if let Stop::Outage(_, outage) = &stop {
                performer.gave_up(outage, &begun).await;
            }
            return self.stopped(observers, stop).into();
        }
        let mut journal = Journal::new();
        loop {
            let performed = match proceed(route, &message, &journal) {
                Effect::Reply(reply) => performer.answer(reply).await,
                effect => match performer.perform(effect).await {
                    Ok(answer) => {
                        journal.add(answer);
                        continue;
                    }
                    Err(stop) => Err(stop),
                },
            };
            let conclusion = match performed {
                Ok(conclusion) => {
                    *onward = performer.onward.take();
                    conclusion
                }
                // The request goes on, so its caller must not be told to send it again.
                Err(Stop::Outage(..)) if performer.has_posted && is_fresh => Conclusion::Forwarded,
                Err(stop) => {
                    if let Stop::Outage(_, outage) = &stop {
                        performer.gave_up(outage, &begun).await;
                    }
                    self.stopped(observers, stop)
                }
            };
            return conclusion.into();
        }
    }

    fn stopped(&self, observers: &Observers<'_>, stop: Stop<'_>) -> Conclusion {
        match stop {
            Stop::Outage(doing, outage) => {
                observers.emit(&Event::Interrupted { doing, outage: &outage });
                Conclusion::Transient(outage)
            }
            Stop::Unfit(unfit) => refuse(unfit),
        }
    }
}

impl<'a> Performer<'a> {
    /// The answer to the delivery.
    async fn answer(&mut self, reply: Reply) -> Result<Conclusion, Stop<'a>> {
        Ok(match reply {
            Reply::Forwarded if self.acted => Conclusion::Forwarded,
            Reply::Ended(outcome, Some(ending)) => {
                // What was fetched for the report: the state of the request was removed after it.
                let (payload, code) = match self.ended_with.take() {
                    Some(ended_with) => ended_with,
                    None => self.payload_of(&ending).await?,
                };
                self.execution.observers.emit(&Event::Ended { outcome });
                Conclusion::Ended(outcome, payload, code.filter(|_| outcome == Outcome::Failure))
            }
            // The phase was done by an earlier delivery, or its result is not needed.
            Reply::Forwarded | Reply::Ended(_, None) | Reply::Dropped | Reply::Late => {
                let (place, acted) = (&self.message.place, self.acted);
                self.execution.observers.emit(&Event::NotNeeded { place, acted });
                Conclusion::Forwarded
            }
            Reply::Paused => {
                self.execution.observers.emit(&Event::Paused { place: &self.message.place });
                Conclusion::Forwarded
            }
            Reply::Refused(Unfit::OtherDefinition) => self.park().await,
            Reply::Refused(unfit) => refuse(unfit),
            Reply::ComeAgain => {
                let detail = "it does not show yet what another delivery has written".to_owned();
                return Err(self.outage(Outage::state_unreachable(detail)));
            }
            other => unreachable!("the driver does not know the reply {other:?}"),
        })
    }

    /// Adds the search keys of a request that begins with this body, and lists it with the request that it repeats.
    async fn make_findable(&self, body: &Carried, repeats: Option<&RequestId>) -> Result<(), Stop<'a>> {
        if let Some(original) = repeats {
            let (started_ms, keep) = (self.execution.context.request().started_ms, self.instance.config.keep_records);
            let listed = add_repeat(&self.manager(), &self.scope, started_ms, keep, original.as_str()).await;
            listed.map_err(|error| self.unreadable(&error))?;
        }
        let Carried::Inline(body) = body else { return Ok(()) };
        let added = self.execution.add_search_keys(&self.instance.flow, body).await;
        added.map_err(|error| self.outage(Outage::state_unreachable(format!("{error:#}"))))
    }

    /// The answer to a phase that has to be executed, but ahead of which the deployed definition differs from the one that the
    /// request began with.
    async fn park(&self) -> Conclusion {
        let plan = self.execution.route.plan();
        let of = (self.execution.context.request().clone(), self.message.place.clone());
        let refusal = Refusal::other_definition(of, self.instance.flow.plan(), plan.shape(), plan.fingerprint());
        match self.instance.park(&refusal, Some(self.execution.observers)).await {
            Some(conclusion) => conclusion,
            None => Conclusion::Refused(refusal.status, refusal.code, refusal.reason),
        }
    }

    /// Reports the end of the request, if its caller asked for a report.
    pub(super) async fn report(&mut self, outcome: Outcome, ending: &Ending) -> Result<(), Stop<'a>> {
        let request = self.execution.context.request();
        let somebody_waits = self.message.caller == Caller::Waits || self.caller_waits.is_some();
        let is_wanted = request.callback_url.is_some() || somebody_waits;
        if !is_wanted && matches!(ending, Ending::Payload(Carried::Stored(_))) {
            let code = self.failure.as_ref().map(faasflow_core::Failure::code);
            self.ended_with = Some((Payload::empty(), code));
            return Ok(());
        }
        let (payload, code) = self.payload_of(ending).await?;
        let reported = self.instance.report(self.execution, outcome, &payload).await;
        self.ended_with = Some((payload, code));
        reported.map_err(|outage| Stop::Outage(Activity::Reporting(outcome), outage))
    }

    /// Counts a branch or an item whose end was recorded just now. Each has one record, so it is counted once, however often
    /// its phases are delivered.
    pub(super) fn count_member(&self, key: &Key, value: &Bytes) {
        let record = key.is_member().then(|| MemberRecord::decode(value)).flatten();
        let route = self.execution.route;
        let body = member_of(route.plan(), &self.message.place).and_then(|member| route.body(member.body));
        if let Some((record, body)) = record.zip(body) {
            let outcome = if record.ended == Ended::Done { MemberOutcome::Done } else { MemberOutcome::Failed };
            self.execution.observers.emit(&Event::MemberRecorded { body, outcome });
        }
    }

    /// The payload that a request ends with, and the code of the failure that it ends with.
    pub(super) async fn payload_of(&mut self, ending: &Ending) -> Result<(Payload, Option<Code>), Stop<'a>> {
        match ending {
            Ending::Payload(carried) => {
                let code = self.failure.as_ref().map(faasflow_core::Failure::code);
                Ok((self.fetch(carried.clone()).await?, code))
            }
            Ending::Failed(reason) => {
                let info = self.execution.context.request();
                let code = Code::all().iter().copied().find(|code| code.as_str() == reason.code);
                Ok((super::respond::reason_payload(&info.id, self.message.place.phase(), reason), code))
            }
        }
    }
}

/// Another delivery of the same phase was executed when this one came.
fn other_delivery(detail: &str) -> Outage {
    Outage::new(code::IN_PROGRESS, "another delivery of the phase is still in progress", detail)
}
