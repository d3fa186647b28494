//! Values of the kinds that a stack file has, from nodes of any kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::{At, Fault};
use super::node::{Node, Value};

/// The most entries that merges (`<<`) may bring: enough for any file, and an end to those that grow by powers.
const MOST_MERGED: usize = 10_000;

/// A key of a mapping, with its value.
#[derive(Clone, Debug)]
pub(in crate::stack) struct Entry {
    pub(in crate::stack) key: String,
    pub(in crate::stack) at: At,
    pub(in crate::stack) value: Node,
}

/// The text of a single value, as it is written. `what` names the value in faults.
///
/// This is what Go's `yaml.v3` puts into a string: a null is the empty text, `!!binary` is decoded, and any other tag
/// changes nothing, but must fit.
pub(in crate::stack) fn text(node: &Node, what: &str) -> Result<String, Fault> {
    let Value::Scalar { text, tag, .. } = &node.value else {
        return Err(Fault::new(node.at, format!("{what} must be a single value, and is {}", kind(node))));
    };
    if node.is_null() {
        return Ok(String::new());
    }
    // Neither a variable nor a word of a command may have one.
    if text.contains('\0') {
        return Err(Fault::new(node.at, format!("{what} has a NUL in it; remove it")));
    }
    let misfit = |tag: &str| {
        Fault::new(node.at, format!("{what} is `{text}`, which does not fit its tag `{tag}`; leave the tag out"))
    };
    match tag.as_deref() {
        Some("!!binary") => {
            let packed: String = text.split_ascii_whitespace().collect();
            let decoded = STANDARD.decode(packed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            decoded
                .filter(|text| !text.contains('\0'))
                .ok_or_else(|| Fault::new(node.at, format!("{what} is tagged `!!binary`, and is not Base64 of a text")))
        }
        Some("!!null") => match &**text {
            "" | "~" | "null" | "Null" | "NULL" => Ok(String::new()),
            _ => Err(misfit("!!null")),
        },
        Some("!!bool") if !is_bool(text) => Err(misfit("!!bool")),
        Some("!!int") if !is_integer(text) => Err(misfit("!!int")),
        Some("!!float") if !is_number(text) => Err(misfit("!!float")),
        Some("!!timestamp") if !text.starts_with(|first: char| first.is_ascii_digit()) => Err(misfit("!!timestamp")),
        _ => Ok((**text).to_owned()),
    }
}

fn is_bool(text: &str) -> bool {
    ["true", "True", "TRUE", "false", "False", "FALSE"].contains(&text)
}

fn is_integer(text: &str) -> bool {
    let digits = text.replace('_', "");
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0o" | "0O") => (&digits[2..], 8),
        Some("0b" | "0B") => (&digits[2..], 2),
        _ => (digits, 10),
    };
    !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
}

fn is_number(text: &str) -> bool {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    is_integer(text)
        || [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(&bare)
        || (bare.starts_with(|first: char| first.is_ascii_digit() || first == '.')
            && bare.replace('_', "").parse::<f64>().is_ok())
}

/// A switch; `None` for null.
pub(in crate::stack) fn switch(node: &Node, what: &str) -> Result<Option<bool>, Fault> {
    if node.is_null() {
        return Ok(None);
    }
    match &node.value {
        Value::Scalar { text, plain: true, .. } => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "n" => Ok(Some(false)),
            _ => Err(Fault::new(node.at, format!("{what} is `{text}`; write `true` or `false`"))),
        },
        Value::Scalar { text, .. } => {
            Err(Fault::new(node.at, format!("{what} is the text \"{text}\"; write `true` or `false` without quotes")))
        }
        _ => Err(Fault::new(node.at, format!("{what} must be `true` or `false`, and is {}", kind(node)))),
    }
}

/// A list of single values; empty for null.
pub(in crate::stack) fn list(node: &Node, what: &str) -> Result<Vec<(At, String)>, Fault> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let Value::List(items) = &node.value else {
        let example = match &node.value {
            Value::Scalar { text, .. } => format!("; write `[{text}]`"),
            _ => String::new(),
        };
        return Err(Fault::new(node.at, format!("{what} must be a list, and is {}{example}", kind(node))));
    };
    let item = |item: &Node| {
        let text = text(item, &format!("each entry of {what}"))?;
        if text.is_empty() {
            Err(Fault::new(item.at, format!("an entry of {what} is empty")))
        } else {
            Ok((item.at, text))
        }
    };
    items.iter().map(item).collect()
}

/// The entries of a mapping, in their order, with those that it merges (`<<: *other`) after its own; empty for null.
pub(in crate::stack) fn mapping(node: &Node, what: &str) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    let mut budget = MOST_MERGED;
    if !node.is_null() {
        collect(node, what, &mut entries, &mut budget)?;
    }
    Ok(entries)
}

fn collect(node: &Node, what: &str, into: &mut Vec<Entry>, budget: &mut usize) -> Result<(), Fault> {
    let Value::Mapping(pairs) = &node.value else {
        let hint = match &node.value {
            Value::Scalar { text, plain: true, .. } => match text.split_once(':') {
                Some((key, value)) if !value.starts_with('/') => {
                    format!("; a space is missing after the colon: `{key}: {}`", value.trim_start())
                }
                _ => String::new(),
            },
            _ => String::new(),
        };
        return Err(Fault::new(
            node.at,
            format!("{what} must be a mapping (`key: value`), and is {}{hint}", kind(node)),
        ));
    };
    let mut own: Vec<Entry> = Vec::new();
    let mut merged = Vec::new();
    for (key, value) in pairs.iter() {
        if is_merge(key) {
            merged.push(value);
            continue;
        }
        if key.is_null() {
            return Err(Fault::new(key.at, format!("a key of {what} is empty; quote it if it is meant as a text")));
        }
        let name = text(key, &format!("a key of {what}"))?;
        if let Some(first) = own.iter().find(|entry| entry.key == name) {
            return Err(Fault::new(
                key.at,
                format!("{what} has `{name}` twice, first in line {}; remove one of them", first.at.line),
            ));
        }
        own.push(Entry { key: name, at: key.at, value: value.clone() });
    }
    // Within what is merged the first wins, and what is written out wins over it.
    for entry in own {
        if !into.iter().any(|other| other.key == entry.key) {
            into.push(entry);
        }
        *budget =
            budget.checked_sub(1).ok_or_else(|| Fault::new(node.at, format!("{what} merges too many entries")))?;
    }
    for value in merged {
        match &value.value {
            Value::Mapping(_) => collect(value, what, into, budget)?,
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Mapping(_))) => {
                for item in items.iter() {
                    collect(item, what, into, budget)?;
                }
            }
            _ => {
                return Err(Fault::new(
                    value.at,
                    format!("`<<` of {what} must name a mapping, such as `<<: *other`, or a list of them"),
                ));
            }
        }
    }
    Ok(())
}

fn is_merge(key: &Node) -> bool {
    match &key.value {
        Value::Scalar { text, plain: true, tag } => {
            &**text == "<<" && tag.as_deref().is_none_or(|tag| tag == "!!merge")
        }
        _ => false,
    }
}

/// What a node is, as a user would say it.
fn kind(node: &Node) -> String {
    match &node.value {
        _ if node.is_null() => "empty".to_owned(),
        Value::Scalar { text, .. } => {
            let line = text.lines().next().unwrap_or_default();
            let shown: String = line.chars().take(60).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            format!("the single value `{shown}{more}`")
        }
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping (`key: value`)".to_owned(),
    }
}
