//! What the parser refuses, in the words of whoever wrote the file.

use granit_parser::{ErrorKind, ScanError};

use super::fault::{At, Fault};

/// Refuses characters that no YAML reader takes, or that Go's takes for the end of a line and ours does not.
pub(super) fn check_characters(text: &str) -> Result<(), Fault> {
    let (mut line, mut column) = (1, 1);
    for (index, character) in text.char_indices() {
        let why = match character {
            '\t' | '\n' | '\r' => None,
            '\u{feff}' if index == 0 => continue,
            '\0' => Some("a NUL byte is in the file: it is no text, or is saved as UTF-16; save it as UTF-8"),
            '\u{85}' | '\u{2028}' | '\u{2029}' => {
                Some("this invisible character ends a line for some YAML readers and not for others; remove it")
            }
            '\u{fffe}' | '\u{ffff}' => Some("this character is not allowed in YAML; remove it"),
            _ if character.is_control() => Some(
                "a control character is in the file; remove it, or write it as an escape such as \"\\x07\" in double quotes",
            ),
            _ => None,
        };
        if let Some(why) = why {
            return Err(Fault::new(At { line, column }, format!("{why} (U+{:04X})", u32::from(character))));
        }
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    Ok(())
}

/// The fault in the user's words, with the line it is in.
pub(super) fn explain(error: &ScanError, source: &str) -> Fault {
    let at = At::from(error.marker());
    let line = source.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let why = words(error.kind(), line);
    let shown: String = line.trim_end().chars().take(100).collect();
    let what = if shown.is_empty() { why } else { format!("{why}\n  | {shown}") };
    Fault { at, what }
}

fn words(kind: &ErrorKind, line: &str) -> String {
    let indented_by_tab =
        line.chars().take_while(|character| character.is_whitespace()).any(|character| character == '\t');
    if indented_by_tab {
        return "the line is indented with a tab; YAML takes only spaces for that".to_owned();
    }
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "a tab stands where YAML takes only spaces".to_owned(),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            "the indentation does not fit the lines above: the keys of one mapping begin in the same column".to_owned()
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            "a list entry (`- …`) was expected: entries of one list begin in the same column".to_owned()
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "a `:` was expected after this key, with a space behind it: `key: value`".to_owned()
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement | ErrorKind::InvalidMappingValueWhitespace => {
            "a `: ` is not expected here: the line is indented more than the key above it, or the value has `: ` in it \
             and needs quotes"
                .to_owned()
        }
        ErrorKind::MappingKeyNotAllowed => "a key is not expected here; if it is a text, quote it".to_owned(),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::InvalidBlockEntryWhitespace => {
            "a list entry (`- …`) is not expected here: begin it on a line of its own, or quote the text".to_owned()
        }
        ErrorKind::BlockEntryInFlowCollection | ErrorKind::PlainScalarStartsWithDashFlowIndicator => {
            "within `[…]` and `{…}` entries are separated by commas, without `-`".to_owned()
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
            "a `,` or `}` was expected: a `{` is not closed, or a comma is missing".to_owned()
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            "a `,` or `]` was expected: a `[` is not closed, or a comma is missing".to_owned()
        }
        ErrorKind::UnclosedFlowCollection { open } => format!("the `{open}` is not closed"),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => format!("a `{open}` is closed by `{close}`"),
        ErrorKind::MisplacedFlowCollectionEnd => {
            "a closing bracket stands here that nothing opened; if it is a text, quote it".to_owned()
        }
        ErrorKind::InvalidFlowScalarIndent => {
            "what is within brackets or quotes must be indented further than the key it belongs to".to_owned()
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            "a quote that is opened is not closed".to_owned()
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            "text follows a closing quote: quote the whole value, and double the quotes within (`'it''s'`)".to_owned()
        }
        ErrorKind::InvalidQuotedScalarIndent => {
            "a quoted text that goes on in this line must be indented further than its key".to_owned()
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate => {
            "in double quotes a `\\` begins an escape, and this one does not exist; write `\\\\`, or use single quotes".to_owned()
        }
        ErrorKind::UnexpectedCharacter { character } => {
            format!("a value cannot begin with `{character}`; quote it")
        }
        ErrorKind::ExpectedNodeContent => "a value was expected here".to_owned(),
        ErrorKind::ExpectedDocumentStart | ErrorKind::UnexpectedEndOfPlainScalar => {
            "this is outside of the mapping that the file began with: its keys begin in the first column, as `key: value`".to_owned()
        }
        ErrorKind::InvalidBlockScalarHeader | ErrorKind::ZeroBlockScalarIndent => {
            "after `|` or `>` only `-`, `+` and a digit from 1 to 9 may follow; the text begins in the next line".to_owned()
        }
        ErrorKind::InvalidBlockScalarIndent => {
            "the text after `|` or `>` must be indented further than its key, all lines alike".to_owned()
        }
        ErrorKind::MissingAnchorOrAliasName => "a name is missing after `&` or `*`; if it is a text, quote it".to_owned(),
        ErrorKind::CommentNotSeparated | ErrorKind::CommentInterceptedScalar => {
            "a comment (`# …`) must stand after a space, and not within a value of several lines".to_owned()
        }
        ErrorKind::UndeclaredTagHandle | ErrorKind::InvalidTagTerminator | ErrorKind::MissingTagUri | ErrorKind::ExpectedTagBang => {
            "a `!` begins a tag, and this one does not exist; if it is a text, quote it".to_owned()
        }
        ErrorKind::RecursionLimitExceeded => "lists and mappings are nested too deeply".to_owned(),
        ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEof => "the file ends in the middle of a value".to_owned(),
        ErrorKind::UnsupportedYamlMajorVersion => "this version of YAML is not known; leave the line `%YAML` out".to_owned(),
        other => format!("this is not YAML: {other}"),
    }
}
