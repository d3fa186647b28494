//! Reads a stack file and the environment files that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::StackError;
use super::fault::Fault;
use super::spec::FunctionSpec;
use super::{file, function, locate};

/// The functions of a stack file.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The file.
    pub path: PathBuf,
    /// Its environment files.
    pub environment_files: BTreeSet<PathBuf>,
    /// The functions, by name.
    pub functions: BTreeMap<String, FunctionSpec>,
    /// Hints about keys that look misspelt, and about environment files that set nothing. Other unknown keys are allowed,
    /// because they may be meant for other tools.
    pub hints: Vec<String>,
}

impl Stack {
    /// Reads a stack file, or the `stack.yml` or `stack.yaml` of a folder, with its environment files.
    ///
    /// # Errors
    ///
    /// If a file does not exist or has the wrong form, if a function does not say how it runs, or if a value cannot be used.
    /// The error names the file, the function, the key and the value.
    pub fn read(path: &Path) -> Result<Stack, StackError> {
        let path = locate::locate(path)?;
        let text = locate::substituted(&path)?;
        // A fault comes with the hints, because a misspelt key may be its cause.
        let file = file::stack(&text).map_err(|(fault, hints)| StackError::new(&path, vec![fault], hints))?;
        let mut stack = Stack { path: path.clone(), hints: file.hints, ..Stack::empty(&path) };
        let mut faults: Vec<Fault> = Vec::new();
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
                Err(found) => {
                    let context = format!("function `{name}`: ");
                    faults.extend(found.into_iter().map(|fault| fault.context(&context)));
                }
            }
        }
        if faults.is_empty() { Ok(stack) } else { Err(StackError::new(&path, faults, stack.hints)) }
    }

    /// Returns a stack without functions, as if its file were in this folder.
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

/// Reads the variables of an environment file, without replacing `${…}`, and hints about the file.
fn environment_file(path: &Path) -> Result<(BTreeMap<String, String>, Vec<String>), StackError> {
    let text = locate::read(path)?;
    file::environment(&text).map_err(|fault| StackError::one(path, fault))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
