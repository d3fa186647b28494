//! Engines that accept requests but do not answer.

use super::*;
use futures_util::future::join_all;

/// How long the gateway may take to stop while the engine does not answer. It used to take 21 seconds.
const STOPS: Duration = Duration::from_secs(16);

async fn stops(fixture: Fixture) {
    let begun = Instant::now();
    fixture.gateway.stop().await;
    assert!(begun.elapsed() < STOPS, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_gives_up_on_an_engine_that_does_not_answer() {
    let stand = stand(None).await;
    stand.engine.inside().slow = true;
    let must = json!({ "annotations": { "faasflow.run": "container" } });
    let got = deploy(&stand.fixture, Method::POST, must).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(got.text().contains("did not answer within 5s"), "{}", got.text());
    stand.fixture.gateway.stop().await;
}

/// Each task waited for the earlier ones, and then as long for the engine.
#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_that_wait_for_an_engine_give_up_together() {
    let stand = stand(None).await;
    stand.engine.inside().slow = true;
    let must = json!({ "annotations": { "faasflow.run": "container" } });
    let begun = Instant::now();
    let answers = join_all((0..6).map(|_| deploy(&stand.fixture, Method::POST, must.clone()))).await;
    assert!(answers.iter().all(|got| got.status == StatusCode::SERVICE_UNAVAILABLE));
    // One after the other, they would take half a minute.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    stops(stand.fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_being_created_does_not_keep_the_gateway_from_stopping() {
    let stand = stand(None).await;
    stand.engine.inside().hangs_at_making = true;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    until("a container", async || (!stand.engine.inside().containers.is_empty()).then_some(())).await;
    let Stand { fixture, engine, inside: _, _listening } = stand;
    stops(fixture).await;
    assert!(engine.inside().containers.is_empty(), "it was removed by its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_does_not_keep_the_gateway_from_stopping() {
    let Stand { fixture, engine, inside: _, _listening } = stand(None).await;
    deployed(&fixture, Method::POST, json!({})).await;
    available(&fixture, 1).await;
    engine.inside().slow = true;
    stops(fixture).await;
    assert_eq!(engine.inside().containers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_gives_up_on_many_containers_of_an_engine_that_hangs_at_once() {
    let Stand { fixture, engine, inside: _, _listening } = stand(None).await;
    deployed(&fixture, Method::POST, json!({ "labels": { "com.openfaas.scale.min": "12" } })).await;
    available(&fixture, 12).await;
    engine.inside().slow = true;
    stops(fixture).await;
}

/// All of the answer was read into memory.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_is_cut_off() {
    let stand = stand(None).await;
    stand.engine.inside().endless = true;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    let got = stand.fixture.post("/function/f", "").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(got.text().contains("its answer is larger than 16 MiB"), "{}", got.text());
    let (sent, made) = {
        let inside = stand.engine.inside();
        (inside.sent, inside.made)
    };
    assert!(sent / made < 24 << 20, "{sent} bytes for {made} containers");
    stand.engine.inside().endless = false;
    available(&stand.fixture, 1).await;
    stand.fixture.gateway.stop().await;
}
