//! The secrets of a stack: files in a folder, as OpenFaaS mounts them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use faasflow_runtime::config::HMAC_SECRET;

use crate::error::GatewayError;
use crate::stack::Stack;

/// Sees to it that every secret that a function names is there. The key for signing is generated where a flow
/// needs one and there is none.
pub(crate) fn prepare(stack: &Stack, folder: &Path) -> Result<(), GatewayError> {
    create_private_folder(folder).map_err(|source| GatewayError::StateFolder { path: folder.to_owned(), source })?;
    let mut missing = Vec::new();
    for spec in stack.functions.values() {
        let needs_key = spec.is_flow() || spec.secrets.iter().any(|secret| secret == HMAC_SECRET);
        if needs_key {
            generate_key(&folder.join(HMAC_SECRET))
                .map_err(|source| GatewayError::StateFolder { path: folder.join(HMAC_SECRET), source })?;
        }
        for secret in &spec.secrets {
            if !folder.join(secret).is_file() {
                missing.push(format!("`{secret}` (for `{}`)", spec.name));
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(GatewayError::Secrets { missing: missing.join(", "), folder: folder.to_owned() })
    }
}

/// The names of the secrets that are there.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// 32 random bytes in hexadecimal, readable by the owner alone. A key that is there is kept.
fn generate_key(path: &PathBuf) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    let key: [u8; 32] = rand::random();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    file.write_all(digits.as_bytes())?;
    file.sync_all()
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
