//! State in S3, either Amazon's or any compatible server.
//!
//! A value is the object `<flow>/<request>/<key>` in the bucket, with each part encoded by [`path`]. A large value is
//! uploaded in parts, and becomes visible with the last one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, ListQuery, Listed, Scope, StateError, StateManager, Status, Version};
use faasflow_http::BodyBuffer;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{Attributes, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion};

mod bucket;
mod builder;
mod fault;
mod http;
mod line;
mod path;
mod records;

pub use builder::S3Builder;

use fault::{is_absent, is_conflict, state_error};
use http::Http;

/// The size of the parts in which a large value is uploaded. S3 requires at least 5 MiB.
const PART: usize = 8 << 20;
/// How many parts are uploaded at once.
const PARTS_AT_ONCE: usize = 4;
/// How many objects are removed at once.
const REMOVALS_AT_ONCE: usize = 8;
/// How many values are read at once.
const READS_AT_ONCE: usize = 8;
/// How often a conditional write is tried that the server refuses because of another operation on the object.
const TRIES: usize = 5;

/// Stores state in an S3 bucket. Conditional writes use the `ETag`, so the server must support `If-Match` and
/// `If-None-Match` on writes, as Amazon S3 and MinIO do.
///
/// If an upload is interrupted, its parts stay in the bucket, where they are not listed: give the bucket a lifecycle
/// rule that aborts incomplete uploads. The data of a request is removed when the request ends. For requests that never
/// end, and for the two small objects that stay of a request with branches, add a rule that expires objects after some
/// days: S3 has no expiry for a single object. What flows remember of requests that have ended is removed by
/// [`remove_expired`](StateManager::remove_expired), so that rule must allow for the time that they are remembered.
///
/// The list of requests has two objects for each. While the status of a request changes, or if a process died while it changed it, a
/// list of one status may still have the request under its previous one.
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

    fn supports_branches(&self) -> bool {
        true
    }

    fn supports_records(&self) -> bool {
        true
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
        Box::pin(self.remove_objects(scope, |_| true))
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.remove_objects(scope, move |path| keep_for.is_zero() || !path::outlives_request(path)))
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(self.begin(scope, started_ms, key, value))
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.list(scope, started_ms, status))
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.retire(scope, started_ms, status, keep_for, known_for))
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        Box::pin(self.lines(flow, query))
    }

    fn remove_expired<'a>(&'a self, flow: &'a str, limit: usize) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(self.remove_due(flow, limit))
    }

    fn is_expired<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(self.has_expired(scope))
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        let reads: Vec<_> = scopes.iter().map(|scope| self.get(scope, key)).collect();
        Box::pin(stream::iter(reads).buffered(READS_AT_ONCE).try_collect())
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        let reads: Vec<_> = keys.iter().map(|key| self.get(scope, key)).collect();
        Box::pin(stream::iter(reads).buffered(READS_AT_ONCE).try_collect())
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(async move {
            let found = self.read(&path::object(scope, key)).await?;
            Ok(found.map(|(value, version)| (value, Version::new(version.unwrap_or_default()))))
        })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move { self.put_if(&path::object(scope, key), value, &condition, Attributes::new()).await })
    }
}

impl S3 {
    /// Reads an object and its `ETag`.
    async fn read(&self, path: &Path) -> Result<Option<(Bytes, Option<String>)>, StateError> {
        let fault = |error| StateError::from(state_error("a value cannot be read", &self.bucket, &error));
        let found = match self.store.get(path).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let tag = found.meta.e_tag.clone();
        let mut value = BodyBuffer::new(usize::try_from(found.meta.size).unwrap_or_default());
        let mut parts = found.into_stream();
        while let Some(part) = parts.next().await {
            value.append(&part.map_err(fault)?);
        }
        Ok(Some((value.into_bytes(), tag)))
    }

    /// Writes an object if the condition holds, and returns its version.
    async fn put_if(
        &self,
        path: &Path,
        value: Bytes,
        condition: &Condition,
        attributes: Attributes,
    ) -> Result<Option<Version>, StateError> {
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Version(version) => {
                PutMode::Update(UpdateVersion { e_tag: Some(version.as_str().to_owned()), version: None })
            }
        };
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let mut tries = 0;
        loop {
            tries += 1;
            let payload = PutPayload::from_bytes(value.clone());
            let error = match self.store.put_opts(path, payload, options.clone()).await {
                Ok(put) => return Ok(Some(Version::new(put.e_tag.unwrap_or_default()))),
                Err(error) => error,
            };
            // Another operation on the object was under way, and nothing was written. That says nothing about the
            // condition, so look whether it still holds.
            if is_conflict(&error) {
                if !self.holds(path, condition).await? {
                    return Ok(None);
                }
                if tries < TRIES {
                    continue;
                }
                let text = format!(
                    "a value cannot be written: the server has refused it {TRIES} times because of other operations on \
                     the same object"
                );
                return Err(StateError::temporary(text).with_source(error));
            }
            return match error {
                object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Ok(None),
                error if is_absent(&error) => Ok(None),
                error => Err(state_error("a value cannot be written", &self.bucket, &error).into()),
            };
        }
    }

    /// Whether the condition of a write holds now.
    async fn holds(&self, path: &Path, condition: &Condition) -> Result<bool, StateError> {
        let found = match self.store.head(path).await {
            Ok(found) => Some(found.e_tag.unwrap_or_default()),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(state_error("a value cannot be read", &self.bucket, &error).into()),
        };
        Ok(match condition {
            Condition::Absent => found.is_none(),
            Condition::Version(version) => found.as_deref() == Some(version.as_str()),
        })
    }

    /// Removes the objects of a request for which `goes` is true.
    async fn remove_objects(&self, scope: &Scope, goes: impl Fn(&Path) -> bool + Send) -> Result<(), StateError> {
        let folder = path::folder(scope);
        let objects = self.store.list(Some(&folder)).map_err(|error| {
            StateError::from(state_error("what a request stored cannot be listed", &self.bucket, &error))
        });
        objects
            .try_filter(|object| std::future::ready(goes(&object.location)))
            .try_for_each_concurrent(
                REMOVALS_AT_ONCE,
                |object| async move { self.remove_object(&object.location).await },
            )
            .await
    }

    async fn remove_object(&self, path: &Path) -> Result<(), StateError> {
        match self.store.delete(path).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(state_error("a value cannot be removed", &self.bucket, &error).into()),
        }
    }
}
