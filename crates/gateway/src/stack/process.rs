//! A function that is no cargo project: a command line, a program that serves HTTP, or something that is already there.

use std::collections::BTreeMap;

use super::spec::{Kind, RUN_ANNOTATION, URL_ANNOTATION};

/// What to say of an annotation that asks for what there is not.
pub(crate) fn wrong_wish(other: &str) -> String {
    format!("`annotations`: `{RUN_ANNOTATION}` is `{}`: write `container` or `process`", other.escape_debug())
}

/// A command line, and how whoever wrote it calls it.
#[derive(Clone, Copy)]
pub(crate) struct Process<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: &'a str,
}

/// How a function runs that is there already, or is no cargo project; `None` if it says neither.
pub(crate) fn there_or_process(
    annotations: &BTreeMap<String, String>,
    process: Option<Process<'_>>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Kind>, String> {
    if let Some(url) = annotations.get(URL_ANNOTATION) {
        let url = faasflow_core::parse_url(url).map_err(|fault| {
            format!(
                "`annotations`: `{URL_ANNOTATION}` is `{}`: {fault}",
                faasflow_core::without_credentials(url).escape_debug()
            )
        })?;
        return Ok(Some(Kind::Url(url)));
    }
    let Some(Process { name, command }) = process else { return Ok(None) };
    if command.contains('\0') {
        return Err(format!("`{name}` has a NUL in it, which no word of a command may have; remove it"));
    }
    let words = words(command).ok_or_else(|| format!("`{name}` is `{command}`: a quote is not closed"))?;
    if words.is_empty() {
        return Err(misplaced(environment, &format!("`{name}`"))
            .unwrap_or_else(|| format!("`{name}` is empty; write the command there, or leave it out")));
    }
    // As of-watchdog has it; without a mode it is the classic watchdog's.
    match environment.get("mode").map_or("", |mode| mode.trim()) {
        "http" => Ok(Some(Kind::Program(words))),
        "" | "streaming" | "serializing" => Ok(Some(Kind::Command(words))),
        mode => Err(format!(
            "its `mode` is `{}`: known here are `http`, a program that serves HTTP, and `streaming` and \
             `serializing`, a process for each request, as without `mode`",
            mode.escape_debug()
        )),
    }
}

/// What to say where the command stands among the variables, which only the watchdog in an image reads.
pub(crate) fn misplaced(environment: &BTreeMap<String, String>, key: &str) -> Option<String> {
    ["fprocess", "function_process"].into_iter().find_map(|variable| {
        let command = environment.get(variable)?;
        Some(format!(
            "its environment has `{variable}`, as `{}`, which only the watchdog of an image reads; write it as {key} of the \
             function itself, beside its environment",
            command.escape_debug()
        ))
    })
}

/// Splits a command into words at spaces; quotes keep words together. `None` if a quote is not closed.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
