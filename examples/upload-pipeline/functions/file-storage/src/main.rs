//! Keeps files by name: `POST /NAME` or `POST /?file=NAME` stores the body, `GET /NAME` serves it, `GET /` lists.
//!
//! The files are in the folder that the variable `storage_dir` names (default: `./storage`).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use function_server::Refusal;
use serde::Deserialize;

#[derive(Deserialize)]
struct Name {
    file: Option<String>,
}

/// The path of a file. Names that could lead out of the folder are refused: a name is one component of letters, digits,
/// `-`, `_`, `.` and spaces, does not begin with a dot, and is not that of a link.
fn locate(folder: &Path, name: &str) -> Result<PathBuf, Refusal> {
    let plain = name.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c));
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !plain {
        return Err(Refusal::bad(
            "a name has letters, digits, `-`, `_`, `.` and spaces, and begins with none of the dots",
        ));
    }
    let path = folder.join(name);
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Err(Refusal::bad("there is something of this name that is no file")),
        _ => Ok(path),
    }
}

/// Writes to a temporary file, flushes it and renames it, so that readers never see a part of the file.
fn store(folder: &Path, name: &str, body: &[u8]) -> Result<(), Refusal> {
    let path = locate(folder, name)?;
    let fault = |error: std::io::Error| Refusal(StatusCode::INSUFFICIENT_STORAGE, error.to_string());
    std::fs::create_dir_all(folder).map_err(fault)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fault)?;
    file.write_all(body).and_then(|()| file.as_file().sync_all()).map_err(fault)?;
    file.persist(path).map_err(|error| fault(error.error))?;
    Ok(())
}

async fn put(State(folder): State<PathBuf>, name: String, body: Bytes) -> Result<impl IntoResponse + use<>, Refusal> {
    let bytes = body.len();
    let stored = name.clone();
    tokio::task::spawn_blocking(move || store(&folder, &stored, &body)).await.map_err(Refusal::bad)??;
    Ok((StatusCode::CREATED, Json(serde_json::json!({ "name": name, "bytes": bytes }))))
}

async fn post_root(
    folder: State<PathBuf>,
    Query(Name { file }): Query<Name>,
    body: Bytes,
) -> Result<impl IntoResponse, Refusal> {
    let name = file.ok_or_else(|| Refusal::bad("name the file: POST /NAME or /?file=NAME"))?;
    put(folder, name, body).await
}

async fn post_name(
    folder: State<PathBuf>,
    UrlPath(name): UrlPath<String>,
    body: Bytes,
) -> Result<impl IntoResponse, Refusal> {
    put(folder, name, body).await
}

async fn read(State(folder): State<PathBuf>, UrlPath(name): UrlPath<String>) -> Result<impl IntoResponse, Refusal> {
    let path = locate(&folder, &name)?;
    let body = std::fs::read(&path).map_err(|_| Refusal(StatusCode::NOT_FOUND, format!("there is no `{name}`")))?;
    let content_type = match path.extension().and_then(|extension| extension.to_str()) {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Ok(([(CONTENT_TYPE, content_type)], body))
}

async fn list(State(folder): State<PathBuf>) -> Json<Vec<String>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Json(names)
}

fn routes(folder: PathBuf) -> Router {
    Router::new().route("/", get(list).post(post_root)).route("/{*name}", get(read).post(post_name)).with_state(folder)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let folder = std::env::var_os("storage_dir").map_or_else(|| PathBuf::from("storage"), PathBuf::from);
    function_server::serve(routes(folder)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path(), "a photo-1.jpg", b"one").unwrap();
        store(folder.path(), "a photo-1.jpg", b"two").unwrap();
        assert_eq!(std::fs::read(locate(folder.path(), "a photo-1.jpg").unwrap()).unwrap(), b"two");
    }

    #[test]
    fn tricks_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let long = "x".repeat(300);
        for name in [
            "",
            ".",
            "..",
            "../up",
            "/etc/passwd",
            "a/b",
            "a\\b",
            ".hidden",
            "nul\0",
            "%2e%2e",
            "link",
            "folder",
            &long,
        ] {
            assert!(store(folder.path(), name, b"x").is_err(), "{name:?}");
        }
    }
}
