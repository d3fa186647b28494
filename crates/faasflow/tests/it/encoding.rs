//! Bodies with a `Content-Encoding`: a payload never has one.

use std::io::Write as _;
use std::time::{Duration, Instant};

use faasflow::{Call, CallResponse, Callback, Context, Flow};
use faasflow_testkit::{Fake, Reply, TestKit};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::support::PATIENCE;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn answered(encoding: &str, body: Vec<u8>) -> Reply {
    Reply::new(body).header("content-encoding", encoding).header("content-type", "application/json")
}

fn answering(encoding: &str, body: Vec<u8>) -> Fake {
    Fake::answer(answered(encoding, body))
}

async fn answer(encoding: &str, body: Vec<u8>) -> faasflow_testkit::Answer {
    let flow = Flow::builder().apply("f").build().unwrap();
    let kit = TestKit::new(flow).function("f", answering(encoding, body)).setting("max_body", "1MiB").start().await;
    kit.request("x").answer().await
}

#[tokio::test]
async fn h10_an_encoded_answer_is_decoded() {
    let plain = answer("gzip", gzip(br#"{"a":1}"#)).await;
    assert_eq!((plain.status.as_u16(), &plain.body[..]), (200, &br#"{"a":1}"#[..]));
    assert_eq!(plain.headers["content-type"], "application/json");
    assert!(!plain.headers.contains_key("content-encoding"));
    assert_eq!(answer("gzip, x-gzip", gzip(&gzip(b"twice"))).await.body, "twice");
    assert_eq!(answer("identity", b"plain".to_vec()).await.body, "plain");
}

#[tokio::test]
async fn h10_an_answer_that_cannot_be_decoded_fails_and_says_why() {
    let bomb = gzip(&vec![0; 3 << 20]);
    let length = bomb.len();
    for (encoding, body, why) in [
        ("rot13", b"x".to_vec(), "its encoding is `rot13`, and only gzip, deflate, br, zstd can be decoded".to_owned()),
        ("gzip", b"plain".to_vec(), "it cannot be decoded as its `Content-Encoding` says".to_owned()),
        ("gzip", bomb, format!("its {length} bytes decode to more than 1048576 bytes; the setting is `max_body`")),
    ] {
        let failed = answer(encoding, body).await;
        assert_eq!(failed.status, 500);
        let problem: serde_json::Value = serde_json::from_slice(&failed.body).unwrap();
        let reason = problem["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("its answer cannot be used: {why}")), "{reason}");
    }
}

#[tokio::test]
async fn h10_callbacks_and_readers_of_answers_get_them_decoded() {
    let read = async |_: Context, response: CallResponse| {
        assert_eq!(response.header("content-encoding"), None);
        response.into_payload()
    };
    // The URL of the callback is known when the kit has an address.
    let flow = Flow::builder().apply(Call::new("f").on_response(read)).build().unwrap();
    let kit = TestKit::new(flow).function("f", answering("gzip", gzip(b"read"))).start().await;
    assert_eq!(kit.request("x").answer().await.body, "read");
    let there = TestKit::new(Flow::builder().apply("none").build().unwrap());
    let there = there.callback("storage", answering("gzip", gzip(b"stored"))).start().await;
    let callback = Callback::new(there.callback_url("storage")).on_response(read);
    let kit = TestKit::new(Flow::builder().callback(callback).build().unwrap()).start().await;
    assert_eq!(kit.request("x").answer().await.body, "stored");
}

#[tokio::test]
async fn h10_functions_are_asked_for_an_encoding_only_if_a_step_does_so() {
    let own = Call::new("own").header("accept-encoding", "gzip").sync();
    let flow = Flow::builder().apply("plain").apply(own).build().unwrap();
    let kit = TestKit::new(flow).function("plain", Fake::echo()).function("own", Fake::echo()).start().await;
    kit.request("x").header("accept-encoding", "br").answer().await;
    assert_eq!(kit.calls("plain")[0].header("accept-encoding"), Some("identity"));
    assert_eq!(kit.calls("own")[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn h10_the_body_of_a_fresh_request_is_decoded() {
    let flow = || Flow::builder().apply("f").build().unwrap();
    let kit = TestKit::new(flow()).function("f", Fake::echo()).setting("max_body", "1MiB").start().await;
    let request = |encoding: &str, body: Vec<u8>| kit.request(body).header("content-encoding", encoding);
    let plain = request("gzip", gzip(b"plain")).answer().await;
    assert_eq!((plain.status.as_u16(), &plain.body[..]), (200, &b"plain"[..]));
    assert_eq!(kit.calls("f")[0].header("content-encoding"), None);
    for (encoding, body, status) in
        [("rot13", b"x".to_vec(), 415), ("gzip", b"x".to_vec(), 400), ("gzip", gzip(&vec![0; 3 << 20]), 413)]
    {
        assert_eq!(request(encoding, body).answer().await.status, status, "{encoding}");
    }
    // A second header counts as the first does.
    let second = kit.request(gzip(b"two")).header("content-encoding", "identity").header("content-encoding", "gzip");
    assert_eq!(second.answer().await.body, "two");
    // What is signed is the body as it was sent.
    let kit = TestKit::new(flow()).function("f", Fake::echo()).setting("verify_request", "true").start().await;
    let signed = kit.request(gzip(b"signed")).header("content-encoding", "gzip").signed().answer().await;
    assert_eq!(signed.body, "signed");
}

/// `small` with a window of 16 MiB, as Node encodes it.
const WIDE_BROTLI: &[u8] = &[15, 2, 128, 115, 109, 97, 108, 108, 3];

#[tokio::test]
async fn h10_a_request_whose_decoder_has_no_room_should_be_retried() {
    let flow = Flow::builder().apply("f").build().unwrap();
    let fake = Fake::with(|call| Reply::new(call.body.clone()));
    let kit = TestKit::new(flow).function("f", fake).setting("max_inflight_bytes", "24MiB").start().await;
    kit.hold_function("f");
    let wide = async || kit.request(WIDE_BROTLI).header("content-encoding", "br").answer().await;
    let (first, refused) = tokio::join!(kit.request(vec![7; 1 << 20]).answer(), async {
        kit.until_called("f", 1).await;
        let refused = wide().await;
        kit.release_function("f");
        refused
    });
    assert_eq!(first.status, 200);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["x-faasflow-busy"], "true");
    assert!(refused.headers.contains_key("retry-after"));
    let alone = wide().await;
    assert_eq!((alone.status.as_u16(), &alone.body[..]), (200, &b"small"[..]));
}

#[tokio::test]
async fn h10_an_answer_whose_decoder_has_no_room_ends_nothing() {
    let flow = Flow::builder().apply("f").build().unwrap();
    let slow_answer = Fake::answer(answered("br", WIDE_BROTLI.to_vec())).slow(Duration::from_millis(500));
    let kit = TestKit::new(flow).function("f", slow_answer).setting("max_inflight_bytes", "24MiB");
    let kit = kit.setting("write_timeout", "4s").start().await;
    // What decodes the answer takes 20 MiB. Both bodies leave less, and one leaves enough: one request may give way.
    let answers = futures_util::future::join_all((0..2).map(|_| kit.request(vec![7; 4 << 20]).answer())).await;
    for answer in &answers {
        assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
        assert!(answer.status == 200 || answer.headers.contains_key("retry-after"), "{answer:?}");
    }
    assert_eq!(kit.request("x").answer().await.body, "small");
}

#[tokio::test]
async fn h10_a_decoder_that_never_has_room_fails_and_names_the_setting() {
    let flow = || Flow::builder().apply("f").build().unwrap();
    let fake = || Fake::answer(answered("br", WIDE_BROTLI.to_vec()));
    let kit = TestKit::new(flow()).function("f", fake()).setting("max_inflight_bytes", "8MiB").start().await;
    let request = kit.request(WIDE_BROTLI).header("content-encoding", "br").answer().await;
    assert_eq!(request.status, 413);
    assert!(String::from_utf8_lossy(&request.body).contains("the setting is `max_inflight_bytes`"), "{request:?}");
    let failed = kit.request("x").answer().await;
    assert_eq!(failed.status, 500);
    assert!(String::from_utf8_lossy(&failed.body).contains("the setting is `max_inflight_bytes`"), "{failed:?}");
    assert_eq!(kit.calls("f").len(), 1, "what cannot be decoded is not asked for again");
}

/// 10 MB that come to nothing, of 20 bytes each.
fn laborious() -> Vec<u8> {
    gzip(b"").repeat(500_000)
}

#[tokio::test]
async fn h10_decoding_ends_when_the_time_is_up_and_others_are_served_meanwhile() {
    let flow = || Flow::builder().apply("f").build().unwrap();
    let fake = Fake::answer(answered("gzip", laborious()));
    let kit = TestKit::new(flow()).function("f", fake).setting("write_timeout", "600ms").start().await;
    // A machine under load may take too long for sending it.
    let limit = Instant::now() + PATIENCE;
    let text = loop {
        let request = kit.request(laborious()).header("content-encoding", "gzip").answer().await;
        assert_eq!(request.status, 408);
        if !request.text().contains("did not arrive") || Instant::now() > limit {
            break request.text();
        }
    };
    assert!(text.contains("the body could not be decoded within 600ms; the setting is `write_timeout`"), "{text}");
    let failed = kit.request("x").answer().await;
    assert_eq!(failed.status, 500);
}
