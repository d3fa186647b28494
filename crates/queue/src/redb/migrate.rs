//! Brings a file of the first format into the present one.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, Durability, ReadableTable as _, TableDefinition};

use crate::redb::change::{CALLS, COUNTS, DEAD, DIED, DUE, IDS, Place, TRIED, UNREADABLE, make_tables};
use crate::redb::ids::hash;
use crate::redb::record;

const OLD_CALLS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");
const OLD_ATTEMPTS: TableDefinition<'_, u64, (u32, u64)> = TableDefinition::new("attempts");
const OLD_SEEN: TableDefinition<'_, &str, u64> = TableDefinition::new("seen");

/// The format that is migrated.
pub(crate) const FIRST: u64 = 1;

/// Moves everything in one transaction: whoever is killed meanwhile finds the file as it was. Records stay as they are,
/// since they are read in either form; those that cannot be read are put aside, byte for byte.
pub(crate) fn migrate(database: &Database) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    make_tables(&write)?;
    let mut next = 1;
    {
        let old = write.open_table(OLD_CALLS)?;
        let attempts = write.open_table(OLD_ATTEMPTS)?;
        let mut calls = write.open_table(CALLS)?;
        let mut tried = write.open_table(TRIED)?;
        let mut due = write.open_table(DUE)?;
        let mut unreadable = write.open_table(UNREADABLE)?;
        let mut counted: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for entry in old.iter()? {
            let (key, record) = entry?;
            let id = key.value();
            next = next.max(id.saturating_add(1));
            let Ok(call) = record::decode_call(record.value()) else {
                unreadable.insert(id, record.value())?;
                continue;
            };
            let Place { lane, function } = Place::of(&call);
            calls.insert((&*lane, id), record.value())?;
            *counted.entry(function).or_default() += 1;
            if let Some(times) = attempts.get(id)? {
                let (count, due_ms) = times.value();
                tried.insert(id, (count, due_ms))?;
                due.insert((&*lane, due_ms, id), ())?;
            }
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
        let old = write.open_table(OLD_SEEN)?;
        let mut seen: Vec<(u64, u128)> = Vec::new();
        for entry in old.iter()? {
            let (key, accepted) = entry?;
            seen.push((accepted.value(), hash(key.value())));
        }
        seen.sort_unstable();
        let mut ids = write.open_table(IDS)?;
        // The old file does not say whose they are. Numbers only have to rise with the time of acceptance.
        for (number, (accepted_ms, hash)) in (next..).zip(seen) {
            ids.insert(number, (hash, accepted_ms))?;
        }
    }
    write.delete_table(OLD_CALLS)?;
    write.delete_table(OLD_ATTEMPTS)?;
    write.delete_table(OLD_SEEN)?;
    write.commit()?;
    Ok(())
}
