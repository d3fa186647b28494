//! The entries of a join: the order in which its members ended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::envelope::Terms;
use crate::graph::{Composite, CompositeIndex, Plan};
use crate::state::Key;

use super::ended::Ended;
use super::record::{decode, encode};
use super::tally::Tally;

/// One position in the order in which the members of a join ended: a member, or several that ended at about the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    member: u32,
    ended: Ended,
    /// The members that come after the first one, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    with: Vec<(u32, Ended)>,
    /// The tally after all members of the entry.
    pub(super) tally: Tally,
}

impl Entry {
    /// Creates the entry of a member. `before` is the tally before it.
    pub(super) fn new(composite: &Composite, terms: &Terms, before: &Tally, member: u32, ended: Ended) -> Entry {
        Entry { member, ended, with: Vec::new(), tally: before.after(composite, terms, member, ended) }
    }

    /// Adds a member, unless the entry has it already or has decided the join.
    fn add(&mut self, composite: &Composite, terms: &Terms, member: u32, ended: Ended) {
        if self.tally.verdict.is_none() && !self.contains(member) {
            self.tally = self.tally.after(composite, terms, member, ended);
            self.with.push((member, ended));
        }
    }

    /// Whether it can be an entry of this graph or for-each. A value from the store need not be.
    pub(super) fn fits(&self, composite: &Composite, terms: &Terms) -> bool {
        self.members().all(|(member, _)| member < terms.members) && self.tally.fits(composite, terms)
    }

    /// Its members, in order.
    pub(super) fn members(&self) -> impl Iterator<Item = (u32, Ended)> {
        std::iter::once((self.member, self.ended)).chain(self.with.iter().copied())
    }

    pub(super) fn contains(&self, member: u32) -> bool {
        self.members().any(|(other, _)| other == member)
    }

    /// The last member. If the entry decides the join, this is the member that decided it.
    pub(super) fn last(&self) -> u32 {
        self.with.last().map_or(self.member, |(member, _)| *member)
    }

    /// The tally after this member of the entry. `before` is the tally before the entry.
    pub(super) fn tally_after(&self, composite: &Composite, terms: &Terms, before: &Tally, member: u32) -> Tally {
        if member == self.last() {
            return self.tally.clone();
        }
        let mut tally = before.clone();
        for (other, ended) in self.members() {
            tally = tally.after(composite, terms, other, ended);
            if other == member {
                break;
            }
        }
        tally
    }
}

/// A member that has ended and is ready to become an entry of its join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrant {
    pub(super) key: Key,
    pub(super) number: u32,
    pub(super) composite: CompositeIndex,
    pub(super) terms: Terms,
    /// The tally before the entry.
    pub(super) before: Tally,
    pub(super) member: u32,
    pub(super) ended: Ended,
}

impl Entrant {
    /// The key of the entry.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The number of the entry, counted from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The entry of this member together with others that are ready for the same entry. Those with other keys are left out,
    /// and so are those that come after the member that decides the join.
    #[must_use]
    pub fn entry<'a>(&'a self, plan: &Plan, others: impl IntoIterator<Item = &'a Entrant>) -> Bytes {
        let (composite, terms) = (plan.composite(self.composite), &self.terms);
        let mut entry = Entry::new(composite, terms, &self.before, self.member, self.ended);
        for other in others.into_iter().filter(|other| other.key == self.key) {
            entry.add(composite, terms, other.member, other.ended);
        }
        encode(&entry)
    }
}

/// The number of members of an entry; 0 if the value is not one.
#[doc(hidden)]
#[must_use]
pub fn members_of_entry(value: &Bytes) -> usize {
    decode::<Entry>(value).map_or(0, |entry| entry.members().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stores of requests in progress contain such entries.
    #[test]
    fn the_encoding_never_changes() {
        let alone = r#"{"member":1,"ended":"done","tally":{"done":3}}"#;
        let several = r#"{"member":1,"ended":"done","with":[[2,"failed"]],"tally":{"done":3,"failed":1}}"#;
        for text in [alone, several] {
            let entry: Entry = decode(&Bytes::from_static(text.as_bytes())).unwrap();
            assert_eq!(encode(&entry), text);
        }
    }
}
