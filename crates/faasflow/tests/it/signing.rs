//! Who is believed: keys, their rotation, and fresh requests that must be signed too.

use faasflow::Flow;
use faasflow_testkit::{Fake, Running, TestKit};

/// A flow of two phases whose secret holds these keys.
async fn with_keys(keys: &str, settings: &[(&str, &str)]) -> (Running, tempfile::TempDir) {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("faasflow-hmac-secret"), keys).unwrap();
    let flow = Flow::builder().apply("a").apply("b").build().unwrap();
    let kit = TestKit::new(flow).function("a", Fake::echo()).function("b", Fake::echo());
    let kit = kit.setting("secret_mount_path", secrets.path().to_str().unwrap());
    let kit = settings.iter().fold(kit, |kit, (name, value)| kit.setting(*name, *value));
    (kit.start().await, secrets)
}

/// The envelope of a request to `kit`, held back in its queue.
async fn envelope(kit: &Running) -> (http::HeaderMap, faasflow::bytes::Bytes) {
    kit.hold_queue();
    assert_eq!(kit.request("payload").answer().await.status, 202);
    kit.until_queued(1).await;
    kit.queued().remove(0)
}

#[tokio::test]
async fn replacing_a_key_loses_no_request() {
    // The steps of a rotation: the old key alone, the new one added below, moved to the top, alone.
    let mut flows = Vec::new();
    for keys in ["old", "old\nnew", "new\nold", "new"] {
        flows.push(with_keys(keys, &[]).await.0);
    }
    // An envelope is received by the same deployment, or by the one before or after it.
    for (sender, receiver) in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)] {
        let (headers, body) = envelope(&flows[sender]).await;
        let answer = flows[receiver].request(body).headers(headers).answer().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "payload"), "{sender} to {receiver}");
    }
    let (headers, body) = envelope(&flows[0]).await;
    assert_eq!(flows[3].request(body).headers(headers).answer().await.status, 401, "the old key is done with");
}

#[tokio::test]
async fn white_space_around_keys_is_ignored() {
    let (kit, _secrets) = with_keys("\r\n  the key of the test kit \r\n\n", &[("verify_request", "true")]).await;
    assert_eq!(kit.request("payload").signed().send().await.text(), "payload");
}

#[tokio::test]
async fn with_verify_request_a_fresh_request_needs_a_signature_too() {
    let keys = "new\nthe key of the test kit";
    let (kit, _secrets) = with_keys(keys, &[("verify_request", "true")]).await;
    for refused in [
        kit.request("payload"),
        kit.request("payload").header("x-hub-signature", "sha256="),
        kit.request("payload").header("x-hub-signature", format!("sha256={}", "0".repeat(64))),
    ] {
        assert_eq!(refused.answer().await.status, 401);
    }
    assert!(kit.calls("a").is_empty());
    // With any of the keys, and through all phases.
    assert_eq!(kit.request("payload").signed().send().await.text(), "payload");
    for call in ["a", "b"].map(|name| kit.calls(name).remove(0)) {
        assert_eq!(call.header("x-hub-signature"), None, "it was the request's, not the function's");
    }
}

#[tokio::test]
async fn without_verify_request_the_signature_of_a_fresh_request_is_ignored() {
    let (kit, _secrets) = with_keys("key", &[]).await;
    let end = kit.request("payload").header("x-hub-signature", "nonsense").send().await;
    assert_eq!(end.text(), "payload");
}

#[tokio::test]
async fn a_flow_of_one_phase_needs_no_key_and_takes_no_envelope() {
    let empty = tempfile::tempdir().unwrap();
    let flow = Flow::builder().apply("a").build().unwrap();
    let kit = TestKit::new(flow).function("a", Fake::echo());
    let kit = kit.setting("secret_mount_path", empty.path().to_str().unwrap()).start().await;
    assert_eq!(kit.request("payload").answer().await.text(), "payload");
    let refused = kit.request("").header("content-type", "application/vnd.faasflow.envelope").signed().answer().await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json::<serde_json::Value>()["reason"], "this flow has no key, so it accepts no envelopes");
}

#[tokio::test]
async fn with_signing_off_envelopes_go_unsigned() {
    let (kit, _secrets) = with_keys("key", &[("enable_hmac", "false")]).await;
    let (headers, body) = envelope(&kit).await;
    assert!(!headers.contains_key("x-hub-signature"));
    assert_eq!(kit.request(body).headers(headers).answer().await.text(), "payload");
}

/// One key signs envelopes and fresh requests: an envelope must not pass for a fresh request.
#[tokio::test]
async fn an_envelope_under_another_content_type_is_refused() {
    let (kit, _secrets) = with_keys("key", &[("verify_request", "true")]).await;
    kit.hold_queue();
    let body = faasflow::bytes::Bytes::from_static(b"payload");
    let signature = faasflow_core::signature::Keys::parse("key").unwrap().sign([&body[..]]);
    let begun = kit.request(body).header("x-hub-signature", signature).answer().await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    kit.until_queued(1).await;
    let (mut headers, envelope) = kit.queued().remove(0);
    headers.insert("content-type", "application/octet-stream".parse().unwrap());
    let refused = kit.request(envelope).headers(headers).answer().await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(kit.calls("a").len(), 1);
}
