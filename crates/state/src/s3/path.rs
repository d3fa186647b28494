//! The names of objects.

use std::fmt::Write as _;

use faasflow_core::state::{OUTLIVING, Scope};
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

/// The longest encoded part of a name, in bytes. Servers that store objects as files, such as MinIO, allow 255.
const LONGEST: usize = 200;

/// The name of the object that holds a value.
pub(super) fn object(scope: &Scope, key: &str) -> Path {
    folder(scope).join(part(key).as_str())
}

/// The common prefix of the objects of a request.
pub(super) fn folder(scope: &Scope) -> Path {
    Path::from_iter([part(&scope.flow).as_str(), part(&scope.request).as_str()])
}

/// Whether the value in an object outlives its request. The encoding is byte by byte, so the beginning of a key is the
/// beginning of the name.
pub(super) fn outlives_request(object: &Path) -> bool {
    let name = object.filename().unwrap_or_default();
    OUTLIVING.iter().any(|beginning| name.starts_with(&part(beginning)))
}

/// Encodes any text as one part of a name. Letters, digits, `-`, `_` and `.` stand for themselves. Any other byte
/// becomes `=` and two hexadecimal digits, as in quoted-printable. The prefix protects the empty text and `..`, which
/// servers treat specially. A text that would be too long is replaced by its hash.
pub(super) fn part(text: &str) -> String {
    let mut part = "k-".to_owned();
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => part.push(char::from(byte)),
            _ => write_hex(&mut part, byte),
        }
    }
    if part.len() <= LONGEST {
        return part;
    }
    let mut hash = "h".to_owned();
    Sha256::digest(text.as_bytes()).iter().for_each(|&byte| write_hex(&mut hash, byte));
    hash
}

fn write_hex(text: &mut String, byte: u8) {
    let _ = write!(text, "={byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_unique() {
        let scope = |request: &str| Scope { flow: "flow.a".into(), request: request.into() };
        assert_eq!(object(&scope("r-1"), "state/raw image").as_ref(), "k-flow.a/k-r-1/k-state=2fraw=20image");
        let long = "k".repeat(400);
        let other = format!("{long}2");
        let keys = ["", ".", "..", "a", "A", "=61", "k-a", "ä", "\0", "a/b", "a//b", &long, &other];
        let names: std::collections::BTreeSet<String> =
            keys.iter().map(|key| object(&scope("r"), key).to_string()).collect();
        assert_eq!(names.len(), keys.len(), "{names:?}");
        for name in names {
            assert_eq!(name.split('/').count(), 3, "{name}");
            assert!(name.split('/').all(|part| (2..=255).contains(&part.len())), "{name}");
        }
        assert_ne!(folder(&scope("r")), folder(&scope("r2")));
    }

    #[test]
    fn what_outlives_a_request_is_known_by_its_name() {
        let scope = Scope { flow: "f".into(), request: "r".into() };
        for key in ["over@0", "finished@12", "over", "overs@0", "state/over@0", "result/3@1", "", "Over@0"] {
            let expected = faasflow_core::state::outlives_request(key);
            assert_eq!(outlives_request(&object(&scope, key)), expected, "{key}");
        }
    }
}
