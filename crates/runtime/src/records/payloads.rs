//! The payloads of a request, to show them: what a place begins with, its output, and the answer that made it fail.

mod secret_values;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faasflow_core::definition::{HIDDEN, SECRET, masked_text};
use faasflow_core::envelope::Carried;
use faasflow_core::graph::{CompositeKind, Place, Segment};
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{Ended, FailedAnswer, Find, Input, MemberRecord, find};
use faasflow_core::state::{Key, Scope, StateManager as _};
use faasflow_core::{MemberOutcome, Payload, RequestInfo};
use faasflow_http::{NoRoom, ReadBodyError};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::not_done::NotDone;
use super::progress::{NotFound, Opened};
use crate::delivery::list_item;
use crate::forward::NoPayload;
use crate::instance::Instance;
use crate::observers::Observers;
use crate::retrying_state::RetryingState;

/// The content type of what is joined: members of a graph or for-each, with their outcomes and outputs.
pub(super) const MEMBERS: &str = "application/vnd.faasflow.members+json";
/// The most that is shown of the outputs that are joined, in bytes. Of the others, only the size is told.
const JOINED: usize = 1 << 20;

/// A payload of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// What a place begins with.
    Input,
    /// Its output.
    Output,
    /// The answer of the function that made it fail.
    Answer,
}

/// A payload as it is shown to people.
pub(super) struct ShownPayload {
    pub(super) payload: Payload,
    /// Whether values of secret fields are left out of it.
    pub(super) is_masked: bool,
}

/// The answer that made a place fail, as it is kept.
pub(super) struct KeptAnswer {
    pub(super) answer: FailedAnswer,
    /// The values that may be in it, and that people are not shown.
    pub(super) secrets: Vec<String>,
}

/// What became of a member, as it is shown.
#[derive(Default, Serialize)]
struct ToldMember {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The size of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Its output as it was written, if it is JSON and not too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
}

/// The refusal of a request for which there is no room.
pub(super) fn no_room(full: NoRoom) -> NotDone {
    let error = ReadBodyError::from(full);
    NotDone::Refused(StatusCode::SERVICE_UNAVAILABLE, error.code(), format!("{error}; try again later"))
}

/// Why a payload is not shown.
const GONE: &str = "the payload is no longer kept";
/// How long a payload waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the payloads of a request are read from.
pub(super) struct Shelves<'a> {
    instance: &'a Instance,
    manager: RetryingState,
    scope: &'a Scope,
    opened: Opened,
    /// Whether values of secret fields were left out.
    is_masked: AtomicBool,
}

/// The members of a graph or for-each whose outputs a place begins with.
struct Members {
    /// Their names, if they are branches of a graph.
    names: Option<Vec<String>>,
    members: Vec<(MemberOutcome, Key)>,
}

impl Instance {
    /// A payload that is recorded, with room for it in the budget. `gone` says what to do if it is not kept any more.
    pub(super) async fn recorded(
        &self,
        carried: Carried,
        info: &RequestInfo,
        manager: &RetryingState,
        gone: &str,
    ) -> Result<Payload, NotDone> {
        let mut share = self.budget.answer_share(PATIENCE);
        if let Carried::Stored(reference) = &carried {
            share.make_room(reference.bytes()).await.map_err(no_room)?;
        }
        let observers = Observers::for_request(info.id.clone(), &self.metrics);
        let payload = match self.take(carried, info, Some(manager), &observers).await {
            Ok(payload) => payload,
            Err(NoPayload::Unfit(_)) => return Err(NotDone::NotThere(gone.to_owned())),
            Err(NoPayload::Outage(outage)) => return Err(NotDone::Outage(outage)),
            Err(NoPayload::Failed(error)) => {
                return Err(NotDone::Outage(Outage::state_unreachable(format!("{error:#}"))));
            }
        };
        let content_type = payload.content_type_header().cloned();
        Ok(Payload::new(share.keep(payload.into_bytes())).with_content_type_header(content_type))
    }

    /// A payload of a place; without a place, what the request was sent with. The future is boxed here, because the compiler cannot
    /// prove from the outside that it can move between threads.
    pub(super) fn shown<'a>(
        &'a self,
        scope: &'a Scope,
        place: Option<&'a Place>,
        shown: Shown,
    ) -> BoxFuture<'a, Result<ShownPayload, NotDone>> {
        Box::pin(self.show(scope, place, shown))
    }

    async fn show(&self, scope: &Scope, place: Option<&Place>, shown: Shown) -> Result<ShownPayload, NotDone> {
        let shelves = self.shelves(scope).await?;
        let Some(place) = place else {
            let payload = shelves.fetch(shelves.opened.first.payload.clone()).await?;
            return Ok(ShownPayload { payload, is_masked: shelves.has_masked() });
        };
        let (input, record) = shelves.find(place).await?;
        let payload = match shown {
            Shown::Input => shelves.input(place, input).await,
            Shown::Output => match record {
                Some(record) if record.ended != Ended::Failed => shelves.fetch(record.output).await,
                Some(_) => Err(NotDone::NotThere(format!("the place `{place}` has failed, so it has no output"))),
                None => Err(NotDone::NotThere(format!("the place `{place}` has not ended, so it has no output yet"))),
            },
            Shown::Answer => {
                let KeptAnswer { answer, secrets } = shelves.answer(place, input).await?;
                shelves.is_masked.fetch_or(answer.is_body_masked, Ordering::Relaxed);
                let body = shelves.masked(&answer.body);
                Ok(shelves.noting(&body, without(&body, &secrets)))
            }
        }?;
        Ok(ShownPayload { payload, is_masked: shelves.has_masked() })
    }

    /// The answer that made a place fail.
    pub(super) fn kept_answer<'a>(
        &'a self,
        scope: &'a Scope,
        place: &'a Place,
    ) -> BoxFuture<'a, Result<KeptAnswer, NotDone>> {
        Box::pin(async move {
            let shelves = self.shelves(scope).await?;
            let (input, _) = shelves.find(place).await?;
            shelves.answer(place, input).await
        })
    }

    /// Where the payloads of this request are read from.
    pub(super) async fn shelves<'a>(&'a self, scope: &'a Scope) -> Result<Shelves<'a>, NotDone> {
        let manager = self.records(self.time_to_answer().state_in_steps());
        let opened = self.kept(&manager, scope).await?;
        Ok(Shelves { instance: self, manager, scope, opened, is_masked: AtomicBool::new(false) })
    }
}

/// How often a payload has the text that is shown instead of a secret value. The author's text may have it too.
fn count_of_masks(payload: &Payload) -> usize {
    payload.bytes().windows(SECRET.len()).filter(|part| *part == SECRET.as_bytes()).count()
}

/// A payload without these values, where it is text.
fn without(payload: &Payload, values: &[String]) -> Payload {
    match std::str::from_utf8(payload.bytes()) {
        Ok(text) if !values.is_empty() => {
            let masked = masked_text(text, values).into_owned();
            Payload::new(masked).with_content_type_header(payload.content_type_header().cloned())
        }
        _ => payload.clone(),
    }
}

impl Shelves<'_> {
    /// The request, as it was sent.
    pub(super) fn info(&self) -> &RequestInfo {
        &self.opened.info
    }

    /// What a place begins with, and how it ended.
    async fn find(&self, place: &Place) -> Result<(Input, Option<Box<MemberRecord>>), NotDone> {
        let route = self.opened.begun.route(&self.instance.flow);
        let mut first = self.opened.first.clone();
        // With another definition, the places meant something else before.
        if place.generation() < first.place.generation() && !self.opened.has_changed {
            first.place = first.place.in_generation(place.generation());
        }
        let mut found = HashMap::new();
        loop {
            match find(route, &first, place, &found) {
                Find::Needs(keys) => self.manager.read_into(&mut found, self.scope, keys).await?,
                Find::Found { input, record } => return Ok((*input, record)),
                Find::Nowhere => {
                    let why = format!(
                        "the request has not reached the place `{place}`, or has no such place; its status lists them"
                    );
                    return Err(NotDone::NotThere(why));
                }
                Find::Unreadable => {
                    let detail = format!("what leads to the place `{place}` is not there, or cannot be read");
                    return Err(NotDone::Outage(Outage::state_unreachable(detail)));
                }
            }
        }
    }

    /// The answer that made a place fail. `input` is what the place began with.
    async fn answer(&self, place: &Place, input: Input) -> Result<KeptAnswer, NotDone> {
        let key = FailedAnswer::key(place);
        let Some(value) = self.manager.get(self.scope, key.as_str()).await? else {
            let why = format!("the place `{place}` did not fail because of an answer, or the answer was not kept");
            return Err(NotDone::NotThere(why));
        };
        let answer = FailedAnswer::decode(&value).ok_or(NotFound::Unreadable(key))?;
        let secrets = self.secret_values_at(place, input).await?;
        Ok(KeptAnswer { answer, secrets })
    }

    /// A payload as it may be shown to people.
    async fn fetch(&self, carried: Carried) -> Result<Payload, NotDone> {
        Ok(self.masked(&self.taken(carried).await?))
    }

    /// A payload as it was stored.
    async fn taken(&self, carried: Carried) -> Result<Payload, NotDone> {
        self.instance.recorded(carried, &self.opened.info, &self.manager, GONE).await
    }

    /// Without the values of the flow's secret fields.
    fn masked(&self, payload: &Payload) -> Payload {
        self.noting(payload, self.instance.flow.secrets().shown(payload))
    }

    /// Notes whether a payload is not shown as it is.
    fn noting(&self, payload: &Payload, shown: Payload) -> Payload {
        let is_hidden = shown.bytes() == HIDDEN.as_bytes() && payload.bytes() != HIDDEN.as_bytes();
        let is_less = is_hidden || count_of_masks(&shown) > count_of_masks(payload);
        self.is_masked.fetch_or(is_less, Ordering::Relaxed);
        shown
    }

    fn has_masked(&self) -> bool {
        self.is_masked.load(Ordering::Relaxed)
    }

    async fn input(&self, place: &Place, input: Input) -> Result<Payload, NotDone> {
        match input {
            Input::Carried(carried) => self.fetch(carried).await,
            Input::Item { chunk, index } => Ok(self.masked(&self.item(&chunk, index).await?)),
            input => self.told(self.members(place, input)).await,
        }
    }

    /// An item of a list, as it was stored.
    async fn item(&self, chunk: &Key, index: u32) -> Result<Payload, NotDone> {
        let found = self.manager.get(self.scope, chunk.as_str()).await?;
        let item = found.and_then(|chunk| list_item(&chunk, index as usize));
        item.ok_or_else(|| NotDone::NotThere("the list of items is no longer kept".to_owned()))
    }

    /// The members whose outputs a place begins with.
    fn members(&self, place: &Place, input: Input) -> Members {
        let route = self.opened.begun.route(&self.instance.flow);
        let plan = route.plan();
        match input {
            Input::Branches(branches) => {
                let owner = plan.segment(place).and_then(|segment| plan.body(segment.body()).owner());
                let names = owner.map(|(composite, _)| plan.composite(composite).branches());
                let name =
                    |index: usize| names.and_then(|names| names.get(index)).map(|branch| branch.name().to_string());
                let (names, members) = branches
                    .into_iter()
                    .map(|(index, key)| (name(index).unwrap_or_default(), (MemberOutcome::Done, key)))
                    .unzip();
                Members { names: Some(names), members }
            }
            Input::Join { members, .. } => {
                let outline = plan.segment(place).and_then(Segment::joins).map(|composite| plan.composite(composite));
                let names = outline
                    .filter(|outline| outline.kind() == CompositeKind::Graph)
                    .map(|outline| outline.branches().iter().map(|branch| branch.name().to_string()).collect());
                Members { names, members }
            }
            other => unreachable!("nobody knows how to show the input {other:?}"),
        }
    }

    /// What became of members: an object by their names, or a list if they have none.
    async fn told(&self, Members { names, members }: Members) -> Result<Payload, NotDone> {
        let keys: Vec<Key> = members.iter().map(|(_, key)| key.clone()).collect();
        let found = self.manager.read_all(self.scope, &keys).await?;
        let mut room = JOINED;
        let (open, close) = if names.is_some() { ("{", "}") } else { ("[", "]") };
        let mut text = open.to_owned();
        for (at, ((outcome, _), value)) in members.into_iter().zip(found).enumerate() {
            let record = value.as_ref().and_then(MemberRecord::decode);
            let told = self.member(outcome, record, &mut room).await?;
            text.push_str(if at == 0 { "" } else { "," });
            if let Some(name) = names.as_ref().map(|names| names.get(at).map_or("", String::as_str)) {
                text.push_str(&json(&name));
                text.push(':');
            }
            text.push_str(&json(&told));
        }
        text.push_str(close);
        Ok(Payload::new(text).with_content_type(MEMBERS))
    }

    async fn member(
        &self,
        outcome: MemberOutcome,
        record: Option<MemberRecord>,
        room: &mut usize,
    ) -> Result<ToldMember, NotDone> {
        let mut told = ToldMember { outcome: outcome.as_str(), ..ToldMember::default() };
        match (outcome, record) {
            (MemberOutcome::Failed, Some(record)) => told.reason = record.reason.map(|reason| reason.text),
            (MemberOutcome::Done, Some(record)) => {
                let bytes = match &record.output {
                    Carried::Inline(payload) => payload.len() as u64,
                    Carried::Stored(reference) => reference.bytes(),
                };
                told.bytes = Some(bytes);
                if let Some(rest) = usize::try_from(bytes).ok().and_then(|bytes| room.checked_sub(bytes)) {
                    *room = rest;
                    let output = self.fetch(record.output).await?;
                    told.content_type = output.content_type().map(str::to_owned);
                    // What is not JSON may be anything, such as a picture.
                    told.output = serde_json::from_slice(output.bytes()).ok();
                }
            }
            // It had not ended when the join was decided, or has not ended.
            _ => {}
        }
        Ok(told)
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data")
}
