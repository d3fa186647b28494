//! Helpers for both parts of the demo: the lines that flows log, headers, and durations.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use faasflow_core::duration;
use http::HeaderMap;
use http::header::AsHeaderName;

pub(super) type Lines = Arc<Mutex<Vec<String>>>;

/// What the flow logged for this request. The lines arrive through a pipe, so this waits briefly for the last one.
pub(super) async fn logged(id: &str, lines: &Lines) -> Vec<String> {
    let mark = format!("[Request `{id}`] ");
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let own: Vec<String> = {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().filter_map(|line| Some(line.split_once(&mark)?.1.to_owned())).collect()
        };
        if own.iter().any(|line| line.starts_with("Completed")) || Instant::now() > deadline {
            return own;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A header of an answer; empty if it is missing.
pub(super) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

pub(super) fn millis(took: Duration) -> String {
    duration::format(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)))
}
