//! Performs the effects of a delivery that no other delivery can observe, up to the next one that is observable.

use bytes::{BufMut as _, Bytes, BytesMut};
use faasflow_core::envelope::{Carried, List};
use faasflow_core::graph::Place;
use faasflow_core::machine::forked::{
    Answer, Effect, Ended, Input, Journal, MemberRecord, Ran, Reason, Resolved, Times, Verdict, chunk_key, over_key,
};
use faasflow_core::state::Key;
use faasflow_core::{Failure, MemberOutcome, MemberResult, Payload, Resolution};

use super::hashing::hash;
use super::state::State;
use super::steps::{Steps, Stop, reason};
use super::world::{Broken, Knowledge, Local, World};

/// Small, so that a list of three has more than one chunk.
const PER_CHUNK: u32 = 2;

impl World<'_> {
    /// Continues a delivery as long as the timing does not matter, because it executes code or reads values that never change.
    pub(super) fn settle(&mut self, state: &mut State, mut local: u32) -> Result<(), Broken> {
        loop {
            let this = self.locals[local as usize].clone();
            let Local { message, effect, .. } = &*this;
            let message = *message;
            local = match effect {
                Effect::Read(key) => match self.find(state, key) {
                    Some(value) => {
                        self.count(message, 1, 0);
                        self.next(local, Answer::Found(Some(value)))
                    }
                    // This is the last read of a delivery. If it came later, the delivery would only remove data again.
                    None if key.as_str().starts_with("finished@") => {
                        self.count(message, 1, 0);
                        self.next(local, Answer::Found(None))
                    }
                    None => break,
                },
                Effect::Create(key, value) if key.as_str().starts_with("posted/") => {
                    self.count(message, 0, 1);
                    self.mark(state, key, value);
                    self.next(local, Answer::Stands(value.clone()))
                }
                Effect::Create(key, _) => match self.find(state, key) {
                    Some(value) => {
                        self.count(message, 0, 1);
                        self.next(local, Answer::Stands(value))
                    }
                    None => break,
                },
                Effect::Enter(entrant) => match self.find(state, entrant.key()) {
                    Some(value) => {
                        self.count(message, 0, 1);
                        self.next(local, Answer::Stands(value))
                    }
                    None => break,
                },
                Effect::CountEntries(_) => match self.knowledge(local) {
                    Knowledge::Nothing => self.next(local, Answer::Entries(None)),
                    Knowledge::Fork => self.next(local, Answer::Entries(Some(0))),
                    Knowledge::All => break,
                },
                Effect::ReadAll(keys) => {
                    let found: Vec<_> = keys.iter().map(|key| self.find(state, key)).collect();
                    match found.iter().all(Option::is_some) {
                        true => {
                            self.count(message, keys.len(), 0);
                            self.next(local, Answer::FoundAll(found))
                        }
                        false => break,
                    }
                }
                Effect::Execute(input) => match self.execute(state, local, input)? {
                    Some(next) => next,
                    None => {
                        // The request has ended in the meantime, so its data is gone. A driver then has the delivery come
                        // again.
                        state.enqueue(self.locals[local as usize].message);
                        return Ok(());
                    }
                },
                Effect::Ask(body) => {
                    let failure = self.locals[local as usize].failure.clone().expect("something has failed");
                    let resolved = match self.steps.ask(*body, &failure) {
                        Resolution::Recovered(payload) => Resolved::Recovered(payload.into()),
                        Resolution::Replied(payload) => Resolved::Replied(payload.into()),
                        _ => Resolved::Declined,
                    };
                    self.next(local, Answer::Resolved(resolved))
                }
                Effect::Choose(composite) => {
                    let output = self.locals[local as usize].output.clone().unwrap_or_default();
                    let chosen = self.steps.choose(*composite, &output);
                    let chosen = chosen.map_err(|kind| self.steps.joining_failed(*composite, kind));
                    self.with_failure(local, chosen, Answer::Chosen)
                }
                Effect::Split { composite, fork } => {
                    let output = self.locals[local as usize].output.clone().unwrap_or_default();
                    let items = self.steps.split(*composite, &output);
                    let items = items.map_err(|error| self.steps.handler_failed(*composite, error));
                    let list = items.map(|items| self.write_list(state, fork, &items));
                    self.with_failure(local, list, Answer::Split)
                }
                Effect::Reply(_) => {
                    self.perform(state, local)?;
                    return Ok(());
                }
                _ => break,
            };
        }
        state.start(local);
        Ok(())
    }

    fn with_failure<T>(
        &mut self,
        local: u32,
        result: Result<T, Failure>,
        answer: impl FnOnce(Result<T, Reason>) -> Answer,
    ) -> u32 {
        let Local { message, journal, output, .. } = &*self.locals[local as usize].clone();
        let mut journal = journal.clone();
        let failure = result.as_ref().err().cloned();
        journal.add(answer(result.map_err(|failure| reason(&failure))));
        self.local(*message, journal, output.clone(), failure)
    }

    /// Writes that a delivery has posted what follows. For half of the places, that is lost, as if the process had died just
    /// then. A request must end in the same way whether it is there or not, so its timing is not explored.
    fn mark(&mut self, state: &mut State, key: &Key, value: &Bytes) {
        if key.as_str().bytes().last().is_some_and(|digit| digit % 2 == 1) {
            let (key, value) = (self.keys.number(key), self.values.number(value));
            state.write(key, value);
        }
    }

    pub(super) fn find(&self, state: &State, key: &Key) -> Option<Bytes> {
        let value = state.value(self.keys.find(key)?)?;
        Some(self.values.value(value).clone())
    }

    /// Executes the steps of a phase; `None` if its input is gone because the request has ended.
    fn execute(&mut self, state: &State, local: u32, input: &Input) -> Result<Option<u32>, Broken> {
        let keys: Vec<Key> = match input {
            Input::Item { chunk, .. } => vec![chunk.clone()],
            Input::Branches(branches) => branches.iter().map(|(_, key)| key.clone()).collect(),
            Input::Join { members, .. } => members.iter().map(|(_, key)| key.clone()).collect(),
            _ => Vec::new(),
        };
        let found: Vec<Option<u32>> =
            keys.iter().map(|key| self.keys.find(key).and_then(|key| state.value(key))).collect();
        let known = match input {
            Input::Join { known, .. } => known.iter().flatten().count(),
            _ => 0,
        };
        self.count(self.locals[local as usize].message, keys.len() - known, 0);
        self.executions += 1;
        if let Some(next) = self.memo.get(&(local, found.clone())) {
            return Ok(Some(*next));
        }
        let values: Vec<Option<Bytes>> =
            found.iter().map(|value| value.map(|value| self.values.value(value).clone())).collect();
        let generation = self.messages.value(self.locals[local as usize].message).place.generation();
        let gone = !self.remembered && self.exists(state, &over_key(generation));
        let Some(ran) = self.run(local, input, &keys, &values, gone)? else { return Ok(None) };
        let (ran, output, failure) = match ran {
            Ok(output) => (Ran::Done(output.clone().into()), Some(output), None),
            Err(Stop::Replied(payload)) => (Ran::Replied(payload.into(), None), None, None),
            Err(Stop::Failed(failure)) => (Ran::Failed(reason(&failure)), None, Some(*failure)),
        };
        let Local { message, journal, .. } = &*self.locals[local as usize].clone();
        let mut journal: Journal = journal.clone();
        journal.add(Answer::Ran(ran, Times::default()));
        let next = self.local(*message, journal, output, failure);
        self.memo.insert((local, found), next);
        Ok(Some(next))
    }

    fn run(
        &self,
        local: u32,
        input: &Input,
        keys: &[Key],
        values: &[Option<Bytes>],
        gone: bool,
    ) -> Result<Option<Result<Payload, Stop>>, Broken> {
        let place = &self.messages.value(self.locals[local as usize].message).place;
        let segment = self.flow.plan().segment(place).expect("the machine knows the place");
        let missing = |index: usize| match gone {
            true => Ok(None),
            false => Err(format!("the phase at {place} reads {}, which was not written", keys[index])),
        };
        let payload = match input {
            Input::Carried(Carried::Inline(payload)) => payload.clone(),
            Input::Item { index, .. } => match &values[0] {
                Some(chunk) => read_chunk(chunk).swap_remove(*index as usize),
                None => return missing(0),
            },
            Input::Branches(branches) => {
                let mut results = Vec::new();
                for (position, (branch, _)) in branches.iter().enumerate() {
                    match values[position].as_ref().and_then(MemberRecord::decode) {
                        Some(record) => results.push((*branch, result_of(&record))),
                        None => return missing(position),
                    }
                }
                let (composite, _) = self.flow.plan().body(segment.body()).owner().expect("a branch has a graph");
                match self.steps.of_branches(composite, results) {
                    Ok(payload) => payload,
                    Err(stop) => return Ok(Some(Err(stop))),
                }
            }
            Input::Join { composite, verdict, members, decider, .. } => {
                let mut results = Vec::new();
                for (index, (outcome, _)) in members.iter().enumerate() {
                    let is_written = matches!(outcome, MemberOutcome::Done | MemberOutcome::Failed);
                    results.push(match values[index].as_ref().filter(|_| is_written).and_then(MemberRecord::decode) {
                        Some(record) if *verdict == Verdict::Replied && Some(index as u32) == *decider => {
                            return Ok(Some(Err(Stop::Replied(inline(&record.output)))));
                        }
                        Some(record) => result_of(&record),
                        None if is_written => return missing(index),
                        None => MemberResult::Other(*outcome),
                    });
                }
                if *verdict == Verdict::Failed {
                    return Ok(Some(Err(Stop::Failed(Box::new(self.steps.members_failed(*composite, results))))));
                }
                match self.steps.join(*composite, results) {
                    Ok(payload) => payload,
                    Err(stop) => return Ok(Some(Err(stop))),
                }
            }
            other => unreachable!("an exploration stores nothing by reference: {other:?}"),
        };
        let steps = Steps { generation: place.generation(), ..self.steps };
        Ok(Some(steps.segment(segment, payload)))
    }

    fn write_list(&mut self, state: &mut State, fork: &Place, items: &[Payload]) -> (u32, List) {
        let chunks: Vec<Bytes> = items.chunks(PER_CHUNK as usize).map(write_chunk).collect();
        let sha256 = hex_of(&chunks);
        self.cost.chunks += chunks.len();
        for (index, chunk) in (0u32..).zip(&chunks) {
            let key = self.keys.number(&chunk_key(fork, &sha256, index));
            let value = self.values.number(chunk);
            state.write(key, value);
        }
        (
            u32::try_from(items.len()).expect("a list of fewer than 2^32 items"),
            List { sha256, per_chunk: PER_CHUNK, generation: 0, labels_per_chunk: 0 },
        )
    }
}

fn result_of(record: &MemberRecord) -> MemberResult {
    match record.ended {
        Ended::Done => MemberResult::Done(inline(&record.output)),
        Ended::Failed | Ended::Replied => {
            MemberResult::Failed(record.reason.as_ref().map(|reason| reason.text.clone()).unwrap_or_default())
        }
    }
}

fn inline(carried: &Carried) -> Payload {
    match carried {
        Carried::Inline(payload) => payload.clone(),
        Carried::Stored(_) => unreachable!("an exploration stores nothing by reference"),
    }
}

/// Writes the length and the bytes of each item. Content types are not kept.
fn write_chunk(items: &[Payload]) -> Bytes {
    let mut chunk = BytesMut::new();
    for item in items {
        chunk.put_u32(u32::try_from(item.len()).expect("an item of fewer than 4 GiB"));
        chunk.put_slice(item.bytes());
    }
    chunk.freeze()
}

fn read_chunk(chunk: &Bytes) -> Vec<Payload> {
    let mut items = Vec::new();
    let mut rest = chunk.clone();
    while !rest.is_empty() {
        let length = rest.split_to(4);
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        items.push(Payload::new(rest.split_to(length as usize)));
    }
    items
}

/// A hash that distinguishes lists, which is all that an exploration needs.
fn hex_of(chunks: &[Bytes]) -> String {
    format!("{:016x}", hash(&chunks))
}
