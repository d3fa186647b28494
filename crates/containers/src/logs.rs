//! What a container writes.

use std::io;
use std::time::Duration;

use bollard::errors::Error;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::wire::reason;

/// How long a line may go without its end before what there is of it is passed on as a line of its own.
const LINE_ENDS: Duration = Duration::from_secs(2);
/// The bytes of a frame's head: which output it is of, three of nothing, and its length.
const HEAD: usize = 8;
/// How much is kept of an answer that is no log.
const OTHER: usize = 4096;

type Writer = Box<dyn AsyncWrite + Unpin + Send>;

/// One of the two outputs of a container.
struct Output {
    writer: Writer,
    /// Since when a line has no end.
    open: Option<Instant>,
}

impl Output {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        if let Some(last) = bytes.last() {
            self.open = (*last != b'\n').then(Instant::now);
        }
        Ok(())
    }

    async fn end_line(&mut self) -> io::Result<()> {
        self.open = None;
        self.writer.write_all(b"\n").await
    }
}

/// Where a log is read.
enum At {
    /// In the head of a frame, of which there is so much.
    Head(Vec<u8>),
    /// In a frame of this output, of which so many bytes are to come.
    Frame(usize, usize),
}

/// Copies what a container writes, until the answer ends. A copy that nobody reads any more ends it. Frames are passed on as
/// they come, however long they are said to be.
pub(crate) async fn copy(mut answer: Incoming, output: Writer, error: Writer) -> Result<(), Error> {
    let mut outputs = [Output { writer: output, open: None }, Output { writer: error, open: None }];
    let mut at = At::Head(Vec::with_capacity(HEAD));
    loop {
        let part = match next(&mut answer, &mut outputs).await {
            Ok(Some(part)) => part?,
            Ok(None) => break,
            // Nobody reads it.
            Err(_) => return Ok(()),
        };
        match take(&mut at, &part, &mut outputs).await {
            Ok(Some(other)) => return Err(refused(other, answer).await),
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// The next part of the answer. Meanwhile, lines without an end are ended.
async fn next(answer: &mut Incoming, outputs: &mut [Output; 2]) -> io::Result<Option<Result<Bytes, Error>>> {
    loop {
        let late = outputs.iter().filter_map(|output| output.open).min().map(|since| since + LINE_ENDS);
        let frame = tokio::select! {
            frame = answer.frame() => frame,
            () = tokio::time::sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                for output in outputs.iter_mut().filter(|output| output.open.is_some_and(|since| Some(since + LINE_ENDS) == late)) {
                    output.end_line().await?;
                }
                continue;
            }
        };
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Ok(Some(Err(error.into()))),
            Some(Ok(frame)) => {
                if let Ok(part) = frame.into_data() {
                    return Ok(Some(Ok(part)));
                }
            }
        }
    }
}

/// Takes a part of the answer. Yields what is no log, if that is what comes.
async fn take(at: &mut At, mut part: &[u8], outputs: &mut [Output; 2]) -> io::Result<Option<Vec<u8>>> {
    while !part.is_empty() {
        match at {
            At::Head(head) => {
                let (own, rest) = part.split_at(part.len().min(HEAD - head.len()));
                head.extend_from_slice(own);
                // The containers have no terminal, so whatever has no head is the engine's.
                if head[0] > 2 {
                    head.extend_from_slice(rest);
                    return Ok(Some(std::mem::take(head)));
                }
                part = rest;
                if let &[kind, _, _, _, a, b, c, d] = &head[..] {
                    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                    if length > 0 {
                        *at = At::Frame(usize::from(kind == 2), length);
                    } else {
                        head.clear();
                    }
                }
            }
            At::Frame(output, left) => {
                let (own, rest) = part.split_at(part.len().min(*left));
                outputs[*output].write(own).await?;
                *left -= own.len();
                part = rest;
                if *left == 0 {
                    *at = At::Head(Vec::with_capacity(HEAD));
                }
            }
        }
    }
    Ok(None)
}

/// An answer that has begun as a log, and is the reason why there is none. Podman does so.
async fn refused(mut told: Vec<u8>, mut answer: Incoming) -> Error {
    while told.len() < OTHER
        && let Some(Ok(frame)) = answer.frame().await
    {
        told.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    told.truncate(OTHER);
    let message = reason(&told).unwrap_or_else(|| String::from_utf8_lossy(&told).trim().to_owned());
    Error::DockerStreamError { error: message }
}
