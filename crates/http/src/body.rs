use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use faasflow_core::code::{self, Code};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::body_buffer::BodyBuffer;
use crate::budget::{NoRoom, Share};
use crate::decode::DecodeError;

/// Why a body was not read completely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBodyError {
    /// The body is larger than the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {}", faasflow_core::duration::format(*.0))]
    TooSlow(Duration),
    /// The connection was lost, or the body is malformed.
    #[error("the body was cut off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body's `Content-Encoding` cannot be decoded.
    #[error(transparent)]
    Encoded(DecodeError),
    /// Other bodies leave no room for this one.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

impl From<DecodeError> for ReadBodyError {
    fn from(error: DecodeError) -> ReadBodyError {
        match error {
            DecodeError::NoRoom(full) => ReadBodyError::NoRoom(full),
            error => ReadBodyError::Encoded(error),
        }
    }
}

impl ReadBodyError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            ReadBodyError::TooLarge { .. } => code::BODY_TOO_LARGE,
            ReadBodyError::TooSlow(_) => code::BODY_TOO_SLOW,
            ReadBodyError::Broken(_) => code::BODY_INTERRUPTED,
            ReadBodyError::Encoded(error) => error.code(),
            ReadBodyError::NoRoom(full) => full.code(),
        }
    }

    /// Whether the peer sent something malformed, rather than losing the connection. It would send the same again.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        match self {
            ReadBodyError::Broken(source) => crate::client::is_malformed(&**source),
            _ => false,
        }
    }
}

/// Reads a complete body.
///
/// If the body arrives in one frame, it is returned without a copy. A declared length over the limit is refused before
/// anything is read. Memory is reserved only as data arrives, so a peer that announces much and sends little costs
/// little. A large body of declared length gets its own memory pages, which go back to the operating system as soon as
/// the body is dropped. They are mapped for the whole length once a part of the body has arrived. Mapping uses
/// addresses, but memory only for the pages that are filled.
///
/// # Errors
///
/// If the body exceeds `limit` bytes, takes longer than `within` in total, or is cut off.
pub async fn read_body<B>(body: B, limit: u64, within: Duration) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(within, read_body_untimed(body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(ReadBodyError::TooSlow(within)),
    }
}

/// The same as [`read_body`] for a body that counts against a budget. Nothing is read that the share has no room for.
/// Use [`Share::keep`] afterwards to bind the share to the returned body.
///
/// # Errors
///
/// As for [`read_body`], and if there is no room for the body.
pub async fn read_body_into<B>(body: B, limit: u64, within: Duration, share: &mut Share) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(within, read(body, limit, Some(share))).await {
        Ok(read) => read,
        Err(_) => Err(ReadBodyError::TooSlow(within)),
    }
}

/// The same as [`read_body_into`] for callers that have a timeout of their own.
///
/// # Errors
///
/// As for [`read_body_untimed`], and if there is no room for the body.
pub async fn read_body_into_untimed<B>(body: B, limit: u64, share: &mut Share) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    read(body, limit, Some(share)).await
}

/// Reads and discards the rest of a refused request's body, up to 16 MiB and 30 seconds. Gives up if nothing arrives
/// for a second. If the connection were closed while the client still sends, it would be reset, and many clients then
/// report the reset instead of the answer. If the client waits for permission to send the body (`Expect`), nothing is
/// read.
pub async fn drain<B>(headers: &HeaderMap, body: B)
where
    B: Body<Data = Bytes>,
{
    discard(headers, body, 16 << 20, Duration::from_secs(1)).await;
}

/// The same as [`drain`] for a body that would be accepted at another time. Up to `length` bytes are read, and a pause
/// may take five seconds, because many large bodies arrive at once in this case. The client then learns when to try
/// again.
pub async fn drain_up_to<B>(headers: &HeaderMap, body: B, length: u64)
where
    B: Body<Data = Bytes>,
{
    discard(headers, body, length, Duration::from_secs(5)).await;
}

async fn discard<B>(headers: &HeaderMap, body: B, length: u64, silence: Duration)
where
    B: Body<Data = Bytes>,
{
    const WITHIN: Duration = Duration::from_secs(30);

    if headers.contains_key(EXPECT) {
        return;
    }
    let mut body = std::pin::pin!(body);
    let reading = async {
        let mut left = length;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(silence, body.frame()).await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(WITHIN, reading).await;
}

/// Sends a refusal at once, and reads the rest of the request's body at the same time, as [`drain`] does. A proxy that
/// is still forwarding the body then passes the refusal on. If the connection were closed instead, of-watchdog, for
/// example, would answer with an empty 500. The answer ends when the reading does.
pub fn refuse_and_drain<B>(answer: Response, headers: HeaderMap, body: B) -> Response
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    end_after(answer, async move { drain(&headers, body).await })
}

/// Sends an answer at once, but delays its end until `hearing` is done, such as until the rest of the request has been
/// read.
pub fn end_after(mut answer: Response, hearing: impl Future<Output = ()> + Send + 'static) -> Response {
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer.map(|answer| axum::body::Body::new(Refusal { answer, hearing: Box::pin(hearing) }))
}

/// An answer that ends only when another future is done. It declares no length, because hyper would consider it
/// finished once that many bytes are sent.
struct Refusal {
    answer: axum::body::Body,
    hearing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Body for Refusal {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.answer).poll_frame(context) {
            Poll::Ready(None) => self.hearing.as_mut().poll(context).map(|()| None),
            frame => frame,
        }
    }
}

/// The same as [`read_body`] for callers that have a timeout of their own.
///
/// # Errors
///
/// If the body exceeds `limit` bytes, or is cut off.
pub async fn read_body_untimed<B>(body: B, limit: u64) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    read(body, limit, None).await
}

async fn read<B>(body: B, limit: u64, mut share: Option<&mut Share>) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > limit {
        return Err(ReadBodyError::TooLarge { limit });
    }
    if let (Some(share), Some(length)) = (&mut share, body.size_hint().exact()) {
        share.make_room(length).await?;
    }
    let declared = body.size_hint().exact().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut joined = BodyBuffer::new(declared);
    let mut length = 0u64;
    loop {
        let frame = body.frame().await.map(|frame| frame.map_err(|source| ReadBodyError::Broken(source.into())));
        let Some(frame) = frame else { break };
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len() as u64;
        if length > limit {
            return Err(ReadBodyError::TooLarge { limit });
        }
        if let Some(share) = &mut share {
            share.grow(length, limit).await?;
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
            continue;
        }
        joined.make_room(first.len() + data.len());
        joined.append(&std::mem::take(&mut first));
        joined.append(&data);
    }
    Ok(if joined.is_empty() { first } else { joined.into_bytes() })
}

/// A body of known length made of several parts, which are not copied.
pub fn body_of_parts(mut parts: Vec<Bytes>) -> axum::body::Body {
    match parts.len() {
        0 => axum::body::Body::empty(),
        1 => axum::body::Body::from(parts.remove(0)),
        _ => axum::body::Body::new(Parts(parts.into())),
    }
}

struct Parts(VecDeque<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|part| part.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    #[tokio::test]
    async fn one_frame_is_not_copied() {
        let sent = Bytes::from(vec![7; 100]);
        let read = read_body(Full::new(sent.clone()), 100, Duration::from_secs(1)).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn many_frames_are_joined_and_limited() {
        let frames = || {
            StreamBody::new(futures_util::stream::iter(
                ["ab", "", "c", "def"].map(|part| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(part)))),
            ))
        };
        assert_eq!(read_body(frames(), 6, Duration::from_secs(1)).await.unwrap(), "abcdef");
        let refused = read_body(frames(), 5, Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(refused, ReadBodyError::TooLarge { limit: 5 }));
    }

    #[tokio::test]
    async fn a_body_of_known_length_takes_no_more_memory_than_that() {
        let parts = vec![Bytes::from(vec![7; 100_000]); 25];
        let read = read_body(body_of_parts(parts), u64::MAX, Duration::from_secs(9)).await.unwrap();
        assert!(read.len() == 2_500_000 && read.iter().all(|&byte| byte == 7));
        assert_eq!(read.try_into_mut().unwrap().capacity(), 2_500_000);
    }

    #[tokio::test]
    async fn a_large_body_of_known_length_is_complete() {
        let parts: Vec<_> = (0..105).map(|part| Bytes::from(vec![part; 100_001])).collect();
        let read = read_body(body_of_parts(parts.clone()), u64::MAX, Duration::from_secs(9)).await.unwrap();
        assert!(read == parts.concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_cut_off() {
        let stalled =
            StreamBody::new(futures_util::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>());
        let cut = read_body(stalled, 10, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(cut.to_string(), "the body did not arrive within 3s");
    }
}
