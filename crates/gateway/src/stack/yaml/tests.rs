use proptest::prelude::*;

use super::*;

fn value(written: &str) -> Result<String, String> {
    let root = parse(&format!("x: &x anchored\nk: {written}\nz: end\n")).map_err(|fault| fault.describe())?;
    let entries = mapping(&root, "it").map_err(|fault| fault.describe())?;
    assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["x", "k", "z"], "{written}");
    text(&entries[1].value, "`k`").map_err(|fault| fault.describe())
}

/// What Go's yaml.v3 3.0.1 reads into a `map[string]string`, as it was observed. A text alone stands for itself.
#[test]
fn y1_a_value_is_the_text_as_written() {
    for same in [
        "1.10",
        "012345678901",
        "12345e7",
        "0644",
        "98765432109876543210",
        "yes",
        "no",
        "on",
        "n",
        "true",
        "TRUE",
        "False",
        "2020-01-02",
        "2001-12-14t21:59:43.10-05:00",
        "0x1F",
        "0o17",
        "0b11",
        "1_000",
        "1__0",
        "0x_1",
        "1_000.5",
        ".inf",
        "-.Inf",
        ".NaN",
        "+1",
        "1e3",
        "1.",
        "0.1e-5",
        "1:30:00",
        "190:20:30",
        "=",
        "<<",
        "a#b",
        "a,b",
        "a]",
        "x \"y\"",
        "http://x:80/#f",
        "a\tb",
        "--- x",
        "...",
        "🦀",
        "\u{a0}",
        "nulls",
        "~x",
        "Infinity",
        "-0",
        "00",
        "1e999",
    ] {
        assert_eq!(value(same).as_deref(), Ok(same), "{same}");
    }
    for (written, expected) in [
        // Nothing.
        ("", ""),
        ("~", ""),
        ("null", ""),
        ("Null", ""),
        ("NULL", ""),
        ("# c", ""),
        ("!!str", ""),
        ("&a", ""),
        ("!x", ""),
        ("'~'", "~"),
        ("'null'", "null"),
        ("\"\"", ""),
        ("''", ""),
        // Comments, quotes and lines.
        ("a # c", "a"),
        ("'x' # c", "x"),
        ("'it''s'", "it's"),
        ("\"a\\tb\\n\\u00e9\\x41\"", "a\tb\néA"),
        ("\ta", "a"),
        ("\"a \\\n  b\"", "a b"),
        ("'a\n  b\n\n  c'", "a b\nc"),
        ("\"a\n\n  b\"", "a\nb"),
        ("a b\n  c d\n\n  e", "a b c d\ne"),
        // Blocks.
        ("|\n  a\n  b\n", "a\nb\n"),
        ("|-\n  a\n  b\n\n", "a\nb"),
        ("|+\n  a\n\n", "a\n\n\n"),
        ("|2\n   a\n", " a\n"),
        (">\n  a\n  b\n\n  c\n", "a b\nc\n"),
        (">-\n  a\n    b\n  c\n", "a\n  b\nc"),
        ("|\n  1.10\n", "1.10\n"),
        ("|-", ""),
        // Tags and aliases.
        ("!!str 1.10", "1.10"),
        ("!!int 0x1F", "0x1F"),
        ("!!float 1.10", "1.10"),
        ("!!bool true", "true"),
        ("!custom 1", "1"),
        ("! 5", "5"),
        ("!!timestamp 2020-01-02", "2020-01-02"),
        ("!<tag:yaml.org,2002:str> 5", "5"),
        ("!!binary aGk=", "hi"),
        ("*x", "anchored"),
        ("&y 5", "5"),
    ] {
        assert_eq!(value(written).as_deref(), Ok(expected), "{written}");
    }
    for (written, expected) in [
        ("[1]", "line 2, column 4: `k` must be a single value, but is a list"),
        ("{a: b}", "line 2, column 4: `k` must be a single value, but is a mapping"),
        ("!!int abc", "`k` is `abc`, which does not fit its tag `!!int`"),
        ("!!bool yes", "does not fit its tag `!!bool`"),
        ("!!null x", "does not fit its tag `!!null`"),
        ("!!float x", "does not fit its tag `!!float`"),
        ("!!timestamp x", "does not fit its tag `!!timestamp`"),
        ("!!binary x", "is tagged `!!binary`, but is not the Base64 encoding of a text"),
        ("*nobody", "`*nobody` stands for nothing"),
        ("\"\\0\"", "`k` contains a NUL byte"),
    ] {
        let fault = value(written).unwrap_err();
        assert!(fault.contains(expected), "{written}: {fault}");
    }
}

/// A text that YAML takes for one plain value, whatever type it would give it.
fn plain() -> impl Strategy<Value = String> {
    let word = "[A-Za-z0-9._+/=~<(é][A-Za-z0-9._+/=~<>()'\"\\\\?!&*%@`|,é-]{0,30}";
    let number = "[-+]?[0-9]{1,25}(\\.[0-9]{0,12})?([eE][-+]?[0-9]{1,4})?";
    let grouped = "[-+]?[0-9]{1,3}(_[0-9]{3}){1,4}(\\.[0-9_]{0,12})?";
    let date =
        "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{2}:[0-9]{2}(\\.[0-9]*)?(Z|[-+][0-9]{2}:[0-9]{2})?)?";
    let switch =
        "[yYnN]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[oO][nN]|[oO][fF]{2}|[-+]?\\.([iI][nN][fF]|[nN][aA][nN])";
    prop_oneof![word, number, grouped, date, switch, "0[xXoObB][0-9a-fA-F_]{1,20}", "[0-9]{1,3}(:[0-9]{1,2}){1,3}"]
}

proptest! {
    #[test]
    fn y1_any_plain_scalar_is_its_text(written in plain()) {
        let expected = if ["~", "null", "Null", "NULL"].contains(&written.as_str()) { "" } else { &written };
        prop_assert_eq!(value(&written), Ok(expected.to_owned()));
        // As a key it is the same.
        if !expected.is_empty() && expected != "<<" {
            let root = parse(&format!("{written}: v\n")).unwrap();
            prop_assert_eq!(&mapping(&root, "it").unwrap()[0].key, &written);
        }
    }

    #[test]
    fn y3_no_text_makes_the_reader_panic(text in "[-a: \\n\\t'\"{}\\[\\],#&*!|>%@?~]{0,60}") {
        let _ = parse(&text).map(|root| mapping(&root, "it"));
    }
}

fn keys(text: &str) -> Result<String, String> {
    let read = parse(text).and_then(|root| mapping(&root, "it")).map_err(|fault| fault.describe())?;
    let pairs =
        read.iter().map(|entry| super::text(&entry.value, "a value").map(|value| format!("{}={value}", entry.key)));
    pairs.collect::<Result<Vec<_>, _>>().map(|pairs| pairs.join(" ")).map_err(|fault| fault.describe())
}

#[test]
fn y1_merges_and_aliases_are_as_in_go() {
    for (text, expected) in [
        ("{1: x, yes: y, 1.10: q}", "1=x yes=y 1.10=q"),
        ("? a\n: b\n", "a=b"),
        ("<<: {x: 1, y: 2}\ny: 3\n", "y=3 x=1"),
        ("y: 3\n<<: {x: 1, y: 2}\n", "y=3 x=1"),
        ("<<: [{x: 1, y: 2}, {x: 5, z: 1}]\n", "x=1 y=2 z=1"),
        ("\"<<\": 5\n", "<<=5"),
        ("\u{feff}a: 1\r\nb: 2\r\n", "a=1 b=2"),
        ("%YAML 1.1\n---\na: on\n", "a=on"),
        ("---\na: 1\n---\n", "a=1"),
        ("", ""),
    ] {
        assert_eq!(keys(text).as_deref(), Ok(expected), "{text}");
    }
    let powers = (0..40).map(|n| format!("a{}: &a{} {{<<: [*a{n}, *a{n}]}}\n", n + 1, n + 1)).collect::<String>();
    let fault = keys(&format!("a0: &a0 {{x: 1}}\n{powers}<<: *a40\n")).unwrap_err();
    assert!(fault.contains("merges too many entries"), "{fault}");
}

#[test]
fn y3_faults_have_line_column_and_the_users_words() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: it has `a` twice, first in line 1"),
        ("a: 1\n---\nb: 2\n", "line 3, column 1: a second document begins here"),
        ("a:\n  b: 1\n c: 2\n", "line 3, column 2: the indentation does not fit the lines above"),
        ("a: 1\n  b: 2\n", "line 2, column 4: a `: ` is not expected here"),
        ("a:\n\tb: 1\n", "line 2, column 2: the line is indented with a tab"),
        ("a:\n  b\nc: 1\nd\n", "line 4, column 1: a `:` was expected after this key"),
        ("- a\n", "line 1, column 1: it must be a mapping (`key: value`), but is a list"),
        ("a:b\n", "but is the single value `a:b`; add the missing space after the colon: `a: b`"),
        ("a: {b: 1\n", "line 1, column 4: the `{` is not closed"),
        ("a: [1}\n", "a `[` is closed by `}`"),
        ("a: 'b\n", "a quote is not closed"),
        ("a: 'it's'\n", "line 1, column 8: there is text after a closing quote"),
        ("a: \"C:\\dir\"\n", "in double quotes a `\\` begins an escape"),
        ("a: @b\n", "line 1, column 4: a value cannot begin with `@`"),
        ("a: &a {b: *a}\n", "this alias is inside the value that it stands for"),
        ("a: b\0c\n", "line 1, column 5: there is a NUL byte in the file"),
        ("a: b\u{7}\n", "line 1, column 5: there is a control character in the file"),
        ("<<: 5\n", "`<<` of it does not name a mapping or a list of mappings; write `<<: *other`"),
        ("~: 5\n", "line 1, column 1: a key of it is empty"),
        ("[a]: 5\n", "line 1, column 1: a key of it must be a single value, but is a list"),
    ] {
        let fault = keys(text).unwrap_err();
        assert!(fault.contains(expected), "{text}\n{fault}");
        assert!(!fault.contains("::") && !fault.contains("struct") && !fault.contains("Option"), "{fault}");
    }
    assert!(keys("a: @b\n").unwrap_err().ends_with("\n  | a: @b; quote it"), "the line is shown");
}
