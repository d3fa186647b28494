//! The tables of the file, and what is read from them.
//!
//! The values of a request are under a number, its group. So their keys are short, the values of one request are neighbours, and
//! a request with many values ends at once: it gives up the number, and its values are removed later, a few at a time.

use bytes::Bytes;
use faasflow_http::now_ms;
use faasflow_queue::database::META;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::error::StoreError;

/// The version of the file format.
pub(super) const FORMAT: u64 = 1;

/// Function, flow and request.
pub(super) type ScopeKey = (&'static str, &'static str, &'static str);
/// The groups of a request and when it expires; see [`Groups`].
pub(super) const SCOPES: TableDefinition<'_, ScopeKey, (u64, u64, u64)> = TableDefinition::new("scopes");
/// The requests in the order in which they expire.
pub(super) const EXPIRY: TableDefinition<'_, (u64, &str, &str, &str), ()> = TableDefinition::new("expiry");
/// The values by group and key, as [`Stored`] encodes them.
pub(super) const VALUES: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("values");
/// Groups whose values are to be removed.
pub(super) const GARBAGE: TableDefinition<'_, u64, ()> = TableDefinition::new("garbage");
/// The files of large values that belong to a value.
pub(super) const FILES: TableDefinition<'_, u64, ()> = TableDefinition::new("files");

/// Creates all tables, so that each can be read.
pub(super) fn make_tables(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(META)?.insert("format", FORMAT)?;
    write.open_table(SCOPES)?;
    write.open_table(EXPIRY)?;
    write.open_table(VALUES)?;
    write.open_table(GARBAGE)?;
    write.open_table(FILES)?;
    Ok(())
}

/// The request that values belong to, of one function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// The function whose token was used.
    pub(crate) function: String,
    pub(crate) flow: String,
    pub(crate) request: String,
}

impl Scope {
    pub(super) fn key(&self) -> (&str, &str, &str) {
        (&self.function, &self.flow, &self.request)
    }
}

/// The groups of a request. 0 is no group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// The values that are removed when the request ends.
    pub(super) own: u64,
    /// The values that outlive it.
    pub(super) outliving: u64,
    /// When all of them are removed, in milliseconds since the Unix epoch.
    pub(super) expires_ms: u64,
}

impl From<(u64, u64, u64)> for Groups {
    fn from((own, outliving, expires_ms): (u64, u64, u64)) -> Groups {
        Groups { own, outliving, expires_ms }
    }
}

impl Groups {
    pub(super) fn record(self) -> (u64, u64, u64) {
        (self.own, self.outliving, self.expires_ms)
    }

    /// The group of a key.
    pub(super) fn of(self, key: &str) -> u64 {
        if faasflow_core::state::outlives_request(key) { self.outliving } else { self.own }
    }

    pub(super) fn of_mut(&mut self, key: &str) -> &mut u64 {
        if faasflow_core::state::outlives_request(key) { &mut self.outliving } else { &mut self.own }
    }
}

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The number of the write. No two writes have the same one.
    pub(crate) version: u64,
    pub(crate) content: Content,
}

/// Where the bytes of a value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the table.
    Inline(Bytes),
    /// In the file of this number, with this length in bytes.
    File { number: u64, length: u64 },
}

const INLINE: u8 = 0;
const FILE: u8 = 1;
const HEAD: usize = 9;

impl Stored {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.version.to_be_bytes().to_vec();
        match &self.content {
            Content::Inline(value) => {
                bytes.reserve_exact(value.len() + 1);
                bytes.push(INLINE);
                bytes.extend_from_slice(value);
            }
            Content::File { number, length } => {
                bytes.push(FILE);
                bytes.extend_from_slice(&number.to_be_bytes());
                bytes.extend_from_slice(&length.to_be_bytes());
            }
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Stored, StoreError> {
        let head = Head::decode(bytes)?;
        let content = match head.file {
            Some((number, length)) => Content::File { number, length },
            None => Content::Inline(Bytes::copy_from_slice(&bytes[HEAD..])),
        };
        Ok(Stored { version: head.version, content })
    }
}

/// What precedes the bytes of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) version: u64,
    /// Number and length of the file, if the value is in one.
    pub(super) file: Option<(u64, u64)>,
}

impl Head {
    pub(super) fn decode(bytes: &[u8]) -> Result<Head, StoreError> {
        let number = |from: usize| {
            let bytes = bytes.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_be_bytes).ok_or_else(|| StoreError::storage("a value is cut short"))
        };
        let version = number(0)?;
        match bytes.get(8) {
            Some(&INLINE) => Ok(Head { version, file: None }),
            Some(&FILE) => Ok(Head { version, file: Some((number(HEAD)?, number(HEAD + 8)?)) }),
            _ => Err(StoreError::storage("a value has an unknown form")),
        }
    }
}

/// Whether there is something to remove: values of requests that have ended, or requests that have expired.
pub(super) fn is_due(read: &ReadTransaction) -> Result<bool, StoreError> {
    if read.open_table(GARBAGE)?.first()?.is_some() {
        return Ok(true);
    }
    let first = read.open_table(EXPIRY)?.first()?.map(|(key, _)| key.value().0);
    Ok(first.is_some_and(|expires_ms| expires_ms <= now_ms()))
}

/// Looks up the groups of a request.
pub(super) fn groups(
    scopes: &impl ReadableTable<ScopeKey, (u64, u64, u64)>,
    scope: &Scope,
) -> Result<Groups, StoreError> {
    Ok(scopes.get(scope.key())?.map(|record| Groups::from(record.value())).unwrap_or_default())
}

/// Reads values of a request.
pub(super) struct Reader {
    groups: Groups,
    values: redb::ReadOnlyTable<(u64, &'static str), &'static [u8]>,
}

impl Reader {
    pub(super) fn new(read: &ReadTransaction, scope: &Scope) -> Result<Reader, StoreError> {
        let groups = groups(&read.open_table(SCOPES)?, scope)?;
        Ok(Reader { groups, values: read.open_table(VALUES)? })
    }

    pub(super) fn value(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        match self.groups.of(key) {
            0 => Ok(None),
            group => self.values.get((group, key))?.map(|record| Stored::decode(record.value())).transpose(),
        }
    }

    /// The keys after `after` in their order, each with its version and the size of its value in bytes; first those of the
    /// request's own group. At most `limit`.
    pub(super) fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let mut found = Vec::new();
        let mut groups = vec![self.groups.own, self.groups.outliving];
        // After a key that outlives the request, all of the request's own have been listed.
        if after.is_some_and(faasflow_core::state::outlives_request) {
            groups.remove(0);
        }
        let of_after = after.map(|after| self.groups.of(after));
        for group in groups.into_iter().filter(|group| *group != 0) {
            let from = after.filter(|_| of_after == Some(group));
            for entry in self.values.range((group, from.unwrap_or_default())..(group + 1, ""))? {
                let (key, record) = entry?;
                let key = key.value().1;
                if from == Some(key) {
                    continue;
                }
                if found.len() == limit {
                    return Ok(found);
                }
                let head = Head::decode(record.value())?;
                let size = head.file.map_or((record.value().len() - HEAD) as u64, |(_, length)| length);
                found.push((key.to_owned(), head.version, size));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores that were written by an earlier version contain these records.
    #[test]
    fn records_are_the_same_in_every_version() {
        let inline = Stored { version: 258, content: Content::Inline(Bytes::from("ab")) };
        assert_eq!(hex::encode(inline.encode()), "0000000000000102006162");
        let file = Stored { version: 1, content: Content::File { number: 7, length: 65_537 } };
        assert_eq!(hex::encode(file.encode()), "00000000000000010100000000000000070000000000010001");
        for stored in [inline, file] {
            assert_eq!(Stored::decode(&stored.encode()).unwrap(), stored);
        }
        for bad in ["", "0000000000000102", "00000000000001020061".get(..18).unwrap(), "000000000000000102"] {
            let bytes = hex::decode(bad).unwrap();
            let expected = bytes.len() == HEAD && bytes[8] == INLINE;
            assert_eq!(Stored::decode(&bytes).is_ok(), expected, "{bad}");
        }
    }
}
