//! The chunks in which the list of a for-each is stored, so that an item reads a small part of the list only.

use bytes::{BufMut as _, Bytes, BytesMut};
use faasflow_core::Payload;
use faasflow_core::envelope::{from_latin1, latin1};
use serde::{Deserialize, Serialize};

/// The size of a chunk that is aimed at, in bytes.
const AIM: usize = 64 * 1024;
/// The most items of a chunk.
const MOST: usize = 64;

/// An item: its length, and its content type if it has one. They stand in a line of JSON before the bytes of the items.
#[derive(Serialize, Deserialize)]
struct Entry(usize, #[serde(default, skip_serializing_if = "Option::is_none")] Option<String>);

/// How many items a chunk of this list has. All chunks but the last have the same number.
pub(super) fn items_per_chunk(items: &[Payload]) -> usize {
    let bytes: usize = items.iter().map(Payload::len).sum();
    let average = bytes / items.len().max(1);
    (AIM / average.max(1)).clamp(1, MOST)
}

pub(super) fn encode(items: &[Payload]) -> Bytes {
    let entry = |item: &Payload| Entry(item.len(), item.content_type_header().map(latin1));
    let head = serde_json::to_vec(&items.iter().map(entry).collect::<Vec<_>>()).expect("lengths and texts are JSON");
    let bytes: usize = items.iter().map(Payload::len).sum();
    let mut chunk = BytesMut::with_capacity(head.len() + 1 + bytes);
    chunk.put_slice(&head);
    chunk.put_u8(b'\n');
    items.iter().for_each(|item| chunk.put_slice(item.bytes()));
    chunk.freeze()
}

/// An item of a chunk; `None` if the chunk was not written by [`encode`], or has fewer items.
pub(crate) fn item(chunk: &Bytes, index: usize) -> Option<Payload> {
    let end = chunk.iter().position(|&byte| byte == b'\n')?;
    let entries: Vec<Entry> = serde_json::from_slice(&chunk[..end]).ok()?;
    let before = entries.iter().take(index).try_fold(0usize, |sum, entry| sum.checked_add(entry.0))?;
    let Entry(length, content_type) = entries.into_iter().nth(index)?;
    let start = before.checked_add(end + 1)?;
    let bytes = (start.checked_add(length)? <= chunk.len()).then(|| chunk.slice(start..start + length))?;
    let content_type = match content_type {
        Some(text) => Some(from_latin1(&text)?),
        None => None,
    };
    // A copy, so that an item does not hold the memory of its whole chunk.
    Some(Payload::new(Bytes::copy_from_slice(&bytes)).with_content_type_header(content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_as_they_were() {
        let items = [
            Payload::new("[1]\n").with_content_type("application/json"),
            Payload::empty(),
            Payload::new(vec![0xff, b'\n']),
        ];
        let chunk = encode(&items);
        for (index, expected) in items.iter().enumerate() {
            assert_eq!(item(&chunk, index).as_ref(), Some(expected));
        }
        assert_eq!(item(&chunk, 3), None);
        assert_eq!(item(&chunk.slice(..chunk.len() - 1), 2), None);
        assert_eq!(item(&Bytes::from_static(b"x"), 0), None);
    }

    #[test]
    fn chunks_of_large_items_have_few() {
        let items = |count: usize, bytes: usize| vec![Payload::new(vec![0; bytes]); count];
        assert_eq!(items_per_chunk(&items(1000, 10)), 64);
        assert_eq!(items_per_chunk(&items(10, 10_000)), 6);
        assert_eq!(items_per_chunk(&items(2, 1_000_000)), 1);
        assert_eq!(items_per_chunk(&[]), 64);
    }
}
