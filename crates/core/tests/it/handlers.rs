//! What modifiers can take and return, and what state and errors do for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::{
    Action, Call, CallResponse, Callback, Context, Error, Failure, Flow, FromContext, Handler, Json, Outcome, Payload,
    Query, RequestState, Resolution, Result, StatusCode, failure::FailureKind,
};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

async fn run<M, H: Handler<M>>(handler: H, context: &Context, payload: Payload) -> Result<Payload> {
    handler.call(context.clone(), payload).await
}

#[tokio::test]
async fn bytes_that_are_handed_on_keep_their_content_type_and_new_ones_have_none() {
    let context = Context::for_test("");
    let photo = Payload::new("photo").with_content_type("image/jpeg");
    let same = run(async |photo: Bytes| photo, &context, photo.clone()).await.unwrap();
    assert_eq!(same.content_type(), Some("image/jpeg"));
    let new = run(async |_: Bytes| vec![1u8, 2], &context, photo.clone()).await.unwrap();
    assert_eq!(new.content_type(), None);
    let text = run(async |_: ()| "text".to_owned(), &context, photo.clone()).await.unwrap();
    assert_eq!(text.content_type(), Some("text/plain; charset=utf-8"));
    let json = run(async |_: ()| Json(1), &context, photo).await.unwrap();
    assert_eq!((json.content_type(), &**json.bytes()), (Some("application/json"), b"1".as_slice()));
}

#[derive(Deserialize)]
struct Size {
    quality: u8,
    #[serde(default)]
    tag: Vec<String>,
}

struct Tenant(String);

impl FromContext for Tenant {
    async fn from_context(context: &Context) -> Result<Tenant> {
        context.query("tenant").map(Tenant).ok_or_else(|| Error::refused("who are you?"))
    }
}

#[tokio::test]
async fn extractors_come_before_the_payload() {
    async fn handler(Tenant(tenant): Tenant, Query(size): Query<Size>, context: Context, text: String) -> String {
        format!("{tenant} {} {:?} {} {text}", size.quality, size.tag, context.phase())
    }
    let context = Context::for_test("tenant=t%20t&quality=80&tag=a&tag=b");
    let made = run(handler, &context, Payload::new("in")).await.unwrap();
    assert_eq!(made.bytes(), "t t 80 [\"a\", \"b\"] 1 in");

    let refused = run(handler, &Context::for_test("tenant=t&quality=900"), Payload::new("in")).await.unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains("quality"), "{refused}");
    let refused = run(handler, &Context::for_test(""), Payload::new("in")).await.unwrap_err();
    assert_eq!(refused.public_reason(), Some("who are you?"));
}

fn failure() -> Failure {
    Failure::new(1, 2, "function `f`".into(), FailureKind::Timeout(Duration::from_secs(1)), Payload::new("in"))
}

#[tokio::test]
async fn extractors_come_before_a_failure() {
    async fn decide(
        Tenant(tenant): Tenant,
        Query(size): Query<Size>,
        context: Context,
        failure: Failure,
    ) -> Resolution {
        failure.recover(format!("{tenant} {} {} {}", size.quality, context.phase(), failure.step()))
    }
    let flow = Flow::builder().apply(Call::new("f").on_failure(decide)).on_failure(decide).build().unwrap();
    let Action::Call(call) = flow.steps()[0].action() else { panic!("it is a call") };
    for handler in [flow.failure_handler().unwrap(), call.options().on_failure().unwrap()] {
        let resolution = handler(Context::for_test("tenant=t&quality=80"), failure()).await.unwrap();
        assert!(matches!(resolution, Resolution::Recovered(made) if made.bytes() == "t 80 1 function `f`"));
        let refused = handler(Context::for_test("quality=80"), failure()).await.unwrap_err();
        assert_eq!(refused.public_reason(), Some("who are you?"), "the handler is not run");
    }
}

#[tokio::test]
async fn extractors_come_before_an_outcome_and_are_not_needed() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (both, one) = (told.clone(), told.clone());
    // Neither closure can be cloned, nor is it async itself.
    let (guard, other) = (Mutex::new(()), Mutex::new(()));
    let tells = Flow::builder().apply("f").finally(move |Tenant(tenant): Tenant, outcome: Outcome| {
        drop(guard.lock());
        both.lock().unwrap().push(format!("{tenant} {outcome}"));
        std::future::ready(())
    });
    let tells_less = Flow::builder().apply("f").finally(move |outcome: Outcome| {
        drop(other.lock());
        one.lock().unwrap().push(outcome.to_string());
        std::future::ready(Ok::<(), Error>(()))
    });
    for flow in [tells, tells_less] {
        let flow = flow.build().unwrap();
        flow.finaliser().unwrap()(Context::for_test("tenant=t"), Outcome::Success).await.unwrap();
    }
    assert_eq!(*told.lock().unwrap(), ["t success", "success"]);
}

#[tokio::test]
async fn extractors_come_before_an_answer_whose_content_type_is_kept() {
    async fn read(Query(size): Query<Size>, answer: CallResponse) -> Bytes {
        assert_eq!(size.quality, 80);
        answer.into_payload().bytes().clone()
    }
    let flow = Flow::builder().callback(Callback::new("storage.io").on_response(read)).build().unwrap();
    let Action::Callback(callback) = flow.steps()[0].action() else { panic!("it is a callback") };
    let head = [(CONTENT_TYPE, "image/jpeg".parse().unwrap())].into_iter().collect();
    let answer = CallResponse::new(StatusCode::OK, head, Bytes::from_static(b"photo"));
    let made = callback.options().on_response().unwrap()(Context::for_test("quality=80"), answer).await.unwrap();
    assert_eq!((made.content_type(), &**made.bytes()), (Some("image/jpeg"), b"photo".as_slice()));
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Progress {
    seen: u64,
    note: Option<String>,
}

#[tokio::test]
async fn state_comes_back_as_the_type_asked_for() {
    let context = Context::for_test("");
    context.set("seen", u64::MAX).await.unwrap();
    context.set("least", i64::MIN).await.unwrap();
    context.set("share", 0.1f64).await.unwrap();
    context.set("raw", Bytes::from_static(b"\xff\0")).await.unwrap();
    assert_eq!(context.get::<u64>("seen").await.unwrap(), Some(u64::MAX));
    assert_eq!(context.get::<i64>("least").await.unwrap(), Some(i64::MIN));
    assert_eq!(context.get::<f64>("share").await.unwrap(), Some(0.1));
    assert_eq!(context.get_bytes("raw").await.unwrap().unwrap(), &b"\xff\0"[..]);
    assert_eq!(context.get::<Bytes>("raw").await.unwrap().unwrap(), &b"\xff\0"[..]);
    assert_eq!(context.embedded_state()["raw"].bytes.len(), 2, "bytes are kept raw");
    assert_eq!(context.get::<u64>("absent").await.unwrap(), None);

    let wrong = context.get::<String>("seen").await.unwrap_err().to_string();
    assert!(wrong.starts_with("state `seen` holds a JSON number, not a `alloc::string::String`"), "{wrong}");
    let wrong = context.get_bytes("seen").await.unwrap_err().to_string();
    assert_eq!(wrong, "state `seen` holds JSON, not raw bytes: read it with `get`");
    let wrong = context.get::<u64>("raw").await.unwrap_err().to_string();
    assert_eq!(wrong, "state `raw` holds 2 raw bytes, not a `u64`: read it with `get_bytes`");

    let RequestState(progress) = RequestState::<Progress>::from_context(&context).await.unwrap();
    assert_eq!(progress, Progress { seen: u64::MAX, note: None });
    context.remove("seen").await.unwrap();
    let missing = format!("{:#}", RequestState::<Progress>::from_context(&context).await.unwrap_err());
    assert!(missing.contains("missing field `seen`"), "{missing}");
}

#[test]
fn the_reason_of_a_failure_holds_no_internal_text() {
    let failure = |error: Error| {
        faasflow_core::Failure::new(1, 2, "modifier `m`".into(), FailureKind::Handler(error.into()), Payload::empty())
    };
    let internal = failure(std::io::Error::other("password=hunter2").into());
    assert_eq!(internal.reason(), "it returned an error");
    assert!(internal.to_string().contains("hunter2"), "the log gets all of it");
    let public = failure(Error::refused("too dark").context("password=hunter2"));
    assert_eq!(public.reason(), "too dark");
    let panic = FailureKind::Panic("password=hunter2".into());
    let panic = faasflow_core::Failure::new(1, 2, "m".into(), panic, Payload::empty());
    assert_eq!(panic.reason(), "it panicked");
}

#[test]
fn queries_are_encoded_and_appended() {
    let flow = Flow::builder()
        .apply(
            faasflow_core::Call::new("f")
                .query("a b", "1&2=3/ä")
                .query("a b", "again")
                .query_with("token", |context| context.query("token"))
                .query_with("absent", |context| context.query("absent"))
                .query_with("number", Context::phase),
        )
        .build()
        .unwrap();
    let Action::Call(call) = flow.steps()[0].action() else { panic!("it is a call") };
    let context = Context::for_test("token=t%26");
    let own = "a+b=1%262%3D3%2F%C3%A4&a+b=again&token=t%26&number=1";
    assert_eq!(call.options().query(None, &context).as_deref(), Some(own));
    assert_eq!(call.options().query(Some("id=3"), &context).unwrap(), format!("id=3&{own}"));
}

#[tokio::test]
async fn what_may_be_absent_is_an_option_and_what_may_be_wrong_a_result() {
    async fn handler(
        size: Option<Query<Size>>,
        progress: Option<RequestState<Progress>>,
        tenant: Result<Tenant>,
        _: (),
    ) -> String {
        let quality = size.map(|Query(size)| size.quality);
        let seen = progress.map(|RequestState(progress)| progress.seen);
        format!("{quality:?} {seen:?} {:?}", tenant.map(|Tenant(tenant)| tenant).map_err(|error| error.to_string()))
    }
    let context = Context::for_test("");
    let made = run(handler, &context, Payload::empty()).await.unwrap();
    assert_eq!(made.bytes(), r#"None None Err("who are you?")"#);

    let context = Context::for_test("tenant=t&quality=80");
    context.set("seen", 3).await.unwrap();
    let made = run(handler, &context, Payload::empty()).await.unwrap();
    assert_eq!(made.bytes(), r#"Some(80) Some(3) Ok("t")"#);

    let wrong = run(handler, &Context::for_test("quality=900"), Payload::empty()).await.unwrap_err();
    assert!(wrong.is_refusal(), "what is there and wrong is no absence: {wrong}");
    context.remove("seen").await.unwrap();
    context.set("note", "half of it").await.unwrap();
    let wrong = format!("{:#}", run(handler, &context, Payload::empty()).await.unwrap_err());
    assert!(wrong.contains("missing field `seen`"), "{wrong}");
}
