//! What has become of a request, as the API answers it.

use faasflow_admin as api;
use faasflow_core::RequestInfo;
use faasflow_core::graph::{Follow, Place, Segment};
use faasflow_core::machine::Route;
use faasflow_core::machine::forked::{
    self, Ahead, Attempt, CallTimes, Ended, Members, PlaceProgress, Reason, Standing, StepTimes, Steps, WaitsFor,
};
use faasflow_core::state::Status;

use super::called::called;
use super::listed::chosen;
use super::progress::Remembered;
use crate::definitions::BegunWith;
use crate::forward::call_id;
use crate::instance::Instance;
use crate::observers::{joined_labels, path_names};

/// What has become of a request.
pub(super) fn status(instance: &Instance, remembered: &Remembered) -> api::FlowRequest {
    let status = remembered.status();
    let mut told = api::FlowRequest::default();
    told.version = api::REQUESTS_VERSION;
    told.id = remembered.info.id.to_string();
    told.flow = remembered.info.flow.to_string();
    told.status = status_of(status);
    told.generation = remembered.generation().into();
    told.started_ms = remembered.began_ms;
    told.moved_ms = remembered.moved_ms();
    told.ended_ms = remembered.progress.end.as_ref().map(|end| end.at_ms);
    told.keys.clone_from(&remembered.keys);
    told.repeats.clone_from(&remembered.repeats);
    told.is_deployed = Some(matches!(remembered.begun, BegunWith::Deployed));
    told.reason = why(remembered, status);
    let trace = instance.tracer.begin(&remembered.info, &remembered.first.place, None);
    told.trace_id = trace.sampled_id().map(|id| id.to_string());
    let route = remembered.begun.route(&instance.flow);
    let chosen = chosen(route.plan(), &remembered.progress.places);
    let tell = |progress: &&PlaceProgress| {
        let mut told = place(route, &remembered.info, progress);
        told.unlisted = chosen.unlisted(&progress.place);
        told
    };
    told.places = chosen.places.iter().map(tell).collect();
    told.ahead = ahead(instance, remembered);
    told
}

/// The places ahead of a request that have not begun.
pub(super) fn ahead(instance: &Instance, remembered: &Remembered) -> Vec<api::Place> {
    if remembered.progress.end.is_some() {
        return Vec::new();
    }
    let route = remembered.begun.route(&instance.flow);
    let texts = |places: Vec<Place>| places.iter().map(ToString::to_string).collect();
    let tell = |ahead: Ahead| {
        let mut told = place(route, &remembered.info, &PlaceProgress::not_begun(&ahead.place, Standing::Waiting));
        let mut waits_for = api::WaitsFor::default();
        (waits_for.what, waits_for.places) = match ahead.waits_for {
            WaitsFor::Places(places) => (api::Waits::Places, texts(places)),
            WaitsFor::Branches(places) => (api::Waits::Branches, texts(places)),
            WaitsFor::Members(place) => (api::Waits::Members, texts(vec![place])),
            _ => (api::Waits::Unknown, Vec::new()),
        };
        told.waits_for = Some(waits_for);
        told
    };
    forked::ahead(route.plan(), &remembered.progress.places).into_iter().map(tell).collect()
}

/// The status as the API writes it.
pub(super) fn status_of(status: Status) -> api::RequestStatus {
    match status {
        Status::Running => api::RequestStatus::Running,
        Status::Paused => api::RequestStatus::Paused,
        Status::Parked => api::RequestStatus::Parked,
        Status::Success => api::RequestStatus::Success,
        Status::Recovered => api::RequestStatus::Recovered,
        Status::Failure => api::RequestStatus::Failure,
        Status::Stopped => api::RequestStatus::Stopped,
    }
}

/// Why a request has failed, was recovered, or is parked.
pub(super) fn why(remembered: &Remembered, status: Status) -> Option<api::RequestReason> {
    if status == Status::Stopped {
        return Some(reason_of(&super::ended::stopped(), None));
    }
    if let Some(parked) = &remembered.progress.parked {
        let mut told = api::RequestReason::default();
        told.place = Some(parked.place.clone());
        told.text = format!(
            "the flow was deployed with another definition while the request was in progress: it was `{}` and is `{}` now; deploy \
             the old definition and resume the request, start it again from a phase, or stop it",
            parked.shape, parked.deployed
        );
        told.code = Some(faasflow_core::code::OTHER_DEFINITION.to_string());
        return Some(told);
    }
    let record = remembered.progress.end.as_ref()?.record.as_deref()?;
    let is_end = |place: &&PlaceProgress| record.ends_with(&format!("/{}", place.place));
    let places = &remembered.progress.places;
    let last = places.iter().find(is_end)?;
    // A reply inside a branch ends the request after its join. The reason belongs to the place in the branch.
    let is_reply = |place: &PlaceProgress| place.ended() == Some(Ended::Replied);
    let replied = |place: &&PlaceProgress| is_reply(place) && place.reason == last.reason;
    let place = Some(last).filter(|last| is_reply(last)).and_then(|_| places.iter().find(replied)).unwrap_or(last);
    place.reason.as_ref().map(|reason| reason_of(reason, Some(&place.place.to_string())))
}

/// A reason. `place` is where it happened, if that is to be said.
pub(super) fn reason_of(reason: &Reason, place: Option<&str>) -> api::RequestReason {
    let mut told = api::RequestReason::default();
    told.place = place.map(str::to_owned);
    told.step = u32::try_from(reason.step).ok().filter(|step| *step > 0);
    told.name = Some(reason.name.clone());
    told.text.clone_from(&reason.text);
    told.code = Some(reason.code.clone());
    told
}

/// A time, if it is known.
pub(super) fn known(ms: u64) -> Option<u64> {
    (ms > 0).then_some(ms)
}

/// The times of steps, and how many are left out.
fn step_times(steps: &Steps) -> (Vec<api::StepTimes>, u64) {
    let call = |call: &CallTimes| {
        let mut told = api::CallTimes::default();
        (told.began_ms, told.done_ms, told.status) = (call.began_ms, call.done_ms, call.status);
        told.text = Some(call.reason.clone()).filter(|reason| !reason.is_empty());
        told
    };
    let step = |step: &StepTimes| {
        let mut told = api::StepTimes::default();
        told.step = u32::try_from(step.step).unwrap_or(u32::MAX);
        told.name.clone_from(&step.name);
        told.branch = Some(step.branch.clone()).filter(|branch| !branch.is_empty());
        (told.began_ms, told.done_ms, told.failed) = (step.began_ms, step.done_ms, step.failed);
        told.calls = step.calls.iter().map(call).collect();
        told.earlier_calls = step.earlier_calls.into();
        told
    };
    (steps.listed.iter().map(step).collect(), steps.unlisted.into())
}

fn attempt(attempt: &Attempt) -> api::Attempt {
    let mut told = api::Attempt::default();
    (told.step_times, told.unlisted_steps) = step_times(&attempt.steps);
    (told.began_ms, told.given_up_ms) = (known(attempt.began_ms), attempt.given_up_ms);
    (told.text, told.code) = (attempt.reason.clone(), attempt.code.clone());
    told
}

/// The deliveries of a place that were given up.
fn given_up(progress: &PlaceProgress) -> Vec<api::Attempt> {
    progress.tried.iter().flat_map(|tried| &tried.attempts).map(attempt).collect()
}

/// The answer that made a place fail, if it is known.
fn function_answer(progress: &PlaceProgress) -> Option<api::FunctionAnswer> {
    let answer = progress.answer.as_ref()?;
    let mut told = api::FunctionAnswer::default();
    (told.status, told.bytes, told.content_type) = (answer.status, answer.bytes, answer.content_type.clone());
    Some(told)
}

/// A place as lists show it: which one it is, and how far it is.
pub(super) fn brief(route: Route<'_>, info: &RequestInfo, progress: &PlaceProgress) -> api::Place {
    let plan = route.plan();
    let segment = plan.segment(&progress.place);
    let mut told = api::Place::default();
    told.place = progress.place.to_string();
    told.path = path_names(plan, &progress.place);
    told.label = Some(joined_labels(progress.labels.iter().map(String::as_str))).filter(|label| !label.is_empty());
    told.phase = u32::try_from(progress.place.phase()).unwrap_or(u32::MAX);
    told.steps = match (route.segment(&progress.place), segment.zip(route.earlier())) {
        (Some(deployed), _) => deployed.steps().map(|step| route.flow().step(step).name().to_string()).collect(),
        (None, Some((segment, earlier))) => segment.steps().map(|step| earlier.step_name(step).to_owned()).collect(),
        (None, None) => Vec::new(),
    };
    told.status = place_status(progress);
    if told.status == api::PlaceStatus::Waiting {
        let mut waits_for = api::WaitsFor::default();
        waits_for.what = api::Waits::Resume;
        told.waits_for = Some(waits_for);
    }
    told.began_ms = began_ms(progress);
    told.last_began_ms = known(progress.times.began_ms);
    told.queued_ms = known(progress.times.queued_ms);
    told.done_ms = known(progress.times.done_ms);
    if progress.place != plan.start() {
        told.call_id = Some(call_id(info, &progress.place).to_string());
    }
    told.attempts = attempts(progress);
    told.reason = place_reason(progress);
    told.members = progress.members.map(members);
    told
}

/// A place with all that is known of it.
pub(super) fn place(route: Route<'_>, info: &RequestInfo, progress: &PlaceProgress) -> api::Place {
    let plan = route.plan();
    let mut told = brief(route, info, progress);
    told.given_up = given_up(progress);
    (told.step_times, told.unlisted_steps) = step_times(&progress.times.steps);
    told.answer = function_answer(progress);
    told.output = progress.output.as_ref().map(|output| {
        let mut told = api::Output::default();
        (told.bytes, told.content_type) = (output.bytes, output.content_type.clone());
        told
    });
    let chosen = progress.chosen.zip(plan.segment(&progress.place).map(Segment::follow));
    told.chosen = chosen.and_then(|(branch, follow)| {
        let Follow::Choose(composite) = follow else { return None };
        Some(plan.composite(*composite).branches().get(branch)?.name().to_string())
    });
    let may_have_begun = match progress.standing {
        Standing::Waiting => false,
        Standing::Stopped => told.began_ms.is_some(),
        _ => true,
    };
    if may_have_begun {
        told.called = called(route, info, &progress.place);
    }
    told
}

/// How far a place is.
pub(super) fn place_status(progress: &PlaceProgress) -> api::PlaceStatus {
    match progress.standing {
        Standing::Ended(Ended::Done) if progress.is_recovered => api::PlaceStatus::Recovered,
        Standing::Ended(Ended::Done) => api::PlaceStatus::Done,
        Standing::Ended(Ended::Failed) => api::PlaceStatus::Failed,
        Standing::Ended(Ended::Replied) => api::PlaceStatus::Replied,
        Standing::Running if progress.tried.is_some() => api::PlaceStatus::Retrying,
        Standing::Running => api::PlaceStatus::Running,
        Standing::Waiting => api::PlaceStatus::Waiting,
        Standing::Stopped => api::PlaceStatus::Stopped,
        _ => api::PlaceStatus::Unknown,
    }
}

/// When a place began, if it is known.
pub(super) fn began_ms(progress: &PlaceProgress) -> Option<u64> {
    let first_tried = progress.tried.as_ref().map(|tried| tried.first_ms);
    first_tried.or(known(progress.times.began_ms))
}

/// How often a place was delivered.
pub(super) fn attempts(progress: &PlaceProgress) -> u32 {
    let given_up = progress.tried.as_ref().map_or(0, |tried| tried.times);
    given_up + u32::from(progress.ended().is_some())
}

/// Why a place failed, or why its last delivery was given up.
pub(super) fn place_reason(progress: &PlaceProgress) -> Option<api::RequestReason> {
    progress.reason.as_ref().map(|reason| reason_of(reason, None)).or_else(|| {
        let tried = progress.tried.as_ref().filter(|_| progress.ended().is_none())?;
        let mut told = api::RequestReason::default();
        told.text.clone_from(&tried.reason);
        told.code = Some(tried.code.clone());
        Some(told)
    })
}

/// What became of a place in an earlier generation. Without details, it says that they are left out.
pub(super) fn earlier(progress: &PlaceProgress, with_details: bool) -> api::EarlierGeneration {
    let mut told = api::EarlierGeneration::default();
    told.generation = progress.place.generation().into();
    told.place = progress.place.to_string();
    told.status = place_status(progress);
    (told.began_ms, told.done_ms) = (began_ms(progress), known(progress.times.done_ms));
    told.last_began_ms = known(progress.times.began_ms);
    told.attempts = attempts(progress);
    told.reason = place_reason(progress);
    if with_details {
        told.given_up = given_up(progress);
        (told.step_times, told.unlisted_steps) = step_times(&progress.times.steps);
        told.answer = function_answer(progress);
    }
    told.details_left_out = !with_details;
    told
}

/// How many members there are, by their statuses.
pub(super) fn members(members: Members) -> api::Members {
    let mut told = api::Members::default();
    told.all = members.all.into();
    told.at_most = Some(members.at_most).filter(|at_most| *at_most < members.all).map(Into::into);
    told.waiting = members.waiting.into();
    told.running = members.running.into();
    told.done = members.done.into();
    told.failed = members.failed.into();
    told.stopped = members.stopped.into();
    told
}
