//! Several values in one answer, which is sent while it is read.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use faasflow_admin::state::ABSENT;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::{Caller, Named, Parameters, StateAccess, answer, failed, read_keys, turn};
use crate::store::{Content, INLINE, Scope, StoreError, Stored};

/// How many keys, and about how many bytes of values, are read at a time.
const KEYS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 256 << 10;

/// Answers with the values in the order of the keys, each after its length.
pub(super) async fn read(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<Named>,
    request: Request,
) -> Response {
    let read = async {
        let scope = named.scope(caller)?;
        let (parts, body) = request.into_parts();
        let turn = turn(&access.store).await?;
        let keys = read_keys(&parts.headers, body).await?;
        let mut values = Values { access: access.clone(), scope, keys: keys.into(), file: None };
        // An error of the first values can still be told by the status.
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
    };
    answer(read.await)
}

/// The values that are still to be sent.
struct Values {
    access: Arc<StateAccess>,
    scope: Scope,
    keys: VecDeque<String>,
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
        if self.keys.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = self.keys.iter().take(KEYS_AT_ONCE).cloned().collect();
        let found = self.access.store.get_some(self.scope.clone(), keys, BYTES_AT_ONCE).await?;
        let mut part = BytesMut::new();
        for value in found {
            match value.map(|Stored { content, .. }| content) {
                None => part.put_u64(ABSENT),
                Some(Content::Inline(value)) => {
                    part.put_u64(value.len() as u64);
                    part.put_slice(&value);
                }
                Some(Content::File { number, length }) => {
                    let Some(file) = self.access.store.open_file(number).await? else {
                        // It was replaced in the meantime: read this key again.
                        return Ok(Some(part.freeze()));
                    };
                    part.put_u64(length);
                    self.keys.pop_front();
                    self.file = Some((file, length)).filter(|(_, length)| *length > 0);
                    return Ok(Some(part.freeze()));
                }
            }
            self.keys.pop_front();
        }
        Ok(Some(part.freeze()))
    }
}
