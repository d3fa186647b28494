//! The HTTP code that all parts of Faasflow share: one client, one server, and one way to read a body and to join its
//! parts.
//!
//! The flow function, the state managers and the local gateway use it, so that `TCP_NODELAY`, TLS, timeouts, limits and
//! the graceful stop are decided in one place.

mod body;
mod body_buffer;
mod budget;
mod client;
mod clock;
mod decode;
mod files;
mod harmless;
mod memory;
mod read;
mod refusal;
mod server;
mod stall;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

pub use body::{
    ReadBodyError, body_of_parts, drain, drain_up_to, end_after, read_body, read_body_into, read_body_into_untimed,
    read_body_untimed, refuse_and_drain,
};
pub use body_buffer::BodyBuffer;
pub use budget::{Admission, Budget, Limits, NoRoom, Share};
pub use client::{BadAuthorities, HttpClient, HttpError};
pub use clock::now_ms;
pub use decode::{Codings, DecodeError, KNOWN_CODINGS};
pub use files::{file_limit, file_limit_before, is_out_of_files, raise_file_limit};
pub use harmless::{forbid_scripts, without_scripts};
pub use memory::memory_limit;
pub use refusal::refusal;
pub use server::{App, Peer, ServerOptions, serve};

/// The largest head of a request or an answer: 1 MiB, like the default of Go's `net/http`.
pub const LARGEST_HEAD: usize = 1 << 20;
/// The most headers of a request. Go has no such limit, but hyper reserves room for this many each time it reads a head,
/// at about 3 ns each. It must stay below 24,576, the capacity of a [`HeaderMap`].
pub const MOST_HEADERS: usize = 2_000;
/// The most headers of an answer that an [`HttpClient`] accepts by default. This is hyper's own limit, which costs nothing.
pub const MOST_ANSWER_HEADERS: usize = 100;

/// How long a `Retry-After` header asks to wait. It contains seconds or a date (RFC 9110, 10.2.3). `None` if there is
/// no valid header.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}
