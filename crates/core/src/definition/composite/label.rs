//! The labels of the items of a for-each.

use crate::error::{Error, Result};
use crate::unseen::is_unseen;

/// The longest label of an item, in bytes. Longer ones are cut off.
pub const MAX_LABEL: usize = 128;

/// The return types of the function of [`ForEach::label`](crate::ForEach::label): a text or a number, or an `Option` or `Result` of
/// one.
#[diagnostic::on_unimplemented(
    message = "an item cannot have a `{Self}` as its label",
    label = "not a label",
    note = "return a `String`, a `&'static str` or an integer, or an `Option` or `Result` of one with `faasflow::Error`"
)]
pub trait IntoLabel {
    /// The label, if the item has one.
    ///
    /// # Errors
    ///
    /// If the function returned an error.
    fn into_label(self) -> Result<Option<String>>;
}

impl IntoLabel for String {
    fn into_label(self) -> Result<Option<String>> {
        Ok(Some(self))
    }
}

impl IntoLabel for &'static str {
    fn into_label(self) -> Result<Option<String>> {
        Ok(Some(self.to_owned()))
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl IntoLabel for $number {
            fn into_label(self) -> Result<Option<String>> {
                Ok(Some(self.to_string()))
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl<L: IntoLabel> IntoLabel for Option<L> {
    fn into_label(self) -> Result<Option<String>> {
        self.map_or(Ok(None), L::into_label)
    }
}

impl<L: IntoLabel> IntoLabel for Result<L, Error> {
    fn into_label(self) -> Result<Option<String>> {
        self.and_then(L::into_label)
    }
}

/// A label as it is kept and shown: on one line, without characters that change how the text around it is shown, and not too long.
/// `None` if nothing is left.
pub(super) fn shown_label(text: &str) -> Option<String> {
    // What is cut off below need not be looked at.
    let plain: String = text.trim().chars().take(MAX_LABEL + 1).map(|c| if is_unseen(c) { ' ' } else { c }).collect();
    let plain = plain.trim();
    if plain.len() <= MAX_LABEL {
        return (!plain.is_empty()).then(|| plain.to_owned());
    }
    let end = plain.floor_char_boundary(MAX_LABEL - '…'.len_utf8());
    Some(format!("{}…", plain[..end].trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_on_one_line() {
        assert_eq!(shown_label(" portrait.jpg\n").as_deref(), Some("portrait.jpg"));
        assert_eq!(shown_label("two\nlines\u{1b}[31m").as_deref(), Some("two lines [31m"));
        assert_eq!(shown_label("a\u{202e}gpj.exe").as_deref(), Some("a gpj.exe"));
        assert_eq!(shown_label("\u{200b}\u{feff}"), None);
        assert_eq!(shown_label("naïve 写真").as_deref(), Some("naïve 写真"));
        for empty in ["", "  ", "\u{0}\n"] {
            assert_eq!(shown_label(empty), None, "{empty:?}");
        }
        assert_eq!(shown_label(&"x".repeat(MAX_LABEL)), Some("x".repeat(MAX_LABEL)));
        let cut = shown_label(&"x".repeat(MAX_LABEL + 1)).unwrap();
        assert_eq!(cut, format!("{}…", "x".repeat(MAX_LABEL - 3)));
        let wide = shown_label(&"写".repeat(500)).unwrap();
        assert!(wide.len() <= MAX_LABEL && wide.ends_with("写…"), "{wide}");
    }

    #[test]
    fn texts_and_numbers_are_labels() {
        assert_eq!(7_u16.into_label().unwrap().as_deref(), Some("7"));
        assert_eq!(Some("a").into_label().unwrap().as_deref(), Some("a"));
        assert_eq!(None::<String>.into_label().unwrap(), None);
        assert!(Err::<String, _>(Error::msg("no name")).into_label().is_err());
    }
}
