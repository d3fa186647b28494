//! The names of objects.

use std::fmt::Write as _;

use faasflow_core::state::Scope;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

/// Servers that keep objects as files, as MinIO does, allow 255 bytes for one part of a name.
const LONGEST: usize = 200;

/// The object of a value.
pub(super) fn of(scope: &Scope, key: &str) -> Path {
    of_request(scope).join(part(key).as_str())
}

/// What the objects of a request's values begin with.
pub(super) fn of_request(scope: &Scope) -> Path {
    Path::from_iter([part(&scope.flow).as_str(), part(&scope.request).as_str()])
}

/// Any text as one part of a name: letters, digits, `-`, `_` and `.` stand for themselves, any other byte is `=` and two
/// hexadecimal digits, as in quoted-printable. The mark in front keeps the empty text and `..` apart from what
/// servers make of them. A text too long for a name is its hash.
fn part(text: &str) -> String {
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
    fn names_are_plain_and_never_meet() {
        let scope = |request: &str| Scope { flow: "flow.a".into(), request: request.into() };
        assert_eq!(of(&scope("r-1"), "state/raw image").as_ref(), "k-flow.a/k-r-1/k-state=2fraw=20image");
        let long = "k".repeat(400);
        let other = format!("{long}2");
        let keys = ["", ".", "..", "a", "A", "=61", "k-a", "ä", "\0", "a/b", "a//b", &long, &other];
        let names: std::collections::BTreeSet<String> =
            keys.iter().map(|key| of(&scope("r"), key).to_string()).collect();
        assert_eq!(names.len(), keys.len(), "{names:?}");
        for name in names {
            assert_eq!(name.split('/').count(), 3, "{name}");
            assert!(name.split('/').all(|part| (2..=255).contains(&part.len())), "{name}");
        }
        assert_ne!(of_request(&scope("r")), of_request(&scope("r2")));
    }
}
