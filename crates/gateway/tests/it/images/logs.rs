//! The logs of containers, also of those that never listen.

use super::*;
use crate::support::engine::frame;

async fn logged(fixture: &Fixture, text: &str) -> String {
    until(text, async || {
        let log = fixture.get("/system/logs?name=f").await.text().to_owned();
        log.contains(text).then_some(log)
    })
    .await
}

/// It was logged only when the container ended, which for a prompt or a progress bar may be never.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_is_logged_after_a_pause() {
    let stand = stand(None).await;
    let log = [frame(1, "whole\n"), frame(1, "half a li"), frame(1, "ne"), frame(2, "an error")].concat();
    stand.engine.inside().log = Some((log, true));
    deployed(&stand.fixture, Method::POST, json!({})).await;
    logged(&stand.fixture, "\"whole\"").await;
    logged(&stand.fixture, "\"half a line\"").await;
    logged(&stand.fixture, "\"an error\"").await;
    stand.fixture.gateway.stop().await;
}

/// Podman begins to answer as if there were a log. Its refusal was logged as a line of the function.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_engine_is_not_logged_as_a_line_of_the_function() {
    let stand = stand(None).await;
    let refusal = br#"{"cause":"unknown FS magic","message":"failed to obtain logs","response":500}"#;
    stand.engine.inside().log = Some((refusal.to_vec(), false));
    deployed(&stand.fixture, Method::POST, json!({})).await;
    available(&stand.fixture, 1).await;
    stand.engine.inside().containers.values_mut().for_each(|(_, runs)| *runs = false);
    available(&stand.fixture, 1).await;
    let log = stand.fixture.get("/system/logs?name=f").await.text().to_owned();
    assert!(!log.contains("unknown FS magic"), "{log}");
    stand.fixture.gateway.stop().await;
}

/// A frame may claim to have four gigabytes. No memory is reserved for it.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_frame_are_logged_as_they_arrive() {
    let stand = stand(None).await;
    let mut log = vec![1, 0, 0, 0, 255, 255, 255, 255];
    log.extend(b"a line of it\n");
    stand.engine.inside().log = Some((log, true));
    deployed(&stand.fixture, Method::POST, json!({})).await;
    logged(&stand.fixture, "a line of it").await;
    stand.fixture.gateway.stop().await;
}

/// The reason used to come after a minute.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_after_a_few_seconds_that_a_container_does_not_listen() {
    let stand = stand(None).await;
    stand.engine.inside().port = nowhere().port();
    stand.engine.inside().log = Some((frame(1, "reading the model"), true));
    deployed(&stand.fixture, Method::POST, json!({})).await;
    let begun = Instant::now();
    let log = logged(&stand.fixture, "nothing answers on port 8080 yet").await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(log.contains("its last line: reading the model"), "{log}");
    stand.fixture.gateway.stop().await;
}
