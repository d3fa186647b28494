//! The records of calls and dead letters in the file.
//!
//! A record of this version begins with [`VERSION`] and is binary: numbers in LEB128, texts and values after their
//! length, the body last. Those of the first version (`record/first.rs`) are read as well; they begin with the length of a
//! JSON head, whose highest byte is 0.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::call::{Call, Target};
use crate::letter::Letter;

mod first;

const VERSION: u8 = 2;

/// Common names of headers. In a record, such a name is one byte: its position in this list, from 1. So new names go to
/// the end. A 0 precedes a name that is written out.
const NAMES: [&str; 36] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "date",
    "idempotency-key",
    "server",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-call-id",
    "x-callback-url",
    "x-duration-seconds",
    "x-faasflow-callback-url",
    "x-faasflow-duplicate",
    "x-faasflow-envelope",
    "x-faasflow-flow",
    "x-faasflow-outcome",
    "x-faasflow-phase",
    "x-faasflow-request-id",
    "x-faasflow-signature",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-function-name",
    "x-function-status",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-request-id",
    "x-served-by",
    "x-start-time",
    "accept-language",
    "cache-control",
];

/// Why a record cannot be read.
type Fault = String;

pub(crate) fn encode_call(call: &Call) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + call.headers.len() * 32 + call.body.len());
    out.push(VERSION);
    put_head(&mut out, call);
    out.extend_from_slice(&call.body);
    out
}

pub(crate) fn decode_call(record: &[u8]) -> Result<Call, Fault> {
    match record.split_first() {
        Some((&VERSION, mut rest)) => {
            let head = take_head(&mut rest)?;
            Ok(Call { body: Bytes::copy_from_slice(rest), ..head })
        }
        Some((0, _)) => first::decode_call(record),
        _ => Err("its version is unknown".to_owned()),
    }
}

pub(crate) fn encode_letter(letter: &Letter) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_head(&mut out, &letter.call);
    put_bytes(&mut out, &letter.call.body);
    put_bytes(&mut out, letter.reason.as_bytes());
    put_number(&mut out, u64::from(letter.attempts));
    put_number(&mut out, letter.died_ms);
    match &letter.answer {
        None => put_number(&mut out, 0),
        Some((status, headers, body)) => {
            put_number(&mut out, u64::from(status.as_u16()));
            put_headers(&mut out, headers);
            out.extend_from_slice(body);
        }
    }
    out
}

pub(crate) fn decode_letter(record: &[u8]) -> Result<Letter, Fault> {
    let mut rest = match record.split_first() {
        Some((&VERSION, rest)) => rest,
        Some((0, _)) => return first::decode_letter(record),
        _ => return Err("its version is unknown".to_owned()),
    };
    let rest = &mut rest;
    let head = take_head(rest)?;
    let call = Call { body: Bytes::copy_from_slice(take_bytes(rest)?), ..head };
    let reason = take_text(rest)?;
    let attempts = u32::try_from(take_number(rest)?).map_err(|_| "it has too many attempts")?;
    let died_ms = take_number(rest)?;
    let answer = match take_number(rest)? {
        0 => None,
        status => {
            let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.ok_or("its status is not valid")?;
            Some((status, take_headers(rest)?, Bytes::copy_from_slice(rest)))
        }
    };
    Ok(Letter { call, reason, attempts, died_ms, answer })
}

/// A call without its body.
fn put_head(out: &mut Vec<u8>, call: &Call) {
    put_number(out, call.accepted_ms);
    put_bytes(out, call.call_id.as_bytes());
    let url = match &call.target {
        Target::Function { name, path, query, callback_url } => {
            out.push(u8::from(query.is_some()) << 1 | u8::from(callback_url.is_some()) << 2);
            put_bytes(out, name.as_bytes());
            put_bytes(out, path.as_bytes());
            if let Some(query) = query {
                put_bytes(out, query.as_bytes());
            }
            callback_url.as_ref()
        }
        Target::Callback { url, function } => {
            out.push(1);
            put_bytes(out, function.as_bytes());
            Some(url)
        }
    };
    if let Some(url) = url {
        put_bytes(out, url.to_string().as_bytes());
    }
    put_headers(out, &call.headers);
}

fn take_head(rest: &mut &[u8]) -> Result<Call, Fault> {
    let accepted_ms = take_number(rest)?;
    let call_id = take_text(rest)?;
    let flags = take_byte(rest)?;
    let url = |rest: &mut &[u8]| -> Result<Uri, Fault> {
        take_text(rest)?.parse().map_err(|_| "its callback URL is not valid".to_owned())
    };
    let target = match flags {
        1 => Target::Callback { function: take_text(rest)?, url: url(rest)? },
        flags if flags & !0b110 == 0 => Target::Function {
            name: take_text(rest)?,
            path: take_text(rest)?,
            query: if flags & 2 == 0 { None } else { Some(take_text(rest)?) },
            callback_url: if flags & 4 == 0 { None } else { Some(url(rest)?) },
        },
        flags => return Err(format!("it goes to a target of kind {flags}")),
    };
    Ok(Call { call_id, target, headers: take_headers(rest)?, body: Bytes::new(), accepted_ms })
}

fn put_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    put_number(out, headers.len() as u64);
    for (name, value) in headers {
        match NAMES.iter().position(|known| known == name) {
            Some(place) => out.push(place as u8 + 1),
            None => {
                out.push(0);
                put_bytes(out, name.as_str().as_bytes());
            }
        }
        put_bytes(out, value.as_bytes());
    }
}

fn take_headers(rest: &mut &[u8]) -> Result<HeaderMap, Fault> {
    let count = take_number(rest)?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = match take_byte(rest)? {
            0 => HeaderName::from_bytes(take_bytes(rest)?).map_err(|error| error.to_string())?,
            place => {
                let name = NAMES.get(usize::from(place) - 1).ok_or("it has a header of a newer version")?;
                HeaderName::from_static(name)
            }
        };
        let value = HeaderValue::from_bytes(take_bytes(rest)?).map_err(|error| error.to_string())?;
        headers.try_append(name, value).map_err(|error| error.to_string())?;
    }
    Ok(headers)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number in it has no end".to_owned())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let length = usize::try_from(take_number(rest)?).unwrap_or(usize::MAX);
    let (taken, after) = rest.split_at_checked(length).ok_or("it is cut short")?;
    *rest = after;
    Ok(taken)
}

fn take_byte(rest: &mut &[u8]) -> Result<u8, Fault> {
    let (&byte, after) = rest.split_first().ok_or("it is cut short")?;
    *rest = after;
    Ok(byte)
}

fn take_text(rest: &mut &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(take_bytes(rest)?).map_err(|_| "a text in it is not UTF-8")?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_bytes(b"\xff1").unwrap());
        headers.append("x-a", HeaderValue::from_static("2"));
        headers.append("content-type", HeaderValue::from_static("text/plain"));
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
            accepted_ms: 1_795_870_065_666,
        }
    }

    #[test]
    fn records_round_trip() {
        assert_eq!(decode_call(&encode_call(&call())).unwrap(), call());
        let url = "http://x".parse().unwrap();
        let callback = Call { target: Target::Callback { url, function: "f".into() }, ..call() };
        assert_eq!(decode_call(&encode_call(&callback)).unwrap(), callback);
        let target = Target::Function { name: "f".into(), path: String::new(), query: None, callback_url: None };
        let plain = Call { target, body: Bytes::new(), headers: HeaderMap::new(), ..call() };
        assert_eq!(decode_call(&encode_call(&plain)).unwrap(), plain);
        let answer = Some((StatusCode::BAD_GATEWAY, call().headers, Bytes::from("late")));
        for answer in [answer, None] {
            let letter = Letter { call: call(), reason: "r".into(), attempts: 3, died_ms: 9, answer };
            assert_eq!(decode_letter(&encode_letter(&letter)).unwrap(), letter);
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        let record = encode_call(&call());
        for length in 0..record.len() - 3 {
            assert!(decode_call(&record[..length]).is_err(), "{length}");
        }
        assert!(decode_call(b"nonsense").is_err());
        let mut flags = record.clone();
        let at = record.windows(3).position(|part| part == b"\x01f\x02").unwrap() - 1;
        flags[at] = 8;
        assert!(decode_call(&flags).is_err());
    }

    /// The bytes are in files: a change of any of them would lose calls.
    #[test]
    fn the_format_is_fixed() {
        let hex: String = encode_call(&call()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "028288ca91a2340163060166022f7003713d310c687474703a2f2f782f793f7a030003782d6102ff310003782d610132050a746578742f706c61696e00ff0a"
        );
        for (place, name) in [(0, "accept"), (20, "x-faasflow-request-id"), (35, "cache-control")] {
            assert_eq!(NAMES[place], name);
        }
    }
}
