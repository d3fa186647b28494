//! Where the stack file is, and its text.

use std::path::{Path, PathBuf};

use super::error::StackError;
use super::substitute::{self, Unusable};
use super::yaml::{At, Fault};
use crate::environment;

/// The file of this path, or the `stack.yml` or `stack.yaml` of this folder.
pub(super) fn locate(path: &Path) -> Result<PathBuf, StackError> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole.is_file() {
        return Ok(whole);
    }
    let found = ["stack.yml", "stack.yaml"].map(|name| whole.join(name)).into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let what = if whole.is_dir() { no_stack_in(&whole) } else { "there is no such file or folder".to_owned() };
        StackError::missing(&whole, what)
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

/// The text of a file of a stack.
pub(super) fn read(path: &Path) -> Result<String, StackError> {
    let bytes = std::fs::read(path).map_err(|error| StackError::unreadable(path, error))?;
    // UTF-16 begins like this, or has a NUL in every other byte.
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(StackError::invalid(path, "it is saved as UTF-16; save it as UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let byte = error.as_bytes()[valid];
        let what = format!("the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
        StackError::invalid(path, Fault::new(place(&before, before.len()), what).to_string())
    })
}

/// The text of a stack file, with the variables of this process in place of `${…}`.
pub(super) fn substituted(path: &Path) -> Result<String, StackError> {
    let text = read(path)?;
    substitute::substitute(&text, &environment::text)
        .map_err(|Unusable { at, what }| StackError::invalid(path, Fault::new(place(&text, at), what).to_string()))
}

/// The place of a byte.
fn place(text: &str, byte: usize) -> At {
    let before = &text[..byte];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    At { line, column }
}
