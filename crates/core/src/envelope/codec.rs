//! Encodes and decodes versions 1 and 2 of the envelope.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Uri};
use serde::{Deserialize, Serialize};

use crate::context::{RequestId, RequestInfo, TraceContext};
use crate::graph::{Fingerprint, MAX_SHAPE, Member, Place};
use crate::state::{EmbeddedState, StateValue, ValueKind};
use crate::unset::is_unset;

use super::branch::{Branching, Origin, Terms};
use super::carried::Carried;
use super::encoded::Encoded;
use super::error::EnvelopeError;
use super::section::{Section, from_latin1, join, latin1, split};

/// The version of envelopes of requests without branches.
pub const VERSION: u16 = 1;

/// The version of envelopes of requests with branches.
pub const VERSION_OF_BRANCHES: u16 = 2;

/// The bytes that every envelope begins with.
pub const MAGIC: &[u8; 8] = b"FAASFLOW";
const PREAMBLE: usize = 14;
/// Far more than any real header needs, and still cheap to parse.
const MAX_HEADER: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    flow: String,
    request: String,
    position: Position,
    fingerprint: Fingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ahead: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    shape: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    query: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    trace: TraceContext,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invocation: Option<String>,
    started: u64,
    sent: u64,
    payload: Section,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    state: Vec<StateSection>,
    /// Version 2 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    /// Version 2 only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    joins: Vec<Terms>,
}

/// A place. Version 1 has the number of the phase and nothing else.
#[derive(Serialize, Deserialize)]
struct Position {
    phase: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    path: Vec<Member>,
    #[serde(default, skip_serializing_if = "is_unset")]
    generation: u32,
}

#[derive(Serialize, Deserialize)]
struct StateSection {
    key: String,
    kind: ValueKind,
    value: Section,
}

fn is_default(trace: &TraceContext) -> bool {
    *trace == TraceContext::default()
}

/// A partially executed request: what the next phase needs to know.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The part of the request that never changes.
    pub request: Arc<RequestInfo>,
    /// The place of the phase to execute.
    pub place: Place,
    /// The fingerprint of the definition that the request began with, and that the place belongs to.
    pub fingerprint: Fingerprint,
    /// The fingerprint of the part of that definition ahead of the place; `None` in envelopes of older programs.
    pub ahead: Option<Fingerprint>,
    /// The shape of that definition. Another definition finds out from it whether what is ahead of the place is the same. Only the
    /// first 4,096 bytes are kept.
    pub shape: String,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: u64,
    /// The output of the previous phase.
    pub payload: Carried,
    /// The request's state, if it travels in the envelope.
    pub state: EmbeddedState,
    /// Additional data of requests with branches. The envelope has version 2 if and only if this is present.
    pub branching: Option<Branching>,
}

impl Envelope {
    /// Encodes the envelope: in version 2 if it has [`branching`](Envelope::branching), else in version 1.
    ///
    /// # Panics
    ///
    /// Never in practice: the header contains only data that JSON can represent.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let request = &self.request;
        let (content_type, payload, inline) = split(&self.payload);
        let (version, origin, joins) = match &self.branching {
            None => (VERSION, None, Vec::new()),
            Some(Branching { origin, joins }) => (VERSION_OF_BRANCHES, Some(origin.clone()), joins.clone()),
        };
        let header = Header {
            flow: request.flow.to_string(),
            request: request.id.to_string(),
            position: Position {
                phase: self.place.number(),
                path: self.place.path().to_vec(),
                generation: self.place.generation(),
            },
            fingerprint: self.fingerprint,
            ahead: self.ahead,
            shape: self.shape[..self.shape.floor_char_boundary(MAX_SHAPE)].to_owned(),
            query: request.query.clone(),
            headers: request.headers.iter().map(|(name, value)| (name.to_string(), latin1(value))).collect(),
            content_type,
            trace: request.trace.clone(),
            callback_url: request.callback_url.as_ref().map(Uri::to_string),
            invocation: request.invocation.clone(),
            started: request.started_ms,
            sent: self.sent_ms,
            payload,
            state: self
                .state
                .iter()
                .map(|(key, value)| StateSection {
                    key: key.clone(),
                    kind: value.kind,
                    value: Section::Inline(value.bytes.len() as u64),
                })
                .collect(),
            origin,
            joins,
        };
        let json = serde_json::to_vec(&header).expect("the header is plain data");
        let mut head = BytesMut::with_capacity(PREAMBLE + json.len());
        head.put_slice(MAGIC);
        head.put_u16(version);
        head.put_u32(u32::try_from(json.len()).expect("headers are limited far below 4 GiB"));
        head.put_slice(&json);

        let mut parts = Vec::with_capacity(2 + self.state.len());
        parts.push(head.freeze());
        parts.push(inline);
        parts.extend(self.state.values().map(|value| value.bytes.clone()));
        parts.retain(|part| !part.is_empty());
        Encoded { parts }
    }

    /// Decodes an envelope. Payload and state share the memory of `body`.
    ///
    /// # Errors
    ///
    /// If `body` is not an envelope, has an unknown version, or is damaged. No memory is allocated for a length that
    /// exceeds the body.
    pub fn decode(body: &Bytes) -> Result<Envelope, EnvelopeError> {
        let malformed = EnvelopeError::Malformed;
        if body.len() < PREAMBLE || &body[..8] != MAGIC {
            return Err(malformed("it does not start like an envelope"));
        }
        let version = u16::from_be_bytes([body[8], body[9]]);
        if ![VERSION, VERSION_OF_BRANCHES].contains(&version) {
            return Err(EnvelopeError::Version(version));
        }
        let length = u32::from_be_bytes([body[10], body[11], body[12], body[13]]) as usize;
        if length > MAX_HEADER || length > body.len() - PREAMBLE {
            return Err(malformed("its header is longer than the envelope"));
        }
        let mut rest = body.slice(PREAMBLE..);
        let header: Header = serde_json::from_slice(&rest.split_to(length)).map_err(EnvelopeError::Header)?;

        let mut raw = |length: u64| match usize::try_from(length) {
            Ok(length) if length <= rest.len() => Ok(rest.split_to(length)),
            _ => Err("a section is longer than the envelope"),
        };
        let payload = join(header.content_type.as_deref(), &header.payload, &mut raw).map_err(malformed)?;
        let mut state = EmbeddedState::new();
        for entry in &header.state {
            let Section::Inline(length) = entry.value else {
                return Err(malformed("a state value is not in the envelope"));
            };
            let value = StateValue { kind: entry.kind, bytes: raw(length).map_err(malformed)? };
            if state.insert(entry.key.clone(), value).is_some() {
                return Err(malformed("a state key appears twice"));
            }
        }
        if !rest.is_empty() {
            return Err(malformed("there are bytes after its last section"));
        }

        let mut headers = HeaderMap::with_capacity(header.headers.len().min(1024));
        for (name, value) in &header.headers {
            let name = HeaderName::try_from(name).map_err(|_| malformed("it carries a header with a bad name"))?;
            let value = from_latin1(value).ok_or(malformed("it carries a header with a bad value"))?;
            headers.try_append(name, value).map_err(|_| malformed("it carries too many headers"))?;
        }
        let callback_url = match &header.callback_url {
            Some(text) => Some(text.parse().map_err(|_| malformed("its callback URL is not valid"))?),
            None => None,
        };
        let Position { phase, path, generation } = header.position;
        let (place, branching) = match version {
            // In version 1, the fields of version 2 are unknown fields, which are ignored.
            VERSION => (Place::numbered(phase), None),
            _ if path.len() != header.joins.len() => {
                return Err(malformed("it is in more or fewer branches than joins"));
            }
            _ => {
                let branching = Branching { origin: header.origin.unwrap_or_default(), joins: header.joins };
                (Place::with_path(phase, &path, generation), Some(branching))
            }
        };
        let request = RequestInfo {
            id: RequestId::parse(&header.request).ok_or(malformed("its request id is not valid"))?,
            flow: header.flow.into(),
            query: header.query,
            headers,
            callback_url,
            trace: header.trace,
            started_ms: header.started,
            invocation: header.invocation,
        };
        Ok(Envelope {
            request: Arc::new(request),
            place,
            fingerprint: header.fingerprint,
            ahead: header.ahead,
            shape: header.shape,
            sent_ms: header.sent,
            payload,
            state,
            branching,
        })
    }
}
