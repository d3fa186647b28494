//! The builder of the state manager in the store of a gateway.

use std::time::Duration;

use faasflow_core::names::{STATE_TOKEN, STATE_URL};
use faasflow_core::state::StateError;
use faasflow_http::HttpClient;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::GatewayStore;
use super::client::Client;
use crate::settings::{STATE_TOKEN_SECRET, Settings};

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// Builds a [`GatewayStore`]: where it is, and the token for it.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct GatewayStoreBuilder {
    url: String,
    token: SecretString,
    authorities: Option<Vec<u8>>,
}

impl GatewayStoreBuilder {
    /// Certificate authorities to trust in addition to the public ones, in PEM, for a gateway behind a certificate of your own.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> GatewayStoreBuilder {
        self.authorities = Some(pem.into());
        self
    }

    /// Checks the options. It does not connect yet.
    ///
    /// # Errors
    ///
    /// If the address is not a URL, or the token cannot be sent in a header.
    pub fn build(self) -> Result<GatewayStore, StateError> {
        let GatewayStoreBuilder { url, token, authorities } = self;
        let url = url.trim().trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        faasflow_core::parse_url(&url).map_err(|error| {
            StateError::misconfigured("the address of the gateway cannot be used")
                .with_source(error)
                .with_help(format!("set `{STATE_URL}` to a URL such as http://127.0.0.1:8080"))
        })?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
        let mut bearer = bearer.map_err(|_| {
            StateError::misconfigured("the token for the store of the gateway has characters that cannot be sent")
        })?;
        bearer.set_sensitive(true);
        let http = match authorities {
            None => HttpClient::new(CONNECT),
            Some(pem) => HttpClient::with_authorities(CONNECT, &pem).map_err(|error| {
                StateError::misconfigured("the certificates for the gateway cannot be used").with_source(error)
            })?,
        };
        Ok(GatewayStore { client: Client::new(http, url, bearer) })
    }
}

impl GatewayStore {
    /// Reads the settings `state_gateway_url` and `state_gateway_token`, which `faasflow up` sets for its functions. It does
    /// not check whether the gateway can be reached.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used. The text names it and what is accepted.
    pub fn from_env() -> Result<GatewayStore, StateError> {
        Settings::of_process(GatewayStore::from_settings)
    }

    /// Creates a builder with the address of a gateway, such as `http://127.0.0.1:8080`, and the token that it gives to a
    /// function.
    pub fn builder(url: impl Into<String>, token: impl Into<String>) -> GatewayStoreBuilder {
        GatewayStoreBuilder { url: url.into(), token: token.into().into(), authorities: None }
    }

    pub(crate) fn from_settings(settings: &Settings<'_>) -> Result<GatewayStore, StateError> {
        let url = settings.text(STATE_URL).or_else(|| settings.text("gateway"));
        let url = url.unwrap_or_else(|| "gateway:8080".to_owned());
        let token = match settings.secret(STATE_TOKEN_SECRET)? {
            Some(secret) => Some(secret.expose_secret().to_owned()),
            None => settings.text(STATE_TOKEN),
        };
        let token = token.ok_or_else(|| {
            StateError::misconfigured(format!("`{STATE_TOKEN}` is not set, and there is no secret `{STATE_TOKEN_SECRET}`"))
                .with_help(
                    "the local gateway sets it for the functions that it runs; for a function elsewhere, set `state_manager` \
                     to `s3` or `redis`",
                )
        })?;
        let mut builder = GatewayStore::builder(url, token);
        if let Some(pem) = settings.authorities()? {
            builder = builder.authorities(pem);
        }
        builder.build()
    }
}
