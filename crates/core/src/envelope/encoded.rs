use bytes::{BufMut as _, Bytes, BytesMut};

/// An envelope as it is sent: its parts in order. Large parts are shared and not copied.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub(super) parts: Vec<Bytes>,
}

impl Encoded {
    /// The parts. One after the other, they are the envelope.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Converts it into its parts.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The size of the whole envelope in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Never true. The method exists because [`len`](Encoded::len) does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole envelope in one piece. This copies it.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.len());
        self.parts.iter().for_each(|part| whole.put_slice(part));
        whole.freeze()
    }
}
