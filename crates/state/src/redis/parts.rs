//! Large values, which are stored in parts.

use std::fmt;

use bytes::Bytes;
use faasflow_core::state::StateError;
use faasflow_http::BodyBuffer;

use super::server::Server;

/// The largest value that is written as one field. A larger value is sent and received in parts of this size, so that
/// neither side holds it twice and no other request has to wait for it.
pub(super) const PART: usize = 1 << 20;

/// Where the parts of a value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    id: String,
    count: usize,
    bytes: usize,
}

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Pointer, StateError> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (id, count, bytes) = (word().to_owned(), word().parse(), word().parse());
        match (count, bytes) {
            (Ok(count), Ok(bytes)) => Ok(Pointer { id, count, bytes }),
            _ => Err(StateError::permanent(format!("`{text}` is not a pointer to the parts of a value"))),
        }
    }

    fn field(&self, part: usize) -> String {
        format!("c{}:{part}", self.id)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.count, self.bytes)
    }
}

impl Server {
    /// Writes the parts of a value. Nobody sees them until their pointer is written.
    pub(super) async fn put_parts(&self, hash: &str, value: &Bytes) -> Result<Pointer, StateError> {
        let id = format!("{:032x}", rand::random::<u128>());
        let pointer = Pointer { id, count: value.len().div_ceil(PART), bytes: value.len() };
        for (number, part) in value.chunks(PART).enumerate() {
            let mut commands = redis::pipe();
            // This is one transaction, so that a new hash is never without its time to live.
            commands.atomic();
            commands.cmd("HSET").arg(hash).arg(pointer.field(number)).arg(part).ignore();
            commands.cmd("PEXPIRE").arg(hash).arg(self.millis()).ignore();
            self.ask::<()>("a value cannot be written", &commands).await?;
        }
        Ok(pointer)
    }

    /// Reads the parts of a value; `None` if a part is missing.
    pub(super) async fn take_parts(&self, hash: &str, pointer: &Pointer) -> Result<Option<Bytes>, StateError> {
        let mut value = BodyBuffer::new(pointer.bytes);
        for number in 0..pointer.count {
            let mut commands = redis::pipe();
            commands.cmd("HGET").arg(hash).arg(pointer.field(number));
            let (part,): (Option<Vec<u8>>,) = self.ask("a value cannot be read", &commands).await?;
            match part {
                Some(part) => value.append(&part),
                None => return Ok(None),
            }
        }
        let value = value.into_bytes();
        Ok((value.len() == pointer.bytes).then_some(value))
    }

    /// Removes parts that no pointer refers to.
    pub(super) async fn drop_parts(&self, hash: &str, pointer: Option<Pointer>) -> Result<(), StateError> {
        let Some(pointer) = pointer else { return Ok(()) };
        let mut commands = redis::pipe();
        let command = commands.cmd("HDEL").arg(hash);
        for number in 0..pointer.count {
            command.arg(pointer.field(number));
        }
        command.ignore();
        self.ask("the parts of a value cannot be removed", &commands).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_back() {
        let pointer = Pointer { id: "0a".into(), count: 15, bytes: 60_000_000 };
        assert_eq!(Pointer::parse(&pointer.to_string()).unwrap(), pointer);
        assert!(Pointer::parse("0a x").is_err());
    }
}
