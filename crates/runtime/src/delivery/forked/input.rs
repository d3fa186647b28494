//! What a phase begins with: the payload of its token, an item of a list, or what became of branches.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::envelope::Carried;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::CompositeIndex;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{Input, MemberRecord, Verdict};
use faasflow_core::state::Key;
use faasflow_core::{Error, MemberOutcome, MemberResult, Payload};
use faasflow_http::Share;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::chunk;
use super::perform::{Begin, Performer, Stop};
use crate::observers::Event;
use crate::step::{Unanswered, outputs_before};

/// What became of members, and the share of the bytes in flight that their outputs have.
type Gathered = (Vec<MemberResult>, Share);

/// How many outputs are fetched at once.
const AT_ONCE: usize = 16;

impl<'a> Performer<'a> {
    pub(super) async fn begin(&self, input: Input) -> Result<Begin, Stop<'a>> {
        match input {
            Input::Carried(carried) => Ok(Begin::Steps(self.fetch(carried).await?)),
            Input::Item { chunk, index } => {
                let found = self.read(&chunk).await?.ok_or_else(|| self.not_shown(&chunk))?;
                let item = chunk::item(&found, index as usize).ok_or_else(|| self.unexpected(&chunk))?;
                Ok(Begin::Steps(item))
            }
            Input::Branches(branches) => self.begin_after(branches).await,
            Input::Join { composite, verdict, members, known, decider } => {
                if verdict == Verdict::Replied {
                    let decider = decider.and_then(|decider| members.get(decider as usize));
                    let (_, key) = decider.expect("a join that was replied to has a member that replied");
                    let record = self.read(key).await?.ok_or_else(|| self.not_shown(key))?;
                    let record = self.decode(&record, key)?;
                    return Ok(Begin::Reply(record.output, record.reason));
                }
                match self.results(members, known).await? {
                    Ok((results, _room)) => self.begin_join(composite, verdict, results).await,
                    Err(kind) => Ok(self.not_begun(composite, kind)),
                }
            }
            other => unreachable!("the driver does not know the input {other:?}"),
        }
    }

    async fn begin_join(
        &self,
        composite: CompositeIndex,
        verdict: Verdict,
        results: Vec<MemberResult>,
    ) -> Result<Begin, Stop<'a>> {
        let (flow, execution) = (&self.instance.flow, self.execution);
        if verdict == Verdict::Failed {
            return Ok(Begin::Failure(execution.members_failed(flow, composite, results)));
        }
        match execution.join(flow, composite, results).await {
            Ok(payload) => Ok(Begin::Steps(payload)),
            Err(Unanswered::Failed(kind)) => {
                Ok(Begin::Failure(execution.composite_failed(flow, composite, kind, Payload::empty())))
            }
            Err(Unanswered::Outage(outage)) => Err(self.outage(outage)),
        }
    }

    /// The outputs of the branches that this branch comes after.
    async fn begin_after(&self, branches: Vec<(usize, Key)>) -> Result<Begin, Stop<'a>> {
        let flow = &self.instance.flow;
        let segment = self.segment();
        let owner = flow.plan().body(segment.body()).owner();
        let (composite, _) = owner.expect("a branch of a graph has an owner");
        let (indices, keys): (Vec<usize>, Vec<Key>) = branches.into_iter().unzip();
        let members = keys.into_iter().map(|key| (MemberOutcome::Done, key)).collect();
        let outputs = match self.results(members, Vec::new()).await? {
            Ok((results, _room)) => outputs_before(flow, composite, indices.into_iter().zip(results)),
            Err(kind) => Err(kind),
        };
        Ok(outputs.map_or_else(|kind| self.not_begun(composite, kind), Begin::Steps))
    }

    fn not_begun(&self, composite: CompositeIndex, kind: FailureKind) -> Begin {
        let flow = &self.instance.flow;
        Begin::Failure(self.execution.composite_failed(flow, composite, kind, Payload::empty()))
    }

    /// What became of each member, with its output or the reason of its failure. Values that are not `known` are read. The outputs have a
    /// share of the bytes in flight. The inner error means that there can never be room for all of them.
    async fn results(
        &self,
        members: Vec<(MemberOutcome, Key)>,
        mut known: Vec<Option<Bytes>>,
    ) -> Result<Result<Gathered, FailureKind>, Stop<'a>> {
        let is_recorded = |outcome| matches!(outcome, MemberOutcome::Done | MemberOutcome::Failed);
        known.resize(members.len(), None);
        let to_read =
            members.iter().zip(&known).filter(|((outcome, _), known)| is_recorded(*outcome) && known.is_none());
        let keys: Vec<Key> = to_read.map(|((_, key), _)| key.clone()).collect();
        let mut found = if keys.is_empty() { Vec::new() } else { self.read_all(&keys).await? }.into_iter();
        let (mut spans, mut spans_of_failures) = (Vec::new(), Vec::new());
        let mut records = Vec::with_capacity(members.len());
        let mut bytes = 0;
        for ((outcome, key), known) in members.into_iter().zip(known) {
            let record = if is_recorded(outcome) {
                let value = known.or_else(|| found.next().flatten()).ok_or_else(|| self.not_shown(&key))?;
                let mut record = self.decode(&value, &key)?;
                match outcome {
                    MemberOutcome::Failed => spans_of_failures.extend(record.span.take()),
                    _ => spans.extend(record.span.take()),
                }
                bytes += match &record.output {
                    Carried::Inline(payload) => payload.len() as u64,
                    Carried::Stored(reference) => reference.bytes(),
                };
                Some(record)
            } else {
                None
            };
            records.push((outcome, record));
        }
        spans_of_failures.append(&mut spans);
        self.execution.observers.emit(&Event::Joined { spans: &spans_of_failures });
        let mut room = self.instance.budget.request_share();
        if let Err(full) = room.make_room(bytes).await {
            return match full.is_temporary() {
                true => {
                    Err(self.outage(Outage::new(full.code(), "there is no room for the outputs now", full.to_string())))
                }
                false => {
                    let why = format!(
                        "the outputs of all branches are too large: {full}; the setting is `max_inflight_bytes`"
                    );
                    Ok(Err(FailureKind::Handler(Arc::new(Error::refused(why)))))
                }
            };
        }
        // Large outputs are stored apart from their records, and many of them would take too long one after the other.
        let results = futures_util::stream::iter(records).map(|(outcome, record)| self.result(outcome, record));
        let results = results.buffered(AT_ONCE).try_collect().await?;
        Ok(Ok((results, room)))
    }

    fn result(
        &self,
        outcome: MemberOutcome,
        record: Option<MemberRecord>,
    ) -> BoxFuture<'_, Result<MemberResult, Stop<'a>>> {
        Box::pin(async move {
            Ok(match (outcome, record) {
                (MemberOutcome::Done, Some(record)) => MemberResult::Done(self.fetch(record.output).await?),
                (_, Some(record)) => MemberResult::Failed(record.reason.map(|reason| reason.text).unwrap_or_default()),
                (outcome, None) => MemberResult::Other(outcome),
            })
        })
    }

    fn decode(&self, value: &Bytes, key: &Key) -> Result<MemberRecord, Stop<'a>> {
        MemberRecord::decode(value).ok_or_else(|| self.unexpected(key))
    }

    /// The store does not show a key that was written. That is never an empty value.
    fn not_shown(&self, key: &Key) -> Stop<'a> {
        self.outage(Outage::state_unreachable(format!("it does not show `{key}` yet, which was written")))
    }

    /// The value of a key is not what was written. The delivery comes again, because only a person can mend that.
    fn unexpected(&self, key: &Key) -> Stop<'a> {
        self.outage(Outage::state_unreachable(format!("the value of `{key}` is not the one that was written")))
    }
}
