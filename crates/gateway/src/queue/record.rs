//! Calls and dead letters as they lie in the file: a length, a JSON head, then the bodies, raw.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::queue::NewCall;
use crate::queue::dispatch::Answer;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// To a function.
    Function {
        /// Its name as it was invoked.
        name: String,
        /// The path behind the name, empty or beginning with `/`.
        path: String,
        /// The query, without the `?`.
        query: Option<String>,
        /// Where the answer is to be sent.
        callback_url: Option<Uri>,
    },
    /// To a URL, with the answer of a function.
    Callback {
        /// The URL.
        url: Uri,
        /// The function whose answer it is.
        function: String,
    },
}

/// An accepted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The id of the invocation.
    pub call_id: String,
    /// Where it goes.
    pub target: Target,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
}

impl Call {
    pub(crate) fn of_function(new: NewCall) -> Call {
        let NewCall { call_id, function, path, query, headers, body, callback_url } = new;
        let target = Target::Function { name: function, path, query, callback_url };
        Call { call_id, target, headers, body, accepted_ms: now_ms() }
    }

    /// The name of the function that it goes to, or whose answer it carries.
    #[must_use]
    pub fn function(&self) -> &str {
        match &self.target {
            Target::Function { name, .. } => name,
            Target::Callback { function, .. } => function,
        }
    }

    /// What makes a second call a duplicate: the id of the invocation and where it goes. The same id may go on to another
    /// function, as a callback to an asynchronous route does.
    pub(crate) fn duplicate_key(&self) -> String {
        format!("{} {}", self.call_id, bare(self.function()))
    }

    /// Whether it carries an answer to a callback URL.
    #[must_use]
    pub fn is_callback(&self) -> bool {
        matches!(self.target, Target::Callback { .. })
    }

    /// What shares one limit of deliveries at once.
    pub(crate) fn lane(&self) -> String {
        match &self.target {
            Target::Function { name, .. } => bare(name).to_owned(),
            Target::Callback { url, .. } => {
                format!("callback {}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or_default())
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        join(&CallHead::of(self), &[&self.body])
    }

    /// Reads a record; the error is what is wrong with it.
    pub(crate) fn decode(record: &[u8]) -> Result<Call, String> {
        let (head, body) = split::<CallHead>(record)?;
        head.call(Bytes::copy_from_slice(body))
    }
}

/// The name of a function without its namespace: with it, it is the same one.
fn bare(name: &str) -> &str {
    name.strip_suffix(".openfaas-fn").unwrap_or(name)
}

/// A call that was given up, and why.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) call: Call,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) died_ms: u64,
    pub(crate) answer: Option<(StatusCode, HeaderMap, Bytes)>,
}

/// How much of a last answer is kept.
const KEPT_ANSWER: usize = 64 * 1024;

impl Letter {
    pub(crate) fn new(call: Call, reason: String, attempts: u32, answer: Option<Answer>) -> Letter {
        let answer = answer.map(|answer| {
            let kept = answer.body.len().min(KEPT_ANSWER);
            (answer.status, answer.headers, answer.body.slice(..kept))
        });
        Letter { call, reason, attempts, died_ms: now_ms(), answer }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = LetterHead {
            call: CallHead::of(&self.call),
            body: self.call.body.len(),
            reason: self.reason.clone(),
            attempts: self.attempts,
            died: self.died_ms,
            status: self.answer.as_ref().map(|(status, ..)| status.as_u16()),
            headers: self.answer.as_ref().map(|(_, headers, _)| pairs(headers)).unwrap_or_default(),
        };
        let answer = self.answer.as_ref().map(|(.., body)| &**body).unwrap_or_default();
        join(&head, &[&self.call.body, answer])
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Letter, String> {
        let (head, rest) = split::<LetterHead>(record)?;
        let (body, answer) = rest.split_at_checked(head.body).ok_or("its body is cut short")?;
        let answer = match head.status {
            None => None,
            Some(status) => {
                let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
                Some((status, header_map(&head.headers)?, Bytes::copy_from_slice(answer)))
            }
        };
        Ok(Letter {
            call: head.call.call(Bytes::copy_from_slice(body))?,
            reason: head.reason,
            attempts: head.attempts,
            died_ms: head.died,
            answer,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct CallHead {
    id: String,
    function: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
    /// Whether it is the callback itself, and not a call that wants one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    callback: bool,
    headers: Vec<(String, Vec<u8>)>,
    accepted: u64,
}

#[derive(Serialize, Deserialize)]
struct LetterHead {
    call: CallHead,
    body: usize,
    reason: String,
    attempts: u32,
    died: u64,
    status: Option<u16>,
    headers: Vec<(String, Vec<u8>)>,
}

impl CallHead {
    fn of(call: &Call) -> CallHead {
        let (path, query, url, callback) = match &call.target {
            Target::Function { path, query, callback_url, .. } => {
                (path.clone(), query.clone(), callback_url.as_ref(), false)
            }
            Target::Callback { url, .. } => (String::new(), None, Some(url), true),
        };
        CallHead {
            id: call.call_id.clone(),
            function: call.function().to_owned(),
            path,
            query,
            callback_url: url.map(Uri::to_string),
            callback,
            headers: pairs(&call.headers),
            accepted: call.accepted_ms,
        }
    }

    fn call(self, body: Bytes) -> Result<Call, String> {
        let url = self.callback_url.map(|url| url.parse().map_err(|_| "its callback URL is none")).transpose()?;
        let target = match (self.callback, url) {
            (true, Some(url)) => Target::Callback { url, function: self.function },
            (true, None) => return Err("it is a callback without a URL".to_owned()),
            (false, callback_url) => {
                Target::Function { name: self.function, path: self.path, query: self.query, callback_url }
            }
        };
        Ok(Call { call_id: self.id, target, headers: header_map(&self.headers)?, body, accepted_ms: self.accepted })
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn header_map(pairs: &[(String, Vec<u8>)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value).map_err(|error| error.to_string())?;
        headers.try_append(name, value).map_err(|error| error.to_string())?;
    }
    Ok(headers)
}

fn join(head: &impl Serialize, bodies: &[&[u8]]) -> Vec<u8> {
    let head = serde_json::to_vec(head).expect("heads are plain data");
    let length = u32::try_from(head.len()).expect("heads are limited by the server far below 4 GiB");
    let mut record = Vec::with_capacity(4 + head.len() + bodies.iter().map(|body| body.len()).sum::<usize>());
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&head);
    bodies.iter().for_each(|body| record.extend_from_slice(body));
    record
}

fn split<'a, T: Deserialize<'a>>(record: &'a [u8]) -> Result<(T, &'a [u8]), String> {
    let (length, rest) = record.split_first_chunk::<4>().ok_or("it is cut short")?;
    let (head, body) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or("its head is cut short")?;
    Ok((serde_json::from_slice(head).map_err(|error| error.to_string())?, body))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_bytes(b"\xff1").unwrap());
        headers.append("x-a", HeaderValue::from_static("2"));
        Call {
            call_id: "c".into(),
            target: Target::Function {
                name: "f".into(),
                path: "/p".into(),
                query: Some("q=1".into()),
                callback_url: Some("http://x/y?z".parse().unwrap()),
            },
            headers,
            body: Bytes::from(vec![0, 255, 10]),
            accepted_ms: 7,
        }
    }

    #[test]
    fn records_round_trip() {
        assert_eq!(Call::decode(&call().encode()).unwrap(), call());
        let url = "http://x".parse().unwrap();
        let callback = Call { target: Target::Callback { url, function: "f".into() }, ..call() };
        assert_eq!(Call::decode(&callback.encode()).unwrap(), callback);
        let answer = Some((StatusCode::BAD_GATEWAY, HeaderMap::new(), Bytes::from("late")));
        let letter = Letter { call: call(), reason: "r".into(), attempts: 3, died_ms: 9, answer };
        let read = Letter::decode(&letter.encode()).unwrap();
        assert_eq!((read.call, read.attempts, read.answer), (letter.call, 3, letter.answer));
    }

    #[test]
    fn damaged_records_are_refused() {
        let record = call().encode();
        for length in 0..record.len() - 3 {
            assert!(Call::decode(&record[..length]).is_err(), "{length}");
        }
    }
}
