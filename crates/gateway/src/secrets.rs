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
            let path = folder.join(HMAC_SECRET);
            let key = key(&path).map_err(|source| GatewayError::StateFolder { path: path.clone(), source })?;
            if key.trim_ascii().is_empty() {
                return Err(GatewayError::EmptyKey { path });
            }
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

/// The key at `path`: 32 random bytes in hexadecimal, readable by the owner alone, if there is none. One that is
/// there is kept. It has its name only when it is whole.
fn key(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut key = temporary_beside(path)?;
    let random: [u8; 32] = rand::random();
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let named = key.file.write_all(digits.as_bytes()).and_then(|()| key.file.sync_all());
    match named.and_then(|()| fs::hard_link(&key.path, path)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Where another gateway was first, its key is the one.
        _ => fs::read(path),
    }
}

/// A file that is gone when this is dropped.
struct Temporary {
    path: PathBuf,
    file: fs::File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn temporary_beside(path: &Path) -> io::Result<Temporary> {
    let path = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    Ok(Temporary { path, file })
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
