//! Reads nodes as the types of values that a stack file has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::node::{Node, Value};
use super::{At, Fault};

/// The most entries that a mapping may have after merging (`<<`). It is enough for any real file, and stops one whose merges
/// grow exponentially.
const MOST_MERGED: usize = 10_000;

/// A key of a mapping, with its value.
#[derive(Clone, Debug)]
pub(in crate::stack) struct Entry {
    pub(in crate::stack) key: String,
    pub(in crate::stack) at: At,
    pub(in crate::stack) value: Node,
}

/// Reads a single value as the text that is written. `what` names the value in faults.
///
/// Like Go's `yaml.v3`, it reads null as the empty text, and decodes `!!binary`. Any other tag must fit the text, and changes
/// nothing.
pub(in crate::stack) fn text(node: &Node, what: &str) -> Result<String, Fault> {
    let Value::Scalar { text, tag, .. } = &node.value else {
        return Err(Fault::structure(node.at, format!("{what} must be a single value, but is {}", kind(node)))
            .help("write a text or a number; quote it if it has brackets or braces"));
    };
    if node.is_null() {
        return Ok(String::new());
    }
    // Neither a variable nor an argument of a command may contain one.
    if text.contains('\0') {
        return Err(Fault::structure(node.at, format!("{what} contains a NUL byte")).help("remove it"));
    }
    let misfit = |tag: &str| {
        Fault::structure(node.at, format!("{what} is `{text}`, which does not fit its tag `{tag}`"))
            .help("remove the tag")
    };
    match tag.as_deref() {
        Some("!!binary") => {
            let packed: String = text.split_ascii_whitespace().collect();
            let decoded = STANDARD.decode(packed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.filter(|text| !text.contains('\0')).ok_or_else(|| {
                let what = format!("{what} is tagged `!!binary`, but is not the Base64 encoding of a text");
                Fault::structure(node.at, what).help("remove the tag, or encode the text in Base64")
            })
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

/// Reads a switch. Null is `None`.
pub(in crate::stack) fn switch(node: &Node, what: &str) -> Result<Option<bool>, Fault> {
    if node.is_null() {
        return Ok(None);
    }
    match &node.value {
        Value::Scalar { text, plain: true, .. } => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "n" => Ok(Some(false)),
            _ => Err(Fault::structure(node.at, format!("{what} is `{text}`")).help("write `true` or `false`")),
        },
        Value::Scalar { text, .. } => Err(Fault::structure(node.at, format!("{what} is the text \"{text}\""))
            .help("write `true` or `false` without quotes")),
        _ => Err(Fault::structure(node.at, format!("{what} must be `true` or `false`, but is {}", kind(node)))
            .help("write `true` or `false`")),
    }
}

/// Reads a list of single values. Null is an empty list.
pub(in crate::stack) fn list(node: &Node, what: &str) -> Result<Vec<(At, String)>, Fault> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let Value::List(items) = &node.value else {
        let fault = Fault::structure(node.at, format!("{what} must be a list, but is {}", kind(node)));
        return Err(match &node.value {
            Value::Scalar { text, .. } => fault.help(format!("write `[{text}]`")),
            _ => fault.help("write `[a, b]`, or each entry on its own line after `- `"),
        });
    };
    let item = |item: &Node| {
        let text = text(item, &format!("each entry of {what}"))?;
        if text.is_empty() {
            Err(Fault::structure(item.at, format!("an entry of {what} is empty")).help("remove it, or write a value"))
        } else {
            Ok((item.at, text))
        }
    };
    items.iter().map(item).collect()
}

/// Reads the entries of a mapping in their order, followed by those that it merges (`<<: *other`). Null is an empty mapping.
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
        let fault =
            Fault::structure(node.at, format!("{what} must be a mapping (`key: value`), but is {}", kind(node)));
        let pair = match &node.value {
            Value::Scalar { text, plain: true, .. } => text.split_once(':'),
            _ => None,
        };
        return Err(match pair {
            Some((key, value)) if !value.starts_with('/') => {
                fault.help(format!("add the missing space after the colon: `{key}: {}`", value.trim_start()))
            }
            _ => fault.help("write each entry on its own line as `key: value`"),
        });
    };
    let mut own: Vec<Entry> = Vec::new();
    let mut merged = Vec::new();
    for (key, value) in pairs.iter() {
        if is_merge(key) {
            merged.push(value);
            continue;
        }
        if key.is_null() {
            return Err(Fault::structure(key.at, format!("a key of {what} is empty")).help("quote it if it is a text"));
        }
        let name = text(key, &format!("a key of {what}"))?;
        if let Some(first) = own.iter().find(|entry| entry.key == name) {
            let what = format!("{what} has `{name}` twice, first in line {}", first.at.line);
            return Err(Fault::structure(key.at, what).help("remove one of them"));
        }
        own.push(Entry { key: name, at: key.at, value: value.clone() });
    }
    // The first of several merged entries wins, and an entry that is written out wins over a merged one.
    for entry in own {
        if !into.iter().any(|other| other.key == entry.key) {
            into.push(entry);
        }
        *budget = budget.checked_sub(1).ok_or_else(|| {
            Fault::structure(node.at, format!("{what} merges too many entries"))
                .help("write the entries out, or merge fewer")
        })?;
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
                let what = format!("`<<` of {what} does not name a mapping or a list of mappings");
                return Err(Fault::structure(value.at, what).help("write `<<: *other`, where `&other` marks a mapping"));
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

/// The type of a node, as a user would call it.
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
