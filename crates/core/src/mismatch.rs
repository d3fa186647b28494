//! Why data was not what was asked for, without what it was instead.

use std::fmt;

/// What a deserializer expected. Its own text quotes what it found, which is the caller's data, and errors end up in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch(String);

impl Mismatch {
    /// Keeps what follows from the type that was asked for, and the place.
    pub(crate) fn new(error: &serde_json::Error) -> Mismatch {
        match error.classify() {
            // It tells what is wrong with the punctuation, and quotes nothing.
            serde_json::error::Category::Syntax | serde_json::error::Category::Eof => Mismatch(error.to_string()),
            _ => {
                let place = format!("at line {} column {}", error.line(), error.column());
                let text = error.to_string();
                let text = text.strip_suffix(&place).map_or(&*text, str::trim_end);
                Mismatch(format!("{} {place}", expected(text)))
            }
        }
    }

    /// The same for the text of any other deserializer.
    pub(crate) fn from_text(text: &str) -> Mismatch {
        Mismatch(expected(text))
    }
}

/// What the standard library says of a text that is no number; none of it quotes the text.
const OF_NUMBERS: [&str; 7] = [
    "cannot parse integer from empty string",
    "invalid digit found in string",
    "number too large to fit in target type",
    "number too small to fit in target type",
    "cannot parse float from empty string",
    "invalid float literal",
    "provided string was not `true` or `false`",
];

fn expected(text: &str) -> String {
    // Of the type's own making, and the last of its kind: data that holds these words comes before them.
    if let Some((_, expected)) = text.rsplit_once(", expected ") {
        return format!("expected {expected}");
    }
    if text.starts_with("missing field ") || text.starts_with("duplicate field ") || OF_NUMBERS.contains(&text) {
        return text.to_owned();
    }
    "it is not what is expected".to_owned()
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Person {
        age: u8,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Child,
        Adult,
    }

    fn said(json: &str) -> String {
        Mismatch::new(&serde_json::from_str::<Person>(json).unwrap_err()).to_string()
    }

    #[test]
    fn what_was_found_is_not_told() {
        assert_eq!(said(r#"{"age":"s3cret, expected x"}"#), "expected u8 at line 1 column 27");
        assert_eq!(said(r#"{"age":-77}"#), "expected u8 at line 1 column 10");
        assert_eq!(said(r#"{"age":1,"kind":"s3cret"}"#), "expected `child` or `adult` at line 1 column 24");
        assert_eq!(said(r#"{"s3cret":1}"#), "expected `age` or `kind` at line 1 column 9");
        assert_eq!(said("{}"), "missing field `age` at line 1 column 2");
        assert_eq!(said("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn a_text_of_any_making_is_not_repeated() {
        let number = "900".parse::<u8>().unwrap_err().to_string();
        assert_eq!(Mismatch::from_text(&number).to_string(), number);
        assert_eq!(Mismatch::from_text("s3cret is no number").to_string(), "it is not what is expected");
    }
}
