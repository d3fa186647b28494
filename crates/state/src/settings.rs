//! The settings of state managers: environment variables and secrets, in the places where OpenFaaS puts them.
//!
//! No other module of this crate reads the environment.

#[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
use faasflow_core::state::StateError;
#[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
use secrecy::SecretString;

/// The name, default and meaning of every setting.
pub const SETTINGS: [(&str, &str, &str); 10] = [
    ("s3_url", "", "address of the S3 server, such as `minio:9000` (default: Amazon's of the region)"),
    ("s3_bucket", "faasflow", "bucket that state and payloads are kept in"),
    ("s3_region", "us-east-1", "region of the bucket"),
    ("s3_tls", "false", "whether an `s3_url` without a scheme is https"),
    ("s3_path_style", "", "whether the bucket is named in the path (default: with an `s3_url`, yes)"),
    ("s3_create_bucket", "false", "create the bucket if it is not there"),
    ("redis_url", "redis://redis:6379", "address of the Redis server; the secret `redis-url` takes precedence"),
    ("redis_ttl", "168h", "how long a request's data is kept after its last write"),
    ("state_gateway_url", "", "address of the local gateway that keeps state (default: the `gateway` setting)"),
    (
        "state_gateway_token",
        "",
        "token for its store, which `faasflow up` sets; the secret `state-gateway-token` takes precedence",
    ),
];

/// The name of the secret with the access key for S3.
#[cfg(feature = "s3")]
pub(crate) const S3_ACCESS_KEY: &str = "s3-access-key";
/// The name of the secret with the secret key for S3.
#[cfg(feature = "s3")]
pub(crate) const S3_SECRET_KEY: &str = "s3-secret-key";
/// The name of the secret with the address of the Redis server, which may contain a password.
#[cfg(feature = "redis")]
pub(crate) const REDIS_URL: &str = "redis-url";

/// The name of the secret with the token for the store of a local gateway.
#[cfg(feature = "gateway")]
pub(crate) const STATE_TOKEN_SECRET: &str = "state-gateway-token";

/// Where settings and secrets are looked up.
#[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
pub(crate) struct Settings<'a> {
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) secrets: std::path::PathBuf,
}

#[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
impl Settings<'_> {
    /// Calls `with` with the settings of this process.
    pub(crate) fn of_process<T>(with: impl FnOnce(&Settings<'_>) -> T) -> T {
        let secrets = variable("secret_mount_path").unwrap_or_else(|| "/var/openfaas/secrets".to_owned());
        with(&Settings { lookup: &variable, secrets: secrets.into() })
    }

    /// The value of a setting; `None` if it is missing or empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of a setting that is `true` or `false`; `None` if it is missing or empty.
    #[cfg(feature = "s3")]
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, StateError> {
        match self.text(name).map(|text| text.to_ascii_lowercase()).as_deref() {
            None => Ok(None),
            Some("true" | "1" | "t" | "yes" | "on") => Ok(Some(true)),
            Some("false" | "0" | "f" | "no" | "off") => Ok(Some(false)),
            Some(other) => {
                let what = format!("`{name}` is `{other}`, which is neither `true` nor `false`");
                Err(StateError::misconfigured(what).with_help("write `true` or `false`"))
            }
        }
    }

    /// Reads the file of certificates that `SSL_CERT_FILE` names, if it is set.
    pub(crate) fn authorities(&self) -> Result<Option<Vec<u8>>, StateError> {
        let Some(path) = self.text("SSL_CERT_FILE") else { return Ok(None) };
        let fault = |error: std::io::Error| {
            let why = faasflow_core::Unreadable::from(error);
            let help = why.help();
            StateError::misconfigured(format!("`SSL_CERT_FILE` is `{path}`, which cannot be read"))
                .with_source(why)
                .with_help(help)
        };
        std::fs::read(&path).map(Some).map_err(fault)
    }

    /// The text of a secret; `None` if it is missing or empty.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<SecretString>, StateError> {
        let path = self.secrets.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map(SecretString::from)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let why = faasflow_core::Unreadable::from(error);
                let help = why.help();
                Err(StateError::misconfigured(format!("the secret {} cannot be read", path.display()))
                    .with_source(why)
                    .with_help(help))
            }
        }
    }
}

#[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
