//! The builder of the S3 state manager.

use std::sync::Arc;

use faasflow_core::state::StateError;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use secrecy::{ExposeSecret as _, SecretString};

use super::S3;
use super::bucket::REGION;
use super::http::Http;
use crate::settings::{S3_ACCESS_KEY, S3_SECRET_KEY, Settings};

/// Builds an [`S3`]: where the bucket is, and the credentials for it.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct S3Builder {
    aws: AmazonS3Builder,
    bucket: String,
    endpoint: Option<String>,
    region: String,
    path_style: Option<bool>,
    create_bucket: bool,
    authorities: Option<Vec<u8>>,
}

impl S3Builder {
    fn new(bucket: String) -> S3Builder {
        S3Builder {
            aws: AmazonS3Builder::new(),
            bucket,
            endpoint: None,
            region: REGION.to_owned(),
            path_style: None,
            create_bucket: false,
            authorities: None,
        }
    }

    /// The URL of a server other than Amazon's, which begins with `http://` or `https://`.
    pub fn endpoint(mut self, url: impl Into<String>) -> S3Builder {
        self.endpoint = Some(url.into());
        self
    }

    /// The region of the bucket. The default is `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> S3Builder {
        self.region = region.into();
        self
    }

    /// Whether URLs have the bucket in the path instead of the host. The default is `true` for servers other than
    /// Amazon's.
    pub fn path_style(mut self, path_style: bool) -> S3Builder {
        self.path_style = Some(path_style);
        self
    }

    /// The keys with which requests are signed.
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: impl Into<String>) -> S3Builder {
        self.aws = self.aws.with_access_key_id(access_key).with_secret_access_key(secret_key);
        self
    }

    /// Whether to create the bucket when the flow function starts, if it does not exist. The default is `false`.
    pub fn create_bucket(mut self, create: bool) -> S3Builder {
        self.create_bucket = create;
        self
    }

    /// Certificate authorities to trust in addition to the public ones, in PEM, for a server with a certificate of your
    /// own.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> S3Builder {
        self.authorities = Some(pem.into());
        self
    }

    /// Checks the options. It does not connect yet.
    ///
    /// # Errors
    ///
    /// If the endpoint is not a URL, or the options contradict each other.
    pub fn build(self) -> Result<S3, StateError> {
        let S3Builder { aws, bucket, endpoint, region, path_style, create_bucket, authorities } = self;
        let path_style = path_style.unwrap_or(endpoint.is_some());
        let http = Http::new(authorities.as_deref())?;
        let mut aws = aws
            .with_bucket_name(&bucket)
            .with_region(&region)
            .with_virtual_hosted_style_request(!path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // The caller decides how long to wait: the flow function retries within its deadline.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(http.clone());
        if let Some(endpoint) = endpoint {
            let uri = faasflow_core::parse_url(&endpoint).map_err(|error| {
                StateError::misconfigured("the address of the S3 server cannot be used").with_source(error)
            })?;
            let (scheme, authority) = (uri.scheme_str().unwrap_or("http"), uri.authority().map_or("", |a| a.as_str()));
            let host = if path_style { authority.to_owned() } else { format!("{bucket}.{authority}") };
            aws = aws.with_endpoint(format!("{scheme}://{host}")).with_allow_http(scheme == "http");
        }
        let store = aws.build().map_err(|error| {
            StateError::misconfigured("the settings of the S3 bucket do not fit together").with_source(error)
        })?;
        Ok(S3 { store: Arc::new(store), http, bucket: bucket.into(), region: region.into(), create_bucket })
    }
}

impl S3 {
    /// Reads the settings (`s3_url`, `s3_bucket` …) and secrets (`s3-access-key`, `s3-secret-key`) from where OpenFaaS
    /// puts them, and everything that is not set from the usual AWS variables. It does not check whether the server can
    /// be reached.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used. The text names it and what is accepted.
    pub fn from_env() -> Result<S3, StateError> {
        Settings::of_process(S3::from_settings)
    }

    /// Creates a builder for a bucket. All other options have defaults.
    pub fn builder(bucket: impl Into<String>) -> S3Builder {
        S3Builder::new(bucket.into())
    }

    pub(crate) fn from_settings(settings: &Settings<'_>) -> Result<S3, StateError> {
        let mut builder = S3::builder(settings.text("s3_bucket").unwrap_or_else(|| "faasflow".to_owned()));
        // Credentials, roles and the region are read as every AWS client reads them. The settings below override them.
        builder.aws = AmazonS3Builder::from_env();
        let region = settings.text("s3_region").or_else(|| settings.text("AWS_REGION"));
        if let Some(region) = region.or_else(|| settings.text("AWS_DEFAULT_REGION")) {
            builder = builder.region(region);
        }
        let tls = settings.boolean("s3_tls")?;
        if let Some(url) = settings.text("s3_url") {
            let scheme = match (url.split_once("://").map(|(scheme, _)| scheme), tls) {
                (None, Some(true)) => "https://",
                (None, _) => "http://",
                (Some("https"), Some(false)) | (Some("http"), Some(true)) => {
                    let what = format!("`s3_url` is `{url}`, which contradicts `s3_tls`");
                    return Err(StateError::misconfigured(what).with_help("leave out `s3_tls` or the scheme"));
                }
                (Some(_), _) => "",
            };
            builder = builder.endpoint(format!("{scheme}{url}"));
        }
        if let Some(path_style) = settings.boolean("s3_path_style")? {
            builder = builder.path_style(path_style);
        }
        if let Some(pem) = settings.authorities()? {
            builder = builder.authorities(pem);
        }
        builder = builder.create_bucket(settings.boolean("s3_create_bucket")?.unwrap_or(false));
        match (settings.secret(S3_ACCESS_KEY)?, settings.secret(S3_SECRET_KEY)?) {
            (Some(access), Some(secret)) => {
                let exposed = |text: &SecretString| text.expose_secret().to_owned();
                builder = builder.credentials(exposed(&access), exposed(&secret));
            }
            (None, None) => {}
            _ => {
                let what = format!("only one of the secrets `{S3_ACCESS_KEY}` and `{S3_SECRET_KEY}` exists");
                return Err(StateError::misconfigured(what).with_help("create both of them, or neither"));
            }
        }
        builder.build()
    }
}
