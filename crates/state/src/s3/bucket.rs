//! Creates the bucket.

use std::time::Duration;

use faasflow_core::state::StateError;
use http::{Method, StatusCode};
use object_store::aws::AmazonS3;
use object_store::client::{HttpRequest, HttpRequestBody, HttpService as _};
use object_store::path::Path;
use object_store::signer::Signer as _;

use super::http::Http;

/// The default region.
pub(super) const REGION: &str = "us-east-1";

/// Creates the bucket. It is not an error if another instance has created it in the meantime.
pub(super) async fn create(store: &AmazonS3, http: &Http, bucket: &str, region: &str) -> Result<(), StateError> {
    let what = format!("the bucket `{bucket}` cannot be created");
    let url = store
        .signed_url(Method::PUT, &Path::default(), Duration::from_secs(60))
        .await
        .map_err(|error| StateError::permanent(what.clone()).with_source(error))?;
    // Amazon requires the region in the body, except for its default region.
    let body = if region == REGION {
        HttpRequestBody::empty()
    } else {
        HttpRequestBody::from(format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        ))
    };
    let request = http::Request::put(url.as_str())
        .body(body)
        .map_err(|error| StateError::permanent(what.clone()).with_source(error))?;
    let request: HttpRequest = request;
    let response = http.call(request).await.map_err(|error| StateError::temporary(what.clone()).with_source(error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let text = response.into_body().bytes().await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if status == StatusCode::CONFLICT && text.contains("BucketAlreadyOwnedByYou") {
        return Ok(());
    }
    let text = format!("{what}: the server answered {status}: {}", text.trim());
    Err(if status.is_server_error() { StateError::temporary(text) } else { StateError::permanent(text) })
}
