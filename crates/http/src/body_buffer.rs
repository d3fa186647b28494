//! What comes in several parts, in one piece.

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// What is reserved at once on the strength of a declared length alone.
const RESERVE: usize = 1 << 20;
/// How much of it is reserved for what has come, so many times as much: to grow by doubling would end at up to twice
/// the length, and copy what is there several times.
const TRUSTED: usize = 16;
/// From here on a body has pages of its own. Allocators keep what was freed of such a size for the next of them, each
/// thread for itself: one request then holds its payload several times.
const PAGES: usize = 4 << 20;

/// What comes in several parts, in one piece: memory is reserved as it comes, and if there is much of it, it has pages of
/// its own, which the system has back as soon as nobody holds it.
#[derive(Debug)]
pub struct BodyBuffer {
    room: Room,
    expected: usize,
}

impl BodyBuffer {
    /// Nothing yet, of so many bytes, or of 0 if that is not known. It may become more, or less.
    #[must_use]
    pub fn new(expected: usize) -> BodyBuffer {
        BodyBuffer { room: Room::Grown(BytesMut::new()), expected }
    }

    /// Whether nothing has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.room.len() == 0
    }

    /// Makes room at once for so much that is about to be added.
    pub(crate) fn make_room(&mut self, more: usize) {
        self.room.make(more, self.expected);
    }

    /// Adds what has come, a copy of it.
    pub fn append(&mut self, part: &[u8]) {
        self.room.make(part.len(), self.expected);
        self.room.append(part);
    }

    /// All that has come.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.room.freeze()
    }
}

#[derive(Debug)]
enum Room {
    Grown(BytesMut),
    /// Pages for all of it, and how much of them is filled.
    Pages(MmapMut, usize),
}

impl Room {
    fn len(&self) -> usize {
        match self {
            Room::Grown(all) => all.len(),
            Room::Pages(_, filled) => *filled,
        }
    }

    /// Makes it large enough for so much more, of what has `declared` bytes, as is said.
    fn make(&mut self, more: usize, declared: usize) {
        let came = self.len() + more;
        match self {
            Room::Grown(all) if came > all.capacity() => {
                let reserved = declared.min(came.saturating_mul(TRUSTED).max(RESERVE)).max(came);
                // Pages cost nothing before something is in them, where addresses are plenty.
                let wanted = if declared >= came { declared } else { came.next_power_of_two() };
                if cfg!(target_pointer_width = "64")
                    && reserved >= PAGES
                    && let Ok(pages) = pages(wanted)
                {
                    let grown = std::mem::replace(self, Room::Pages(pages, 0));
                    self.append(&grown.freeze());
                } else {
                    all.reserve(reserved - all.len());
                }
            }
            // More than was declared, or expected: twice as much, as often as it takes.
            Room::Pages(full, filled) if came > full.len() => {
                let mut larger = match pages(came.next_power_of_two()) {
                    Ok(larger) => Room::Pages(larger, 0),
                    Err(_) => Room::Grown(BytesMut::with_capacity(came)),
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
    // Fewer faults. Where the system has no large ones, small ones do.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_is_in_pages_once_a_part_has_come_and_may_be_longer_than_declared() {
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
