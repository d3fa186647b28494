//! The description of a flow function's API in OpenAPI 3.1.

#[cfg(test)]
mod tests;

/// The document, in which [`NAME`] stands for the name of the flow, without the white space between its values: each flow contains it, so
/// it should be small.
static TEMPLATE: &str = match std::str::from_utf8(&COMPACT) {
    Ok(text) => text,
    Err(_) => panic!("the document is UTF-8"),
};
const NAME: &str = "FLOW";
const SOURCE: &[u8] = include_bytes!("openapi.json");
static COMPACT: [u8; compacted().1] = {
    let (source, mut compact, mut at) = (compacted().0, [0; compacted().1], 0);
    while at < compact.len() {
        compact[at] = source[at];
        at += 1;
    }
    compact
};

/// The document without white space outside of its texts, and its length.
const fn compacted() -> ([u8; SOURCE.len()], usize) {
    let (mut compact, mut length, mut at, mut in_text) = ([0; SOURCE.len()], 0, 0, false);
    while at < SOURCE.len() {
        let byte = SOURCE[at];
        if byte == b'"' && !(at > 0 && SOURCE[at - 1] == b'\\') {
            in_text = !in_text;
        }
        if in_text || !byte.is_ascii_whitespace() {
            compact[length] = byte;
            length += 1;
        }
        at += 1;
    }
    (compact, length)
}

/// The document about the flow with this name. Names of flows have no characters that JSON or URLs escape.
pub(super) fn document(name: &str) -> String {
    TEMPLATE.replace(NAME, name)
}
