//! Creates several values in one transaction.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use bytes::{Buf as _, Bytes};
use faasflow_admin::state::{KEY_PARAMETER, LARGEST_NEW_VALUE, LARGEST_NEW_VALUES, StateCreated};
use faasflow_core::chain;
use faasflow_http::{drain, read_body};

use super::access::{Caller, Named, PATIENCE, StateAccess, answer, short, turn};
use super::many::bad;
use crate::disk::store_answer as failed;
use crate::http::system::extract::Parameters;

/// Creates the values in their order, until the key of one exists. Answers with the number of values that were created.
pub(super) async fn create(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<Named>,
    request: Request,
) -> Response {
    let create = async {
        let (parts, mut body) = request.into_parts();
        let scope = named.scope(caller);
        let _turn = turn(&access.store).await?;
        let read = match scope {
            Ok(scope) => read_body(&mut body, LARGEST_NEW_VALUES as u64, PATIENCE)
                .await
                .map(|read| (scope, read))
                .map_err(|error| bad(format!("the body cannot be read: {}", chain(&error)))),
            Err(refusal) => Err(refusal),
        };
        let (scope, read) = match read {
            Ok(read) => read,
            Err(refusal) => {
                drain(&parts.headers, body).await;
                return Err(refusal);
            }
        };
        let values = pairs(read)?;
        let created = access.store.create(scope, values).await.map_err(|error| failed(&error))?;
        let mut answered = StateCreated::default();
        answered.created = created as u64;
        Ok(Json(answered).into_response())
    };
    answer(create.await)
}

/// The keys and values of a body.
fn pairs(mut body: Bytes) -> Result<Vec<(String, Bytes)>, Box<Response>> {
    let mut values = Vec::new();
    while !body.is_empty() {
        let (Some(key), Some(value)) = (part(&mut body), part(&mut body)) else {
            return Err(bad("the body is not a list of keys and values, each after its length of 8 bytes".to_owned()));
        };
        let Ok(key) = String::from_utf8(key.into()) else { return Err(bad("a key is not UTF-8".to_owned())) };
        short(KEY_PARAMETER, &key)?;
        if value.len() > LARGEST_NEW_VALUE {
            let text =
                format!("the value of `{key}` has {} bytes, and up to {LARGEST_NEW_VALUE} are taken here", value.len());
            return Err(bad(text));
        }
        values.push((key, value));
    }
    Ok(values)
}

/// The next key or value.
fn part(body: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(body.try_get_u64().ok()?).ok()?;
    (length <= body.len()).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_pairs() {
        let mut body = Vec::new();
        for text in ["a", "1", "b", ""] {
            body.extend_from_slice(&(text.len() as u64).to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        let read = |length: usize| pairs(Bytes::copy_from_slice(&body[..length]));
        let expected = [("a".to_owned(), Bytes::from("1")), ("b".to_owned(), Bytes::new())];
        assert_eq!(read(body.len()).unwrap(), expected);
        assert!(read(0).unwrap().is_empty());
        for cut in [1, 8, 9, 12, body.len() - 1] {
            assert_eq!(read(cut).unwrap_err().status(), http::StatusCode::BAD_REQUEST, "{cut}");
        }
    }
}
