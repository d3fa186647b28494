//! The results of the branches of a graph, which a join gets.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::payload::{FromPayload, Payload};

use super::complete::Complete;
use super::member::{MemberOutcome, MemberResult, json};

/// The branches of a graph and their results, in order of definition.
///
/// Outputs keep their content types. [`take`](Branches::take) reads an output as any type that a handler can take as its
/// payload.
///
/// ```
/// use bytes::Bytes;
/// use faasflow_core::{Branches, Json, MemberResult, Payload, Result};
///
/// fn join(mut branches: Branches) -> Result<String> {
///     let thumb: Bytes = branches.take("thumb")?;
///     let Json(tags): Json<Vec<String>> = branches.take("tags")?;
///     Ok(format!("{} bytes, {}", thumb.len(), tags.join(" and ")))
/// }
///
/// let thumb = MemberResult::Done(Payload::new(vec![0xff, 0xd8]).with_content_type("image/jpeg"));
/// let tags = MemberResult::Done(Payload::new(r#"["sea", "sky"]"#));
/// let branches = Branches::new([("thumb", thumb), ("tags", tags)]);
/// assert_eq!(join(branches).unwrap(), "2 bytes, sea and sky");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Branches {
    members: Vec<(Arc<str>, MemberResult)>,
}

impl Branches {
    /// Creates branches with these results, for tests of handlers.
    pub fn new<N: Into<Arc<str>>>(members: impl IntoIterator<Item = (N, MemberResult)>) -> Branches {
        Branches { members: members.into_iter().map(|(name, result)| (name.into(), result)).collect() }
    }

    /// The names and results of the branches, in order of definition.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &MemberResult)> {
        self.members.iter().map(|(name, result)| (&**name, result))
    }

    /// The result of a branch.
    ///
    /// # Errors
    ///
    /// If the graph has no branch of this name.
    pub fn result(&self, name: &str) -> Result<&MemberResult> {
        self.members.iter().find(|(other, _)| **other == *name).map(|(_, result)| result).ok_or_else(|| unknown(name))
    }

    /// The output of a branch, with its content type.
    ///
    /// # Errors
    ///
    /// If the graph has no branch of this name, or the branch did not succeed.
    pub fn output(&self, name: &str) -> Result<&Payload> {
        let result = self.result(name)?;
        match result.output() {
            Some(output) => Ok(output),
            None => Err(result.clone().into_output(Quoted(name)).unwrap_err()),
        }
    }

    /// Removes the output of a branch and converts it into a `Json<T>`, into `Bytes`, or into any other type that a handler can
    /// take as its payload.
    ///
    /// # Errors
    ///
    /// If the graph has no branch of this name, the branch did not succeed, its output was taken before, or it is not a `P`.
    pub fn take<P: FromPayload>(&mut self, name: &str) -> Result<P> {
        let index = self.members.iter().position(|(other, _)| **other == *name).ok_or_else(|| unknown(name))?;
        let (_, result) = self.members.remove(index);
        let output = result.into_output(Quoted(name))?;
        P::from_payload(output).map_err(|error| error.context(format!("the output of {}", Quoted(name))))
    }

    /// The output of a join without a handler. `ends` returns whether a branch is one that no other branch waits for.
    ///
    /// # Errors
    ///
    /// If an output is not JSON. The text names the branch.
    pub fn into_output(self, complete: Complete, ends: impl Fn(&str) -> bool) -> Result<Payload> {
        match complete {
            Complete::First => {
                let first = self.members.into_iter().find_map(|(_, result)| result.output().cloned());
                return first.ok_or_else(|| Error::msg("no branch succeeded"));
            }
            Complete::AtLeast(_) => {
                let done = self.members.iter().filter(|(_, result)| result.outcome() == MemberOutcome::Done);
                let texts = done.filter_map(|(name, result)| Some(json::text(Quoted(name), result.output()?)));
                let texts: Vec<&str> = texts.collect::<Result<_>>()?;
                return Ok(Payload::json_text(format!("[{}]", texts.join(","))));
            }
            _ => {}
        }
        let length =
            |(name, result): &(Arc<str>, MemberResult)| name.len() + 4 + result.output().map_or(64, Payload::len);
        let mut object = Vec::with_capacity(self.members.iter().map(length).sum::<usize>() + 1);
        for (name, result) in self.members.iter().filter(|(name, _)| complete.shows_failures() || ends(name)) {
            object.push(if object.is_empty() { b'{' } else { b',' });
            serde_json::to_writer(&mut object, &**name)?;
            object.push(b':');
            match result {
                result if complete.shows_failures() => {
                    object.extend_from_slice(json::outcome(Quoted(name), result)?.as_bytes());
                }
                MemberResult::Done(output) => object.extend_from_slice(json::text(Quoted(name), output)?.as_bytes()),
                other => return other.clone().into_output(Quoted(name)),
            }
        }
        if object.is_empty() {
            object.push(b'{');
        }
        object.push(b'}');
        Ok(Payload::json_text(object))
    }
}

/// A branch, as messages name it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the branch `{}`", self.0)
    }
}

fn unknown(name: &str) -> Error {
    Error::msg(format!("the graph has no branch `{name}`, or its output was taken before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branches() -> Branches {
        let done = |text: &'static str| MemberResult::Done(Payload::new(text));
        Branches::new([
            ("a", done("1")),
            ("b", MemberResult::Failed("it answered 404 Not Found".to_owned())),
            ("c \"x\"", done(r#"{"b": 2}"#)),
            ("d", MemberResult::Other(MemberOutcome::NotBegun)),
        ])
    }

    fn output(complete: Complete) -> String {
        let output = branches().into_output(complete, |name| name != "b" && name != "d").unwrap();
        assert!(complete == Complete::First || output.content_type() == Some("application/json"));
        String::from_utf8(output.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_default_output_follows_the_policy() {
        assert_eq!(output(Complete::All), r#"{"a":1,"c \"x\"":{"b": 2}}"#);
        assert_eq!(
            output(Complete::Settled),
            r#"{"a":{"outcome":"done","output":1},"b":{"outcome":"failed","reason":"it answered 404 Not Found"},"c \"x\"":{"outcome":"done","output":{"b": 2}},"d":{"outcome":"not_begun","reason":"it was not begun"}}"#
        );
        assert_eq!(output(Complete::First), "1");
        assert_eq!(output(Complete::AtLeast(2)), r#"[1,{"b": 2}]"#);
    }

    #[test]
    fn the_default_output_without_ends_is_an_empty_object() {
        assert_eq!(branches().into_output(Complete::All, |_| false).unwrap().into_bytes(), "{}");
    }

    #[test]
    fn an_output_that_is_not_json_is_named() {
        let branches = Branches::new([("photo", MemberResult::Done(Payload::new(vec![0xff, 0xd8])))]);
        let error = branches.into_output(Complete::All, |_| true).unwrap_err();
        assert!(error.public_reason().unwrap().contains("the branch `photo` is not JSON"), "{error}");
    }
}
