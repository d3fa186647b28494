//! Several values in one answer, which is sent while it is read.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use faasflow_admin::state::{self as api, ABSENT, StateKeys, StateScopes};
use faasflow_core::{chain, code};
use faasflow_http::{drain, read_body};
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::access::{Caller, Named, PATIENCE, StateAccess, answer, short, turn};
use crate::answer::refusal;
use crate::disk::store_answer as failed;
use crate::http::system::extract::Parameters;
use crate::store::{Content, INLINE, Scope, StoreError, ValueBytes};

/// How many keys, and about how many bytes of values, are read at a time.
const KEYS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 256 << 10;
/// The largest body with keys, in bytes.
const KEYS_BODY: u64 = 8 << 20;

/// Answers with the values in the order of the keys, each after its length.
pub(super) async fn read(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<Named>,
    request: Request,
) -> Response {
    let read = async {
        let scope = Arc::new(named.scope(caller)?);
        let wanted = async |request| {
            let StateKeys { keys } = read_list(request, "keys").await?;
            few(keys.len(), "keys")?;
            let wanted = keys.into_iter().map(|key| {
                short(api::KEY_PARAMETER, &key)?;
                Ok((scope.clone(), key.into()))
            });
            wanted.collect()
        };
        send(&access, wanted(request)).await
    };
    answer(read.await)
}

/// The key to read in several requests.
#[derive(Deserialize)]
pub(super) struct Across {
    key: String,
}

/// Answers with the values of one key in the order of the requests, each after its length.
pub(super) async fn read_across(
    State(access): State<Arc<StateAccess>>,
    Extension(Caller(function)): Extension<Caller>,
    Parameters(Across { key }): Parameters<Across>,
    request: Request,
) -> Response {
    let read = async {
        short(api::KEY_PARAMETER, &key)?;
        let key: Arc<str> = key.into();
        let wanted = async |request| {
            let StateScopes { requests } = read_list(request, "requests").await?;
            few(requests.len(), "requests")?;
            let wanted = requests.into_iter().map(|scope| {
                let scope = Named::new(scope.flow, scope.request).scope(Caller(function.clone()))?;
                Ok((Arc::new(scope), key.clone()))
            });
            wanted.collect()
        };
        send(&access, wanted(request)).await
    };
    answer(read.await)
}

/// Values to read: the request and the key of each.
type Wanted = VecDeque<(Arc<Scope>, Arc<str>)>;

/// Begins the answer with the values.
async fn send(
    access: &Arc<StateAccess>,
    wanted: impl Future<Output = Result<Wanted, Box<Response>>>,
) -> Result<Response, Box<Response>> {
    let turn = turn(&access.store).await?;
    let mut values = Values { access: access.clone(), wanted: wanted.await?, file: None };
    // Until the first part is sent, the status can still report an error.
    let first = values.next().await.map_err(|error| failed(&error))?.unwrap_or_default();
    drop(turn);
    let rest = stream::try_unfold(values, async |mut values| {
        let part = values.next().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(part.map(|part| (part, values)))
    });
    let first = stream::once(std::future::ready(Ok::<_, io::Error>(first)));
    let mut response = Response::new(Body::from_stream(futures_util::StreamExt::chain(first, rest)));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// The values that are still to be sent.
struct Values {
    access: Arc<StateAccess>,
    wanted: Wanted,
    /// The file that is being sent, and how much of it is left, in bytes.
    file: Option<(File, u64)>,
}

impl Values {
    /// The next part of the answer.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some((mut file, left)) = self.file.take() {
            let mut part = vec![0; usize::try_from(left).unwrap_or(INLINE).min(INLINE)];
            let read = file.read(&mut part).await.map_err(StoreError::io)?;
            if read == 0 {
                return Err(StoreError::storage("the file of a value is cut short"));
            }
            part.truncate(read);
            self.file = Some((file, left - read as u64)).filter(|(_, left)| *left > 0);
            return Ok(Some(part.into()));
        }
        if self.wanted.is_empty() {
            return Ok(None);
        }
        let wanted = self.wanted.iter().take(KEYS_AT_ONCE).cloned().collect();
        let found = self.access.store.get_some(wanted, BYTES_AT_ONCE).await?;
        let mut part = BytesMut::new();
        for content in found {
            let Some((scope, key)) = self.wanted.pop_front() else { break };
            let bytes = match content {
                None => None,
                Some(Content::Inline(bytes)) => Some(ValueBytes::Inline(bytes)),
                Some(Content::File { .. }) => self.access.store.get(&scope, &key).await?.map(|value| value.bytes),
            };
            match bytes {
                None => part.put_u64(ABSENT),
                Some(ValueBytes::Inline(bytes)) => {
                    part.put_u64(bytes.len() as u64);
                    part.put_slice(&bytes);
                }
                Some(ValueBytes::File { file, length }) => {
                    part.put_u64(length);
                    self.file = Some((file, length)).filter(|(_, length)| *length > 0);
                    break;
                }
            }
        }
        Ok(Some(part.freeze()))
    }
}

/// Reads the body, which has the list `what`.
async fn read_list<T: DeserializeOwned>(request: Request, what: &str) -> Result<T, Box<Response>> {
    let (parts, mut body) = request.into_parts();
    match read_body(&mut body, KEYS_BODY, PATIENCE).await {
        Ok(read) => {
            serde_json::from_slice(&read).map_err(|error| bad(format!("the body is not a list of {what}: {error}")))
        }
        Err(error) => {
            drain(&parts.headers, body).await;
            Err(bad(format!("the body cannot be read: {}", chain(&error))))
        }
    }
}

/// Refuses a list that is too long.
fn few(count: usize, what: &str) -> Result<(), Box<Response>> {
    if count <= api::MOST_KEYS {
        return Ok(());
    }
    Err(bad(format!("the body has {count} {what}, and at most {} are read at once", api::MOST_KEYS)))
}

pub(super) fn bad(text: String) -> Box<Response> {
    Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_API_BODY, text))
}
