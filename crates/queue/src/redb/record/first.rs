//! Records of the first version: a length, a JSON head, then the bodies, raw. They are still read, but no longer written.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::call::{Call, Target};
use crate::letter::Letter;

#[derive(Deserialize)]
struct CallHead {
    id: String,
    function: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    callback_url: Option<String>,
    /// Whether it is a callback, and not a call with a callback URL.
    #[serde(default)]
    callback: bool,
    headers: Vec<(String, Vec<u8>)>,
    accepted: u64,
}

#[derive(Deserialize)]
struct LetterHead {
    call: CallHead,
    body: usize,
    reason: String,
    attempts: u32,
    died: u64,
    status: Option<u16>,
    headers: Vec<(String, Vec<u8>)>,
}

pub(super) fn decode_call(record: &[u8]) -> Result<Call, String> {
    let (head, body) = split::<CallHead>(record)?;
    head.call(Bytes::copy_from_slice(body))
}

pub(super) fn decode_letter(record: &[u8]) -> Result<Letter, String> {
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

impl CallHead {
    fn call(self, body: Bytes) -> Result<Call, String> {
        let url = self.callback_url.map(|url| url.parse().map_err(|_| "its callback URL is not valid")).transpose()?;
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

fn header_map(pairs: &[(String, Vec<u8>)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value).map_err(|error| error.to_string())?;
        headers.try_append(name, value).map_err(|error| error.to_string())?;
    }
    Ok(headers)
}

fn split<'a, T: Deserialize<'a>>(record: &'a [u8]) -> Result<(T, &'a [u8]), String> {
    let (length, rest) = record.split_first_chunk::<4>().ok_or("it is cut short")?;
    let (head, body) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or("its head is cut short")?;
    Ok((serde_json::from_slice(head).map_err(|error| error.to_string())?, body))
}
