//! Why data is not of the expected type, without quoting the data.

use std::fmt;

/// What a deserializer expected. The text of its own error quotes what it found. That is the caller's data, and errors
/// end up in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch(String);

impl Mismatch {
    /// Keeps only what follows from the expected type, and the position.
    pub(crate) fn new(error: &serde_json::Error) -> Mismatch {
        match error.classify() {
            // It says what is wrong with the punctuation, and quotes nothing.
            serde_json::error::Category::Syntax | serde_json::error::Category::Eof => Mismatch(error.to_string()),
            _ => {
                let place = format!("at line {} column {}", error.line(), error.column());
                let text = error.to_string();
                let text = text.strip_suffix(&place).map_or(&*text, str::trim_end);
                Mismatch(format!("{} {place}", expected(text)))
            }
        }
    }

    /// Does the same for the text of any other deserializer.
    pub(crate) fn from_text(text: &str) -> Mismatch {
        Mismatch(expected(text))
    }
}

/// What the standard library says about a text that is not a number or a boolean. None of it quotes the text.
const PARSE_ERRORS: [&str; 7] = [
    "cannot parse integer from empty string",
    "invalid digit found in string",
    "number too large to fit in target type",
    "number too small to fit in target type",
    "cannot parse float from empty string",
    "invalid float literal",
    "provided string was not `true` or `false`",
];

fn expected(text: &str) -> String {
    // The last `expected` comes from the type. Data that contains the same words comes before it.
    if let Some((_, expected)) = text.rsplit_once(", expected ") {
        return format!("expected {expected}");
    }
    if text.starts_with("missing field ") || text.starts_with("duplicate field ") || PARSE_ERRORS.contains(&text) {
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

    fn message(json: &str) -> String {
        Mismatch::new(&serde_json::from_str::<Person>(json).unwrap_err()).to_string()
    }

    #[test]
    fn what_was_found_is_not_quoted() {
        assert_eq!(message(r#"{"age":"s3cret, expected x"}"#), "expected u8 at line 1 column 27");
        assert_eq!(message(r#"{"age":-77}"#), "expected u8 at line 1 column 10");
        assert_eq!(message(r#"{"age":1,"kind":"s3cret"}"#), "expected `child` or `adult` at line 1 column 24");
        assert_eq!(message(r#"{"s3cret":1}"#), "expected `age` or `kind` at line 1 column 9");
        assert_eq!(message("{}"), "missing field `age` at line 1 column 2");
        assert_eq!(message("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn an_unknown_text_is_not_repeated() {
        let number = "900".parse::<u8>().unwrap_err().to_string();
        assert_eq!(Mismatch::from_text(&number).to_string(), number);
        assert_eq!(Mismatch::from_text("s3cret is no number").to_string(), "it is not what is expected");
    }
}
