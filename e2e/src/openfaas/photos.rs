//! The photo pipeline, synchronous and asynchronous.

use std::sync::Arc;

use super::invocations::PATIENCE;
use super::stand::Stand;
use crate::photos::{is_jpeg, photo};
use crate::suite::{Suite, expect};

/// Each photo, and how its request must end.
const PHOTOS: [(&str, bool); 4] =
    [("portrait.jpg", true), ("portrait-bw.jpg", true), ("two-faces.jpg", false), ("rocket.jpg", false)];

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("the photo pipeline, synchronously", synchronous(stand.clone())).await;
    suite.check("the photo pipeline, asynchronously", asynchronous(stand.clone())).await;
}

async fn synchronous(stand: Arc<Stand>) -> Result<(), String> {
    for (name, succeeds) in PHOTOS {
        let target = format!("upload-pipeline?file={name}");
        let answer = stand.invoke("function", &target, &[("content-type", "image/jpeg")], photo(name)?).await?;
        let came_out = answer.status.is_success() && is_jpeg(&answer.body);
        expect(came_out == succeeds, || format!("{name}: {} {}", answer.status, answer.text()))?;
    }
    Ok(())
}

async fn asynchronous(stand: Arc<Stand>) -> Result<(), String> {
    for (name, succeeds) in PHOTOS {
        stand.recorder.clear();
        let callback = stand.recorder.url("report");
        let headers = [("content-type", "image/jpeg"), ("x-faasflow-callback-url", callback.as_str())];
        let target = format!("upload-pipeline-async?file={name}");
        stand.invoke("async-function", &target, &headers, photo(name)?).await?.expect(202)?;
        let end = stand.recorder.until("report", 1, PATIENCE).await?.remove(0);
        let outcome = end.header("x-faasflow-outcome").unwrap_or_default().to_owned();
        expect((outcome == "success") == succeeds, || format!("{name}: {outcome}"))?;
        if succeeds {
            let stored = stand.get(&format!("{}/function/file-storage/{name}", stand.url)).await?.expect(200)?;
            expect(is_jpeg(&stored.body), || format!("{name}: what file-storage has is no JPEG"))?;
        }
    }
    Ok(())
}
