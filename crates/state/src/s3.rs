//! State in S3, either Amazon's or any compatible server.
//!
//! A value is the object `<flow>/<request>/<key>` in the bucket, with each part encoded by [`path`]. A large value is
//! uploaded in parts, and becomes visible with the last one.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, Scope, StateError, StateManager, Version};
use faasflow_http::BodyBuffer;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion};

mod bucket;
mod builder;
mod fault;
mod http;
mod path;

pub use builder::S3Builder;

use fault::{is_absent, state_error};
use http::Http;

/// The size of the parts in which a large value is uploaded. S3 requires at least 5 MiB.
const PART: usize = 8 << 20;
/// How many parts are uploaded at once.
const PARTS_AT_ONCE: usize = 4;
/// How many objects are removed at once.
const REMOVALS_AT_ONCE: usize = 8;

/// Stores state in an S3 bucket. Conditional writes use the `ETag`, so the server must support `If-Match` and
/// `If-None-Match` on writes, as Amazon S3 and MinIO do.
///
/// If an upload is interrupted, its parts stay in the bucket, where they are not listed: give the bucket a lifecycle
/// rule that aborts incomplete uploads. The data of a request is removed when the request ends. For requests that never
/// end, add a rule that expires objects after some days.
///
/// Cloning is cheap, and a clone uses the same bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    store: Arc<AmazonS3>,
    http: Http,
    bucket: Arc<str>,
    region: Arc<str>,
    create_bucket: bool,
}

impl S3 {
    async fn put_large(&self, path: &Path, value: &Bytes) -> object_store::Result<()> {
        let mut upload = self.store.put_multipart(path).await?;
        let parts: Vec<Bytes> =
            (0..value.len()).step_by(PART).map(|at| value.slice(at..value.len().min(at + PART))).collect();
        let sending: Vec<_> = parts.into_iter().map(|part| upload.put_part(PutPayload::from_bytes(part))).collect();
        let sent = stream::iter(sending).buffer_unordered(PARTS_AT_ONCE).try_for_each(|()| async { Ok(()) }).await;
        match sent {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => {
                // If this fails too, the reason is that of the upload, which is returned.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }
}

impl StateManager for S3 {
    fn name(&self) -> &str {
        "s3"
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async {
            match self.store.list_with_delimiter(None).await {
                Ok(_) => Ok(()),
                Err(error) => match state_error("the bucket cannot be listed", &self.bucket, &error) {
                    fault if fault.is_missing_bucket() && self.create_bucket => {
                        bucket::create(&self.store, &self.http, &self.bucket, &self.region).await
                    }
                    fault => Err(fault.into()),
                },
            }
        })
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move { Ok(self.get_versioned(scope, key).await?.map(|(value, _)| value)) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let path = path::object(scope, key);
            let put = if value.len() > PART {
                self.put_large(&path, &value).await
            } else {
                self.store.put(&path, PutPayload::from_bytes(value)).await.map(drop)
            };
            put.map_err(|error| state_error("a value cannot be written", &self.bucket, &error).into())
        })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move { self.remove_object(&path::object(scope, key)).await })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let folder = path::folder(scope);
            let objects = self.store.list(Some(&folder));
            let objects = objects.map_err(|error| {
                StateError::from(state_error("what a request stored cannot be listed", &self.bucket, &error))
            });
            objects
                .try_for_each_concurrent(REMOVALS_AT_ONCE, |object| async move {
                    self.remove_object(&object.location).await
                })
                .await
        })
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(async move {
            let fault = |error| StateError::from(state_error("a value cannot be read", &self.bucket, &error));
            let found = match self.store.get(&path::object(scope, key)).await {
                Ok(found) => found,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(fault(error)),
            };
            let version = Version::new(found.meta.e_tag.clone().unwrap_or_default());
            let mut value = BodyBuffer::new(usize::try_from(found.meta.size).unwrap_or_default());
            let mut parts = found.into_stream();
            while let Some(part) = parts.next().await {
                value.append(&part.map_err(fault)?);
            }
            Ok(Some((value.into_bytes(), version)))
        })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move {
            let mode = match condition {
                Condition::Absent => PutMode::Create,
                Condition::Version(version) => {
                    PutMode::Update(UpdateVersion { e_tag: Some(version.as_str().to_owned()), version: None })
                }
            };
            let payload = PutPayload::from_bytes(value);
            match self.store.put_opts(&path::object(scope, key), payload, mode.into()).await {
                Ok(put) => Ok(Some(Version::new(put.e_tag.unwrap_or_default()))),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(None),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(state_error("a value cannot be written", &self.bucket, &error).into()),
            }
        })
    }
}

impl S3 {
    async fn remove_object(&self, path: &Path) -> Result<(), StateError> {
        match self.store.delete(path).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(state_error("a value cannot be removed", &self.bucket, &error).into()),
        }
    }
}
