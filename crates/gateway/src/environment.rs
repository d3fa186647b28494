//! The environment of this process, and the variables that functions inherit. No other module of the crate reads it.

/// The variables that a function's process inherits, besides those in the stack file. They are enough to find programs, a home and
/// certificates, and none of them could be a secret of the developer.
#[cfg(unix)]
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
];

/// The same for Windows, where programs find sockets, temporary files and system libraries by variables.
#[cfg(not(unix))]
const INHERITED: &[&str] = &[
    "PATH",
    "PATHEXT",
    "HOME",
    "USERPROFILE",
    "USERNAME",
    "APPDATA",
    "LOCALAPPDATA",
    "SystemRoot",
    "SystemDrive",
    "windir",
    "ComSpec",
    "TEMP",
    "TMP",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
];

/// A variable of this process.
pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let value = std::env::var_os(name);
    value.map(|value| value.to_string_lossy().into_owned())
}

/// A variable of this process, which must be text.
///
/// # Errors
///
/// If its value is not UTF-8.
pub(crate) fn text(name: &str) -> Result<Option<String>, String> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(format!("the value of `{name}` in the environment is not UTF-8; set it to text in UTF-8"))
        }
    }
}

/// The variables that functions inherit.
pub(crate) fn inherited() -> impl Iterator<Item = (&'static str, String)> {
    INHERITED.iter().filter_map(|&name| Some((name, variable(name)?)))
}

/// The variables that cargo sets for programs that it runs, such as this process under `cargo run` or `cargo test`. Another cargo must
/// not see them. Build scripts that depend on one, as ring's does on `CARGO_PKG_NAME`, would run again, and all crates that depend on
/// them would be compiled again.
pub(crate) fn set_by_cargo() -> Vec<std::ffi::OsString> {
    let is_set_by_cargo = |name: &str| {
        name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name.starts_with("CARGO_BIN_")
            || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"].contains(&name)
    };
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_set_by_cargo)).collect()
}
