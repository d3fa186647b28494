//! `stack.yml` and `flow.yml`, as `faas-cli` reads them.

mod check;
mod file;
mod function;
mod locate;
mod substitute;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use check::{DEPLOYMENT, LONGEST_NAME, check, is_name};
pub(crate) use function::{Process, misplaced, there_or_process, wrong_wish};

/// The annotation that names the address of a function that is already there.
pub const URL_ANNOTATION: &str = "faasflow.url";
/// The annotation that says how a function runs that could run in either way: `container` or `process`.
pub const RUN_ANNOTATION: &str = "faasflow.run";

/// The functions of a stack file.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The file.
    pub path: PathBuf,
    /// Its environment files.
    pub environment_files: BTreeSet<PathBuf>,
    /// The functions, by name.
    pub functions: BTreeMap<String, FunctionSpec>,
    /// Keys that look misspelt, and environment files that set nothing. Keys that are not known at all are no fault: they
    /// may be of use to other tools.
    pub hints: Vec<String>,
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
    /// The command that it runs, as it is written.
    pub process: Option<String>,
    /// Its environment: its own, then that of the environment files over it.
    pub environment: BTreeMap<String, String>,
    /// Where each variable came from: the name of an environment file, or of the stack file.
    pub origins: BTreeMap<String, String>,
    /// The secrets it may read.
    pub secrets: Vec<String>,
    /// Its image. It is only reported where the function does not run as containers of it.
    pub image: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What its containers may use.
    pub resources: Resources,
}

/// What the containers of a function may use. A process may use what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The most that each has.
    pub limits: Amounts,
    /// What each is to have when there is not enough for all.
    pub requests: Amounts,
    /// Whether their root file system is read-only.
    pub read_only_root_filesystem: bool,
}

/// Memory and processor time, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Such as `128Mi`.
    pub memory: Option<String>,
    /// Such as `100m`, a tenth of a processor.
    pub cpu: Option<String>,
}

impl FunctionSpec {
    /// Whether it is a flow, which needs the key for signing.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        self.lang.as_deref() == Some(FLOW)
    }
}

/// The `lang` of flows: the name of their template.
const FLOW: &str = "faasflow";

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
    /// Containers of this image, which have a watchdog or something else that serves HTTP.
    Image(String),
}

/// A stack file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct StackError {
    path: PathBuf,
    what: String,
}

impl StackError {
    fn new(path: &Path, what: impl Into<String>) -> StackError {
        StackError { path: path.to_owned(), what: what.into() }
    }
}

impl Stack {
    /// Reads a stack file, or the `stack.yml` or `stack.yaml` of a folder, with its environment files.
    ///
    /// # Errors
    ///
    /// If a file is absent or not YAML of the known form, if a function does not say how it runs, or if a value cannot be
    /// used: the text names the file, the function, the key and the value.
    pub fn read(path: &Path) -> Result<Stack, StackError> {
        let path = locate::locate(path)?;
        let text = locate::substituted(&path)?;
        // Nothing is read of what a key that is not known would have said, which may be the reason of a fault.
        let hinted = |what: String, hints: &[String]| {
            StackError::new(&path, hints.iter().fold(what, |what, hint| format!("{what}\n{hint}")))
        };
        let file = file::stack(&text).map_err(|(fault, hints)| hinted(fault.to_string(), &hints))?;
        let mut stack = Stack { path: path.clone(), hints: file.hints, ..Stack::empty(&path) };
        let mut faults = Vec::new();
        for (name, function) in file.functions {
            let mut layers = vec![(file_name(&path), function.environment.clone())];
            for named in &function.environment_files {
                let file = stack.folder().join(named);
                let (variables, hints) = environment_file(&file)?;
                stack.hints.extend(hints.into_iter().map(|hint| format!("{named}: {hint}")));
                stack.environment_files.insert(file);
                layers.push((named.clone(), variables));
            }
            match function::resolve(&name, function, layers, stack.folder()) {
                Ok(spec) => {
                    stack.functions.insert(name, spec);
                }
                Err(found) => faults.extend(found.into_iter().map(|fault| format!("function `{name}`: {fault}"))),
            }
        }
        if faults.is_empty() { Ok(stack) } else { Err(hinted(faults.join("\n"), &stack.hints)) }
    }

    /// No functions, as if of a stack file in this folder: all are deployed.
    #[must_use]
    pub fn empty(folder: &Path) -> Stack {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let path = folder.join("stack.yml");
        Stack { path, environment_files: BTreeSet::new(), functions: BTreeMap::new(), hints: Vec::new() }
    }

    /// The folder that the stack file is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// The variables of an environment file, which are taken as they are written there, and its hints.
fn environment_file(path: &Path) -> Result<(BTreeMap<String, String>, Vec<String>), StackError> {
    let text = locate::read(path)?;
    file::environment(&text).map_err(|fault| StackError::new(path, fault.to_string()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
