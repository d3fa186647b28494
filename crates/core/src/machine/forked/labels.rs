//! The labels of the items of a for-each in the store. They are apart from the items, which may be large, so that the status of a
//! request can be found out without reading them.

use bytes::Bytes;

use crate::envelope::{Origin, Terms};
use crate::graph::Place;
use crate::state::{Key, layout};

use super::message::Message;
use super::record::{decode, encode};

/// How many labels are stored in one value.
pub const LABELS_PER_CHUNK: u32 = 256;

/// The values with the labels of a list, in order.
#[must_use]
pub fn encode_labels(labels: &[Option<String>]) -> Vec<Bytes> {
    labels.chunks(LABELS_PER_CHUNK as usize).map(|chunk| encode(&chunk)).collect()
}

/// The labels in one of these values; `None` if it is not one.
#[must_use]
pub fn decode_labels(value: &Bytes) -> Option<Vec<Option<String>>> {
    decode(value)
}

/// The key of the value that contains the label of an item, and the index in it. `None` if the items have no labels.
pub(super) fn label_of(fork: &Place, terms: &Terms, item: u32) -> Option<(Key, usize)> {
    let list = terms.list.as_ref().filter(|list| list.labels_per_chunk > 0)?;
    let fork = fork.clone().in_generation(list.generation);
    let key = layout::labels(&fork, &list.sha256, item / list.labels_per_chunk);
    Some((key, (item % list.labels_per_chunk) as usize))
}

impl Message {
    /// The key of the value that contains the label of the item that this token begins, and the index in it. `None` if it begins no
    /// item, if the items have no labels, or if the token carries the label already.
    #[must_use]
    pub fn label_key(&self) -> Option<(Key, usize)> {
        if self.origin != Origin::Item {
            return None;
        }
        let ((fork, index), terms) = self.place.fork().zip(self.joins.last())?;
        label_of(&fork, terms, index).filter(|_| terms.label.is_none())
    }

    /// Adds the label of the item that this token begins. `value` is what is stored under its [key](Message::label_key).
    pub fn set_label(&mut self, value: &Bytes) {
        let label = self.label_key().and_then(|(_, index)| decode_labels(value)?.into_iter().nth(index)?);
        self.give_label(label);
    }

    /// Adds a label, if there is one.
    pub(super) fn give_label(&mut self, label: Option<String>) {
        if let Some(terms) = self.joins.last_mut() {
            terms.label = label.or(terms.label.take());
        }
    }

    /// The labels of the items that the token is in, from the outermost to the innermost.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.joins.iter().filter_map(|terms| terms.label.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use crate::definition::Policy;
    use crate::envelope::List;
    use crate::payload::Payload;

    use super::*;

    fn begins(index: u32, labels_per_chunk: u32) -> Message {
        let list = List { sha256: "ab".to_owned(), per_chunk: 2, generation: 1, labels_per_chunk };
        let policy = Policy::Failures(0);
        let terms = Terms { members: 900, policy, at_most: 2, list: Some(list), seen: 0, due_ms: None, label: None };
        let place = Place::from(3).in_generation(2).member(index, &Place::from(5));
        Message::begin(place, Payload::empty().into(), Origin::Item, vec![terms])
    }

    /// The stores of requests in progress contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let labels = [Some("a".to_owned()), None];
        assert_eq!(encode_labels(&labels), [r#"["a",null]"#]);
        assert_eq!(begins(300, 256).label_key().unwrap().0.as_str(), "labels/3@1-ab/1");
    }

    #[test]
    fn the_first_token_of_an_item_gets_its_label() {
        let labels: Vec<_> = (0..900).map(|index| (index % 2 == 0).then(|| format!("page {index}"))).collect();
        let chunks = encode_labels(&labels);
        assert_eq!(chunks.len(), 4);
        let mut token = begins(514, 256);
        token.set_label(&chunks[2]);
        assert_eq!(token.labels().collect::<Vec<_>>(), ["page 514"]);
        assert_eq!(token.label_key(), None, "it has its label");

        let mut token = begins(515, 256);
        token.set_label(&chunks[2]);
        assert_eq!(token.labels().count(), 0, "the item has no label");
        for damaged in ["", "[]", "{}", "[1]"] {
            token.set_label(&Bytes::from(damaged));
            assert_eq!(token.labels().count(), 0, "{damaged}");
        }
        assert_eq!(begins(514, 0).label_key(), None);
        let onward = Message { origin: Origin::Token, ..begins(514, 256) };
        assert_eq!(onward.label_key(), None);
    }
}
