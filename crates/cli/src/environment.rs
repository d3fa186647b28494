//! The environment of this process. Nothing else in the crate reads it.

/// The gateway to ask where the command line names none: `OPENFAAS_URL`, as `faas-cli` has it, else the address
/// that `faasflow up` listens on. It may hold a password.
pub(crate) fn gateway() -> String {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let named = std::env::var("OPENFAAS_URL").ok();
    named.filter(|url| !url.trim().is_empty()).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned())
}
