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
pub(super) const FORMAT: u64 = 3;
/// The versions before it. The first one had fewer tables, and both had one value in each row of [`VALUES`]. Such a file gets the other
/// tables when it is opened, and its rows are still read.
pub(super) const OLDER: [u64; 2] = [1, 2];

/// Function, flow and request.
pub(super) type ScopeKey = (&'static str, &'static str, &'static str);
/// The groups of a request and when it expires; see [`Groups`].
pub(super) const SCOPES: TableDefinition<'_, ScopeKey, (u64, u64, u64)> = TableDefinition::new("scopes");
/// The requests in the order in which they expire.
pub(super) const EXPIRY: TableDefinition<'_, (u64, &str, &str, &str), ()> = TableDefinition::new("expiry");
/// The values by group and key; see [`rows`](super::rows).
pub(super) const VALUES: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("values");
/// Groups whose values are to be removed.
pub(super) const GARBAGE: TableDefinition<'_, u64, ()> = TableDefinition::new("garbage");
/// The files of large values that belong to a value.
pub(super) const FILES: TableDefinition<'_, u64, ()> = TableDefinition::new("files");

/// The requests that are listed. For each, when it started, its status, and for how many milliseconds the values that outlive it stay
/// after the others have expired, if it has ended.
pub(super) const LINES: TableDefinition<'_, ScopeKey, (u64, u8, Option<u64>)> = TableDefinition::new("lines");
/// The same requests by function, flow and time of start. The value is the status.
pub(super) const BY_TIME: TableDefinition<'_, (&str, &str, u64, &str), u8> = TableDefinition::new("lines-by-time");
/// The same requests by function, flow, status and time of start.
pub(super) const BY_STATUS: TableDefinition<'_, (&str, &str, u8, u64, &str), ()> =
    TableDefinition::new("lines-by-status");

/// Creates all tables that do not exist, so that each can be read, and sets the version of the format.
pub(super) fn make_tables(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(META)?.insert("format", FORMAT)?;
    write.open_table(SCOPES)?;
    write.open_table(EXPIRY)?;
    write.open_table(VALUES)?;
    write.open_table(GARBAGE)?;
    write.open_table(FILES)?;
    write.open_table(LINES)?;
    write.open_table(BY_TIME)?;
    write.open_table(BY_STATUS)?;
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

pub(super) const INLINE: u8 = 0;
pub(super) const FILE: u8 = 1;
pub(super) const HEAD: usize = 9;

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
