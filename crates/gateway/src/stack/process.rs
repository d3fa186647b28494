//! Functions that are not cargo projects: a command, a program that serves HTTP, or a server that runs already.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::spec::{Kind, RUN_ANNOTATION, URL_ANNOTATION};

/// The fault of an annotation that asks for an unknown way to run.
pub(crate) fn wrong_wish(other: &str) -> Fault {
    Fault::value(format!("`annotations`: `{RUN_ANNOTATION}` is `{}`", other.escape_debug()))
        .help("write `container` or `process`")
}

/// A command line, and the key under which it was written.
#[derive(Clone, Copy)]
pub(crate) struct CommandLine<'a> {
    pub(crate) key: &'a str,
    pub(crate) text: &'a str,
}

/// How a function with a URL or a command runs. Returns `None` if it has neither.
pub(crate) fn url_or_command(
    annotations: &BTreeMap<String, String>,
    command: Option<CommandLine<'_>>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Kind>, Fault> {
    if let Some(url) = annotations.get(URL_ANNOTATION) {
        let url = faasflow_core::parse_url(url).map_err(|fault| {
            let url = faasflow_core::without_credentials(url);
            let what = format!("`annotations`: `{URL_ANNOTATION}` is `{}`: {fault}", url.escape_debug());
            Fault::value(what).help(fault.help())
        })?;
        return Ok(Some(Kind::Url(url)));
    }
    let Some(CommandLine { key, text }) = command else { return Ok(None) };
    if text.contains('\0') {
        return Err(Fault::value(format!("`{key}` contains a NUL byte")).help("remove it"));
    }
    let Some(words) = words(text) else {
        return Err(Fault::value(format!("`{key}` has a quote that is not closed: `{text}`")).help("close the quote"));
    };
    if words.is_empty() {
        let empty = || Fault::value(format!("`{key}` is empty")).help("write the command there, or remove the key");
        return Err(misplaced(environment, &format!("`{key}`")).unwrap_or_else(empty));
    }
    // The modes of of-watchdog. Without a mode, a function runs as under the classic watchdog.
    match environment.get("mode").map_or("", |mode| mode.trim()) {
        "http" => Ok(Some(Kind::Program(words))),
        "" | "streaming" | "serializing" => Ok(Some(Kind::Command(words))),
        mode => Err(Fault::value(format!("its `mode` is `{}`", mode.escape_debug())).help(
            "write `http` for a program that serves HTTP, or remove `mode` for a process for each request, which is also \
             what `streaming` and `serializing` mean here",
        )),
    }
}

/// The fault of a command that was written as a variable, which only the watchdog in an image reads.
pub(crate) fn misplaced(environment: &BTreeMap<String, String>, key: &str) -> Option<Fault> {
    ["fprocess", "function_process"].into_iter().find_map(|variable| {
        let command = environment.get(variable)?;
        let what = format!(
            "its environment has `{variable}` (`{}`), which only the watchdog of an image reads",
            command.escape_debug()
        );
        let help = format!("write it as {key} of the function itself, beside `environment`");
        Some(Fault::how_to_run(what).help(help))
    })
}

/// Splits a command into words at spaces. Quotes keep words together. Returns `None` if a quote is not closed.
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
