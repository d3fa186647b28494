use super::*;

fn variable(name: &str) -> Result<Option<String>, String> {
    match name {
        "SHA" => Ok(Some("0123456789abcdef".to_owned())),
        "FILE" => Ok(Some("/path/to/archive.tar.gz".to_owned())),
        "WORD" => Ok(Some("abcABCabc".to_owned())),
        "SHARP" => Ok(Some("straße".to_owned())),
        "GLOB" => Ok(Some("*.".to_owned())),
        "MINUS" => Ok(Some("-4".to_owned())),
        "EMPTY" => Ok(Some(String::new())),
        "BYTES" => Err("it is not UTF-8".to_owned()),
        _ => Ok(None),
    }
}

fn done(text: &str) -> Result<String, String> {
    substitute(text, &variable).map_err(|Unusable { what, help, .. }| format!("{what}; {help}"))
}

/// Each form and its result, as drone/envsubst 1.0.3 gave it.
#[test]
fn y2_forms_come_out_as_with_faas_cli() {
    for (form, expected) in [
        ("no form, $HOME and $", "no form, $HOME and $"),
        ("${WORD}", "abcABCabc"),
        ("a ${UNSET}.", "a ."),
        // Defaults. The last two mean something else in a shell.
        ("${UNSET:-x:y}", "x:y"),
        ("${UNSET:=x}", "x"),
        ("${UNSET=x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY=x}", "x"),
        ("${WORD:-x}", "abcABCabc"),
        ("${UNSET:-}", ""),
        ("${UNSET:-${WORD}}", "abcABCabc"),
        ("${UNSET:-a${WORD:0:2}b${UNSET}c}", "aabbc"),
        ("${UNSET:-{\"a\": 1}}", "{\"a\": 1}"),
        ("${UNSET:-$${WORD}}", "$abcABCabc"),
        ("${UNSET:?x}", "x"),
        ("${UNSET:+x}", "x"),
        ("${WORD:+x}", "abcABCabc"),
        // Parts, in bytes.
        ("${SHA:0:7}", "0123456"),
        ("${SHA:10}", "abcdef"),
        ("${SHA:10:99}", "abcdef"),
        ("${SHA:99}", ""),
        ("${SHA:99:1}", ""),
        ("${SHA:${MINUS}}", "cdef"),
        ("${SHA:${MINUS}:2}", "cd"),
        ("${SHA:x}", "0123456789abcdef"),
        ("${SHA: 3}", "0123456789abcdef"),
        ("${SHA:0::2}", "01"),
        ("${#SHA}", "16"),
        ("${#SHARP}", "7"),
        ("${#UNSET}", "0"),
        // Letters.
        ("${WORD^}", "AbcABCabc"),
        ("${WORD^^}", "ABCABCABC"),
        ("${WORD,,}", "abcabcabc"),
        ("${SHARP^^}", "STRAßE"),
        ("${UNSET^}", ""),
        // Beginnings and ends.
        ("${FILE#*/}", "path/to/archive.tar.gz"),
        ("${FILE##*/}", "archive.tar.gz"),
        ("${FILE%.*}", "/path/to/archive.tar"),
        ("${FILE%%.*}", "/path/to/archive"),
        ("${FILE##${GLOB}}", "gz"),
        ("${WORD#[a-c]}", "bcABCabc"),
        ("${WORD#[^a-c]}", "abcABCabc"),
        ("${WORD#?b}", "cABCabc"),
        ("${WORD#[}", "abcABCabc"),
        ("${WORD##*}", ""),
        // Replacements.
        ("${WORD/abc/x}", "xABCabc"),
        ("${WORD//abc/x}", "xABCx"),
        ("${WORD/#abc/x}", "xABCabc"),
        ("${WORD/%abc/x}", "abcABCx"),
        ("${WORD/abc/}", "ABCabc"),
        ("${WORD/%abc/}", "abcABCabc"),
        ("${FILE//\\//-}", "-path-to-archive.tar.gz"),
        ("${WORD/b/${SHA:0:1}}", "a0cABCabc"),
        // Escapes.
        ("$${HOME}", "${HOME}"),
        ("$$$${HOME}", "$${HOME}"),
        ("$$${WORD}", "$abcABCabc"),
        ("C:\\\\dir \\/ \\n", "C:\\dir / \\n"),
    ] {
        assert_eq!(done(form).as_deref(), Ok(expected), "{form}");
    }
}

#[test]
fn y2_an_unknown_form_is_an_error_that_shows_it() {
    for form in [
        "${}",
        "${ A}",
        "${A }",
        "${A-x}",
        "${A+x}",
        "${A?x}",
        "${A.B}",
        "${A:}",
        "${A:0:}",
        "${A#}",
        "${A%%}",
        "${A,^}",
        "${A^x}",
        "${#}",
        "${#A:1}",
        "${A@Q}",
        "${!A}",
        "${A[0]}",
        "${A:1${B}}",
        "${A#*${B}}",
        "${A/x}",
        "${A:é}",
    ] {
        let what = done(&format!("a: {form}\n")).unwrap_err();
        assert!(what.starts_with(&format!("`{form}` is not a form that `faas-cli` knows")), "{form}: {what}");
        assert!(what.contains("`${A:-default}`") && what.contains("`$${`"), "{what}");
    }
    for form in ["${", "${A", "${A:-x", "${A:-${B}", "${A/"] {
        let what = done(&format!("a: {form}\nb: c\n")).unwrap_err();
        assert!(
            what.starts_with(&format!("`{form}` is not closed")) || what.contains("is not closed"),
            "{form}: {what}"
        );
    }
    let unusable = substitute("a: 1\nb: x ${A:-${B-y}}", &variable).unwrap_err();
    assert_eq!(unusable.at, "a: 1\nb: x ${A:-".len(), "the form within");
}

#[test]
fn y2_a_value_that_cannot_be_inserted_is_an_error() {
    for (form, why) in [
        ("${SHA:0:-1}", "its length is negative"),
        ("${SHARP:0:5}", "falls within a character"),
        ("${BYTES:-x}", "it is not UTF-8"),
    ] {
        let what = done(form).unwrap_err();
        assert!(what.contains("cannot be inserted") && what.contains(why), "{form}: {what}");
    }
}

#[test]
fn y2_many_stars_are_fast() {
    let long = "a".repeat(2000);
    let variable = |_: &str| Ok(Some(long.clone()));
    let text = substitute("${A#*a*a*a*a*a*a*a*b}", &variable).unwrap();
    assert_eq!(text, long);
}

#[test]
fn y2_forms_nested_without_end_are_an_error() {
    let nested = |depth: usize| "${A:-".repeat(depth) + "x" + &"}".repeat(depth);
    assert_eq!(done(&nested(50)), Ok("x".to_owned()));
    assert!(done(&nested(20_000)).unwrap_err().contains("nested more than 100 deep"));
}
