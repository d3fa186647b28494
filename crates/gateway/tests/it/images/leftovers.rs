//! Engines that stop, lose answers or cannot remove containers. The gateway removes every container that it left behind, and
//! never one that is not its own.

use super::*;

async fn serving() -> Stand {
    let stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    available(&stand.fixture, 1).await;
    stand
}

fn ids(engine: &FakeEngine) -> Vec<String> {
    engine.inside().containers.keys().cloned().collect()
}

/// Waits until another container serves the function, and this one is removed.
async fn replaced(stand: &Stand, id: &str) {
    until("another", async || {
        let ids = ids(&stand.engine);
        (ids.len() == 1 && ids[0] != id).then_some(())
    })
    .await;
    available(&stand.fixture, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_a_restart_of_their_engine() {
    let mut stand = serving().await;
    let before = ids(&stand.engine);
    stand.engine.go();
    // Long enough for the gateway to give up on the container and request another, as it used to do.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stand.fixture.post("/function/f", "").await.text(), "answer");
    stand.engine.come();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((ids(&stand.engine), stand.engine.inside().made), (before.clone(), 1));
    // The gateway watches it again.
    stand.engine.inside().containers.get_mut(&before[0]).unwrap().1 = false;
    replaced(&stand, &before[0]).await;
    stand.fixture.gateway.stop().await;
    assert!(ids(&stand.engine).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_ended_with_their_engine_are_replaced() {
    for removed in [false, true] {
        let mut stand = serving().await;
        let id = ids(&stand.engine).remove(0);
        stand.engine.go();
        if removed {
            stand.engine.inside().containers.clear();
        } else {
            stand.engine.inside().containers.get_mut(&id).unwrap().1 = false;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        stand.engine.come();
        replaced(&stand, &id).await;
        stand.fixture.gateway.stop().await;
        assert!(ids(&stand.engine).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_waits_for_an_engine_that_does_not_answer() {
    let mut stand = stand(None).await;
    deployed(&stand.fixture, Method::POST, json!({ "labels": { "com.openfaas.scale.min": "0" } })).await;
    stand.engine.go();
    let got = stand.fixture.post("/function/f", "").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(got.text().contains("does not answer"), "{}", got.text());
    stand.engine.come();
    available(&stand.fixture, 1).await;
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_creation_was_not_confirmed_is_removed() {
    let stand = stand(None).await;
    stand.engine.inside().loses_answers = true;
    deployed(&stand.fixture, Method::POST, json!({})).await;
    until("some", async || (stand.engine.inside().made > 1).then_some(())).await;
    stand.engine.inside().loses_answers = false;
    available(&stand.fixture, 1).await;
    until("one", async || (ids(&stand.engine).len() == 1).then_some(())).await;
    stand.fixture.gateway.stop().await;
    assert!(ids(&stand.engine).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_could_not_be_removed_is_removed_later() {
    let stand = serving().await;
    let id = ids(&stand.engine).remove(0);
    stand.engine.inside().stuck.insert(id.clone());
    assert_eq!(scale(&stand.fixture, 0).await.status, StatusCode::ACCEPTED);
    until("the stop", async || stand.engine.inside().stopped.contains(&id).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ids(&stand.engine), [id]);
    stand.engine.inside().stuck.clear();
    until("none", async || ids(&stand.engine).is_empty().then_some(())).await;
    stand.fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_cannot_be_stopped_is_removed() {
    let stand = serving().await;
    stand.engine.inside().cannot_stop = true;
    assert_eq!(scale(&stand.fixture, 0).await.status, StatusCode::ACCEPTED);
    until("none", async || ids(&stand.engine).is_empty().then_some(())).await;
    stand.fixture.gateway.stop().await;
}

/// Returns the container of a gateway that was killed, and the gateway after its next start.
async fn killed() -> (Fixture, FakeEngine, Value, TestServer) {
    let Stand { fixture, engine, inside: _, _listening } = serving().await;
    let made = engine.inside().containers.values().next().unwrap().0.clone();
    fixture.gateway.stop().await;
    let Fixture { folder, .. } = fixture;
    // Its function no longer exists, and it is still removed.
    std::fs::remove_file(folder.path().join(".faasflow/functions/f.json")).unwrap();
    engine.inside().containers.insert("left".to_owned(), (made.clone(), true));
    let mut other = made.clone();
    other["Labels"]["faasflow.gateway"] = "another".into();
    engine.inside().containers.insert("another".to_owned(), (other, true));
    let fixture = gateway(folder, &engine.socket).await;
    (fixture, engine, made, _listening)
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_killed_gateway_are_removed_and_those_of_others_are_not() {
    let (fixture, engine, _, _listening) = killed().await;
    until("removal", async || (!ids(&engine).contains(&"left".to_owned())).then_some(())).await;
    assert_eq!(ids(&engine), ["another"]);
    fixture.gateway.stop().await;
    assert_eq!(ids(&engine), ["another"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_that_cannot_be_removed_keeps_no_function_from_running() {
    let Stand { fixture, engine, inside: _, _listening } = serving().await;
    let made = engine.inside().containers.values().next().unwrap().0.clone();
    fixture.gateway.stop().await;
    {
        let mut inside = engine.inside();
        inside.stuck.insert("left".to_owned());
        inside.containers.insert("left".to_owned(), (made, true));
    }
    let fixture = gateway(fixture.folder, &engine.socket).await;
    fixture.gateway.ready().await.unwrap();
    assert_eq!(fixture.post("/function/f", "").await.text(), "answer");
    assert_eq!(ids(&engine).len(), 2);
    engine.inside().stuck.clear();
    until("removal", async || (ids(&engine).len() == 1).then_some(())).await;
    fixture.gateway.stop().await;
    assert!(ids(&engine).is_empty());
}

/// The gateway does not rely on the engine's filter. A container must have the label, and a name that this gateway gave.
#[tokio::test(flavor = "multi_thread")]
async fn only_containers_that_are_certainly_ours_are_removed() {
    let Stand { fixture, engine, inside: _, _listening } = serving().await;
    let made = engine.inside().containers.values().next().unwrap().0.clone();
    fixture.gateway.stop().await;
    {
        let mut inside = engine.inside();
        let mut add = |id: &str, name: &str, owner: Value| {
            let mut made = made.clone();
            made["Name"] = name.into();
            made["Labels"]["faasflow.gateway"] = owner;
            inside.containers.insert(id.to_owned(), (made, true));
        };
        let owner = &made["Labels"]["faasflow.gateway"];
        add("left", made["Name"].as_str().unwrap(), owner.clone());
        // A container of an image that was committed from one of ours has our label.
        add("committed", "busy_turing", owner.clone());
        add("similar", "faasflow-f-mine", owner.clone());
        add("another", "faasflow-f-00000001", "another".into());
        add("bare", "faasflow-f-00000002", Value::Null);
        let bare = &mut inside.containers.get_mut("bare").unwrap().0;
        bare["Labels"].as_object_mut().unwrap().remove("faasflow.gateway");
        let list = inside.containers.iter().map(|(id, (made, _))| crate::support::engine::summary(id, made)).collect();
        inside.lists = Some(list);
    }
    let fixture = gateway(fixture.folder, &engine.socket).await;
    fixture.gateway.ready().await.unwrap();
    until("removal", async || (!ids(&engine).contains(&"left".to_owned())).then_some(())).await;
    fixture.gateway.stop().await;
    assert_eq!(ids(&engine), ["another", "bare", "committed", "similar"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_an_identity_gets_one() {
    let Stand { fixture, engine, inside: _, _listening } = serving().await;
    fixture.gateway.stop().await;
    let file = fixture.folder.path().join(".faasflow/containers-id");
    // A full disk can leave this. With an empty identity, all containers without one would count as ours.
    std::fs::write(&file, "").unwrap();
    let fixture = gateway(fixture.folder, &engine.socket).await;
    fixture.gateway.ready().await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().next().unwrap().len(), 32);
    fixture.gateway.stop().await;
}
