//! Applies a form to the value of a variable.

/// The operation of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `${A}`
    Value,
    /// `${#A}`: the length in bytes.
    Length,
    /// `${A:-word}`, `${A:=word}` and `${A=word}`: the word if the variable is empty. `:?` and `:+` do the same here, unlike
    /// in a shell.
    Default,
    /// `${A:offset}` and `${A:offset:length}`, in bytes.
    Part,
    LowerFirst,
    Lower,
    UpperFirst,
    Upper,
    RemoveShortestPrefix,
    RemoveLongestPrefix,
    RemoveShortestSuffix,
    RemoveLongestSuffix,
    ReplaceFirst,
    ReplaceAll,
    ReplacePrefix,
    ReplaceSuffix,
}

impl Operation {
    // If two begin with the same characters, the longer one comes first.
    pub(super) const CASES: [(&str, Operation); 4] = [
        (",,", Operation::Lower),
        (",", Operation::LowerFirst),
        ("^^", Operation::Upper),
        ("^", Operation::UpperFirst),
    ];
    pub(super) const REMOVALS: [(&str, Operation); 4] = [
        ("##", Operation::RemoveLongestPrefix),
        ("#", Operation::RemoveShortestPrefix),
        ("%%", Operation::RemoveLongestSuffix),
        ("%", Operation::RemoveShortestSuffix),
    ];
    pub(super) const REPLACEMENTS: [(&str, Operation); 4] = [
        ("//", Operation::ReplaceAll),
        ("/#", Operation::ReplacePrefix),
        ("/%", Operation::ReplaceSuffix),
        ("/", Operation::ReplaceFirst),
    ];
}

/// Applies an operation to a value. The error says why there is no result.
pub(super) fn apply(operation: Operation, value: &str, arguments: &[String]) -> Result<String, String> {
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let pattern = argument(0);
    Ok(match operation {
        Operation::Value => value.to_owned(),
        Operation::Length => value.len().to_string(),
        Operation::Default if value.is_empty() => arguments.concat(),
        Operation::Default => value.to_owned(),
        Operation::Part => part(value, pattern, arguments.get(1).map(String::as_str))?,
        Operation::Lower => value.chars().map(lower).collect(),
        Operation::Upper => value.chars().map(upper).collect(),
        Operation::LowerFirst => first(value, lower),
        Operation::UpperFirst => first(value, upper),
        Operation::RemoveShortestPrefix => removed(value, pattern, false),
        Operation::RemoveLongestPrefix => removed(value, pattern, true),
        Operation::RemoveShortestSuffix => reversed(&removed(&reversed(value), &reversed(pattern), false)),
        Operation::RemoveLongestSuffix => reversed(&removed(&reversed(value), &reversed(pattern), true)),
        Operation::ReplaceFirst => value.replacen(pattern, argument(1), 1),
        Operation::ReplaceAll => value.replace(pattern, argument(1)),
        // Without a second argument, these two change nothing.
        Operation::ReplacePrefix | Operation::ReplaceSuffix if arguments.len() < 2 => value.to_owned(),
        Operation::ReplacePrefix => {
            value.strip_prefix(pattern).map_or(value.to_owned(), |rest| argument(1).to_owned() + rest)
        }
        Operation::ReplaceSuffix => {
            value.strip_suffix(pattern).map_or(value.to_owned(), |rest| rest.to_owned() + argument(1))
        }
    })
}

/// A part of the value. If the length or the offset is not a number, the result is the whole value.
fn part(value: &str, offset: &str, length: Option<&str>) -> Result<String, String> {
    let Ok(offset) = offset.parse::<i64>() else { return Ok(value.to_owned()) };
    let all = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let begin = if offset < 0 { all.saturating_add(offset).max(0) } else { offset };
    let end = match length.map(str::parse::<i64>) {
        None => all,
        Some(Err(_)) => return Ok(value.to_owned()),
        Some(Ok(length)) => begin.saturating_add(length).min(all),
    };
    if begin >= all && end >= all {
        return Ok(String::new());
    }
    if end < begin {
        return Err("its length is negative, which `faas-cli` does not accept".to_owned());
    }
    let range = usize::try_from(begin).unwrap_or_default()..usize::try_from(end).unwrap_or_default();
    value.get(range).map(str::to_owned).ok_or_else(|| {
        "offset and length count bytes, and one of them falls within a character of several bytes".to_owned()
    })
}

fn first(value: &str, change: fn(char) -> char) -> String {
    let mut characters = value.chars();
    characters.next().map(|first| change(first).to_string() + characters.as_str()).unwrap_or_default()
}

/// As in Go, the result is always one character: `ß` has no upper case.
fn upper(character: char) -> char {
    let mut changed = character.to_uppercase();
    if changed.len() == 1 { changed.next().unwrap_or(character) } else { character }
}

fn lower(character: char) -> char {
    let mut changed = character.to_lowercase();
    if changed.len() == 1 { changed.next().unwrap_or(character) } else { character }
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// The value without the shortest or longest prefix that matches, or the whole value if the pattern is malformed.
fn removed(value: &str, pattern: &str, longest: bool) -> String {
    let pattern: Vec<char> = pattern.chars().collect();
    let characters: Vec<char> = value.chars().collect();
    let mut found = None;
    for end in (1..=characters.len()).rev() {
        match matches(&pattern, &characters[..end]) {
            Err(MalformedPattern) => return value.to_owned(),
            Ok(true) => {
                found = Some(end);
                if longest {
                    break;
                }
            }
            Ok(false) => {}
        }
    }
    found.map_or(value.to_owned(), |end| characters[end..].iter().collect())
}

/// A malformed pattern: a `[` is not closed, or a `\` is at the end.
struct MalformedPattern;

/// Whether a pattern with `*`, `?`, `[…]`, `[^…]` and `\` matches the whole text. `*` also matches slashes.
fn matches(pattern: &[char], text: &[char]) -> Result<bool, MalformedPattern> {
    let (mut sign, mut at) = (0, 0);
    // The end of the last `*` and how far it reaches. If the rest does not fit, it reaches one character further.
    let mut star = None;
    loop {
        let step = match (pattern.get(sign), text.get(at)) {
            (None, None) => return Ok(true),
            (Some('*'), _) => {
                sign += 1;
                star = Some((sign, at));
                continue;
            }
            (Some(_), Some(&character)) => one(&pattern[sign..], character)?,
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => (sign, at) = (sign + length, at + 1),
            (None, Some((after, reach))) if reach < text.len() => {
                (sign, at) = (after, reach + 1);
                star = Some((after, reach + 1));
            }
            (None, _) => return Ok(false),
        }
    }
}

/// The length of the first element of a pattern, if it matches this character.
fn one(pattern: &[char], character: char) -> Result<Option<usize>, MalformedPattern> {
    match pattern {
        ['?', ..] => Ok(Some(1)),
        ['[', rest @ ..] => {
            let (inside, after) = class(rest, character)?;
            Ok(inside.then_some(pattern.len() - after.len()))
        }
        ['\\', literal, ..] => Ok((*literal == character).then_some(2)),
        ['\\'] => Err(MalformedPattern),
        [literal, ..] => Ok((*literal == character).then_some(1)),
        [] => Ok(None),
    }
}

/// Whether a character is in the class whose `[` was read, and what follows the `]`.
fn class(pattern: &[char], character: char) -> Result<(bool, &[char]), MalformedPattern> {
    let (negated, mut rest) = match pattern.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let mut inside = false;
    let mut ranges = 0;
    loop {
        if let Some((']', after)) = rest.split_first()
            && ranges > 0
        {
            return Ok((inside != negated, after));
        }
        let (low, after) = bound(rest)?;
        let (high, after) = match after.split_first() {
            Some(('-', after)) => bound(after)?,
            _ => (low, after),
        };
        inside |= (low..=high).contains(&character);
        ranges += 1;
        rest = after;
    }
}

/// Reads a bound of a range. Something must follow it.
fn bound(pattern: &[char]) -> Result<(char, &[char]), MalformedPattern> {
    let (bound, rest) = match pattern.split_first() {
        None | Some(('-' | ']', _)) => return Err(MalformedPattern),
        Some(('\\', rest)) => rest.split_first().ok_or(MalformedPattern)?,
        Some(bound) => bound,
    };
    if rest.is_empty() { Err(MalformedPattern) } else { Ok((*bound, rest)) }
}
