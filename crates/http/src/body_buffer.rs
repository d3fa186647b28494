//! Joins the parts of a body.

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// How much is reserved at once because of a declared length alone.
const RESERVE: usize = 1 << 20;
/// How much of the declared length is reserved, as a multiple of the data that has arrived. Growing by doubling would
/// use up to twice the length and copy the data several times.
const RESERVE_FACTOR: usize = 16;
/// From this size on, a body gets its own memory pages. Allocators keep freed blocks of this size for later use,
/// separately for each thread, so that one request would hold its payload several times.
const MIN_PAGES: usize = 4 << 20;

/// Joins the parts of a body into one piece. Memory is reserved as data arrives. A large body gets its own memory
/// pages, which go back to the operating system as soon as the body is dropped.
#[derive(Debug)]
pub struct BodyBuffer {
    room: Room,
    expected: usize,
}

impl BodyBuffer {
    /// An empty buffer. `expected` is the expected length in bytes, or 0 if it is not known. The data may be longer or
    /// shorter.
    #[must_use]
    pub fn new(expected: usize) -> BodyBuffer {
        BodyBuffer { room: Room::Grown(BytesMut::new()), expected }
    }

    /// Whether the buffer is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.room.len() == 0
    }

    /// Reserves room for `more` bytes that will be appended next.
    pub(crate) fn make_room(&mut self, more: usize) {
        self.room.make(more, self.expected);
    }

    /// Appends a copy of the data.
    pub fn append(&mut self, part: &[u8]) {
        self.room.make(part.len(), self.expected);
        self.room.append(part);
    }

    /// Returns the data.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.room.freeze()
    }
}

#[derive(Debug)]
enum Room {
    Grown(BytesMut),
    /// Memory pages, and how many of their bytes are filled.
    Pages(MmapMut, usize),
}

impl Room {
    fn len(&self) -> usize {
        match self {
            Room::Grown(all) => all.len(),
            Room::Pages(_, filled) => *filled,
        }
    }

    /// Reserves room for `more` bytes of data whose declared length is `declared`.
    fn make(&mut self, more: usize, declared: usize) {
        let needed = self.len() + more;
        match self {
            Room::Grown(all) if needed > all.capacity() => {
                let reserved = declared.min(needed.saturating_mul(RESERVE_FACTOR).max(RESERVE)).max(needed);
                // On 64-bit systems, mapping pages uses no memory before they are filled.
                let wanted = if declared >= needed { declared } else { needed.next_power_of_two() };
                if cfg!(target_pointer_width = "64")
                    && reserved >= MIN_PAGES
                    && let Ok(pages) = pages(wanted)
                {
                    let grown = std::mem::replace(self, Room::Pages(pages, 0));
                    self.append(&grown.freeze());
                } else {
                    all.reserve(reserved - all.len());
                }
            }
            // The data is longer than declared or expected: double the size.
            Room::Pages(full, filled) if needed > full.len() => {
                let mut larger = match pages(needed.next_power_of_two()) {
                    Ok(larger) => Room::Pages(larger, 0),
                    Err(_) => Room::Grown(BytesMut::with_capacity(needed)),
                };
                larger.append(&full[..*filled]);
                *self = larger;
            }
            _ => {}
        }
    }

    fn append(&mut self, data: &[u8]) {
        match self {
            Room::Grown(all) => all.extend_from_slice(data),
            Room::Pages(pages, filled) => {
                pages[*filled..][..data.len()].copy_from_slice(data);
                *filled += data.len();
            }
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Room::Grown(all) => all.freeze(),
            Room::Pages(pages, filled) => Bytes::from_owner(pages).slice(..filled),
        }
    }
}

fn pages(length: usize) -> std::io::Result<MmapMut> {
    let pages = MmapMut::map_anon(length)?;
    // Large pages cause fewer page faults. If there are none, small ones are used.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_moves_to_pages_and_may_be_longer_than_declared() {
        let mut joined = BodyBuffer::new(5_000_000);
        let mut expected = Vec::new();
        let mut kinds = Vec::new();
        for part in 0..60 {
            let data = vec![part; 100_000];
            joined.append(&data);
            expected.extend(data);
            kinds.push(matches!(joined.room, Room::Pages(..)));
        }
        assert_eq!(kinds.iter().position(|&pages| pages), Some(16));
        assert_eq!(kinds.iter().rposition(|&pages| pages), Some(59));
        assert!(joined.into_bytes() == expected);
    }
}
