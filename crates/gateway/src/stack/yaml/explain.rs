//! Describes errors of the parser in the terms of the person who wrote the file.

use granit_parser::{ErrorKind, ScanError};

use super::{At, Fault};

/// Rejects characters that YAML does not allow, or that Go's reader takes for the end of a line and this one does not.
pub(super) fn check_characters(text: &str) -> Result<(), Fault> {
    let (mut line, mut column) = (1, 1);
    for (index, character) in text.char_indices() {
        let found = match character {
            '\t' | '\n' | '\r' => None,
            '\u{feff}' if index == 0 => continue,
            '\0' => Some(("there is a NUL byte in the file, which may be saved as UTF-16", "save it as text in UTF-8")),
            '\u{85}' | '\u{2028}' | '\u{2029}' => {
                Some(("this invisible character ends a line for some YAML readers but not for others", "remove it"))
            }
            '\u{fffe}' | '\u{ffff}' => Some(("this character is not allowed in YAML", "remove it")),
            _ if character.is_control() => Some((
                "there is a control character in the file",
                "remove it, or write it as an escape in double quotes, such as \"\\x07\"",
            )),
            _ => None,
        };
        if let Some((what, help)) = found {
            let what = format!("{what} (U+{:04X})", u32::from(character));
            return Err(Fault::syntax(At { line, column }, what).help(help));
        }
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    Ok(())
}

/// Describes an error of the parser in the user's terms, with the line of the file.
pub(super) fn explain(error: &ScanError, source: &str) -> Fault {
    let at = At::from(error.marker());
    let line = source.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let (what, help) = words(error.kind(), line);
    let fault = Fault::syntax(at, what).help(match help {
        "" => "compare the line with the ones around it: indentation, colons, quotes and brackets",
        help => help,
    });
    let shown: String = line.trim_end().chars().take(100).collect();
    if shown.is_empty() { fault } else { fault.excerpt(shown) }
}

/// What is wrong, and what to do about it.
fn words(kind: &ErrorKind, line: &str) -> (String, &'static str) {
    let indented_by_tab =
        line.chars().take_while(|character| character.is_whitespace()).any(|character| character == '\t');
    if indented_by_tab {
        return ("the line is indented with a tab".to_owned(), "indent it with spaces");
    }
    let (what, help) = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => ("there is a tab where YAML allows only spaces", "use spaces"),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            ("the indentation does not fit the lines above", "begin the keys of one mapping in the same column")
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            ("a list entry (`- …`) was expected", "begin the entries of one list in the same column")
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a `:` was expected after this key", "write a `:` and a space after the key: `key: value`")
        }
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidMappingValueWhitespace => (
            "a `: ` is not expected here",
            "indent the line no further than the key above it, or quote a value that contains `: `",
        ),
        ErrorKind::MappingKeyNotAllowed => ("a key is not expected here", "if it is a text, quote it"),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::InvalidBlockEntryWhitespace => {
            ("a list entry (`- …`) is not expected here", "begin it on its own line, or quote the text")
        }
        ErrorKind::BlockEntryInFlowCollection | ErrorKind::PlainScalarStartsWithDashFlowIndicator => {
            ("an entry within `[…]` or `{…}` begins with `-`", "separate the entries with commas, without `-`")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
            ("a `,` or `}` was expected", "close the `{`, or add the missing comma")
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            ("a `,` or `]` was expected", "close the `[`, or add the missing comma")
        }
        ErrorKind::UnclosedFlowCollection { open } => return (format!("the `{open}` is not closed"), "close it"),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("a `{open}` is closed by `{close}`"), "close it with its own kind");
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("this closing bracket has no opening one", "if it is a text, quote it")
        }
        ErrorKind::InvalidFlowScalarIndent => (
            "a text within brackets or quotes is not indented enough",
            "indent it further than the key that it belongs to",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quote is not closed", "close it")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("there is text after a closing quote", "quote the whole value, and double the quotes in it (`'it''s'`)")
        }
        ErrorKind::InvalidQuotedScalarIndent => {
            ("the next line of a quoted text is not indented enough", "indent it further than its key")
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate => (
            "this escape does not exist; in double quotes a `\\` begins an escape",
            "write `\\\\`, or use single quotes",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("a value cannot begin with `{character}`"), "quote it");
        }
        ErrorKind::ExpectedNodeContent => ("a value was expected here", "write a value"),
        ErrorKind::ExpectedDocumentStart | ErrorKind::UnexpectedEndOfPlainScalar => (
            "this is outside the mapping that the file began with",
            "begin the keys of that mapping in the first column, as `key: value`",
        ),
        ErrorKind::InvalidBlockScalarHeader | ErrorKind::ZeroBlockScalarIndent => {
            ("only `-`, `+` and a digit from 1 to 9 may follow `|` or `>`", "begin the text on the next line")
        }
        ErrorKind::InvalidBlockScalarIndent => (
            "the text after `|` or `>` is not indented enough",
            "indent all its lines equally, and further than its key",
        ),
        ErrorKind::MissingAnchorOrAliasName => ("a name is missing after `&` or `*`", "if it is a text, quote it"),
        ErrorKind::CommentNotSeparated | ErrorKind::CommentInterceptedScalar => (
            "a comment (`# …`) is not allowed here",
            "put a space before it, and do not put it within a value of several lines",
        ),
        ErrorKind::UndeclaredTagHandle
        | ErrorKind::InvalidTagTerminator
        | ErrorKind::MissingTagUri
        | ErrorKind::ExpectedTagBang => {
            ("a `!` begins a tag, and this tag does not exist", "if it is a text, quote it")
        }
        ErrorKind::RecursionLimitExceeded => ("lists and mappings are nested too deeply", "use fewer levels"),
        ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEof => ("the file ends in the middle of a value", "complete the value"),
        ErrorKind::UnsupportedYamlMajorVersion => ("this version of YAML is not supported", "remove the line `%YAML`"),
        other => return (format!("this is not YAML: {other}"), ""),
    };
    (what.to_owned(), help)
}
