//! Modifiers over HTTP: what they take, what they return, and what becomes of the bytes.

use std::sync::{Arc, Mutex};

use faasflow::bytes::Bytes;
use faasflow::{Context, Error, Flow, FlowBuilder, FromContext, Json, Payload, Query, RequestState, Result};
use faasflow_testkit::{Fake, Running, TestKit};
use serde::{Deserialize, Serialize};

async fn start(flow: FlowBuilder) -> Running {
    let kit = TestKit::new(flow.build().unwrap());
    kit.function("a", Fake::echo()).function("b", Fake::echo()).start().await
}

#[derive(Deserialize, Serialize)]
struct User {
    id: u64,
    name: String,
}

#[tokio::test]
async fn typed_payloads_are_read_and_written_with_their_content_types() {
    let flow = Flow::builder().modify(async |Json(mut user): Json<User>| {
        user.name = user.name.to_uppercase();
        Json(user)
    });
    let kit = start(flow.apply("a").modify(async |text: String| text)).await;
    // The largest number that is none as a float.
    let answer = kit.request(r#"{"id":18446744073709551615,"name":"ada"}"#).answer().await;
    assert_eq!(answer.text(), r#"{"id":18446744073709551615,"name":"ADA"}"#);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(kit.calls("a")[0].header("content-type"), Some("application/json"));
    for bad in ["", "{}", "{\"id\":-1,\"name\":\"x\"}", "<xml/>"] {
        let answer = kit.request(bad).answer().await;
        assert_eq!(answer.status, 500);
        assert_eq!(answer.json::<serde_json::Value>()["reason"], "its input is not the JSON that it expects", "{bad}");
    }
}

#[tokio::test]
async fn the_type_that_a_modifier_returns_sets_the_content_type() {
    let f = Flow::builder;
    for (flow, content_type, body) in [
        (f().modify(async |bytes: Bytes| bytes), Some("image/jpeg"), "photo"),
        (f().modify(async |payload: Payload| payload), Some("image/jpeg"), "photo"),
        (f().modify(async |_: ()| vec![b'x']), Some("application/octet-stream"), "x"),
        (f().modify(async |_: ()| "text"), Some("text/plain; charset=utf-8"), "text"),
        (f().modify(async |_: ()| Ok(Json([1, 2]))), Some("application/json"), "[1,2]"),
        (f().modify(async |_: ()| Payload::new("<a/>").with_content_type("text/xml")), Some("text/xml"), "<a/>"),
        (f().modify(async |_: ()| ()), None, ""),
    ] {
        let answer = start(flow).await.request("photo").header("content-type", "image/jpeg").answer().await;
        assert_eq!((answer.header("content-type"), answer.text().as_str()), (content_type, body));
    }
}

#[derive(Deserialize)]
struct Size {
    quality: u8,
    #[serde(default)]
    tag: Vec<String>,
}

/// An extractor of the user's own.
struct Tenant(String);

impl FromContext for Tenant {
    async fn from_context(context: &Context) -> Result<Tenant> {
        context.header("x-tenant").map(Tenant).ok_or_else(|| Error::refused("x-tenant is missing"))
    }
}

#[tokio::test]
async fn extractors_take_from_query_and_headers_in_every_phase_and_refuse_with_the_reason() {
    let flow = Flow::builder().apply("a").apply("b").modify(
        async |Query(size): Query<Size>, Tenant(tenant): Tenant, context: Context, text: String| {
            format!("{tenant} {} {:?} {} {} {text}", size.quality, size.tag, context.phase(), context.flow_name())
        },
    );
    let kit = start(flow).await;
    let request = || kit.request("x").query("tag", "a b").query("tag", "ä");
    let end = request().query("quality", "80").header("X-Tenant", "t").send().await;
    assert_eq!(end.text(), r#"t 80 ["a b", "ä"] 2 flow x"#);
    let reason = async |request: faasflow_testkit::Request<'_>| {
        let end: serde_json::Value = request.send().await.json();
        end["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(request().query("quality", "80")).await, "x-tenant is missing");
    let refusal = reason(request().query("quality", "900").header("x-tenant", "t")).await;
    assert!(refusal.starts_with("the query is not valid: quality: "), "{refusal}");
    assert!(reason(request()).await.contains("missing field `quality`"));
}

#[derive(Deserialize)]
struct Progress {
    seen: u64,
    first: String,
    note: Option<String>,
}

#[tokio::test]
async fn state_of_any_type_comes_back_in_a_later_phase() {
    let flow = Flow::builder()
        .modify(async |context: Context, text: String| {
            context.set("seen", u64::MAX).await?;
            context.set("first", &text).await?;
            context.set("removed", "early").await?;
            context.set_bytes("raw", b"\xff\0".to_vec()).await?;
            Ok(text)
        })
        .apply("a")
        .modify(async |context: Context, _: ()| context.remove("removed").await)
        .apply("b")
        .modify(async |RequestState(progress): RequestState<Progress>, context: Context, _: ()| {
            let Progress { seen, first, note } = progress;
            let raw = context.get_bytes("raw").await?;
            let removed: Option<String> = context.get("removed").await?;
            Ok(format!("{} {first} {note:?} {raw:?} {removed:?}", seen == u64::MAX))
        });
    assert_eq!(start(flow).await.request("x").send().await.text(), r#"true x None Some(b"\xff\0") None"#);
}

#[tokio::test]
async fn bytes_are_handed_from_step_to_step_and_through_the_state_without_a_copy() {
    let places: Arc<Mutex<Vec<usize>>> = Arc::default();
    let note = {
        let places = places.clone();
        move |context: Context, photo: Bytes| {
            let places = places.clone();
            async move {
                let stored = context.get_bytes("photo").await?.unwrap_or_else(|| photo.clone());
                places.lock().unwrap().extend([photo.as_ptr().addr(), stored.as_ptr().addr()]);
                context.set_bytes("photo", stored).await?;
                Ok(photo)
            }
        }
    };
    let kit = TestKit::define(|url| {
        let flow = Flow::builder().modify(note.clone()).callback(format!("{url}/callback/storage"));
        flow.modify(async |payload: Payload| payload).modify(note).build().unwrap()
    });
    let kit = kit.start().await;
    let photo = vec![7; 1 << 20];
    assert_eq!(kit.request(photo.clone()).answer().await.body, photo);
    assert_eq!(kit.calls("callback/storage")[0].body, photo);
    let places = places.lock().unwrap();
    assert_eq!(places.len(), 4);
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
}
