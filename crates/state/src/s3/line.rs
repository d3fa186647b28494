//! The names of the objects for requests that are remembered.
//!
//! S3 lists names in ascending order. So the names have the time until the end of time, and ids are written in an alphabet that is
//! sorted the other way round: the list begins with the newest request.

use faasflow_core::state::{ListPosition, Listed, Scope, StateError};
use object_store::path::Path;

use super::path::part;

/// The characters of request ids in their order.
const PLAIN: &[u8; 66] = b"-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
/// What the last of them is written as, the one before it, and so on. All of them are smaller than the end mark.
const REVERSED: &[u8; 66] = b"!-.0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxy";
/// It follows a reversed id, so that a longer id comes before its own beginning.
const END: char = 'z';
/// The longest id, in bytes, so that no name is longer than servers allow.
const LONGEST: usize = 150;

/// A line of the list, as its two objects have it in their name: one in the folder of all requests, and one in that of the
/// status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) listed: Listed,
    /// When it expires, in milliseconds since the Unix epoch, if the request has ended.
    pub(super) expires_ms: Option<u64>,
}

impl Line {
    fn name(&self) -> Result<String, StateError> {
        let Line { listed: Listed { request, started_ms, status }, expires_ms } = self;
        let expires = expires_ms.map(|expires_ms| format!("-{expires_ms:020}")).unwrap_or_default();
        Ok(format!("{}{status}{expires}", stem(*started_ms, request)?))
    }

    /// The line with this name; `None` if it is the name of something else.
    pub(super) fn parse(name: &str) -> Option<Line> {
        let (time, rest) = name.split_once('-')?;
        let (reversed, status) = rest.split_once(END)?;
        let (status, expires_ms) = match status.split_once('-') {
            Some((status, expires_ms)) => (status, Some(expires_ms.parse().ok()?)),
            None => (status, None),
        };
        let started_ms = u64::MAX - time.parse::<u64>().ok()?;
        let request = translate(reversed, REVERSED)?;
        Some(Line { listed: Listed { request, started_ms, status: status.parse().ok()? }, expires_ms })
    }

    /// The object among those of all requests, and the one among those with the same status.
    pub(super) fn objects(&self, flow: &str) -> Result<[Path; 2], StateError> {
        let name = self.name()?;
        let object = |folder: &str| Path::from(format!("{}{name}", list(flow, folder)));
        Ok([object(ALL), object(self.listed.status.as_str())])
    }
}

/// The folder of all requests in the list of a flow. The others are named by the status.
pub(super) const ALL: &str = "all";

/// The beginning of the names in a folder of the list of a flow.
pub(super) fn list(flow: &str, folder: &str) -> String {
    format!("records/{}/{folder}/", part(flow))
}

/// The beginning of the names of the lines of a request.
pub(super) fn lines_of(flow: &str, started_ms: u64, request: &str) -> Result<String, StateError> {
    Ok(format!("{}{}", list(flow, ALL), stem(started_ms, request)?))
}

/// What is after all lines of a request, and before those of the next one, in a folder of the list.
pub(super) fn after(position: &ListPosition) -> Result<String, StateError> {
    Ok(format!("{}{END}", stem(position.started_ms, &position.request)?))
}

fn stem(started_ms: u64, request: &str) -> Result<String, StateError> {
    let reversed = translate(request, PLAIN).filter(|_| request.len() <= LONGEST).ok_or_else(|| {
        StateError::permanent(format!(
            "the request `{request}` cannot be listed: an id has at most {LONGEST} letters, digits, `.`, `-`, `_` and `:`"
        ))
    })?;
    Ok(format!("{:020}-{reversed}{END}", u64::MAX - started_ms))
}

/// Writes a text in the other alphabet; `None` if it has characters that this one does not have.
fn translate(text: &str, from: &[u8; 66]) -> Option<String> {
    let to = if from == PLAIN { REVERSED } else { PLAIN };
    text.bytes().map(|byte| from.binary_search(&byte).ok().map(|at| char::from(to[65 - at]))).collect()
}

/// Says that something of a request expires at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In milliseconds since the Unix epoch.
    pub(super) expires_ms: u64,
    pub(super) started_ms: u64,
    pub(super) request: String,
}

impl Entry {
    pub(super) fn object(&self, flow: &str) -> Result<Path, StateError> {
        let stem = stem(self.started_ms, &self.request)?;
        Ok(Path::from(format!("{}{:020}-{stem}", entries(flow), self.expires_ms)))
    }

    pub(super) fn parse(name: &str) -> Option<Entry> {
        let (expires_ms, rest) = name.split_once('-')?;
        let (time, rest) = rest.split_once('-')?;
        let request = translate(rest.strip_suffix(END)?, REVERSED)?;
        let started_ms = u64::MAX - time.parse::<u64>().ok()?;
        Some(Entry { expires_ms: expires_ms.parse().ok()?, started_ms, request })
    }
}

/// The beginning of the names of the entries of a flow, the earliest first.
pub(super) fn entries(flow: &str) -> String {
    format!("expiry/{}/", part(flow))
}

/// The object beside the values of a request that says when they expire: the time for its own values and that for the values that
/// outlive it, both in milliseconds since the Unix epoch. No value has such a name.
pub(super) fn retired(scope: &Scope) -> Path {
    super::path::folder(scope).join("retired")
}

#[cfg(test)]
mod tests {
    use faasflow_core::state::Status;

    use super::*;

    fn line(started_ms: u64, request: &str, expires_ms: Option<u64>) -> Line {
        let listed = Listed { request: request.to_owned(), started_ms, status: Status::Success };
        Line { listed, expires_ms }
    }

    #[test]
    fn names_are_read_back_and_sorted_from_the_newest() {
        assert!(PLAIN.is_sorted() && REVERSED.is_sorted());
        let long = "Z".repeat(LONGEST);
        let mut ids = vec!["a", "ab", "a-b", "a.b", "-", "--", "z", "zz", "_", ":", "A", "0", &long];
        ids.sort_unstable();
        let ascending: Vec<Line> = [1, 1_750_000_000_000, 1_750_000_000_001]
            .into_iter()
            .flat_map(|started_ms| ids.iter().map(move |id| line(started_ms, id, Some(17))))
            .collect();
        let names: Vec<String> = ascending.iter().rev().map(|line| line.name().unwrap()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for (name, line) in names.iter().zip(ascending.iter().rev()) {
            assert_eq!(Line::parse(name).as_ref(), Some(line));
            let position = ListPosition { started_ms: line.listed.started_ms, request: line.listed.request.clone() };
            let after = after(&position).unwrap();
            assert_eq!(names.iter().rfind(|other| **other <= after), Some(name));
            assert!(name.len() <= 255, "{name}");
        }
        assert_eq!(Line::parse(&line(7, "a", None).name().unwrap()), Some(line(7, "a", None)));
        let entry = Entry { expires_ms: 9, started_ms: 7, request: "a-b".to_owned() };
        let object = entry.object("f").unwrap();
        assert_eq!(object.as_ref(), "expiry/k-f/00000000000000000009-18446744073709551608-LyKz");
        assert_eq!(Entry::parse(object.filename().unwrap()), Some(entry));
    }

    #[test]
    fn ids_that_cannot_be_in_a_name_are_refused() {
        for id in ["a b", "a/b", "ä", &"a".repeat(LONGEST + 1)] {
            let error = lines_of("f", 7, id).unwrap_err();
            assert!(!error.is_temporary() && error.to_string().contains("cannot be listed"), "{error}");
        }
    }
}
