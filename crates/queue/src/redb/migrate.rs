//! Migrates a file of an older format.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, Durability, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::redb::change::{CALLS, COUNTS, CallKey, DEAD, DIED, DUE, IDS, LANES, TRIED, UNREADABLE, make_tables};
use crate::redb::ids::hash;
use crate::redb::record;

const ATTEMPTS_1: TableDefinition<'_, u64, (u32, u64)> = TableDefinition::new("attempts");
const SEEN_1: TableDefinition<'_, &str, u64> = TableDefinition::new("seen");
const CALLS_2: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("calls-by-lane");

/// The formats that are migrated.
pub(crate) const OLDER: [u64; 2] = [1, 2];

/// Moves everything in one transaction, so the file is unchanged if the process is killed. Records stay as they are, because both forms
/// can be read. Those that cannot be read are set aside, byte for byte.
pub(crate) fn migrate(database: &Database, format: u64) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    make_tables(&write)?;
    if format == 1 {
        from_first(&write)?;
    } else {
        from_second(&write)?;
    }
    write.commit()?;
    Ok(())
}

/// The second format kept the calls themselves ordered by lane.
fn from_second(write: &WriteTransaction) -> Result<(), redb::Error> {
    {
        let old = write.open_table(CALLS_2)?;
        let mut calls = write.open_table(CALLS)?;
        let mut lanes = write.open_table(LANES)?;
        for entry in old.iter()? {
            let (key, record) = entry?;
            let (lane, id) = key.value();
            lanes.insert((lane, id), ())?;
            calls.insert(id, record.value())?;
        }
    }
    write.delete_table(CALLS_2)?;
    Ok(())
}

/// The first format had no lanes, and kept the ids unhashed.
fn from_first(write: &WriteTransaction) -> Result<(), redb::Error> {
    let mut next = 1;
    {
        let attempts = write.open_table(ATTEMPTS_1)?;
        let mut calls = write.open_table(CALLS)?;
        let mut lanes = write.open_table(LANES)?;
        let mut tried = write.open_table(TRIED)?;
        let mut due = write.open_table(DUE)?;
        let mut unreadable = write.open_table(UNREADABLE)?;
        let mut aside = Vec::new();
        let mut counted: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for entry in calls.iter()? {
            let (key, record) = entry?;
            let id = key.value();
            next = next.max(id.saturating_add(1));
            let Ok(call) = record::decode_call(record.value()) else {
                unreadable.insert(id, record.value())?;
                aside.push(id);
                continue;
            };
            let CallKey { lane, function } = CallKey::new(&call);
            lanes.insert((&*lane, id), ())?;
            *counted.entry(function).or_default() += 1;
            if let Some(times) = attempts.get(id)? {
                let (count, due_ms) = times.value();
                tried.insert(id, (count, due_ms))?;
                due.insert((&*lane, due_ms, id), ())?;
            }
        }
        for id in aside {
            calls.remove(id)?;
        }
        let mut counts = write.open_table(COUNTS)?;
        for (function, count) in counted {
            counts.insert(&*function, count)?;
        }
    }
    {
        let mut dead = write.open_table(DEAD)?;
        let mut died = write.open_table(DIED)?;
        let mut unreadable = write.open_table(UNREADABLE)?;
        let mut aside = Vec::new();
        for entry in dead.iter()? {
            let (key, record) = entry?;
            next = next.max(key.value().saturating_add(1));
            match record::decode_letter(record.value()) {
                Ok(letter) => drop(died.insert(key.value(), letter.died_ms)?),
                Err(_) => {
                    unreadable.insert(key.value(), record.value())?;
                    aside.push(key.value());
                }
            }
        }
        for id in aside {
            dead.remove(id)?;
        }
    }
    {
        let old = write.open_table(SEEN_1)?;
        let mut seen: Vec<(u64, u128)> = Vec::new();
        for entry in old.iter()? {
            let (key, accepted) = entry?;
            seen.push((accepted.value(), hash(key.value())));
        }
        seen.sort_unstable();
        let mut ids = write.open_table(IDS)?;
        // The old file does not say which calls they belong to. The numbers only have to rise with the time of acceptance.
        for (number, (accepted_ms, hash)) in (next..).zip(seen) {
            ids.insert(number, (hash, accepted_ms))?;
        }
    }
    write.delete_table(ATTEMPTS_1)?;
    write.delete_table(SEEN_1)?;
    Ok(())
}
