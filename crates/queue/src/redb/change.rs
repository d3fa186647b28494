//! The tables of the file, and the changes to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use crate::call::Call;
use crate::error::QueueError;
use crate::letter::Letter;
use crate::redb::locked::META;
use crate::redb::record;

/// The version of the file format: these tables, with the records of `record.rs`.
pub(crate) const FORMAT: u64 = 3;

/// Calls to deliver, by number. Numbers rise in the order of acceptance, so the table grows at its end. There, and only
/// there, redb fills its pages: a key in the middle splits a full page into two halves. With the lane in front, three calls of
/// 1 kB would take two pages instead of one.
pub(crate) const CALLS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");
/// The numbers of the calls of each lane, so that the next calls of a lane are found without reading others.
pub(crate) const LANES: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("lanes");
/// The number of attempts of a call and when the next is due, in milliseconds since the Unix epoch. Only calls that do
/// not come in the order of their lane are here. The table is separate from the calls, so that a retry does not write
/// the body again.
pub(crate) const TRIED: TableDefinition<'_, u64, (u32, u64)> = TableDefinition::new("tried");
/// The same calls, ordered by lane, due time and number.
pub(crate) const DUE: TableDefinition<'_, (&str, u64, u64), ()> = TableDefinition::new("due");
/// How many calls there are by function.
pub(crate) const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
pub(crate) const DEAD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead-letters");
/// When each dead letter died.
pub(crate) const DIED: TableDefinition<'_, u64, u64> = TableDefinition::new("died");
/// The hashes of duplicate keys and the times of acceptance, by the number of the call. They are in the order of
/// acceptance, so new ones are added at one end and old ones removed at the other.
pub(crate) const IDS: TableDefinition<'_, u64, (u128, u64)> = TableDefinition::new("ids");
/// Records that cannot be read, byte for byte.
pub(crate) const UNREADABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("unreadable");

/// One change. A batch of changes is written completely or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    PutCall {
        id: u64,
        place: CallKey,
        record: Vec<u8>,
    },
    RemoveCall {
        id: u64,
        place: CallKey,
    },
    /// Sets when a call comes again, and how many attempts it has had.
    PutDue {
        id: u64,
        lane: Arc<str>,
        attempts: u32,
        due_ms: u64,
    },
    PutLetter {
        id: u64,
        record: Vec<u8>,
        died_ms: u64,
    },
    RemoveLetter(u64),
    PutId {
        id: u64,
        hash: u128,
        accepted_ms: u64,
    },
    RemoveId(u64),
    /// Sets aside a record that cannot be read.
    PutAside {
        id: u64,
        lane: Arc<str>,
    },
}

/// The place of a call in the tables, and the function that it counts for.
#[derive(Clone, Debug)]
pub(crate) struct CallKey {
    pub(crate) lane: Arc<str>,
    pub(crate) function: Arc<str>,
}

impl CallKey {
    pub(crate) fn new(call: &Call) -> CallKey {
        CallKey { lane: call.lane().into(), function: call.function().into() }
    }
}

impl Change {
    pub(crate) fn put_call(id: u64, call: &Call) -> Change {
        Change::PutCall { id, place: CallKey::new(call), record: record::encode_call(call) }
    }

    pub(crate) fn put_letter(id: u64, letter: &Letter) -> Change {
        Change::PutLetter { id, record: record::encode_letter(letter), died_ms: letter.died_ms }
    }
}

/// Writes changes into a transaction, in order.
pub(crate) fn apply<'a>(write: &WriteTransaction, changes: impl Iterator<Item = &'a Change>) -> Result<(), QueueError> {
    let mut calls = write.open_table(CALLS)?;
    let mut lanes = write.open_table(LANES)?;
    let mut tried = write.open_table(TRIED)?;
    let mut due = write.open_table(DUE)?;
    let mut ids = write.open_table(IDS)?;
    let mut counted: BTreeMap<&str, i64> = BTreeMap::new();
    for change in changes {
        match change {
            Change::PutCall { id, place, record } => {
                if calls.insert(id, record.as_slice())?.is_none() {
                    lanes.insert((&*place.lane, *id), ())?;
                    *counted.entry(&place.function).or_default() += 1;
                }
            }
            Change::RemoveCall { id, place } => {
                if calls.remove(id)?.is_some() {
                    lanes.remove((&*place.lane, *id))?;
                    *counted.entry(&place.function).or_default() -= 1;
                }
                if let Some(was) = tried.remove(id)? {
                    due.remove((&*place.lane, was.value().1, *id))?;
                }
            }
            Change::PutDue { id, lane, attempts, due_ms } => {
                if let Some(was) = tried.insert(id, (*attempts, *due_ms))? {
                    due.remove((&**lane, was.value().1, *id))?;
                }
                due.insert((&**lane, *due_ms, *id), ())?;
            }
            Change::PutLetter { id, record, died_ms } => {
                write.open_table(DEAD)?.insert(id, record.as_slice())?;
                write.open_table(DIED)?.insert(id, died_ms)?;
            }
            Change::RemoveLetter(id) => {
                write.open_table(DEAD)?.remove(id)?;
                write.open_table(DIED)?.remove(id)?;
            }
            Change::PutId { id, hash, accepted_ms } => {
                ids.insert(id, (*hash, *accepted_ms))?;
            }
            Change::RemoveId(id) => {
                ids.remove(id)?;
            }
            Change::PutAside { id, lane } => {
                let record = calls.remove(id)?.map(|record| record.value().to_vec());
                if let Some(record) = record {
                    lanes.remove((&**lane, *id))?;
                    write.open_table(UNREADABLE)?.insert(id, record.as_slice())?;
                    *counted.entry(lane).or_default() -= 1;
                }
                if let Some(was) = tried.remove(id)? {
                    due.remove((&**lane, was.value().1, *id))?;
                }
            }
        }
    }
    counted.retain(|_, difference| *difference != 0);
    if !counted.is_empty() {
        let mut counts = write.open_table(COUNTS)?;
        for (function, difference) in counted {
            let before = counts.get(function)?.map_or(0, |count| count.value());
            match before.saturating_add_signed(difference) {
                0 => drop(counts.remove(function)?),
                after => drop(counts.insert(function, after)?),
            }
        }
    }
    Ok(())
}

/// Creates all tables, so that each can be read.
pub(crate) fn make_tables(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(META)?.insert("format", FORMAT)?;
    write.open_table(CALLS)?;
    write.open_table(LANES)?;
    write.open_table(TRIED)?;
    write.open_table(DUE)?;
    write.open_table(COUNTS)?;
    write.open_table(DEAD)?;
    write.open_table(DIED)?;
    write.open_table(IDS)?;
    write.open_table(UNREADABLE)?;
    Ok(())
}
