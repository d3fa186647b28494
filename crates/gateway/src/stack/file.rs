//! The keys of a stack file and of an environment file.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::spec::{Amounts, Resources};
use super::yaml::{self, Entry, Node};

/// The keys of a stack file that faas-cli knows.
const KEYS: [&str; 4] = ["configuration", "functions", "provider", "version"];
const PROVIDER_KEYS: [&str; 2] = ["gateway", "name"];
const RESOURCE_KEYS: [&str; 2] = ["cpu", "memory"];
/// The keys of a function.
const FUNCTION_KEYS: [&str; 20] = [
    "annotations",
    "build_args",
    "build_options",
    "build_secrets",
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
    "platforms",
    "readonly_root_filesystem",
    "requests",
    "secrets",
    "skip_build",
    "template",
];

/// A stack file as it is written.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) hints: Vec<String>,
}

/// A function as it is written.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) lang: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) image: Option<String>,
    pub(super) fprocess: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) environment_files: Vec<String>,
    pub(super) secrets: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) resources: Resources,
}

/// Reads the text of a stack file. A fault comes with the hints that may explain it.
pub(super) fn stack(text: &str) -> Result<File, (Fault, Vec<String>)> {
    let mut file = File::default();
    match fill(&mut file, text) {
        Ok(()) => Ok(file),
        Err(fault) => Err((fault, file.hints)),
    }
}

fn fill(file: &mut File, text: &str) -> Result<(), Fault> {
    let root = yaml::parse(text)?;
    if root.is_null() {
        return Err(Fault::structure(root.at, "the file is empty")
            .help("write `functions:`, and below it a function with `handler` or `fprocess`"));
    }
    let entries = yaml::mapping(&root, "a stack file")?;
    hint(&mut file.hints, "", &entries, &KEYS);
    for Entry { key, at, value } in &entries {
        match key.as_str() {
            "version" => {
                let version = yaml::text(value, "`version`")?;
                if !["", "1.0"].contains(&version.as_str()) {
                    let what = format!("`version` is `{version}`, but the only version is `1.0`");
                    return Err(Fault::structure(value.at, what).help("write `version: 1.0`"));
                }
            }
            "provider" => provider(value, &mut file.hints)?,
            "functions" => {
                for entry in yaml::mapping(value, "`functions`")? {
                    let function = function(&entry, &mut file.hints)?;
                    file.functions.insert(entry.key, function);
                }
                if file.functions.is_empty() {
                    return Err(Fault::structure(*at, "`functions` is empty")
                        .help("write a function below it, such as `my-flow:`"));
                }
            }
            _ => {}
        }
    }
    if file.functions.is_empty() {
        return Err(Fault::structure(root.at, "`functions:` is missing")
            .help("write `functions:`, and below it a function with `handler` or `fprocess`"));
    }
    Ok(())
}

fn provider(node: &Node, hints: &mut Vec<String>) -> Result<(), Fault> {
    let entries = yaml::mapping(node, "`provider`")?;
    hint(hints, "`provider`: ", &entries, &PROVIDER_KEYS);
    for Entry { key, value, .. } in &entries {
        match key.as_str() {
            "name" => {
                let name = yaml::text(value, "`name` of `provider`")?;
                if !["", "openfaas"].contains(&name.as_str()) {
                    let what = format!("`name` of `provider` is `{name}`, but the only provider is `openfaas`");
                    return Err(Fault::structure(value.at, what).help("write `name: openfaas`"));
                }
            }
            "gateway" => {
                yaml::text(value, "`gateway` of `provider`")?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn function(entry: &Entry, hints: &mut Vec<String>) -> Result<Function, Fault> {
    let name = &entry.key;
    let of = |key: &str| format!("function `{name}`: `{key}`");
    let entries = yaml::mapping(&entry.value, &format!("function `{name}`"))?;
    hint(hints, &format!("function `{name}`: "), &entries, &FUNCTION_KEYS);
    let mut function = Function::default();
    for Entry { key, value, .. } in &entries {
        let what = of(key);
        let optional = |node: &Node| Ok::<_, Fault>(Some(yaml::text(node, &what)?).filter(|text| !text.is_empty()));
        match key.as_str() {
            "lang" => function.lang = optional(value)?,
            "handler" => function.handler = optional(value)?,
            "namespace" => function.namespace = optional(value)?,
            "image" => function.image = optional(value)?,
            // An `fprocess` with an empty text is a mistake.
            "fprocess" => function.fprocess = Some(yaml::text(value, &what)?).filter(|_| !value.is_null()),
            "environment" => function.environment = texts(value, &what)?,
            "environment_file" => function.environment_files = items(value, &what)?,
            "secrets" => function.secrets = items(value, &what)?,
            "labels" => function.labels = texts(value, &what)?,
            "annotations" => function.annotations = texts(value, &what)?,
            // The keys below are for faas-cli, which refuses values of another type.
            "build_args" | "build_secrets" => {
                texts(value, &what)?;
            }
            "build_options" | "constraints" => {
                items(value, &what)?;
            }
            "skip_build" => {
                yaml::switch(value, &what)?;
            }
            "readonly_root_filesystem" => {
                function.resources.read_only_root_filesystem = yaml::switch(value, &what)?.unwrap_or(false);
            }
            "limits" => function.resources.limits = amounts(value, &what, hints)?,
            "requests" => function.resources.requests = amounts(value, &what, hints)?,
            "platforms" | "template" => {
                yaml::text(value, &what)?;
            }
            _ => {}
        }
    }
    Ok(function)
}

fn amounts(node: &Node, what: &str, hints: &mut Vec<String>) -> Result<Amounts, Fault> {
    let entries = yaml::mapping(node, what)?;
    hint(hints, &format!("{what}: "), &entries, &RESOURCE_KEYS);
    let mut texts = texts(node, what)?;
    Ok(Amounts { memory: texts.remove("memory"), cpu: texts.remove("cpu") })
}

fn texts(node: &Node, what: &str) -> Result<BTreeMap<String, String>, Fault> {
    let entries = yaml::mapping(node, what)?.into_iter();
    entries
        .map(|Entry { key, value, .. }| {
            let text = yaml::text(&value, &format!("{what}: `{key}`"))?;
            Ok((key, text))
        })
        .collect()
}

fn items(node: &Node, what: &str) -> Result<Vec<String>, Fault> {
    Ok(yaml::list(node, what)?.into_iter().map(|(_, text)| text).collect())
}

/// Reads the variables of an environment file. Also returns hints about its keys.
pub(super) fn environment(text: &str) -> Result<(BTreeMap<String, String>, Vec<String>), Fault> {
    let root = yaml::parse(text)?;
    let entries = yaml::mapping(&root, "an environment file")?;
    let mut hints = Vec::new();
    hint(&mut hints, "", &entries, &["environment"]);
    let Some(entry) = entries.iter().find(|entry| entry.key == "environment") else {
        if let (Some(first), true) = (entries.first(), hints.is_empty()) {
            hints.push(format!(
                "it sets nothing, because it has no `environment:`; variables such as `{}` belong below that, indented",
                first.key
            ));
        }
        return Ok((BTreeMap::new(), hints));
    };
    Ok((texts(&entry.value, "`environment`")?, hints))
}

/// Notes keys that resemble a known one. Other unknown keys may be meant for other tools.
fn hint(hints: &mut Vec<String>, of: &str, entries: &[Entry], known: &[&'static str]) {
    let near = entries.iter().filter_map(|entry| Some((&entry.key, near(&entry.key, known)?)));
    hints.extend(near.map(|(key, known)| format!("{of}the key `{key}` is not known; did you mean `{known}`?")));
}

/// The known key that a key resembles.
fn near(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if known.contains(&key) {
        return None;
    }
    let plain = key.to_lowercase().replace('-', "_");
    let (distance, near) = known.iter().map(|known| (strsim::osa_distance(known, &plain), *known)).min()?;
    // In a short key, two letters are a large part.
    let most = if key.len() <= 5 { 1 } else { 2 };
    (distance <= most).then_some(near)
}
