//! `stack.yml` and `flow.yml`, as `faas-cli` reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::environment;
use crate::functions::deployment::check_namespace;
use crate::functions::limit::max_inflight;

/// The annotation that names the address of a function that is already there.
pub const URL_ANNOTATION: &str = "faasflow.url";

/// The functions of a stack file.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The file.
    pub path: PathBuf,
    /// Its environment files.
    pub environment_files: BTreeSet<PathBuf>,
    /// The functions, by name.
    pub functions: BTreeMap<String, FunctionSpec>,
    /// What is to be said of keys that look misspelt. Others that are not known may be of use to other tools.
    pub misspelt: Vec<String>,
}

/// One function as its stack file describes it.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// The folder of the stack file, in which its processes run.
    pub folder: PathBuf,
    /// Its language, which is the name of a template.
    pub lang: Option<String>,
    /// How it runs.
    pub kind: Kind,
    /// Its environment: its own, then that of the environment files over it.
    pub environment: BTreeMap<String, String>,
    /// Where each variable came from: the name of an environment file, or of the stack file.
    pub origins: BTreeMap<String, String>,
    /// The secrets it may read.
    pub secrets: Vec<String>,
    /// Its image, which is only reported here.
    pub image: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl FunctionSpec {
    /// Whether it is a flow, which needs the key for signing.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        self.lang.as_deref() == Some("faasflow")
    }
}

/// How a function runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A cargo project in this folder, which serves HTTP.
    Cargo(PathBuf),
    /// A command that reads the request and writes the answer, a process for each.
    Command(Vec<String>),
    /// A program that serves HTTP, and its arguments.
    Program(Vec<String>),
    /// Something that is already there.
    Url(http::Uri),
}

/// A stack file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct StackError {
    path: PathBuf,
    what: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    functions: Option<BTreeMap<String, FileFunction>>,
}

#[derive(Default, Deserialize)]
struct FileFunction {
    lang: Option<String>,
    handler: Option<String>,
    namespace: Option<String>,
    image: Option<String>,
    fprocess: Option<String>,
    #[serde(default)]
    environment: Option<BTreeMap<String, Scalar>>,
    #[serde(default)]
    environment_file: Option<Vec<String>>,
    #[serde(default)]
    secrets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Scalar>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Scalar>>,
}

#[derive(Deserialize)]
struct EnvironmentFile {
    #[serde(default)]
    environment: Option<BTreeMap<String, Scalar>>,
}

/// YAML writers leave out quotes; the environment is text all the same.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Nothing(()),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Text(value) => value,
            Scalar::Nothing(()) => String::new(),
        }
    }
}

impl Stack {
    /// Reads a stack file, or the `stack.yml` or `stack.yaml` of a folder, with its environment files.
    ///
    /// # Errors
    ///
    /// If a file is absent or no YAML of the known form, or a function says not or doubly how it runs: the text
    /// names the file, the function and the key.
    pub fn read(path: &Path) -> Result<Stack, StackError> {
        let path = locate(path)?;
        let fault = |what: String| StackError { path: path.clone(), what };
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let text = text(&path, true)?;
        let misspelt = misspelt(&text);
        // Nothing is said of what a key that is not known would have told; so it may be why.
        let hinted = |what: String| misspelt.iter().fold(what, |what, hint| format!("{what}\n{hint}"));
        let file: File = parse(&path, &text).map_err(|error| fault(hinted(error.what)))?;
        let mut functions = BTreeMap::new();
        let mut environment_files = BTreeSet::new();
        for (name, function) in file.functions.unwrap_or_default() {
            let files = function.environment_file.iter().flatten();
            environment_files.extend(files.map(|file| folder.join(file)));
            let spec = resolve(&name, function, &folder, &path).map_err(|what| match what {
                Fault::Here(what) => fault(hinted(format!("function `{name}`: {what}"))),
                Fault::Elsewhere(error) => error,
            })?;
            functions.insert(name, spec);
        }
        if functions.is_empty() {
            return Err(fault(hinted("it names no function: add one under `functions:`".to_owned())));
        }
        Ok(Stack { path, environment_files, functions, misspelt })
    }

    /// No functions, as if of a stack file in this folder: all are deployed.
    #[must_use]
    pub fn empty(folder: &Path) -> Stack {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let path = folder.join("stack.yml");
        Stack { path, environment_files: BTreeSet::new(), functions: BTreeMap::new(), misspelt: Vec::new() }
    }

    /// The folder that the stack file is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

fn locate(path: &Path) -> Result<PathBuf, StackError> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole.is_file() {
        return Ok(whole);
    }
    let found = ["stack.yml", "stack.yaml"].map(|name| whole.join(name)).into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let what = if whole.is_dir() { no_stack_in(&whole) } else { "there is no such file or folder".to_owned() };
        StackError { path: whole, what }
    })
}

/// There may be one of another name, as faas-cli wrote them once, or one folder further up, beside the handler.
fn no_stack_in(folder: &Path) -> String {
    let is_stack = |path: &Path| {
        let is_yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        is_yaml
            && std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line.starts_with("functions:")))
    };
    let mut others: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    others.retain(|path| is_stack(path));
    others.sort();
    let above = folder.parent().into_iter().flat_map(|above| ["stack.yml", "stack.yaml"].map(|name| above.join(name)));
    match others.into_iter().chain(above.filter(|path| path.is_file())).next() {
        Some(other) => format!("there is no stack.yml in this folder; if {} is meant, name it", other.display()),
        None => {
            "there is no stack.yml in this folder: `faasflow new my-flow` makes a project with one, or name the file"
                .to_owned()
        }
    }
}

fn text(path: &Path, substituted: bool) -> Result<String, StackError> {
    let fault = |what: String| StackError { path: path.to_owned(), what };
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("it cannot be read: {error}")))?;
    if substituted { substitute(&text, environment::variable).map_err(fault) } else { Ok(text) }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, StackError> {
    serde_saphyr::from_str(text)
        .map_err(|error| StackError { path: path.to_owned(), what: format!("it is not as it should be: {error}") })
}

/// The keys of a stack file, as faas-cli knows them.
const KEYS: [&str; 4] = ["configuration", "functions", "provider", "version"];
/// Those of a function.
const FUNCTION_KEYS: [&str; 18] = [
    "annotations",
    "build_args",
    "build_options",
    "constraints",
    "environment",
    "environment_file",
    "fprocess",
    "handler",
    "image",
    "labels",
    "lang",
    "limits",
    "namespace",
    "readonly_root_filesystem",
    "requests",
    "secrets",
    "skip_build",
    "template",
];

/// What is to be said of the keys in a stack file that look like one that is known. Of one that is no YAML nothing is: whoever
/// reads it in earnest has more to say.
fn misspelt(text: &str) -> Vec<String> {
    let file: Value = serde_saphyr::from_str(text).unwrap_or_default();
    let hints = |of: &str, keys: &Value, known: &[&'static str]| -> Vec<String> {
        let keys = keys.as_object().into_iter().flat_map(serde_json::Map::keys);
        keys.filter_map(|key| Some(format!("{of}`{key}` is no key of it; is `{}` meant?", near(key, known)?))).collect()
    };
    let functions = file["functions"].as_object().into_iter().flatten();
    let of_functions = functions.flat_map(|(name, keys)| hints(&format!("function `{name}`: "), keys, &FUNCTION_KEYS));
    hints("", &file, &KEYS).into_iter().chain(of_functions).collect()
}

/// The known key that this one may be meant for.
fn near(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let (distance, near) = known.iter().map(|known| (strsim::osa_distance(known, key), *known)).min()?;
    // Of a short key two letters are much of it.
    let most = if key.len() <= 5 { 1 } else { 2 };
    (1..=most).contains(&distance).then_some(near)
}

enum Fault {
    Here(String),
    Elsewhere(StackError),
}

fn resolve(name: &str, function: FileFunction, folder: &Path, path: &Path) -> Result<FunctionSpec, Fault> {
    if !is_name(name) {
        return Err(Fault::Here("its name may have letters, digits, `-` and `_` only".to_owned()));
    }
    let mut environment = BTreeMap::new();
    let mut origins = BTreeMap::new();
    let mut set = |values: BTreeMap<String, Scalar>, origin: &str| {
        for (key, value) in values {
            origins.insert(key.clone(), origin.to_owned());
            environment.insert(key, value.text());
        }
    };
    check_namespace(function.namespace.as_deref()).map_err(|why| Fault::Here(format!("`namespace`: {why}")))?;
    // As faas-cli deploys it: a file goes before the stack file, a later one before an earlier one, and what is written
    // there is taken as it is.
    let stack = path.file_name().unwrap_or_default().to_string_lossy();
    set(function.environment.unwrap_or_default(), &stack);
    for file in function.environment_file.unwrap_or_default() {
        let read: EnvironmentFile = {
            let path = folder.join(&file);
            text(&path, false).and_then(|text| parse(&path, &text)).map_err(Fault::Elsewhere)?
        };
        set(read.environment.unwrap_or_default(), &file);
    }
    max_inflight(&environment).map_err(|why| Fault::Here(format!("`environment`: {why}")))?;
    let annotations = texts(function.annotations);
    let process = function.fprocess.as_deref().map(|command| Process { name: "fprocess", command });
    let kind = match there_or_process(&annotations, process, &environment).map_err(Fault::Here)? {
        Some(kind) => kind,
        None => cargo(function.handler.as_deref(), folder).map_err(Fault::Here)?,
    };
    Ok(FunctionSpec {
        name: name.to_owned(),
        folder: folder.to_owned(),
        lang: function.lang,
        kind,
        environment,
        origins,
        secrets: function.secrets.unwrap_or_default(),
        image: function.image,
        labels: texts(function.labels),
        annotations,
    })
}

fn texts(values: Option<BTreeMap<String, Scalar>>) -> BTreeMap<String, String> {
    values.unwrap_or_default().into_iter().map(|(key, value)| (key, value.text())).collect()
}

/// Whether a function may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
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
        let url = faasflow_core::parse_url(url).map_err(|fault| format!("`{URL_ANNOTATION}`: {fault}"))?;
        return Ok(Some(Kind::Url(url)));
    }
    let Some(Process { name, command }) = process else { return Ok(None) };
    let words = words(command).ok_or_else(|| format!("`{name}` is `{command}`: a quote is not closed"))?;
    if words.is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    // As of-watchdog has it; without a mode it is the classic watchdog's.
    match environment.get("mode").map_or("", |mode| mode.trim()) {
        "http" => Ok(Some(Kind::Program(words))),
        "" | "streaming" | "serializing" => Ok(Some(Kind::Command(words))),
        mode => Err(format!(
            "its `mode` is `{mode}`: known here are `http`, a program that serves HTTP, and `streaming` and \
             `serializing`, a process for each request, as without `mode`"
        )),
    }
}

fn cargo(handler: Option<&str>, folder: &Path) -> Result<Kind, String> {
    let Some(handler) = handler else {
        return Err(format!(
            "it does not say how it runs: `handler` names the folder of a cargo project, `fprocess` a command, \
             the annotation `{URL_ANNOTATION}` an address that is already there"
        ));
    };
    let project = folder.join(handler);
    if project.join("Cargo.toml").is_file() {
        Ok(Kind::Cargo(project))
    } else {
        Err(format!(
            "`handler` is `{handler}`, and {} holds no Cargo.toml: here, functions are built by cargo; give `fprocess` \
             a command, or the annotation `{URL_ANNOTATION}` an address",
            project.display()
        ))
    }
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

/// Puts variables in place of `${NAME}` and `${NAME:-default}`, as `faas-cli` does.
fn substitute(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        result.push_str(&rest[..start]);
        let end = rest[start..].find('}').ok_or("a `${` is not closed")? + start;
        let (name, default) = match rest[start + 2..end].split_once(":-") {
            Some((name, default)) => (name, default),
            None => (&rest[start + 2..end], ""),
        };
        let value = variable(name).filter(|value| !value.is_empty());
        result.push_str(&value.unwrap_or_else(|| default.to_owned()));
        rest = &rest[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(text: &str) -> Result<Stack, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("project")).unwrap();
        std::fs::write(folder.path().join("project/Cargo.toml"), "").unwrap();
        std::fs::write(
            folder.path().join("flow.yml"),
            "environment:\n  gateway: g:1\n  write_debug: true\n  literal: ${HOME}\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("stack.yml"), text).unwrap();
        Stack::read(folder.path()).map_err(|error| error.what)
    }

    #[test]
    fn the_kinds_and_the_layers_of_the_environment() {
        let stack = stack(
            "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n  flow:\n    lang: faasflow\n    handler: ./project\n    \
             environment_file: [flow.yml]\n    environment:\n      gateway: g:2\n      port: 8080\n    secrets: [a]\n  \
             cat:\n    fprocess: sh -c 'cat; true'\n  there:\n    annotations:\n      faasflow.url: localhost:99\n  \
             server:\n    fprocess: ./server --fast\n    environment: { mode: http }\n",
        )
        .unwrap();
        let flow = &stack.functions["flow"];
        assert!(flow.is_flow() && matches!(flow.kind, Kind::Cargo(_)));
        assert_eq!(flow.environment["gateway"], "g:1", "a file goes before the stack file, as faas-cli has it");
        assert_eq!(flow.environment["write_debug"], "true");
        assert_eq!(flow.environment["port"], "8080");
        assert_eq!(flow.origins["write_debug"], "flow.yml");
        assert_eq!(flow.origins["gateway"], "flow.yml");
        assert_eq!(flow.origins["port"], "stack.yml");
        assert_eq!(flow.environment["literal"], "${HOME}", "an environment file is taken as it is");
        let command = ["sh", "-c", "cat; true"].map(str::to_owned).to_vec();
        assert_eq!(stack.functions["cat"].kind, Kind::Command(command));
        let program = ["./server", "--fast"].map(str::to_owned).to_vec();
        assert_eq!(stack.functions["server"].kind, Kind::Program(program));
        assert_eq!(stack.functions["there"].kind, Kind::Url("http://localhost:99/".parse().unwrap()));
    }

    #[test]
    fn keys_that_look_misspelt_are_said_to() {
        let read = stack("functions:\n  f:\n    fprocess: cat\n    enviroment: { a: b }\n    x-mine: 1\n").unwrap();
        assert_eq!(read.misspelt, ["function `f`: `enviroment` is no key of it; is `environment` meant?"]);
        let fault = stack("functions:\n  f:\n    handlr: ./project\n").unwrap_err();
        assert!(fault.starts_with("function `f`: it does not say how it runs"), "{fault}");
        assert!(fault.ends_with("\nfunction `f`: `handlr` is no key of it; is `handler` meant?"), "{fault}");
        let fault = stack("function:\n  f:\n    fprocess: cat\n").unwrap_err();
        assert!(fault.ends_with("\n`function` is no key of it; is `functions` meant?"), "{fault}");
    }

    #[test]
    fn faults_name_function_and_key() {
        for (text, expected) in [
            ("functions:\n  f: {}\n", "function `f`: it does not say how it runs"),
            ("functions:\n  f:\n    handler: ./absent\n", "function `f`: `handler` is `./absent`"),
            ("functions:\n  f:\n    fprocess: \"sh -c 'x\"\n", "a quote is not closed"),
            (
                "functions:\n  f:\n    fprocess: x\n    environment: { mode: static }\n",
                "its `mode` is `static`: known here",
            ),
            ("functions: [1]\n", "it is not as it should be"),
            ("provider: {}\n", "it names no function"),
            ("functions:\n  f:\n    fprocess: cat\n    namespace: dev\n", "there is no namespace `dev` here"),
            ("functions:\n  'a b':\n    fprocess: cat\n", "its name may have letters"),
        ] {
            let fault = stack(text).unwrap_err();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn variables_are_put_in() {
        let variable = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(substitute("a ${A} ${B:-x:y} ${C}.", variable).unwrap(), "a 1 x:y .");
        assert!(substitute("${A", variable).is_err());
    }
}
