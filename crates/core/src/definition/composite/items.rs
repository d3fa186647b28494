//! The results of the items of a for-each, which `collect` gets.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, Result};
use crate::payload::{FromPayload, Payload};

use super::complete::Complete;
use super::member::{MemberOutcome, MemberResult, json};

/// The results of the items of a for-each, in the order of the list.
///
/// ```
/// use faasflow_core::{Items, Json, MemberResult, Payload, Result};
///
/// fn sum(items: Items) -> Result<String> {
///     let numbers: Vec<Json<u32>> = items.take_all()?;
///     Ok(numbers.iter().map(|Json(number)| number).sum::<u32>().to_string())
/// }
///
/// let items = Items::new(["1", "2"].map(|text| MemberResult::Done(Payload::new(text))));
/// assert_eq!(sum(items).unwrap(), "3");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Items {
    results: Vec<MemberResult>,
}

impl Items {
    /// Creates items with these results, for tests of handlers.
    pub fn new(results: impl IntoIterator<Item = MemberResult>) -> Items {
        Items { results: results.into_iter().collect() }
    }

    /// The number of items, whether they succeeded or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether the list was empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// The result of each item, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &MemberResult> {
        self.results.iter()
    }

    /// The outputs of the items that succeeded, in order, with their content types.
    pub fn outputs(&self) -> impl Iterator<Item = &Payload> {
        self.results.iter().filter_map(MemberResult::output)
    }

    /// Converts the outputs of all items, in order, each into a `Json<T>`, into `Bytes`, or into any other type that a handler
    /// can take as its payload.
    ///
    /// # Errors
    ///
    /// If an item did not succeed, or its output is not a `P`. The text names the item by its number, from 1.
    pub fn take_all<P: FromPayload>(self) -> Result<Vec<P>> {
        let read = |(index, result): (usize, MemberResult)| {
            let output = result.into_output(Numbered(index))?;
            P::from_payload(output).map_err(|error| error.context(format!("the output of {}", Numbered(index))))
        };
        self.results.into_iter().enumerate().map(read).collect()
    }

    /// The output of a for-each without a `collect`.
    ///
    /// # Errors
    ///
    /// If an output is not JSON. The text names the item.
    pub fn into_output(self, complete: Complete) -> Result<Payload> {
        if complete == Complete::First {
            let first = self.results.into_iter().find_map(|result| result.output().cloned());
            return first.ok_or_else(|| Error::msg("no item succeeded"));
        }
        let length = |result: &MemberResult| 1 + result.output().map_or(64, Payload::len);
        let mut array = Vec::with_capacity(self.results.iter().map(length).sum::<usize>() + 1);
        for (index, result) in self.results.iter().enumerate() {
            let text = match result {
                result if complete.shows_failures() => Cow::Owned(json::outcome(Numbered(index), result)?),
                MemberResult::Done(output) => Cow::Borrowed(json::text(Numbered(index), output)?),
                other if other.outcome() == MemberOutcome::Done || !matches!(complete, Complete::AtLeast(_)) => {
                    return other.clone().into_output(Numbered(index));
                }
                _ => continue,
            };
            array.push(if array.is_empty() { b'[' } else { b',' });
            array.extend_from_slice(text.as_bytes());
        }
        if array.is_empty() {
            array.push(b'[');
        }
        array.push(b']');
        Ok(Payload::json_text(array))
    }
}

/// An item by its index, as messages name it.
struct Numbered(usize);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}", self.0 + 1)
    }
}

/// The items of a payload without a `split`: the elements of a JSON array, each with its original text.
///
/// # Errors
///
/// If the payload is not a JSON array.
pub(crate) fn split_array(payload: &Payload) -> Result<Vec<Payload>> {
    let items: Vec<Box<serde_json::value::RawValue>> = payload.json()?;
    Ok(items.into_iter().map(|item| Payload::json_text(Box::<str>::from(item).into_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_output_keeps_the_order_of_the_items() {
        let done = |text: &'static str| MemberResult::Done(Payload::new(text));
        let items = Items::new([done("1"), MemberResult::Failed("no".to_owned()), done("null")]);
        let output = |complete| items.clone().into_output(complete).map(Payload::into_bytes);
        assert_eq!(output(Complete::AtLeast(2)).unwrap(), "[1,null]");
        assert_eq!(output(Complete::First).unwrap(), "1");
        assert_eq!(
            output(Complete::Tolerate(1)).unwrap(),
            r#"[{"outcome":"done","output":1},{"outcome":"failed","reason":"no"},{"outcome":"done","output":null}]"#
        );
        assert!(output(Complete::All).unwrap_err().to_string().starts_with("item 2 has no output"));
        assert_eq!(Items::new([]).into_output(Complete::All).unwrap().into_bytes(), "[]");
    }
}
