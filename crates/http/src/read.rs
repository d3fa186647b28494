//! Reads of bounded size.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The most bytes that are read at once. hyper doubles the buffer of a connection whenever a read fills it, up to the
/// largest head that it accepts, and keeps it while the connection is idle. With this limit, the buffer grows to at
/// most twice this size, however large heads may be.
const MAX_READ: usize = 128 << 10;

/// Reads from a stream, but at most [`MAX_READ`] bytes.
pub(crate) fn poll_read_some(
    stream: Pin<&mut impl AsyncRead>,
    context: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if into.remaining() <= MAX_READ {
        return stream.poll_read(context, into);
    }
    let mut part = ReadBuf::new(into.initialize_unfilled_to(MAX_READ));
    ready!(stream.poll_read(context, &mut part))?;
    let length = part.filled().len();
    into.advance(length);
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r2_a_read_is_bounded_and_loses_nothing() {
        let data: Vec<u8> = (0..500_000u32).map(|number| number as u8).collect();
        let mut stream = data.as_slice();
        let mut all = Vec::new();
        let mut largest = 0;
        loop {
            let mut buffer = vec![0; 400_000];
            let mut into = ReadBuf::new(&mut buffer);
            std::future::poll_fn(|context| poll_read_some(Pin::new(&mut stream), context, &mut into)).await.unwrap();
            let read = into.filled();
            if read.is_empty() {
                break;
            }
            largest = largest.max(read.len());
            all.extend_from_slice(read);
        }
        assert!(all == data);
        assert_eq!(largest, MAX_READ);
    }
}
