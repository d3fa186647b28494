//! The builder of the Redis state manager.

use std::time::Duration;

use faasflow_core::duration;
use faasflow_core::state::StateError;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};
use secrecy::{ExposeSecret as _, SecretString};

use super::Redis;
use super::server::Server;
use crate::settings::{REDIS_URL, Settings};

/// How long the data of a request is kept after its last write, by default.
const TIME_TO_LIVE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The connection is given up when data stays unacknowledged for this long.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(20);

/// Builds a [`Redis`]: where the server is, and how long it keeps the data of requests.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RedisBuilder {
    /// It may contain a password.
    url: SecretString,
    time_to_live: Duration,
    authorities: Option<Vec<u8>>,
}

impl RedisBuilder {
    fn new(url: String) -> RedisBuilder {
        RedisBuilder { url: url.into(), time_to_live: TIME_TO_LIVE, authorities: None }
    }

    /// How long the data of a request is kept after its last write. It must be longer than any request takes. The
    /// default is seven days.
    pub fn time_to_live(mut self, time_to_live: Duration) -> RedisBuilder {
        self.time_to_live = time_to_live;
        self
    }

    /// The certificate authorities to trust instead of the public ones, in PEM, for a server with a certificate of your
    /// own.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> RedisBuilder {
        self.authorities = Some(pem.into());
        self
    }

    /// Checks the options. It does not connect yet.
    ///
    /// # Errors
    ///
    /// If the address is not valid, or the time to live is zero.
    pub fn build(self) -> Result<Redis, StateError> {
        if self.time_to_live.is_zero() {
            return Err(StateError::misconfigured("a time to live of 0 would lose every value"));
        }
        let fault = |error: redis::RedisError| {
            StateError::misconfigured("the address of the Redis server cannot be used")
                .with_source(error)
                .with_help("write `redis://HOST:PORT`, or `rediss://HOST:PORT` for TLS")
        };
        let info = self.url.expose_secret().into_connection_info().map_err(fault)?;
        let info = with_tcp(info);
        let client = match self.authorities {
            Some(pem) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
            _ => Client::open(info),
        };
        let client = client.map_err(fault)?;
        Ok(Redis { server: Server::new(client, self.time_to_live) })
    }
}

fn with_tcp(info: ConnectionInfo) -> ConnectionInfo {
    // A small command must not wait for the acknowledgement of the previous one.
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    info.set_tcp_settings(tcp)
}

impl Redis {
    /// Reads the settings (`redis_url`, `redis_ttl`) and the secret `redis-url` from where OpenFaaS puts them. It does
    /// not check whether the server can be reached.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used. The text names it and what is accepted.
    pub fn from_env() -> Result<Redis, StateError> {
        Settings::of_process(Redis::from_settings)
    }

    /// Creates a builder with the address of a server, such as `redis://:password@redis:6379/0`, or `rediss://…` with
    /// TLS. All other options have defaults.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    pub(crate) fn from_settings(settings: &Settings<'_>) -> Result<Redis, StateError> {
        let url = match settings.secret(REDIS_URL)? {
            Some(secret) => secret.expose_secret().to_owned(),
            None => settings.text("redis_url").unwrap_or_else(|| "redis://redis:6379".to_owned()),
        };
        let url = if url.contains("://") { url } else { format!("redis://{url}") };
        let mut builder = Redis::builder(url);
        if let Some(pem) = settings.authorities()? {
            builder = builder.authorities(pem);
        }
        if let Some(text) = settings.text("redis_ttl") {
            let time_to_live = duration::parse(&text).map_err(|_| {
                StateError::misconfigured(format!("`redis_ttl` is `{text}`, which is not a valid duration"))
                    .with_help("write a duration such as `168h` or `30m`, or seconds alone")
            })?;
            builder = builder.time_to_live(time_to_live);
        }
        builder.build()
    }
}
