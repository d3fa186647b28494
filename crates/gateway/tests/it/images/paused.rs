//! Paused containers, which accept connections but do not answer.

use super::*;

async fn two() -> (Stand, Vec<String>) {
    let stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({ "labels": { "com.openfaas.scale.min": "2" } })).await;
    available(&stand.fixture, 2).await;
    let ids = stand.engine.inside().containers.keys().cloned().collect();
    (stand, ids)
}

/// Every second request hung.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_container_gets_no_requests_until_it_is_unpaused() {
    for podman in [false, true] {
        let (stand, ids) = two().await;
        stand.engine.inside().podman = podman;
        stand.engine.inside().paused.insert(ids[0].clone());
        available(&stand.fixture, 1).await;
        assert_eq!(stand.fixture.post("/function/f", "").await.text(), "answer");
        stand.engine.inside().paused.clear();
        available(&stand.fixture, 2).await;
        assert_eq!(stand.engine.inside().containers.keys().cloned().collect::<Vec<_>>(), ids, "none was replaced");
        stand.fixture.gateway.stop().await;
        assert!(stand.engine.inside().containers.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_learn_that_all_containers_are_paused() {
    let (stand, ids) = two().await;
    stand.engine.inside().paused.extend(ids);
    available(&stand.fixture, 0).await;
    let got = stand.fixture.post("/function/f", "").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(got.text().contains("is paused; unpause it"), "{}", got.text());
    assert!(stand.fixture.get("/system/logs?name=f").await.text().contains("gateway: its container `faasflow-f-"));
    // A container that ends while it is paused is replaced.
    let ended = stand.engine.inside().containers.keys().next().unwrap().clone();
    stand.engine.inside().paused.remove(&ended);
    stand.engine.inside().containers.get_mut(&ended).unwrap().1 = false;
    available(&stand.fixture, 1).await;
    assert!(!stand.engine.inside().containers.contains_key(&ended));
    stand.fixture.gateway.stop().await;
}
