//! The secrets of functions: files in a folder, as OpenFaaS mounts them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use faasflow_core::names::HMAC_SECRET;

use crate::error::{GatewayError, MissingSecret};
use crate::private_file;
use crate::stack::{FunctionSpec, Stack, check_secret_name};

/// The secrets with the user name and the password of the admin API. Functions cannot have them.
pub(crate) const USER: &str = "basic-auth-user";
pub(crate) const PASSWORD: &str = "basic-auth-password";

/// Checks that every secret exists that a function of the stack names. If a flow needs a key for signing and there is none, one is
/// generated.
pub(crate) fn prepare(stack: &Stack, folder: &Path) -> Result<(), GatewayError> {
    private_file::folder(folder).map_err(|source| GatewayError::StateFolder { path: folder.to_owned(), source })?;
    let mut missing = Vec::new();
    for spec in stack.functions.values() {
        let needs_key = spec.is_flow() || spec.secrets.iter().any(|secret| secret == HMAC_SECRET);
        if needs_key {
            let path = folder.join(HMAC_SECRET);
            let key = kept_or(&path, random)?;
            if key.trim_ascii().is_empty() {
                return Err(GatewayError::EmptyKey { path });
            }
        }
        if let Some((path, error)) = unreadable(spec, folder) {
            return Err(GatewayError::Unreadable { path, source: error.into() });
        }
        let function = &spec.name;
        let of_function = |secret: &str| MissingSecret { secret: secret.to_owned(), function: function.clone() };
        missing.extend(absent(spec, folder).into_iter().map(of_function));
    }
    if missing.is_empty() { Ok(()) } else { Err(GatewayError::Secrets { missing, folder: folder.to_owned() }) }
}

/// The secrets that a function names and that do not exist.
pub(crate) fn absent<'a>(spec: &'a FunctionSpec, folder: &Path) -> Vec<&'a str> {
    let there = |secret: &str| !is_own(secret) && !secret.contains('/') && folder.join(secret).is_file();
    spec.secrets.iter().map(String::as_str).filter(|secret| !there(secret)).collect()
}

/// The first secret of a function that exists but cannot be read.
pub(crate) fn unreadable(spec: &FunctionSpec, folder: &Path) -> Option<(PathBuf, io::Error)> {
    let paths =
        spec.secrets.iter().filter(|secret| check_secret_name(secret).is_ok()).map(|secret| folder.join(secret));
    paths.into_iter().find_map(|path| match fs::File::open(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some((path, error)),
        _ => None,
    })
}

/// The user name and the password of the admin API. They are generated if they do not exist.
pub(crate) fn credentials(folder: &Path) -> Result<(String, String), GatewayError> {
    let read = |name: &str, make: fn() -> String| {
        let path = folder.join(name);
        let content = kept_or(&path, make)?;
        let content = String::from_utf8_lossy(content.trim_ascii()).into_owned();
        if content.is_empty() { Err(GatewayError::EmptyCredential { path }) } else { Ok(content) }
    };
    let user = read(USER, || "admin".to_owned())?;
    // Clients send `user:password`, so the name would end there (RFC 7617).
    if user.contains(':') {
        return Err(GatewayError::UserWithColon { path: folder.join(USER) });
    }
    Ok((user, read(PASSWORD, random)?))
}

/// The names of the secrets of functions.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    // Other files in the folder cannot be named through the API.
    let is_secret = |name: &String| path(folder, name).is_ok_and(|path| path.is_file());
    Ok(private_file::names(folder)?.into_iter().filter(is_secret).collect())
}

fn is_own(name: &str) -> bool {
    [USER, PASSWORD].contains(&name)
}

/// The file of a secret.
///
/// # Errors
///
/// If no secret can have this name. The text says which names are allowed.
pub(crate) fn path(folder: &Path, name: &str) -> Result<PathBuf, String> {
    check_secret_name(name).map_err(|rule| format!("`{}` is not the name of a secret; {rule}", name.escape_debug()))?;
    if is_own(name) {
        return Err(format!("`{name}` belongs to the gateway itself: change the file in the folder of the secrets"));
    }
    Ok(folder.join(name))
}

/// Checks the value of a secret.
///
/// # Errors
///
/// If no gateway and no flow would start with it.
pub(crate) fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    if name == HMAC_SECRET && bytes.trim_ascii().is_empty() {
        return Err(format!("`{name}` is the key for signing and cannot be empty: `openssl rand -hex 32` makes one"));
    }
    Ok(())
}

/// The content of a file. Creates the file if it does not exist; if another gateway is faster, its content is used.
fn kept_or(path: &Path, make: impl FnOnce() -> String) -> Result<Vec<u8>, GatewayError> {
    let unreadable = |error: io::Error| GatewayError::Unreadable { path: path.to_owned(), source: error.into() };
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(unreadable),
    }
    match private_file::create(path, make().as_bytes()) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(GatewayError::StateFolder { path: path.to_owned(), source })
        }
        _ => fs::read(path).map_err(unreadable),
    }
}

/// 32 random bytes in hexadecimal.
fn random() -> String {
    let random: [u8; 32] = rand::random();
    hex::encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_NAME: usize = 253;

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused() {
        let folder = Path::new("secrets");
        for name in ["a", "0", "api-key", "tls.crt", "a..b", &"a".repeat(LONGEST_NAME)] {
            assert_eq!(path(folder, name), Ok(folder.join(name)));
        }
        let long = "a".repeat(LONGEST_NAME + 1);
        for name in
            ["", ".", "..", "../x", "a/b", "/etc/passwd", ".new-1", "-a", "A", "a\0", "ä", &long, USER, PASSWORD]
        {
            assert!(path(folder, name).is_err(), "{name:?}");
        }
    }
}
