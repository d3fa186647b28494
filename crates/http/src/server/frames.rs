//! Finds the heads in the bytes of an HTTP/2 connection.

/// The first bytes of an HTTP/2 client (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The types of frames that contain parts of a head (RFC 9113, 6), and the flag of the last part.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames that a client sends.
#[derive(Debug)]
pub(super) enum Frames {
    /// This many bytes of the preface have arrived.
    Preface(usize),
    /// The connection does not use HTTP/2.
    Not,
    Http2(Frame),
}

/// The frame that is being read.
#[derive(Debug, Default)]
pub(super) struct Frame {
    start: [u8; 9],
    have: usize,
    /// How many bytes of its content are still missing.
    left: usize,
    /// The size of the current head so far, in bytes; 0 between heads.
    head: u64,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::Preface(0)
    }
}

impl Frames {
    /// Follows received bytes. Returns the size of the incomplete head so far, or `None` if the connection does not use
    /// HTTP/2.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Option<u64> {
        if let Frames::Preface(had) = self {
            let more = bytes.len().min(PREFACE.len() - *had);
            if bytes[..more] != PREFACE[*had..*had + more] {
                *self = Frames::Not;
                return None;
            }
            *had += more;
            bytes = &bytes[more..];
            if *had < PREFACE.len() {
                return Some(0);
            }
            *self = Frames::Http2(Frame::default());
        }
        match self {
            Frames::Http2(frame) => {
                frame.received(bytes);
                Some(frame.head)
            }
            _ => None,
        }
    }
}

impl Frame {
    fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.have < self.start.len() {
                let more = bytes.len().min(self.start.len() - self.have);
                self.start[self.have..][..more].copy_from_slice(&bytes[..more]);
                self.have += more;
                bytes = &bytes[more..];
                if self.have < self.start.len() {
                    return;
                }
                self.left = u32::from_be_bytes([0, self.start[0], self.start[1], self.start[2]]) as usize;
            }
            let more = bytes.len().min(self.left);
            self.left -= more;
            bytes = &bytes[more..];
            let [_, _, _, kind, flags, ..] = self.start;
            let is_head = matches!(kind, HEADERS | CONTINUATION);
            if is_head {
                self.head += more as u64;
            }
            if self.left == 0 {
                self.have = 0;
                if is_head && flags & END_HEADERS != 0 {
                    self.head = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let length_bytes = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = length_bytes[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(vec![0; length]);
        frame
    }

    #[test]
    fn r7_heads_are_found_however_the_bytes_are_split() {
        let all = [
            PREFACE.to_vec(),
            frame(4, 0, 0),
            frame(HEADERS, END_HEADERS, 50),
            frame(0, 1, 1000),
            frame(HEADERS, 0, 300),
            frame(CONTINUATION, 0, 200),
        ]
        .concat();
        for size in [1, 7, 100, all.len()] {
            let mut frames = Frames::default();
            let last = all.chunks(size).map(|part| frames.received(part)).last().unwrap();
            assert_eq!(last, Some(500), "{size}");
            assert_eq!(frames.received(&frame(CONTINUATION, END_HEADERS, 10)), Some(0), "{size}");
        }
        assert_eq!(Frames::default().received(b"POST / HTTP/1.1\r\n"), None);
        let mut frames = Frames::default();
        assert_eq!(frames.received(b"PR"), Some(0));
        assert_eq!(frames.received(b"OPFIND / HTTP/1.1\r\n"), None);
    }
}
