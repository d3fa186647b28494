//! The rows of the table of values.
//!
//! A page of the database has 4 kB and is half full after it was split. So small values of a group that are neighbours share a row,
//! which fills two pages. Such a row is under its first key and has all values of the group from there to the next row. Large values and
//! those in files have rows of their own, as all values in formats 1 and 2.

use redb::{ReadableTable, Table};

use super::error::StoreError;
use super::tables::{FILE, Head, INLINE, Stored};

/// The values of a table, by group and first key of the row.
pub(super) type Key = (u64, &'static str);

/// The largest row that several values share, in bytes. With its key, it fills two pages.
const MOST: usize = 8_000;
/// A larger value has a row of its own.
const SMALL: usize = MOST / 2;
/// What begins a row of several values. Other rows begin with a version, which is never 0.
const SHARED: [u8; 9] = [0, 0, 0, 0, 0, 0, 0, 0, 2];

/// A row that was read.
struct Row {
    first: String,
    bytes: Vec<u8>,
}

impl Row {
    fn is_shared(&self) -> bool {
        self.bytes.starts_with(&SHARED)
    }

    /// The values of the row in their order.
    fn entries(&self) -> Result<Vec<(&str, &[u8])>, StoreError> {
        entries(&self.first, &self.bytes)
    }
}

/// The values of a row in the order of their keys, each as [`Stored`] encodes it.
pub(super) fn entries<'a>(first: &'a str, row: &'a [u8]) -> Result<Vec<(&'a str, &'a [u8])>, StoreError> {
    let Some(mut rest) = row.strip_prefix(&SHARED) else { return Ok(vec![(first, row)]) };
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (key, after) = part(rest)?;
        let (value, after) = part(after)?;
        let key = std::str::from_utf8(key).map_err(StoreError::storage)?;
        found.push((key, value));
        rest = after;
    }
    Ok(found)
}

/// Splits off a part that follows its length.
fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), StoreError> {
    let split = || {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    };
    split().ok_or_else(|| StoreError::storage("a row of values is cut short"))
}

/// How many bytes a value takes in a shared row.
fn size((key, value): &(&str, &[u8])) -> usize {
    2 + key.len() + 2 + value.len()
}

fn is_small(entry: &(&str, &[u8])) -> bool {
    entry.1.get(8) == Some(&INLINE) && size(entry) <= SMALL
}

/// A row with these values.
fn encode(entries: &[(&str, &[u8])]) -> Vec<u8> {
    if let [(_, value)] = entries {
        return value.to_vec();
    }
    let mut row = SHARED.to_vec();
    for (key, value) in entries {
        for part in [key.as_bytes(), value] {
            let length = u16::try_from(part.len()).expect("a small value is shorter than 64 kB");
            row.extend_from_slice(&length.to_be_bytes());
            row.extend_from_slice(part);
        }
    }
    row
}

/// The row that has the value of a key, if there is one.
fn row_of(values: &impl ReadableTable<Key, &'static [u8]>, group: u64, key: &str) -> Result<Option<Row>, StoreError> {
    let row = values.range((group, "")..=(group, key))?.next_back().transpose()?;
    Ok(row.map(|(key, row)| Row { first: key.value().1.to_owned(), bytes: row.value().to_vec() }))
}

/// The first key of the row that has the value of a key, if there is one.
pub(super) fn first_of(
    values: &impl ReadableTable<Key, &'static [u8]>,
    group: u64,
    key: &str,
) -> Result<Option<String>, StoreError> {
    Ok(row_of(values, group, key)?.map(|row| row.first))
}

/// Reads a value, as [`Stored`] encodes it, with `read`.
pub(super) fn find<T>(
    values: &impl ReadableTable<Key, &'static [u8]>,
    group: u64,
    key: &str,
    read: impl FnOnce(&[u8]) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let Some((first, row)) = values.range((group, "")..=(group, key))?.next_back().transpose()? else {
        return Ok(None);
    };
    let (first, row) = (first.value().1, row.value());
    let entry = entries(first, row)?.into_iter().find(|(other, _)| *other == key);
    entry.map(|(_, value)| read(value)).transpose()
}

/// Writes a value, and replaces an existing one.
pub(super) fn put(
    values: &mut Table<'_, Key, &'static [u8]>,
    group: u64,
    key: &str,
    value: &Stored,
) -> Result<(), StoreError> {
    let value = value.encode();
    let new = (key, value.as_slice());
    let before = match row_of(values, group, key)? {
        Some(row) => Some(row),
        // The first key of a group joins the row that was the first, unless that is damaged.
        None => {
            let next = values.range((group, key)..(group + 1, ""))?.next().transpose()?;
            let next = next.map(|(key, row)| Row { first: key.value().1.to_owned(), bytes: row.value().to_vec() });
            next.filter(|row| row.entries().is_ok())
        }
    };
    let Some(before) = before else {
        values.insert((group, key), value.as_slice())?;
        return Ok(());
    };
    let whole = (before.first.as_str(), before.bytes.as_slice());
    if !before.is_shared() && (before.first == key || !is_small(&whole) || !is_small(&new)) {
        values.insert((group, key), value.as_slice())?;
        return Ok(());
    }
    let mut entries = before.entries()?;
    match entries.binary_search_by_key(&key, |(key, _)| key) {
        Ok(at) => entries[at] = new,
        Err(at) => entries.insert(at, new),
    }
    let length = entries.iter().map(size).sum::<usize>();
    // A row that overflows in its middle is divided in two that both have room for more neighbours.
    let is_last = entries.last().is_some_and(|(last, _)| *last == key);
    let rows = shared(&entries, if is_last || length <= MOST { MOST } else { MOST.min(length * 3 / 5) });
    if rows.iter().all(|row| row[0].0 != before.first) {
        values.remove((group, before.first.as_str()))?;
    }
    for row in rows {
        let row_bytes = encode(row);
        // A value that is appended to a full row leaves that row as it is.
        if row_bytes != before.bytes || row[0].0 != before.first {
            values.insert((group, row[0].0), row_bytes.as_slice())?;
        }
    }
    Ok(())
}

/// Distributes values to rows: as many small ones as fit into `most` bytes, and each other one alone.
fn shared<'a, 'b>(entries: &'b [(&'a str, &'a [u8])], most: usize) -> Vec<&'b [(&'a str, &'a [u8])]> {
    let (mut rows, mut begin, mut length) = (Vec::new(), 0, SHARED.len());
    for (at, entry) in entries.iter().enumerate() {
        let fits = at > begin && is_small(entry) && is_small(&entries[at - 1]) && length + size(entry) <= most;
        if !fits {
            if at > begin {
                rows.push(&entries[begin..at]);
            }
            (begin, length) = (at, SHARED.len());
        }
        length += size(entry);
    }
    rows.push(&entries[begin..]);
    rows
}

/// Removes a value. Returns what it was; a value that cannot be decoded is removed too.
pub(super) fn remove(
    values: &mut Table<'_, Key, &'static [u8]>,
    group: u64,
    key: &str,
) -> Result<Option<Result<Head, StoreError>>, StoreError> {
    let Some(before) = row_of(values, group, key)? else { return Ok(None) };
    if !before.is_shared() {
        if before.first != key {
            return Ok(None);
        }
        values.remove((group, key))?;
        return Ok(Some(Head::decode(&before.bytes)));
    }
    let mut entries = before.entries()?;
    let Ok(at) = entries.binary_search_by_key(&key, |(key, _)| key) else { return Ok(None) };
    let (_, removed) = entries.remove(at);
    if at == 0 {
        values.remove((group, key))?;
    }
    // A row has at least two values, so one is left.
    values.insert((group, entries[0].0), encode(&entries).as_slice())?;
    Ok(Some(Head::decode(removed)))
}

/// The number of the file of a row, if its value is in one. A row that cannot be decoded has none.
pub(super) fn file_of(row: &[u8]) -> Option<u64> {
    let has_file = row.get(8) == Some(&FILE);
    has_file.then(|| Head::decode(row).ok()?.file.map(|(number, _)| number)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores that were written by an earlier version contain such rows.
    #[test]
    fn rows_are_the_same_in_every_version() {
        let values = [("a", "00000000000000070061"), ("b", "000000000000000800")]
            .map(|(key, value)| (key, hex::decode(value).unwrap()));
        let values = values.each_ref().map(|(key, value)| (*key, value.as_slice()));
        let row = encode(&values);
        let golden = "000000000000000002000161000a0000000000000007006100016200090000000000000008".to_owned() + "00";
        assert_eq!(hex::encode(&row), golden);
        assert_eq!(entries("a", &row).unwrap(), values);
        assert_eq!(hex::encode(encode(&values[..1])), "00000000000000070061");
        assert_eq!(entries("a", values[0].1).unwrap(), values[..1]);
        for length in (SHARED.len() + 1..row.len()).filter(|length| *length != SHARED.len() + 15) {
            assert!(entries("a", &row[..length]).is_err(), "{length}");
        }
    }
}
