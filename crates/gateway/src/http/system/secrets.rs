//! Creates, replaces and removes secrets. No answer contains their values.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faasflow_admin::{Secret, SecretName};
use faasflow_core::code::{self, Code};
use http::StatusCode;

use super::body;
use super::extract::Parameters;
use super::namespace::Namespace;
use crate::answer::refusal;
use crate::disk;
use crate::functions::container::Containers;
use crate::namespace::{NAMESPACE, check_namespace};
use crate::{private_file, secrets};

/// The folder of the secrets, and the containers that have them.
pub(crate) struct SecretFiles {
    pub(crate) folder: PathBuf,
    pub(crate) containers: Containers,
}

/// The file of a secret, if its name is valid.
fn path(secret: &Secret, folder: &Path) -> Result<PathBuf, (Code, String)> {
    check_namespace(secret.namespace.as_deref()).map_err(|why| (code::UNKNOWN_NAMESPACE, why))?;
    secrets::path(folder, &secret.name).map_err(|why| (code::BAD_SECRET, why))
}

/// The value. `rawValue` takes precedence, as on OpenFaaS.
fn bytes(secret: &Secret) -> Result<Vec<u8>, String> {
    match (secret.raw_value.as_deref().filter(|raw| !raw.is_empty()), &secret.value) {
        (Some(raw), _) => STANDARD.decode(raw).map_err(|_| "`rawValue` is not Base64".to_owned()),
        (None, Some(value)) => Ok(value.clone().into_bytes()),
        (None, None) => Err("the secret has no value: give `value` or `rawValue`".to_owned()),
    }
}

pub(super) async fn list(
    State(files): State<Arc<SecretFiles>>,
    Parameters(namespace): Parameters<Namespace>,
) -> Response {
    match secrets::names(&files.folder) {
        Ok(names) => {
            let names = namespace.only(|| names);
            let listed = |name| {
                let mut listed = SecretName::default();
                listed.name = name;
                listed.namespace = NAMESPACE.to_owned();
                listed
            };
            let names: Vec<_> = names.into_iter().map(listed).collect();
            Json(names).into_response()
        }
        Err(error) => {
            let text = format!("the secrets cannot be listed: {error}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, code::GATEWAY_FILE_UNREADABLE, text)
        }
    }
}

pub(super) async fn create(State(files): State<Arc<SecretFiles>>, body: Body) -> Response {
    write(&files, body, private_file::create).await
}

pub(super) async fn replace(State(files): State<Arc<SecretFiles>>, body: Body) -> Response {
    let replace = |path: &Path, bytes: &[u8]| {
        // If it is removed at the same time, the replacement may come later and wins.
        if path.is_file() { private_file::replace(path, bytes) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    write(&files, body, replace).await
}

pub(super) async fn remove(State(files): State<Arc<SecretFiles>>, body: Body) -> Response {
    let secret: Secret = match body::read_secret(body).await {
        Ok(secret) => secret,
        Err(response) => return *response,
    };
    match path(&secret, &files.folder) {
        Ok(path) => {
            let (containers, name) = (files.containers.clone(), secret.name.clone());
            let work = move || {
                let removed = private_file::remove(&path);
                if removed.as_ref().map_or_else(private_file::is_done, |()| true) {
                    containers.refresh(&name);
                }
                removed
            };
            done(secret.name, work).await
        }
        Err((code, why)) => refusal(StatusCode::BAD_REQUEST, code, why),
    }
}

async fn write(files: &SecretFiles, body: Body, write: fn(&Path, &[u8]) -> io::Result<()>) -> Response {
    let secret: Secret = match body::read_secret(body).await {
        Ok(secret) => secret,
        Err(response) => return *response,
    };
    let checked = path(&secret, &files.folder).and_then(|path| {
        let bytes = bytes(&secret).and_then(|bytes| secrets::check(&secret.name, &bytes).map(|()| bytes));
        Ok((path, bytes.map_err(|why| (code::BAD_SECRET, why))?))
    });
    match checked {
        Ok((path, bytes)) => {
            let (containers, name) = (files.containers.clone(), secret.name.clone());
            let work = move || {
                let written = write(&path, &bytes);
                if written.as_ref().map_or_else(private_file::is_done, |()| true) {
                    containers.refresh(&name);
                }
                written
            };
            done(secret.name, work).await
        }
        Err((code, why)) => refusal(StatusCode::BAD_REQUEST, code, why),
    }
}

/// Runs a change that waits for the disk. It is completed even if the client disconnects.
async fn done(name: String, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Response {
    let outcome = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    match outcome {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(error) => match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let text = format!("the secret `{name}` exists already: PUT replaces it");
                refusal(StatusCode::CONFLICT, code::SECRET_EXISTS, text)
            }
            io::ErrorKind::NotFound => {
                let text = format!("the secret `{name}` does not exist");
                refusal(StatusCode::NOT_FOUND, code::UNKNOWN_SECRET, text)
            }
            _ if private_file::is_done(&error) => {
                let text = format!(
                    "the secret `{name}` was changed, but the disk has not confirmed it, and may forget it if this machine \
                     stops: {error}"
                );
                tracing::error!("{text}");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, code::NOT_CONFIRMED, text)
            }
            _ => {
                let text = format!("the secret `{name}` was not changed: it cannot be written: {error}");
                disk::answer(disk::status(&error), code::STATE_FOLDER, text)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use faasflow_http::read_body;

    use super::*;

    #[tokio::test]
    async fn a_change_that_the_disk_does_not_confirm_is_not_reported_as_undone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let work = {
            let path = path.clone();
            move || private_file::faulty::during(|| private_file::create(&path, b"secret"))
        };
        let response = done("key".to_owned(), work).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let within = std::time::Duration::from_secs(60);
        let text = read_body(response.into_body(), 1 << 20, within).await.unwrap();
        assert!(text.starts_with(b"the secret `key` was changed, but the disk has not confirmed it"), "{text:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
    }
}
