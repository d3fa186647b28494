//! Requests that do not move, because their envelopes are lost or have become dead letters.

use super::*;

/// The process that executes what was recovered ends each time, and the queue loses the envelope each time.
#[tokio::test]
async fn what_is_lost_again_is_recovered_again() {
    let same = phases(&["one", "two", "three"]).build().unwrap();
    let kit = remembering(chain()).function("two", Fake::hanging()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "r").answer().await;
    for round in 1..=3 {
        kit.lose_queue();
        let told = did(&kit, "/_/recover?older=0s&force=true").await;
        assert_eq!(told["recovered"], json!([{ "id": "r", "tokens": 1 }]), "round {round}: {told}");
        kit.release_queue();
        kit.until_called("two", round).await;
        kit.hold_queue();
        match round {
            2 => kit.deploy(same.clone()).await,
            _ => kit.crash().await,
        }
        kit.until_queued(1).await;
    }
    assert_eq!(status(&kit, "r").await["status"], "running");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 3, 0]);
}

/// One branch of each request is a dead letter, so their joins wait.
#[tokio::test]
async fn requests_that_wait_for_a_dead_letter_are_listed_and_can_be_recovered_or_stopped() {
    const REQUESTS: usize = 20;
    let mends = Arc::new(AtomicUsize::new(0));
    let mended = mends.clone();
    let busy = Fake::with(move |call| match mended.load(SeqCst) {
        // The pause is longer than a phase may wait, so the queue delivers it again.
        0 => Reply::new("the password of the database").status(503).header("retry-after", "3600"),
        _ => Reply::new(call.text()),
    });
    let branches = ["one", "two"].map(|name| (name, Flow::builder().apply(name)));
    let kit = remembering(Flow::builder().state(Memory::new()).parallel(branches)).function("two", busy).start().await;
    for number in 0..REQUESTS {
        kit.request("1").header("x-faasflow-request-id", format!("d{number}")).answer().await;
    }
    // An envelope is delivered 50 times.
    kit.until_called("two", 50 * REQUESTS).await;
    let calls = || ["one", "two"].map(|name| kit.calls(name).len());
    let listed: Value = asked(&kit, Method::GET, "/_/requests?status=running&limit=1000").await.json();
    assert_eq!(listed["requests"].as_array().unwrap().len(), REQUESTS);
    let told = status(&kit, "d0").await;
    let waits = told["places"].as_array().unwrap().iter().find(|place| place["path"][0] == "two").unwrap();
    assert_eq!((&waits["status"], waits["attempts"].as_u64() >= Some(10)), (&json!("retrying"), true), "{told}");
    assert!(waits["reason"]["text"].as_str().unwrap().contains("answered 503"), "{told}");
    assert!(!told.to_string().contains("password"), "a caller reads what a function has answered: {told}");

    for number in 0..REQUESTS / 2 {
        assert_eq!(did(&kit, &format!("/_/requests/d{number}/stop")).await["status"], "stopped");
    }
    mends.fetch_add(1, SeqCst);
    let told = did(&kit, "/_/recover?older=0s&force=true").await;
    assert_eq!(told["recovered"].as_array().unwrap().len(), REQUESTS / 2, "{told}");
    for number in REQUESTS / 2..REQUESTS {
        let result = waited(&kit, &format!("/_/requests/d{number}/result")).await;
        assert_eq!((result.status.as_u16(), result.text().as_str()), (200, r#"{"one":1,"two":1}"#));
    }
    assert_eq!(calls(), [REQUESTS, 50 * REQUESTS + REQUESTS / 2]);
}
