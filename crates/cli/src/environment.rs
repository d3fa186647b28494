//! Reads the environment variables of this process. No other module of the crate does.

/// The default gateway: `OPENFAAS_URL`, which `faas-cli` reads too, or else the address that `faasflow up` listens on.
/// The value may contain a password.
pub(crate) fn gateway() -> String {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let named = std::env::var("OPENFAAS_URL").ok();
    named.filter(|url| !url.trim().is_empty()).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned())
}
