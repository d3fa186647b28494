//! Reads the progress of a pull.

use bollard::errors::Error;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;

/// The longest line that is read, in bytes. Messages that matter are shorter.
const LONGEST_LINE: usize = 64 << 10;

/// A line of the progress. Only failures matter.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Step {
    error: Option<String>,
    error_detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    message: Option<String>,
}

/// Waits for the end of a pull.
///
/// # Errors
///
/// If the pull failed, with the engine's message.
pub(crate) async fn finish(mut progress: Incoming) -> Result<(), Error> {
    let mut line = Vec::new();
    while let Some(frame) = progress.frame().await {
        let part = frame?.into_data().unwrap_or_default();
        for piece in part.split_inclusive(|&byte| byte == b'\n') {
            let room = LONGEST_LINE - line.len();
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                step(&line)?;
                line.clear();
            }
        }
    }
    step(&line)
}

fn step(line: &[u8]) -> Result<(), Error> {
    let Step { error, error_detail } = serde_json::from_slice(line).unwrap_or_default();
    let detail = error_detail.and_then(|detail| detail.message);
    match detail.or(error).filter(|error| !error.is_empty()) {
        Some(error) => Err(Error::DockerStreamError { error }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_found_under_either_name() {
        for line in [
            r#"{"progressDetail":{},"errorDetail":{"message":"denied"},"error":"denied"}"#,
            r#"{"error":"denied"}"#,
            r#"{"errorDetail":{"message":"denied"}}"#,
        ] {
            assert!(matches!(step(line.as_bytes()), Err(Error::DockerStreamError { error }) if error == "denied"));
        }
        for line in [r#"{"status":"Pulling"}"#, "", "{\"status\":", r#"{"error":""}"#] {
            assert!(step(line.as_bytes()).is_ok(), "{line}");
        }
    }
}
