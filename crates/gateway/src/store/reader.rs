//! Reads values of a request.

use faasflow_http::now_ms;
use redb::ReadTransaction;

use super::error::StoreError;
use super::rows;
use super::tables::{Groups, HEAD, Head, SCOPES, Scope, Stored, VALUES, groups};

/// Reads values of a request.
pub(super) struct Reader {
    groups: Groups,
    values: redb::ReadOnlyTable<(u64, &'static str), &'static [u8]>,
}

impl Reader {
    pub(super) fn new(read: &ReadTransaction, scope: &Scope) -> Result<Reader, StoreError> {
        let mut groups = groups(&read.open_table(SCOPES)?, scope)?;
        // What has expired is not there, although it is removed later. What outlives it has a time of its own, which begins with
        // the removal.
        if groups.expires_ms <= now_ms() {
            groups.own = 0;
        }
        Ok(Reader { groups, values: read.open_table(VALUES)? })
    }

    pub(super) fn value(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        match self.groups.of(key) {
            0 => Ok(None),
            group => rows::find(&self.values, group, key, Stored::decode),
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
            let after = after.filter(|_| of_after == Some(group));
            // The row with this key may have later ones too.
            let from = after.map(|after| rows::first_of(&self.values, group, after)).transpose()?.flatten();
            let from = from.as_deref().or(after).unwrap_or_default();
            for row in self.values.range((group, from)..(group + 1, ""))? {
                let (first, row) = row?;
                for (key, value) in rows::entries(first.value().1, row.value())? {
                    if after.is_some_and(|after| key <= after) {
                        continue;
                    }
                    if found.len() == limit {
                        return Ok(found);
                    }
                    let head = Head::decode(value)?;
                    let size = head.file.map_or((value.len() - HEAD) as u64, |(_, length)| length);
                    found.push((key.to_owned(), head.version, size));
                }
            }
        }
        Ok(found)
    }
}
