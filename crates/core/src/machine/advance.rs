use crate::failure::{Failure, Resolution};
use crate::graph::{BodyIndex, Follow, Place, Plan};
use crate::outcome::Outcome;
use crate::payload::Payload;

use super::outage::Outage;
use super::token::{Caller, Token};

/// What has happened to the token of a delivery.
#[derive(Debug)]
pub enum Happened {
    /// It was delivered and has been verified.
    Arrived,
    /// It cannot be executed, now or later.
    Unfit(Unfit),
    /// Its payload has been fetched.
    Taken(Payload),
    /// The steps at its place succeeded, with this output.
    Done(Payload),
    /// A step failed, and its own failure handler, if it has one, did not recover from that. Or the payload could not
    /// be fetched or forwarded, and trying again will not help.
    Failed(Failure),
    /// A step failed, and its own failure handler replied for the whole request.
    Replied(Payload),
    /// The failure handlers around the failure were asked, from the innermost to the outermost, until one decided.
    Resolved {
        /// What it decided; `None` if there is no handler, or no handler decided.
        resolution: Option<Resolution>,
        /// The body whose handler decided: the flow itself, or a flow inside it that contains the failed segment.
        by: BodyIndex,
        /// The payload that the request ends with if the handler did not decide.
        unhandled: Payload,
    },
    /// The next token has been accepted for delivery.
    Forwarded,
    /// The last effect cannot be performed now, for a reason that will pass.
    Outage(Outage),
}

/// Something to do for a token.
#[derive(Debug)]
pub enum Effect {
    /// Fetch the token's payload, which may be in a state manager.
    Take,
    /// Execute the steps at the token's place on this payload.
    Run(Payload),
    /// Forward this token.
    Forward(Token),
    /// Ask the failure handlers around this failure: those of the sub-flows that contain the segment, from the innermost to
    /// the outermost, and then that of the flow. If a payload could not be fetched or forwarded, only the flow's own handler is
    /// asked.
    Ask(Failure),
    /// Report the end of the request, if the caller asked for a report.
    Report(Outcome, Payload),
    /// Run the finaliser, if there is one.
    Finally(Outcome, OnOutage),
    /// Remove the state of the request.
    Forget,
    /// Answer the delivery: the next phase is queued.
    AnswerForwarded,
    /// Answer the delivery: the request has ended.
    AnswerEnded(Outcome, Payload),
    /// Answer the delivery: it must be repeated.
    ComeAgain(Outage),
    /// Answer the delivery: it cannot be executed, now or later.
    Refuse(Unfit),
}

/// Why a token can never be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The flow has no such place.
    NoSuchPlace(Place),
    /// The flow that is deployed has changed ahead of it.
    OtherDefinition,
    /// Its payload is no longer stored: the request has ended, or the stored payload has expired.
    PayloadGone,
    /// Its payload is in a state manager, but the flow has none.
    NoStateManager,
}

/// What happens to a request whose finaliser meets an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOutage {
    /// The delivery is repeated. The finaliser must run, and a repeated report is recognised by its key.
    ComeAgain,
    /// The request goes on, because a caller is waiting for the answer.
    GoOn,
}

/// The effects to perform, in order. If one of them meets an outage, or a failure that it cannot ignore, drop the rest
/// and tell [`advance`] what happened.
#[derive(Debug)]
#[must_use = "effects do nothing until they are performed"]
pub struct Effects(Pending);

#[derive(Debug)]
enum Pending {
    One(Effect),
    End { stage: EndStage, outcome: Outcome, payload: Payload, on_outage: OnOutage },
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndStage {
    Report,
    Finally,
    Forget,
    Answer,
}

impl Iterator for Effects {
    type Item = Effect;

    fn next(&mut self) -> Option<Effect> {
        if let Pending::End { stage, outcome, payload, on_outage } = &mut self.0 {
            let (effect, next) = match stage {
                EndStage::Report => (Effect::Report(*outcome, payload.clone()), EndStage::Finally),
                EndStage::Finally => (Effect::Finally(*outcome, *on_outage), EndStage::Forget),
                EndStage::Forget => (Effect::Forget, EndStage::Answer),
                EndStage::Answer => {
                    let (outcome, payload) = (*outcome, std::mem::replace(payload, Payload::empty()));
                    self.0 = Pending::Nothing;
                    return Some(Effect::AnswerEnded(outcome, payload));
                }
            };
            *stage = next;
            return Some(effect);
        }
        match std::mem::replace(&mut self.0, Pending::Nothing) {
            Pending::One(effect) => Some(effect),
            _ => None,
        }
    }
}

/// Decides what to do for a token after something has happened to it.
///
/// It handles tokens that are the only one of their request from here to the end, and refuses all others. In a flow that
/// [needs no store](Plan::needs_store), every token is one. There, graphs, choices and for-eaches are parts of segments, and a
/// sub-flow is part of a segment or consists of segments.
///
/// The decision depends only on the arguments, so a redelivered token gets the same decision as the first one. This is
/// what makes redelivery safe: the token is forwarded to the same place, with the same call id.
///
/// ```
/// use faasflow_core::graph::{Plan, PlannedStep};
/// use faasflow_core::machine::{Effect, Happened, Token, advance};
/// use faasflow_core::Payload;
///
/// let plan = Plan::linear(["facedetect", "compress"].map(|function| PlannedStep::Call { function, sync: false }));
/// let token = Token::new(plan.start(), Payload::new("a photo"));
///
/// let done = Happened::Done(Payload::new("two faces"));
/// let effects: Vec<Effect> = advance(&plan, &token, done).collect();
/// assert!(matches!(&effects[..], [Effect::Forward(next)] if next.place().phase() == 2));
/// ```
pub fn advance(plan: &Plan, token: &Token, happened: Happened) -> Effects {
    let (place, caller) = (token.place(), token.caller());
    let effect = match happened {
        Happened::Arrived if !is_single(plan, place) => Effect::Refuse(Unfit::NoSuchPlace(place.clone())),
        Happened::Arrived => Effect::Take,
        Happened::Unfit(unfit) => Effect::Refuse(unfit),
        Happened::Taken(payload) => Effect::Run(payload),
        Happened::Done(payload) => match plan.segment(place).and_then(|segment| segment.next()) {
            Some(next) => Effect::Forward(Token::new(next.clone(), payload)),
            None => return end(caller, Outcome::Success, payload),
        },
        Happened::Failed(failure) => Effect::Ask(failure),
        Happened::Replied(payload) => return end(caller, Outcome::Failure, payload),
        Happened::Resolved { resolution, by, unhandled } => {
            return match resolution {
                // The payload becomes the output of the sub-flow.
                Some(Resolution::Recovered(payload)) if by != BodyIndex::default() => match plan.end_of(by) {
                    Follow::Next(next) => Effects(Pending::One(Effect::Forward(Token::new(next.clone(), payload)))),
                    _ => end(caller, Outcome::Success, payload),
                },
                Some(Resolution::Recovered(payload)) => end(caller, Outcome::Recovered, payload),
                Some(Resolution::Replied(payload)) => end(caller, Outcome::Failure, payload),
                Some(Resolution::Declined | Resolution::Failed(_)) | None => end(caller, Outcome::Failure, unhandled),
            };
        }
        Happened::Forwarded => Effect::AnswerForwarded,
        Happened::Outage(outage) => Effect::ComeAgain(outage),
    };
    Effects(Pending::One(effect))
}

/// Whether the token at a place is the only one of its request until the end.
fn is_single(plan: &Plan, place: &Place) -> bool {
    let Some(mut segment) = plan.segment(place) else { return false };
    if !plan.needs_store() {
        return true;
    }
    while let Follow::Next(next) = segment.follow() {
        let Some(found) = plan.segment(&place.sibling(next)) else { return false };
        segment = found;
    }
    *segment.follow() == Follow::End
}

fn end(caller: Caller, outcome: Outcome, payload: Payload) -> Effects {
    let on_outage = match caller {
        Caller::Waits => OnOutage::GoOn,
        Caller::Left => OnOutage::ComeAgain,
    };
    Effects(Pending::End { stage: EndStage::Report, outcome, payload, on_outage })
}
