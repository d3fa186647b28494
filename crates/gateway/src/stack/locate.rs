//! Finds the stack file and reads its text.

use std::path::{Path, PathBuf};

use super::error::StackError;
use super::fault::{At, Fault};
use super::kind::StackErrorKind;
use super::substitute::{self, Unusable};
use crate::environment;

/// Returns the file at this path, or the `stack.yml` or `stack.yaml` in this folder.
pub(super) fn locate(path: &Path) -> Result<PathBuf, StackError> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole.is_file() {
        return Ok(whole);
    }
    let found = ["stack.yml", "stack.yaml"].map(|name| whole.join(name)).into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let missing = |what: &str| Fault::of_function(StackErrorKind::Missing, what);
        let fault = if whole.is_dir() {
            missing("there is no stack.yml in this folder").help(advice(&whole))
        } else {
            missing("there is no such file or folder")
                .help("check the path, or create a project with `faasflow new my-flow`")
        };
        StackError::one(&whole, fault)
    })
}

/// What to do in a folder without a stack file. There may be one with another name, which older versions of faas-cli wrote, or
/// one in the parent folder, beside the handler.
fn advice(folder: &Path) -> String {
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
        Some(other) => format!("if you mean {}, name it", other.display()),
        None => "name the file, or create a project with `faasflow new my-flow`".to_owned(),
    }
}

/// Reads the text of a file.
pub(super) fn read(path: &Path) -> Result<String, StackError> {
    let bytes = std::fs::read(path).map_err(|error| StackError::unreadable(path, error))?;
    // UTF-16 begins like this, or every other byte is NUL.
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let fault = Fault::of_function(StackErrorKind::Encoding, "it is saved as UTF-16").help("save it as UTF-8");
        return Err(StackError::one(path, fault));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let byte = error.as_bytes()[valid];
        let what = format!("the byte 0x{byte:02x} is not UTF-8");
        let fault = Fault::new(StackErrorKind::Encoding, place(&before, before.len()), what);
        StackError::one(path, fault.help("save the file as UTF-8"))
    })
}

/// Reads the text of a stack file, and replaces `${…}` by the variables of this process.
pub(super) fn substituted(path: &Path) -> Result<String, StackError> {
    let text = read(path)?;
    substitute::substitute(&text, &environment::text).map_err(|Unusable { at, what, help }| {
        let fault = Fault::new(StackErrorKind::Substitution, place(&text, at), what);
        StackError::one(path, fault.help(help))
    })
}

/// Converts the index of a byte to a place.
fn place(text: &str, byte: usize) -> At {
    let before = &text[..byte];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    At { line, column }
}
