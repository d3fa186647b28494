//! The envelope: golden files, round trips, and everything that is none.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::envelope::{Branching, Carried, Envelope, EnvelopeError, List, Origin, Reference, Terms};
use faasflow_core::graph::Place;
use faasflow_core::signature::Keys;
use faasflow_core::state::StateValue;
use faasflow_core::{Flow, Payload, Policy, RequestId, RequestInfo, TraceContext};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

fn envelope(query: &str, headers: &[(String, Vec<u8>)], payload: &[u8], state: &[(String, Vec<u8>)]) -> Envelope {
    let flow = Flow::builder().apply("f").apply("g").build().unwrap();
    let plan = flow.plan();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        map.append(HeaderName::try_from(format!("x-{name}")).unwrap(), value);
    }
    Envelope {
        request: Arc::new(RequestInfo {
            id: RequestId::parse("request-1").unwrap(),
            flow: "photos".into(),
            query: query.to_owned(),
            headers: map,
            callback_url: Some("http://example.com/back?a=b".parse().unwrap()),
            trace: TraceContext { parent: Some("00-1-2-01".into()), state: None },
            started_ms: 1_700_000_000_000,
            invocation: None,
        }),
        place: plan.segment(&plan.start()).unwrap().next().unwrap().clone(),
        fingerprint: plan.fingerprint(),
        ahead: None,
        shape: plan.shape().to_owned(),
        sent_ms: 1_700_000_000_001,
        payload: Payload::new(payload.to_vec()).with_content_type("image/jpeg").into(),
        state: state.iter().map(|(key, value)| (key.clone(), StateValue::raw(value.clone().into()))).collect(),
        branching: None,
    }
}

fn sample() -> Envelope {
    let headers = [("a".to_owned(), b"\xff1".to_vec()), ("a".to_owned(), b"2".to_vec())];
    envelope("q=1&q=%20", &headers, b"\xff\xd8payload", &[("raw-image".to_owned(), vec![0, 255, 10])])
}

fn assert_same(one: &Envelope, two: &Envelope) {
    let (a, b) = (&one.request, &two.request);
    assert_eq!((&a.id, &a.flow, &a.query, &a.headers), (&b.id, &b.flow, &b.query, &b.headers));
    assert_eq!((&a.callback_url, &a.trace, a.started_ms), (&b.callback_url, &b.trace, b.started_ms));
    assert_eq!(a.invocation, b.invocation);
    assert_eq!((&one.place, one.fingerprint, one.sent_ms), (&two.place, two.fingerprint, two.sent_ms));
    assert_eq!((&one.payload, &one.state, &one.shape), (&two.payload, &two.state, &two.shape));
    assert_eq!((one.ahead, &one.branching), (two.ahead, &two.branching));
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/envelope-v1.bin");

/// Version 1 as it was first written. It must be read for ever, and is still written to the byte.
#[test]
fn the_golden_file_of_version_1() {
    let golden = Bytes::from(std::fs::read(GOLDEN).unwrap());
    assert_same(&Envelope::decode(&golden).unwrap(), &sample());
    // To write a file for a new version: `sample().encode().to_bytes()`, once, beside this one.
    assert_eq!(sample().encode().to_bytes(), golden);
}

/// The same request inside a for-each inside a graph, in its second generation.
fn sample_of_branches() -> Envelope {
    let list = List { sha256: "ab".repeat(32), per_chunk: 32, generation: 0, labels_per_chunk: 0 };
    let graph =
        Terms { members: 2, policy: Policy::Failures(0), at_most: 2, list: None, seen: 1, due_ms: None, label: None };
    let items = Terms {
        members: 10_000,
        policy: Policy::Successes(3),
        at_most: 16,
        list: Some(list),
        seen: 400,
        due_ms: None,
        label: None,
    };
    let place = Place::from(1).member(1, &Place::from(3)).member(416, &Place::from(4)).in_generation(1);
    Envelope {
        place,
        payload: Payload::empty().into(),
        branching: Some(Branching { origin: Origin::Item, joins: vec![graph, items] }),
        ahead: Some(sample().fingerprint),
        ..sample()
    }
}

const GOLDEN_OF_BRANCHES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/envelope-v2.bin");

/// Version 2 as it was first written. It must stay readable forever.
#[test]
fn the_golden_file_of_version_2() {
    let golden = Bytes::from(std::fs::read(GOLDEN_OF_BRANCHES).unwrap());
    assert_same(&Envelope::decode(&golden).unwrap(), &sample_of_branches());
    assert_eq!(sample_of_branches().encode().to_bytes(), golden);
}

#[test]
fn a_join_travels_with_its_terms() {
    let terms =
        Terms { members: 0, policy: Policy::Settled, at_most: 1, list: None, seen: 0, due_ms: None, label: None };
    for entry in [None, Some(7)] {
        let origin = Origin::Join { terms: terms.clone(), entry };
        let envelope = Envelope { branching: Some(Branching { origin, joins: Vec::new() }), ..sample() };
        assert_same(&Envelope::decode(&envelope.encode().to_bytes()).unwrap(), &envelope);
    }
    let bad = with_header(&sample_of_branches().encode().to_bytes(), |header| header["joins"] = serde_json::json!([]));
    assert!(matches!(Envelope::decode(&bad), Err(EnvelopeError::Malformed(_))), "each branch has a join");
    let odd = with_header(&sample().encode().to_bytes(), |header| {
        header["position"]["path"] = serde_json::json!([{ "fork": 1, "index": 1 }]);
    });
    assert_same(&Envelope::decode(&odd).unwrap(), &sample());
}

/// Puts another header into an encoded envelope.
fn with_header(encoded: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Bytes {
    let length = u32::from_be_bytes(encoded[10..14].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&encoded[14..14 + length]).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let mut changed = encoded[..10].to_vec();
    changed.extend_from_slice(&u32::try_from(header.len()).unwrap().to_be_bytes());
    changed.extend_from_slice(&header);
    changed.extend_from_slice(&encoded[14 + length..]);
    changed.into()
}

#[test]
fn unknown_fields_are_ignored_and_unknown_places_of_bytes_are_not() {
    let encoded = sample().encode().to_bytes();
    let more = with_header(&encoded, |header| header["from-the-future"] = serde_json::json!({ "a": [1] }));
    assert_same(&Envelope::decode(&more).unwrap(), &sample());
    let elsewhere = with_header(&encoded, |header| header["payload"] = serde_json::json!({ "elsewhere": 3 }));
    assert!(matches!(Envelope::decode(&elsewhere), Err(EnvelopeError::Header(_))));
}

/// Two callers may choose the same id: what they store is apart all the same, in every phase.
#[test]
fn requests_of_the_same_id_have_scopes_of_their_own() {
    let with = |invocation: Option<&str>| {
        let envelope = sample();
        let request = RequestInfo { invocation: invocation.map(str::to_owned), ..(*envelope.request).clone() };
        Envelope { request: request.into(), ..envelope }
    };
    let scope = |envelope: &Envelope| Envelope::decode(&envelope.encode().to_bytes()).unwrap().request.scope();
    let [none, one, two] = [None, Some("1"), Some("2")].map(with);
    assert_eq!(scope(&none).request, "request-1");
    assert_eq!(scope(&one), one.request.scope());
    assert!(scope(&one) != scope(&two) && scope(&one) != scope(&none));
}

/// A payload that a state manager keeps: the reference travels in the signed header, and what is found is compared.
#[test]
fn a_stored_payload_travels_as_a_reference() {
    let payload = Payload::new(vec![7; 1000]).with_content_type("image/jpeg");
    let reference = Reference::to(&payload, 2);
    assert!(reference.key().starts_with("payload/2-"), "{}", reference.key());
    let sent = Envelope { payload: Carried::Stored(reference.clone()), ..sample() };
    let encoded = sent.encode().to_bytes();
    assert!(encoded.len() < 1000, "{}", encoded.len());
    assert_same(&Envelope::decode(&encoded).unwrap(), &sent);

    assert_eq!(reference.check(payload.bytes().clone()).unwrap(), payload);
    let cut = reference.check(payload.bytes().slice(..999)).unwrap_err();
    assert!(cut.to_string().contains("1000 bytes"), "{cut}");
    let mut other = payload.bytes().to_vec();
    other[500] = 8;
    assert!(reference.check(other.into()).is_err());
    let bad = with_header(&encoded, |header| header["payload"]["stored"]["sha256"] = serde_json::json!("12"));
    assert!(matches!(Envelope::decode(&bad), Err(EnvelopeError::Malformed(_))));
    let elsewhere = serde_json::json!({ "stored": { "key": "k", "bytes": 1, "sha256": "0".repeat(64) } });
    let bad = with_header(&sample().encode().to_bytes(), |header| header["state"][0]["value"] = elsewhere);
    assert!(matches!(Envelope::decode(&bad), Err(EnvelopeError::Malformed(_))));
}

#[test]
fn an_unknown_version_is_refused() {
    let mut encoded = sample().encode().to_bytes().to_vec();
    encoded[9] = 3;
    assert!(matches!(Envelope::decode(&encoded.into()), Err(EnvelopeError::Version(3))));
}

#[test]
fn absurd_lengths_are_refused() {
    let encoded = sample().encode().to_bytes();
    for length in [u32::MAX, 1 << 31, 1 << 20] {
        let mut absurd = encoded.to_vec();
        absurd[10..14].copy_from_slice(&length.to_be_bytes());
        assert!(Envelope::decode(&absurd.into()).is_err());
    }
    for length in [u64::MAX, u64::MAX - 8, 1 << 40] {
        let absurd = with_header(&encoded, |header| header["payload"] = serde_json::json!({ "inline": length }));
        assert!(matches!(Envelope::decode(&absurd), Err(EnvelopeError::Malformed(_))));
    }
}

/// Defect 14: positions of -1 and 99 brought the original down.
#[test]
fn defect_14_a_position_that_is_none_is_refused_or_not_of_the_plan() {
    let encoded = sample().encode().to_bytes();
    for phase in [-1i64, i64::MAX] {
        let bad = with_header(&encoded, |header| header["position"]["phase"] = serde_json::json!(phase));
        assert!(matches!(Envelope::decode(&bad), Err(EnvelopeError::Header(_))));
    }
    let flow = Flow::builder().apply("f").apply("g").build().unwrap();
    for phase in [0u32, 3, 99, u32::MAX] {
        let odd = with_header(&encoded, |header| header["position"]["phase"] = serde_json::json!(phase));
        let place = Envelope::decode(&odd).unwrap().place;
        assert_eq!(flow.plan().segment(&place), None, "{phase}");
    }
}

/// Defect 15: base64 inside JSON, and again by the queue, made 191 kB of 256.
#[test]
fn defect_15_an_envelope_is_hardly_larger_than_what_it_carries() {
    let state = [("kept".to_owned(), vec![7; 100_000])];
    let encoded = envelope("", &[], &[0xff; 150_000], &state).encode();
    assert!(encoded.len() < 250_000 + 1000, "{}", encoded.len());
}

proptest! {
    #[test]
    fn an_envelope_comes_back_as_it_was(
        query in ".{0,40}",
        headers in proptest::collection::vec(("[a-z]{1,8}", proptest::collection::vec(0x20u8..=0x7e, 0..20)), 0..5),
        odd in proptest::collection::vec(0x80u8..=0xff, 1..20),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        state in proptest::collection::btree_map(".{0,12}", proptest::collection::vec(any::<u8>(), 0..50), 0..5),
    ) {
        let mut headers = headers;
        headers.push(("odd".to_owned(), odd));
        let state: Vec<_> = state.into_iter().collect();
        let sent = envelope(&query, &headers, &payload, &state);
        assert_same(&Envelope::decode(&sent.encode().to_bytes()).unwrap(), &sent);
    }

    #[test]
    fn any_changed_byte_fails_verification(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let keys = Keys::parse("key").unwrap();
        let mut body = sample().encode().to_bytes().to_vec();
        let signature = keys.sign([body.as_slice()]);
        prop_assert!(keys.verify(Some(signature.as_bytes()), &body).is_ok());
        let at = at.index(body.len());
        body[at] ^= flip;
        prop_assert!(keys.verify(Some(signature.as_bytes()), &body).is_err());
    }

    #[test]
    fn anything_else_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Envelope::decode(&bytes.clone().into()).is_err());
        let mut like = b"FAASFLOW\0\x01".to_vec();
        like.extend(bytes);
        let _ = Envelope::decode(&like.into());
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let encoded = sample().encode().to_bytes();
    let of_branches = sample_of_branches().encode().to_bytes();
    for length in 0..of_branches.len() {
        assert!(Envelope::decode(&of_branches.slice(..length)).is_err(), "{length}");
    }
    for length in 0..encoded.len() {
        assert!(Envelope::decode(&encoded.slice(..length)).is_err(), "{length}");
    }
    let mut longer = encoded.to_vec();
    longer.push(0);
    assert!(matches!(Envelope::decode(&longer.into()), Err(EnvelopeError::Malformed(_))));
}
