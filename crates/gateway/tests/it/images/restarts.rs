//! Containers that end, or never take requests.

use super::*;

/// It got requests until it was removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ended_gets_no_more_requests() {
    let stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({ "labels": { "com.openfaas.scale.min": "2" } })).await;
    available(&stand.fixture, 2).await;
    stand.engine.inside().removal = 10 * PATIENCE;
    let dead = stand.engine.inside().containers.keys().next().unwrap().clone();
    stand.engine.inside().containers.get_mut(&dead).unwrap().1 = false;
    // First only the other container serves, then a new one as well.
    available(&stand.fixture, 1).await;
    available(&stand.fixture, 2).await;
    assert!(stand.engine.inside().containers.contains_key(&dead), "it is being removed");
    stand.engine.inside().removal = Duration::ZERO;
    stand.fixture.gateway.stop().await;
    assert!(stand.engine.inside().containers.is_empty());
}

/// docs/reference/local-gateway.md says so. It was 500.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_container_that_has_ended_gets_502() {
    let Stand { fixture, engine: _engine, inside: _, _listening } = stand(None).await;
    deployed(&fixture, Method::POST, json!({})).await;
    available(&fixture, 1).await;
    drop(_listening);
    let got = until("the end of the connections", async || {
        let got = fixture.post("/function/f", "").await;
        (got.status != StatusCode::OK).then_some(got)
    })
    .await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY, "{}", got.text());
    let got = fixture.post("/function/f", "").await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY, "{}", got.text());
    assert_eq!(got.header("x-faasflow-gateway-error"), Some("function-unreachable"));
    assert!(got.text().contains("`f`") && got.text().contains("container"), "{}", got.text());
    fixture.gateway.stop().await;
}

/// The function did not run until it was deployed again.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_could_not_be_copied_are_copied_later() {
    let stand = stand(None).await;
    put_secret(&stand.fixture, Method::POST, "one").await;
    let mounts = stand.fixture.folder.path().join(".faasflow/mounts");
    std::fs::write(&mounts, "in the way").unwrap();
    deployed(&stand.fixture, Method::POST, json!({ "secrets": ["key"] })).await;
    let got = stand.fixture.post("/function/f", "").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(got.text().contains("secrets cannot be copied"), "{}", got.text());
    assert!(stand.fixture.gateway.ready().await.is_err());
    put_secret(&stand.fixture, Method::PUT, "two").await;
    std::fs::remove_file(&mounts).unwrap();
    available(&stand.fixture, 1).await;
    let made = stand.engine.inside().containers.values().next().unwrap().0.clone();
    assert_eq!(std::fs::read_to_string(mounted(&made).join("key")).unwrap(), "two");
    stand.fixture.gateway.stop().await;
}

/// Each container pulled the image separately.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_for_all_containers_of_a_function() {
    let Stand { fixture, engine, inside: _, _listening } = stand(None).await;
    fixture.gateway.stop().await;
    engine.inside().pull = Some(Duration::from_millis(500));
    write_stack(&fixture.folder, "f:\n  image: later:1\n  labels:\n    com.openfaas.scale.min: 5\n");
    let fixture = gateway(fixture.folder, &engine.socket).await;
    available(&fixture, 5).await;
    assert_eq!(engine.inside().pulls, 1);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_few_containers_are_created_at_the_same_time() {
    let stand = stand(None).await;
    let labels = |least: u32| json!({ "labels": { "com.openfaas.scale.min": least.to_string() } });
    let got = deploy(&stand.fixture, Method::POST, labels(1000)).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains("`com.openfaas.scale.min` is `1000`"), "{}", got.text());
    deployed(&stand.fixture, Method::POST, labels(20)).await;
    available(&stand.fixture, 20).await;
    let (making, at_once) = stand.engine.inside().making;
    assert!(making == 0 && (2..=4).contains(&at_once), "{at_once}");
    stand.fixture.gateway.stop().await;
    assert!(stand.engine.inside().containers.is_empty());
}
