//! Fields of payloads that are secret, and are not shown to people.

mod header_values;

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::payload::Payload;

/// What is shown instead of a secret value.
pub const SECRET: &str = "[secret]";
/// The shortest value that is also replaced where it occurs in other texts, in characters. Too many words contain shorter ones.
const SHORTEST: usize = 4;
/// How often the percent-encoding of a text is undone to find a secret value in it.
const MOST_ENCODED: usize = 3;

/// Which fields of payloads are secret. Stored payloads keep their values; those that are shown do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The names that lead to each field, from the outermost. `*` stands for all.
    paths: Vec<Vec<String>>,
    /// The names of headers, in lower case.
    headers: Vec<String>,
}

/// A payload as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shown {
    /// The payload, in which secret fields are masked.
    Payload(Payload),
    /// It cannot be shown, because it is not JSON, so it is not known where the secrets are in it.
    Hidden,
}

/// Why a payload of a flow with secrets is not shown, in words for people.
pub const HIDDEN: &str = "This payload is not shown: the flow has secret fields, and the payload is not JSON, so they cannot be found in it.";

impl Secrets {
    /// Adds the field that a JSON pointer leads to. Returns `false` if the text is not a pointer to a field.
    pub(super) fn add(&mut self, pointer: &str) -> bool {
        let Some(rest) = pointer.strip_prefix('/') else { return false };
        let is_escaped = |name: &str| name.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        if !rest.split('/').all(is_escaped) {
            return false;
        }
        self.paths.push(rest.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect());
        true
    }

    /// Adds a header.
    pub(super) fn add_header(&mut self, name: &str) {
        self.headers.push(name.to_ascii_lowercase());
    }

    /// Whether nothing is secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.headers.is_empty()
    }

    /// Whether fields of payloads are secret.
    #[must_use]
    pub fn has_fields(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Whether the header of this name is secret.
    #[must_use]
    pub fn is_secret_header(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.eq_ignore_ascii_case(name))
    }

    /// The payload as it may be shown to people: JSON, in which each secret field is [`SECRET`]. Everything else of it stays as
    /// it is.
    #[must_use]
    pub fn mask(&self, payload: &Payload) -> Shown {
        if self.paths.is_empty() || payload.is_empty() {
            return Shown::Payload(payload.clone());
        }
        let Some(raw) = json(payload) else { return Shown::Hidden };
        let paths: Vec<&[String]> = self.paths.iter().map(Vec::as_slice).collect();
        let mut shown = String::with_capacity(payload.len());
        mask(raw, &paths, &mut shown, &mut |_| {});
        Shown::Payload(Payload::new(shown).with_content_type_header(payload.content_type_header().cloned()))
    }

    /// The same, with [`HIDDEN`] instead of a payload that cannot be shown.
    #[must_use]
    pub fn shown(&self, payload: &Payload) -> Payload {
        match self.mask(payload) {
            Shown::Payload(payload) => payload,
            Shown::Hidden => Payload::new(HIDDEN).with_content_type("text/plain; charset=utf-8"),
        }
    }

    /// The secret values in a payload that are texts or numbers and not too short: those that [`masked_text`] can replace.
    #[must_use]
    pub fn values(&self, payload: &Payload) -> Vec<String> {
        let mut values = Vec::new();
        if self.paths.is_empty() {
            return values;
        }
        if let Some(raw) = json(payload) {
            let paths: Vec<&[String]> = self.paths.iter().map(Vec::as_slice).collect();
            mask(raw, &paths, &mut String::new(), &mut |secret| collect(secret, &mut values));
        }
        values
    }
}

/// A text with [`SECRET`] in place of these values. What is already masked stays as it is, so a text may be masked twice.
#[must_use]
pub fn masked_text<'a>(text: &'a str, values: &[String]) -> Cow<'a, str> {
    let mut values: Vec<&String> =
        values.iter().filter(|value| !value.is_empty() && text.contains(value.as_str())).collect();
    if values.is_empty() {
        return Cow::Borrowed(text);
    }
    // A longer value may begin with a shorter one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let mut masked = String::with_capacity(text.len());
    for (index, mut rest) in text.split(SECRET).enumerate() {
        masked.push_str(if index == 0 { "" } else { SECRET });
        while let Some(character) = rest.chars().next() {
            let (shown, length) = match values.iter().find(|value| rest.starts_with(value.as_str())) {
                Some(value) => (SECRET, value.len()),
                None => (&rest[..character.len_utf8()], character.len_utf8()),
            };
            masked.push_str(shown);
            rest = &rest[length..];
        }
    }
    // A value may only occur within what is already masked.
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

/// A query with [`SECRET`] instead of each parameter that contains one of these values, escaped or not.
#[must_use]
pub fn masked_query<'a>(query: &'a str, values: &[String]) -> Cow<'a, str> {
    let has_secret = |text: &str| values.iter().any(|value| text.contains(value.as_str()));
    // Their parser has already decoded them once.
    let is_secret =
        |text: &str| has_secret(text) || decoded(text, MOST_ENCODED - 1).iter().any(|decoded| has_secret(decoded));
    let masked = |parameter: &str| -> Option<String> {
        let (name, value) = form_urlencoded::parse(parameter.as_bytes()).next()?;
        let written = parameter.split_once('=').map_or(parameter, |(written, _)| written);
        let is_name_secret = is_secret(&name);
        let is_masked = is_name_secret || is_secret(&value) || has_secret(parameter);
        is_masked.then(|| format!("{}={SECRET}", if is_name_secret { SECRET } else { written }))
    };
    let parameters: Vec<_> = query.split('&').map(|parameter| (parameter, masked(parameter))).collect();
    if parameters.iter().all(|(_, masked)| masked.is_none()) {
        return Cow::Borrowed(query);
    }
    let shown: Vec<_> = parameters.iter().map(|(plain, masked)| masked.as_deref().unwrap_or(plain)).collect();
    Cow::Owned(shown.join("&"))
}

/// The texts that a text becomes when its percent-encoding is undone: once, and again up to `most` times if it was encoded several times.
fn decoded(text: &str, most: usize) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    while texts.len() < most {
        // Otherwise nothing is encoded any more, or the result is not UTF-8.
        let last = texts.last().map_or(text, String::as_str);
        let Ok(Cow::Owned(decoded)) = percent_decode_str(last).decode_utf8() else { break };
        texts.push(decoded);
    }
    texts
}

fn json(payload: &Payload) -> Option<&RawValue> {
    serde_json::from_slice(payload.bytes()).ok()
}

/// Adds a value that is new and not too short.
fn add_value(value: &str, values: &mut Vec<String>) {
    if value.chars().count() >= SHORTEST && !values.iter().any(|known| known == value) {
        values.push(value.to_owned());
    }
}

/// Adds the texts and numbers in a value, as they may occur in other texts.
fn collect(secret: &RawValue, values: &mut Vec<String>) {
    match Node::of(secret) {
        Node::Object(fields) => fields.iter().for_each(|(_, value)| collect(value, values)),
        Node::Array(elements) => elements.iter().for_each(|value| collect(value, values)),
        Node::Other | Node::Unreadable => match secret.get().trim() {
            "null" | "true" | "false" => {}
            text => {
                if let Ok(value) = serde_json::from_str::<String>(text) {
                    add_value(&value, values);
                }
                // Errors may quote it as it was written.
                add_value(text.trim_matches('"'), values);
            }
        },
    }
}

/// Writes a value with what the paths lead to masked. `secret` gets each value that is masked.
fn mask(raw: &RawValue, paths: &[&[String]], shown: &mut String, secret: &mut impl FnMut(&RawValue)) {
    if paths.iter().any(|path| path.is_empty()) {
        secret(raw);
        shown.extend(["\"", SECRET, "\""]);
        return;
    }
    let inside = |name: &str| -> Vec<&[String]> {
        let leads = |path: &&&[String]| path.first().is_some_and(|first| first == "*" || first == name);
        paths.iter().filter(leads).map(|path| &path[1..]).collect()
    };
    match Node::of(raw) {
        _ if paths.is_empty() => shown.push_str(raw.get()),
        Node::Object(fields) => {
            for (index, (name, value)) in fields.iter().enumerate() {
                shown.push(if index == 0 { '{' } else { ',' });
                shown.push_str(&serde_json::to_string(name).expect("a text is JSON"));
                shown.push(':');
                mask(value, &inside(name), shown, secret);
            }
            shown.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        Node::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                shown.push(if index == 0 { '[' } else { ',' });
                mask(value, &inside(&index.to_string()), shown, secret);
            }
            shown.push_str(if elements.is_empty() { "[]" } else { "]" });
        }
        Node::Other => shown.push_str(raw.get()),
        // It is not known where the secrets are in it.
        Node::Unreadable => {
            secret(raw);
            shown.extend(["\"", SECRET, "\""]);
        }
    }
}

/// The outermost level of a JSON value. An object may have a name twice.
enum Node<'a> {
    Object(Vec<(Cow<'a, str>, &'a RawValue)>),
    Array(Vec<&'a RawValue>),
    Other,
    /// An object or array that cannot be taken apart.
    Unreadable,
}

impl<'a> Node<'a> {
    fn of(raw: &'a RawValue) -> Node<'a> {
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let is_nested = raw.get().trim_start().starts_with(['{', '[']);
        let other = if is_nested { Node::Unreadable } else { Node::Other };
        deserializer.deserialize_any(NodeVisitor).unwrap_or(other)
    }
}

/// The name of a field. Half of a surrogate pair is not a character, but some programs write it; it is replaced.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.to_owned()))
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
        Ok(Name(String::from_utf8_lossy(name).into_owned()))
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name, &'de RawValue>()? {
            fields.push((Cow::Owned(name), value));
        }
        Ok(Node::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node<'de>, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element::<&'de RawValue>()? {
            all.push(element);
        }
        Ok(Node::Array(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(pointers: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for pointer in pointers {
            assert!(secrets.add(pointer), "{pointer}");
        }
        secrets
    }

    fn shown(pointers: &[&str], payload: &'static str) -> String {
        match secrets(pointers).mask(&Payload::new(payload).with_content_type("application/json")) {
            Shown::Payload(payload) => {
                assert_eq!(payload.content_type(), Some("application/json"));
                String::from_utf8(payload.into_bytes().to_vec()).unwrap()
            }
            Shown::Hidden => HIDDEN.to_owned(),
        }
    }

    #[test]
    fn only_secret_fields_are_masked() {
        let payload = r#"{"b": 1, "card":{"number":"4111 1111","name":"Ada"},"a":[ 1,2 ]}"#;
        let expected = r#"{"b":1,"card":{"number":"[secret]","name":"Ada"},"a":[ 1,2 ]}"#;
        assert_eq!(shown(&["/card/number"], payload), expected);
        assert_eq!(shown(&["/card"], payload), r#"{"b":1,"card":"[secret]","a":[ 1,2 ]}"#);
        assert_eq!(shown(&["/a/1", "/card/*"], payload).matches(SECRET).count(), 3);
        assert_eq!(shown(&["/other", "/b/c"], payload), payload.replace(": ", ":").replace(", ", ","));
        assert_eq!(
            shown(&["/*/number"], r#"[{"number":1},{"number":{"x":2}},3,{}]"#),
            r#"[{"number":"[secret]"},{"number":"[secret]"},3,{}]"#
        );
        assert_eq!(shown(&["/a~1b/~0"], r#"{"a/b":{"~":1,"~0":2}}"#), r#"{"a/b":{"~":"[secret]","~0":2}}"#);
    }

    /// Parsers differ in which of them counts.
    #[test]
    fn a_field_that_is_there_twice_is_masked_twice() {
        let payload = r#"{"pin":1234,"p\u0069n":5678}"#;
        assert_eq!(shown(&["/pin"], payload), r#"{"pin":"[secret]","pin":"[secret]"}"#);
    }

    #[test]
    fn a_payload_that_is_not_json_is_hidden() {
        assert_eq!(shown(&["/pin"], "pin=1234"), HIDDEN);
        assert_eq!(shown(&["/pin"], "{\"pin\":1234}\n{\"pin\":1234}"), HIDDEN);
        assert_eq!(shown(&["/pin"], "{\"pin\":12"), HIDDEN);
        assert_eq!(shown(&["/pin"], ""), "");
        assert_eq!(shown(&[], "pin=1234"), "pin=1234");
    }

    #[test]
    fn the_values_of_secret_fields_are_replaced_in_texts() {
        let payload = r#"{"card":{"number":"4111 1111","pin":12,"ok":true},"key":["a\"b-c",123456]}"#;
        let values = secrets(&["/card", "/key"]).values(&Payload::new(payload));
        assert_eq!(values, ["4111 1111", "a\"b-c", "a\\\"b-c", "123456"]);
        let text = "the card 4111 1111 is not 12, `a\"b-c` and a\\\"b-c of 1234567";
        let expected = "the card [secret] is not 12, `[secret]` and [secret] of [secret]7";
        assert_eq!(masked_text(text, &values), expected);
        assert!(matches!(masked_text("nothing", &values), Cow::Borrowed("nothing")));
        assert_eq!(secrets(&["/card"]).values(&Payload::new("4111 1111")), [""; 0]);
    }

    #[test]
    fn values_are_replaced_in_the_text_and_never_in_what_replaces_them() {
        let values = ["secret".to_owned(), "cret".to_owned(), "cret-1".to_owned(), "[secret".to_owned()];
        assert_eq!(masked_text("secret, cret-1 and cret2", &values), "[secret], [secret] and [secret]2");
        assert!(matches!(masked_text("it was [secret]", &values), Cow::Borrowed("it was [secret]")));
        assert_eq!(masked_text("secret]", &["cret]".to_owned(), String::new()]), "se[secret]");
    }

    proptest::proptest! {
        #[test]
        fn masking_leaves_no_value_and_changes_nothing_else(
            text in "([a-c\u{e9}]|secret|[\\[\\]]|\\[secret\\]){0,24}",
            values in proptest::collection::vec("([a-c\u{e9}]|se|cret|[\\[\\]]){1,4}", 0..4),
        ) {
            let masked = masked_text(&text, &values);
            let is_masked = matches!(masked, Cow::Owned(_));
            let has_value = text.split(SECRET).any(|part| values.iter().any(|value| part.contains(value.as_str())));
            proptest::prop_assert_eq!(is_masked, has_value);
            proptest::prop_assert!(is_masked || masked == text);
            let rest_has_value = |value: &String| masked.split(SECRET).any(|part| part.contains(value.as_str()));
            proptest::prop_assert!(!values.iter().any(rest_has_value), "{}", masked);
            proptest::prop_assert!(matches!(masked_text(&masked, &values), Cow::Borrowed(_)), "{}", masked);
        }
    }

    #[test]
    fn a_parameter_with_a_secret_value_is_masked() {
        let values = ["4111 1111".to_owned(), "zürich".to_owned()];
        let query = "a=1&card=x4111+1111&b=%34111%201111&z%C3%BCrich=2&=4111%201111&c&a=%20";
        let expected = "a=1&card=[secret]&b=[secret]&[secret]=[secret]&=[secret]&c&a=%20";
        assert_eq!(masked_query(query, &values), expected);
        assert!(matches!(masked_query(query, &[]), Cow::Borrowed(same) if same == query));
        assert_eq!(
            masked_query("a=4111%25201111&4111%25201111=b&c=%252520", &values),
            "a=[secret]&[secret]=[secret]&c=%252520"
        );
        // It was encoded three times, and four times.
        assert_eq!(masked_query("a=4111%2525201111&b=4111%252525201111", &values), "a=[secret]&b=4111%252525201111");
        // The code of a flow may take the whole query for one text.
        assert_eq!(masked_query("a=zürich=b", &values), "a=[secret]");
        // Somebody may have named a parameter like this.
        assert!(matches!(masked_query("[secret]=1&a=2", &values), Cow::Borrowed("[secret]=1&a=2")));
    }

    #[test]
    fn a_pointer_begins_with_a_slash() {
        for wrong in ["", "card/number", "#/card", "/a~2b", "/a~"] {
            assert!(!Secrets::default().add(wrong), "{wrong}");
        }
        let mut secrets = Secrets::default();
        secrets.add_header("X-Api-Key");
        assert!(secrets.is_secret_header("x-api-key") && !secrets.is_secret_header("x-api") && !secrets.is_empty());
    }

    #[test]
    fn half_of_a_surrogate_pair_hides_no_secret() {
        let payload = r#"{"card":{"number":"4222000022","\udc00":1},"\ud800":1}"#;
        let masked = shown(&["/card/number"], payload);
        assert!(!masked.contains("4222") && masked.contains(SECRET), "{masked}");
        let values = secrets(&["/card/number"]).values(&Payload::new(payload).with_content_type("application/json"));
        assert_eq!(values, ["4222000022"]);
    }
}
