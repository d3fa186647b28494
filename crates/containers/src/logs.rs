//! Reads the log of a container.

use std::io;

use bollard::errors::Error;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::wire::reason;

/// The size of a frame's head in bytes: one for the output, three that are unused, and four for the length.
const HEAD: usize = 8;
/// How much is kept of an answer that is not a log, in bytes.
const LARGEST_REFUSAL: usize = 4096;

type Writer = Box<dyn AsyncWrite + Unpin + Send>;

/// The position in the frames of a log.
enum Position {
    /// In the head of a frame. These bytes of it have arrived.
    Head(Vec<u8>),
    /// In a frame of this output, with this many bytes left.
    Frame(usize, usize),
}

/// Copies what a container writes until the answer ends, or nobody reads one of the copies any longer. The parts of a frame
/// are passed on as they arrive, so a frame that claims to be long takes no memory.
pub(crate) async fn copy(mut answer: Incoming, output: Writer, error: Writer) -> Result<(), Error> {
    let mut outputs = [output, error];
    let mut at = Position::Head(Vec::with_capacity(HEAD));
    while let Some(frame) = answer.frame().await {
        let Ok(part) = frame?.into_data() else { continue };
        match take(&mut at, &part, &mut outputs).await {
            Ok(Some(other)) => return Err(refusal(other, answer).await),
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Passes on a part of the answer. Returns the bytes if they are not a log.
async fn take(at: &mut Position, mut part: &[u8], outputs: &mut [Writer; 2]) -> io::Result<Option<Vec<u8>>> {
    while !part.is_empty() {
        match at {
            Position::Head(head) => {
                let (own, rest) = part.split_at(part.len().min(HEAD - head.len()));
                head.extend_from_slice(own);
                // The containers have no terminal, so their output has heads. Anything else comes from the engine.
                if head[0] > 2 {
                    head.extend_from_slice(rest);
                    return Ok(Some(std::mem::take(head)));
                }
                part = rest;
                if let &[kind, _, _, _, a, b, c, d] = &head[..] {
                    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                    if length > 0 {
                        *at = Position::Frame(usize::from(kind == 2), length);
                    } else {
                        head.clear();
                    }
                }
            }
            Position::Frame(output, left) => {
                let (own, rest) = part.split_at(part.len().min(*left));
                outputs[*output].write_all(own).await?;
                *left -= own.len();
                part = rest;
                if *left == 0 {
                    *at = Position::Head(Vec::with_capacity(HEAD));
                }
            }
        }
    }
    Ok(None)
}

/// Reads the reason for a refusal that came where a log was expected. Podman sends some in this way.
async fn refusal(mut read: Vec<u8>, mut answer: Incoming) -> Error {
    while read.len() < LARGEST_REFUSAL
        && let Some(Ok(frame)) = answer.frame().await
    {
        read.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    read.truncate(LARGEST_REFUSAL);
    let message = reason(&read).unwrap_or_else(|| String::from_utf8_lossy(&read).trim().to_owned());
    Error::DockerStreamError { error: message }
}
