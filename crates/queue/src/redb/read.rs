//! Reads from the file.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};

use crate::call::Call;
use crate::error::QueueError;
use crate::letter::Letter;
use crate::redb::change::{CALLS, COUNTS, Change, DEAD, DIED, DUE, IDS, LANES, TRIED, UNREADABLE};
use crate::redb::disk::Disk;
use crate::redb::ids::StoredId;
use crate::redb::record;
use crate::stats::QueuedCall;

/// About how many bytes of records are read at once.
const AT_ONCE: usize = 1 << 20;
/// How many records of a lane are examined at once. Many of them may have been tried before and come when they are due.
const LOOKS: usize = 8192;

/// A lane, and the time and number of the first of its calls that come when they are due.
pub(crate) type FirstDue = (String, (u64, u64));

/// The content of a file when it is opened.
#[derive(Debug, Default)]
pub(crate) struct FileContents {
    /// The last number of each lane.
    pub(crate) lanes: Vec<(String, u64)>,
    pub(crate) depth: usize,
    pub(crate) functions: BTreeMap<String, usize>,
    /// For each lane, due time and number of the first call that comes when it is due.
    pub(crate) first_due: Vec<FirstDue>,
    /// Numbers of dead letters and when they died, oldest first.
    pub(crate) dead: Vec<(u64, u64)>,
    /// Records that cannot be read: number and what is wrong.
    pub(crate) unreadable: Vec<(u64, String)>,
    pub(crate) next_id: u64,
}

/// Reads what a queue needs when it is opened. `each` gets the ids in the order of acceptance.
pub(crate) fn contents(disk: &Disk, each: &mut dyn FnMut(StoredId)) -> Result<FileContents, QueueError> {
    let read = disk.read()?;
    let calls = read.open_table(CALLS)?;
    let mut contents = FileContents {
        lanes: lanes(&read)?,
        depth: usize::try_from(calls.len()?).unwrap_or(usize::MAX),
        ..FileContents::default()
    };
    for entry in read.open_table(COUNTS)?.iter()? {
        let (function, count) = entry?;
        contents.functions.insert(function.value().to_owned(), usize::try_from(count.value()).unwrap_or(usize::MAX));
    }
    contents.first_due = first_due(&read)?;
    for entry in read.open_table(DIED)?.iter()? {
        let (id, died_ms) = entry?;
        contents.dead.push((id.value(), died_ms.value()));
    }
    contents.dead.sort_by_key(|&(_, died)| died);
    for entry in read.open_table(UNREADABLE)?.iter()? {
        let (id, record) = entry?;
        let record = record.value();
        let fault = record::decode_call(record).err().or_else(|| record::decode_letter(record).err());
        contents
            .unreadable
            .push((id.value(), fault.unwrap_or_else(|| "an older version could not read it".to_owned())));
    }
    let mut last = 0;
    for entry in read.open_table(IDS)?.iter()? {
        let (id, known) = entry?;
        let (hash, accepted_ms) = known.value();
        each((id.value(), hash, accepted_ms));
        last = last.max(id.value());
    }
    let lasts = contents.lanes.iter().map(|&(_, id)| id);
    let dead = contents.dead.iter().map(|&(id, _)| id);
    let unreadable = contents.unreadable.iter().map(|&(id, _)| id);
    contents.next_id = lasts.chain(dead).chain(unreadable).fold(last, u64::max).saturating_add(1);
    Ok(contents)
}

/// The lanes with calls, and the last number in each.
fn lanes(read: &ReadTransaction) -> Result<Vec<(String, u64)>, QueueError> {
    let numbers = read.open_table(LANES)?;
    let mut lanes: Vec<(String, u64)> = Vec::new();
    loop {
        let after = match lanes.last() {
            Some((lane, _)) => Bound::Excluded((lane.as_str(), u64::MAX)),
            None => Bound::Unbounded,
        };
        let Some(first) = numbers.range::<(&str, u64)>((after, Bound::Unbounded))?.next() else { return Ok(lanes) };
        let lane = first?.0.value().0.to_owned();
        let last = numbers.range((lane.as_str(), 0)..=(lane.as_str(), u64::MAX))?.next_back().transpose()?;
        let last = last.map_or(0, |(key, _)| key.value().1);
        lanes.push((lane, last));
    }
}

fn first_due(read: &ReadTransaction) -> Result<Vec<FirstDue>, QueueError> {
    let due = read.open_table(DUE)?;
    let mut lanes: Vec<FirstDue> = Vec::new();
    loop {
        let after = match lanes.last() {
            Some((lane, _)) => Bound::Excluded((lane.as_str(), u64::MAX, u64::MAX)),
            None => Bound::Unbounded,
        };
        let first = due.range::<(&str, u64, u64)>((after, Bound::Unbounded))?.next().transpose()?;
        let Some((key, _)) = first else { return Ok(lanes) };
        let (lane, due_ms, id) = key.value();
        lanes.push((lane.to_owned(), (due_ms, id)));
    }
}

/// A record that was read, or what is wrong with it.
pub(crate) type ReadResult = Result<Call, String>;

/// The next calls of a lane.
#[derive(Debug)]
pub(crate) struct OfLane {
    pub(crate) calls: Vec<(u64, ReadResult)>,
    /// The last number that was looked at; `None` if there was no other.
    pub(crate) last: Option<u64>,
}

/// Up to this many calls of a lane after a number, without those that come when they are due.
pub(crate) fn of_lane(disk: &Disk, lane: &str, after: u64, most: usize) -> Result<OfLane, QueueError> {
    let read = disk.read()?;
    let (numbers, calls) = (read.open_table(LANES)?, read.open_table(CALLS)?);
    let tried = read.open_table(TRIED)?;
    let mut found = OfLane { calls: Vec::new(), last: None };
    let (mut bytes, mut looked) = (0, 0);
    let after = Bound::Excluded((lane, after));
    for entry in numbers.range::<(&str, u64)>((after, Bound::Included((lane, u64::MAX))))? {
        let id = entry?.0.value().1;
        found.last = Some(id);
        if tried.get(id)?.is_none() {
            let record = calls.get(id)?;
            bytes += record.as_ref().map_or(0, |record| record.value().len());
            found.calls.push((id, decode(record.as_ref().map(redb::AccessGuard::value))));
        }
        looked += 1;
        if found.calls.len() >= most || bytes >= AT_ONCE || looked >= LOOKS {
            break;
        }
    }
    Ok(found)
}

/// Reads the record of a call. A call in a lane has a record, unless the file is wrong in a way that checksums cannot
/// detect.
fn decode(record: Option<&[u8]>) -> ReadResult {
    record.map_or_else(|| Err("it is not there".to_owned()), record::decode_call)
}

/// A call that comes when it is due.
#[derive(Debug)]
pub(crate) struct DueCall {
    /// When it is due, and its number.
    pub(crate) key: (u64, u64),
    pub(crate) attempts: u32,
    pub(crate) call: ReadResult,
}

/// Calls that are due, and the key of the next one, which was not read.
pub(crate) type Due = (Vec<DueCall>, Option<(u64, u64)>);

/// The calls of a lane that are due from a time and number on.
pub(crate) fn due(disk: &Disk, lane: &str, from: (u64, u64), most: usize) -> Result<Due, QueueError> {
    let read = disk.read()?;
    let (calls, tried) = (read.open_table(CALLS)?, read.open_table(TRIED)?);
    let mut found = Vec::new();
    let mut bytes = 0;
    for entry in read.open_table(DUE)?.range((lane, from.0, from.1)..=(lane, u64::MAX, u64::MAX))? {
        let (_, due_ms, id) = entry?.0.value();
        if found.len() >= most || bytes >= AT_ONCE {
            return Ok((found, Some((due_ms, id))));
        }
        let attempts = tried.get(id)?.map_or(0, |times| times.value().0);
        let record = calls.get(id)?;
        bytes += record.as_ref().map_or(0, |record| record.value().len());
        let call = decode(record.as_ref().map(redb::AccessGuard::value));
        found.push(DueCall { key: (due_ms, id), attempts, call });
    }
    Ok((found, None))
}

pub(crate) fn call(disk: &Disk, id: u64) -> Result<Option<Call>, QueueError> {
    // A record does not keep its transaction alive, and its page may be freed without one.
    let read = disk.read()?;
    let record = read.open_table(CALLS)?.get(id)?;
    let unreadable = |fault| QueueError::storage(format!("call {id} cannot be read: {fault}"));
    record.map(|record| record::decode_call(record.value()).map_err(unreadable)).transpose()
}

pub(crate) fn letter(disk: &Disk, id: u64) -> Result<Option<Letter>, QueueError> {
    let read = disk.read()?;
    let record = read.open_table(DEAD)?.get(id)?;
    let unreadable = |fault| QueueError::storage(format!("dead letter {id} cannot be read: {fault}"));
    record.map(|record| record::decode_letter(record.value()).map_err(unreadable)).transpose()
}

/// The hash under this number, and when its call was accepted.
pub(crate) fn id(disk: &Disk, number: u64) -> Result<Option<(u128, u64)>, QueueError> {
    Ok(disk.read()?.open_table(IDS)?.get(number)?.map(|known| known.value()))
}

/// Up to this many ids after one number and up to another.
pub(crate) fn ids(disk: &Disk, (after, up_to): (u64, u64), most: usize) -> Result<Vec<StoredId>, QueueError> {
    let read = disk.read()?;
    let mut found = Vec::new();
    for entry in read.open_table(IDS)?.range((Bound::Excluded(after), Bound::Included(up_to)))?.take(most) {
        let (id, known) = entry?;
        let (hash, accepted_ms) = known.value();
        found.push((id.value(), hash, accepted_ms));
    }
    Ok(found)
}

/// When the oldest call was accepted.
pub(crate) fn oldest(disk: &Disk) -> Result<Option<u64>, QueueError> {
    let read = disk.read()?;
    // The first call is the oldest, unless it was a dead letter in between.
    let calls = read.open_table(CALLS)?;
    let first = calls.first()?;
    Ok(first.and_then(|(_, record)| Some(record::decode_call(record.value()).ok()?.accepted_ms)))
}

/// The first calls of all lanes, by number, as if none were in flight.
pub(crate) fn list(disk: &Disk, limit: usize) -> Result<Vec<QueuedCall>, QueueError> {
    let read = disk.read()?;
    let (calls, tried) = (read.open_table(CALLS)?, read.open_table(TRIED)?);
    let mut listed = Vec::new();
    for entry in calls.iter()? {
        if listed.len() >= limit {
            break;
        }
        let (id, record) = entry?;
        if let Ok(call) = record::decode_call(record.value()) {
            let (attempts, due_ms) = tried.get(id.value())?.map_or((0, 0), |times| times.value());
            listed.push(QueuedCall::new(id.value(), &call, attempts.saturating_add(1), due_ms, false));
        }
    }
    Ok(listed)
}

/// Whether a batch with these changes may be in the file although writing it failed. An error can come after the last byte.
pub(crate) fn may_hold(disk: &Disk, changes: &[Change]) -> bool {
    changes.iter().any(|change| match change {
        Change::PutCall { id, .. } => !matches!(call(disk, *id), Ok(None)),
        _ => false,
    })
}
