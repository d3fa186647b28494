//! Podman's differences from Docker, as observed with version 4.3.

use super::*;
use crate::support::engine::PODMAN_BRIDGE;

/// A gateway with an engine that is Podman from the start.
async fn podman() -> Stand {
    let Stand { fixture, engine, inside, _listening } = stand(None).await;
    fixture.gateway.stop().await;
    engine.inside().podman = true;
    let fixture = gateway(fixture.folder, &engine.socket).await;
    Stand { fixture, engine, inside, _listening }
}

/// The error said that Podman is not a container engine, because bollard does not know the word `stopped`.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_container_is_reported() {
    let stand = podman().await;
    deployed(&stand.fixture, Method::POST, json!({ "labels": { "com.openfaas.scale.min": "2" } })).await;
    available(&stand.fixture, 2).await;
    let id = stand.engine.inside().containers.keys().next().unwrap().clone();
    stand.engine.inside().containers.get_mut(&id).unwrap().1 = false;
    let how = until("its end", async || {
        let events = stand.fixture.events.lock().unwrap();
        let mut exited = events.iter().filter_map(|event| match event {
            Event::Exited { how, .. } => Some(how.clone()),
            _ => None,
        });
        exited.next()
    })
    .await;
    assert!(how.starts_with("it ended with status 3"), "{how}");
    available(&stand.fixture, 2).await;
    stand.fixture.gateway.stop().await;
}

/// The list of all containers could not be read because of one that had just ended.
#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_found_among_containers_that_have_just_ended() {
    let Stand { fixture, engine, inside: _, _listening } = podman().await;
    deployed(&fixture, Method::POST, json!({})).await;
    available(&fixture, 1).await;
    let made = engine.inside().containers.values().next().unwrap().0.clone();
    fixture.gateway.stop().await;
    engine.inside().containers.insert("left".to_owned(), (made, false));
    let fixture = gateway(fixture.folder, &engine.socket).await;
    until("removal", async || (!engine.inside().containers.contains_key("left")).then_some(())).await;
    fixture.gateway.stop().await;
}

/// Podman before 4.8 does not know `host-gateway`, and has no bridge before the first container.
#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn containers_reach_the_gateway_by_the_address_of_a_bridge_that_does_not_exist_yet() {
    let stand = podman().await;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    available(&stand.fixture, 1).await;
    let made = stand.engine.inside().containers.values().next().unwrap().0.clone();
    assert_eq!(made["HostConfig"]["ExtraHosts"], json!([format!("host.docker.internal:{PODMAN_BRIDGE}")]));
    let port = stand.fixture.gateway.address().port();
    let variable = format!("gateway=host.docker.internal:{port}");
    assert!(made["Env"].as_array().unwrap().iter().any(|found| *found == json!(variable)), "{made}");
    let store = format!("state_gateway_url=http://host.docker.internal:{port}");
    assert!(made["Env"].as_array().unwrap().iter().any(|found| *found == json!(store)), "{made}");
    let listens = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    assert!(listens.contains(&format!("016433C6:{port:04X}")), "nobody listens at {PODMAN_BRIDGE}:{port}");
    stand.fixture.gateway.stop().await;
}

/// Podman makes health checks with systemd. Without it, the container never became ready.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_health_checks_by_the_engine_is_ready_when_it_answers() {
    let stand = podman().await;
    stand.inside.answers("/_/health", &[404]);
    {
        let mut engine = stand.engine.inside();
        engine.images.insert("f:1".to_owned(), vec!["CMD".to_owned(), "check".to_owned()]);
        engine.health = Some(json!({ "Status": "starting", "FailingStreak": 0, "Log": null }));
    }
    let begun = Instant::now();
    deployed(&stand.fixture, Method::POST, json!({})).await;
    available(&stand.fixture, 1).await;
    assert!(begun.elapsed() > Duration::from_secs(10), "the first check was waited for");
    assert!(stand.fixture.get("/system/logs?name=f").await.text().contains("the health check (every 1s)"));
    stand.fixture.gateway.stop().await;
}
