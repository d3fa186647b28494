//! Carries out the effects that the machine decides on for a request with branches, and reports the results back to it.
//!
//! The machine is asked again and again with a growing journal. A store or a queue that is unavailable is never put into the
//! journal: the delivery is answered with "come again", and the next one starts with an empty journal.

mod chunk;
mod input;
mod onward;
mod perform;
mod store;
mod within;

use faasflow_core::code::Code;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{Effect, Ending, Journal, Message, Reply, proceed};
use faasflow_core::{Context, Outcome, Payload};

use self::perform::{Performer, Stop};
use self::within::Limit;
use super::drive::refuse;
use super::request::Arrival;
use crate::conclusion::Conclusion;
use crate::deadline::Deadline;
use crate::instance::Instance;
use crate::observers::{Event, Observers};

impl Instance {
    /// Executes one phase of a request with branches, and whatever follows from it.
    ///
    /// The future is boxed here, because the compiler cannot prove from the outside that it can move between threads.
    pub(super) fn drive_branches<'a>(
        &'a self,
        arrived: Arrival,
        deadline: &'a Deadline,
        observers: &'a Observers<'_>,
    ) -> BoxFuture<'a, Conclusion> {
        Box::pin(self.perform_all(arrived, deadline, observers))
    }

    async fn perform_all(&self, arrived: Arrival, deadline: &Deadline, observers: &Observers<'_>) -> Conclusion {
        let Arrival { info, mut token, branching, .. } = arrived;
        let (place, payload) = (token.place().clone(), token.take_payload());
        let message = match branching {
            Some(branching) => Message::arrived(place.clone(), payload, branching),
            None => Message::fresh(place.clone(), payload, token.caller()),
        };
        let Some(in_steps) = self.retrying_state(deadline.state_in_steps()) else {
            return refuse(faasflow_core::machine::Unfit::NoStateManager);
        };
        let context = Context::external(info.clone(), &place, in_steps);
        let phase = self.caller.phase_headers(&context, observers);
        let limit = Limit::of_token(&self.flow, &message);
        let deadline = limit.map_or_else(|| deadline.clone(), |limit| limit.deadline(deadline));
        let execution = self.execution(&context, &phase, &deadline, observers);
        let mut performer = Performer::new(self, &message, &execution);
        let mut journal = Journal::new();
        loop {
            let performed = match proceed(&self.flow, &message, &journal) {
                Effect::Reply(reply) => performer.answer(reply).await,
                effect => match performer.perform(effect).await {
                    Ok(answer) => {
                        journal.add(answer);
                        continue;
                    }
                    Err(stop) => Err(stop),
                },
            };
            return match performed {
                Ok(conclusion) => conclusion,
                Err(Stop::Outage(doing, outage)) => {
                    observers.emit(&Event::Interrupted { doing, outage: &outage });
                    Conclusion::Transient(outage)
                }
                Err(Stop::Unfit(unfit)) => refuse(unfit),
            };
        }
    }
}

impl<'a> Performer<'a> {
    /// The answer to the delivery.
    async fn answer(&mut self, reply: Reply) -> Result<Conclusion, Stop<'a>> {
        Ok(match reply {
            Reply::Forwarded => Conclusion::Forwarded,
            Reply::Ended(outcome, Some(ending)) => {
                // What the report has fetched: the state of the request was removed after it.
                let (payload, code) = match self.ended_with.take() {
                    Some(ended_with) => ended_with,
                    None => self.payload_of(&ending).await?,
                };
                self.execution.observers.emit(&Event::Ended { outcome });
                Conclusion::Ended(outcome, payload, code.filter(|_| outcome == Outcome::Failure))
            }
            // The phase was done by an earlier delivery, or its result is not needed.
            Reply::Ended(_, None) | Reply::Dropped | Reply::Late => {
                self.execution.observers.emit(&Event::NotNeeded { place: &self.message.place });
                Conclusion::Forwarded
            }
            Reply::Refused(unfit) => refuse(unfit),
            Reply::ComeAgain => {
                let detail = "it does not show yet what another delivery has written".to_owned();
                return Err(self.outage(Outage::state_unreachable(detail)));
            }
            other => unreachable!("the driver does not know the reply {other:?}"),
        })
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
