//! Where an S3 bucket is, and who asks.

use std::sync::Arc;

use faasflow_core::state::StateError;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use secrecy::{ExposeSecret as _, SecretString};

use super::S3;
use super::bucket::REGION;
use super::http::Http;
use crate::settings::{S3_ACCESS_KEY, S3_SECRET_KEY, Settings};

/// Says where a bucket is, and who asks.
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

    /// A server other than Amazon's, as `http://` or `https://` and its address.
    pub fn endpoint(mut self, url: impl Into<String>) -> S3Builder {
        self.endpoint = Some(url.into());
        self
    }

    /// The region of the bucket. The default is `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> S3Builder {
        self.region = region.into();
        self
    }

    /// Whether the bucket is named in the path of URLs, rather than in their host. By default it is for servers other
    /// than Amazon's.
    pub fn path_style(mut self, path_style: bool) -> S3Builder {
        self.path_style = Some(path_style);
        self
    }

    /// The keys to sign with.
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: impl Into<String>) -> S3Builder {
        self.aws = self.aws.with_access_key_id(access_key).with_secret_access_key(secret_key);
        self
    }

    /// Whether the bucket is created, when the flow function starts, if it is not there.
    pub fn create_bucket(mut self, create: bool) -> S3Builder {
        self.create_bucket = create;
        self
    }

    /// Certificates of authorities to trust besides the public ones, in PEM, for a server with a certificate of your own.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> S3Builder {
        self.authorities = Some(pem.into());
        self
    }

    /// Checks what was said. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// If the endpoint is no URL, or what was said does not fit together.
    pub fn build(self) -> Result<S3, StateError> {
        let S3Builder { aws, bucket, endpoint, region, path_style, create_bucket, authorities } = self;
        let path_style = path_style.unwrap_or(endpoint.is_some());
        let http = Http::new(authorities.as_deref())?;
        let mut aws = aws
            .with_bucket_name(&bucket)
            .with_region(&region)
            .with_virtual_hosted_style_request(!path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Whoever waits decides how long: the flow function tries again within its deadline.
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
    /// Takes settings (`s3_url`, `s3_bucket` …) and secrets (`s3-access-key`, `s3-secret-key`) as OpenFaaS gives them,
    /// and what is not set from the usual AWS variables.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used: the text names it and what is accepted. Whether the server is there is not asked.
    pub fn from_env() -> Result<S3, StateError> {
        Settings::of_process(S3::from_settings)
    }

    /// Starts with a bucket; the rest is optional.
    pub fn builder(bucket: impl Into<String>) -> S3Builder {
        S3Builder::new(bucket.into())
    }

    pub(crate) fn from_settings(settings: &Settings<'_>) -> Result<S3, StateError> {
        let mut builder = S3::builder(settings.text("s3_bucket").unwrap_or_else(|| "faasflow".to_owned()));
        // Credentials, roles and region as every AWS client takes them; what is said below goes before.
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
                    let what = format!("`s3_url` is `{url}`, and `s3_tls` says otherwise");
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
                let what = format!("only one of the secrets `{S3_ACCESS_KEY}` and `{S3_SECRET_KEY}` is there");
                return Err(StateError::misconfigured(what).with_help("create both of them, or neither"));
            }
        }
        builder.build()
    }
}
