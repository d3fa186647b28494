//! Finding requests by search keys, ids and labels.

use faasflow::{Error, Json, Scope, StateManager as _};
use faasflow_core::state::Status;

use super::*;
use crate::support::logs;

/// A flow whose requests have the search keys in the list that is their payload.
fn keyed(memory: &Memory) -> FlowBuilder {
    Flow::builder().state(memory.clone()).search_key(|Json(keys): Json<Vec<String>>| keys).apply("one")
}

async fn send(kit: &Running, id: &str, body: impl Into<String>) -> Answer {
    let answer = kit.request(body.into()).header("x-faasflow-request-id", id).answer().await;
    assert!(answer.status.is_success(), "{id}: {}", answer.text());
    answer
}

/// The ids of the requests that this query lists, and what of them matches.
async fn found(kit: &Running, query: &str) -> Vec<(String, Value)> {
    let list: Value = page(kit, query).await;
    assert_eq!(list["cursor"], Value::Null, "{list}");
    summaries(&list)
}

async fn page(kit: &Running, query: &str) -> Value {
    let answer = asked(kit, Method::GET, &format!("/_/requests?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn summaries(list: &Value) -> Vec<(String, Value)> {
    let requests = list["requests"].as_array().unwrap().iter();
    requests.map(|summary| (summary["id"].as_str().unwrap().to_owned(), summary["found"].clone())).collect()
}

fn ids(found: Vec<(String, Value)>) -> Vec<String> {
    found.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn requests_are_found_by_the_search_keys_that_their_flow_gives_them() {
    let kit = remembering(keyed(&Memory::new())).start().await;
    for (id, keys) in [("a", r#"["order-17","customer-5"]"#), ("b", r#"["order-18","customer-5"]"#), ("c", "[]")] {
        send(&kit, id, keys).await;
        // They began at different times.
        until(async || now_ms() > status(&kit, id).await["started_ms"].as_u64().unwrap()).await;
    }
    assert_eq!(status(&kit, "a").await["keys"], json!(["order-17", "customer-5"]));
    assert_eq!(status(&kit, "c").await.get("keys"), None);
    let by_key = |text: &str| json!({ "by": "key", "text": text });
    assert_eq!(found(&kit, "key=order-17").await, [("a".to_owned(), by_key("order-17"))]);
    assert_eq!(ids(found(&kit, "key=customer-5").await), ["b", "a"]);
    assert_eq!(ids(found(&kit, "key=customer-5&status=success").await), ["b", "a"]);
    assert_eq!(found(&kit, "key=customer-5&status=running").await, []);
    assert_eq!(found(&kit, "key=customer").await, []);
    let first = page(&kit, "key=customer-5&limit=1").await;
    assert_eq!(ids(summaries(&first)), ["b"]);
    let cursor = first["cursor"].as_str().unwrap();
    assert_eq!(ids(found(&kit, &format!("key=customer-5&limit=1&cursor={cursor}")).await), ["a"]);

    assert_eq!(
        found(&kit, "search=CUSTOMER").await,
        [("b", "customer-5"), ("a", "customer-5")].map(|(id, key)| (id.to_owned(), by_key(key)))
    );
    assert_eq!(found(&kit, "search=order-18").await, [("b".to_owned(), by_key("order-18"))]);
    assert_eq!(found(&kit, "search=c").await.len(), 3, "an id and two search keys");
    assert_eq!(found(&kit, "search=nothing").await, []);
}

#[tokio::test]
async fn steps_can_add_search_keys_and_repeat_it() {
    let memory = Memory::new();
    let flow = || {
        let add = async |context: Context, text: String| {
            for key in text.split(',') {
                context.key(key).await?;
            }
            Ok::<_, Error>(text)
        };
        Flow::builder().state(memory.clone()).apply("one").apply("two").modify(add)
    };
    let kit = remembering(flow()).start().await;
    kit.deliver_twice();
    send(&kit, "r", " a , a,b").await;
    assert_eq!(waited(&kit, "/_/requests/r/result").await.status, 200);
    assert_eq!(status(&kit, "r").await["keys"], json!(["a", "b"]));
    assert_eq!(ids(found(&kit, "key=a").await), ["r"]);

    send(&kit, "many", "1,2,3,4,5,6,7,8").await;
    assert_eq!(waited(&kit, "/_/requests/many/result").await.status, 200);
    for (id, keys) in [("more", "1,2,3,4,5,6,7,8,9"), ("empty", "1,"), ("long", &"x".repeat(129))] {
        send(&kit, id, keys).await;
        assert_eq!(waited(&kit, &format!("/_/requests/{id}/result")).await.status, 500, "{id}");
    }
    assert_eq!(status(&kit, "more").await["keys"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn many_requests_get_the_same_search_key_at_the_same_time() {
    let kit = remembering(keyed(&Memory::new())).start().await;
    let ids: Vec<String> = (0..16).map(|number| format!("r{number}")).collect();
    futures_util::future::join_all(ids.iter().map(|id| send(&kit, id, r#"["same"]"#))).await;
    assert_eq!(found(&kit, "key=same").await.len(), 16);
}

#[tokio::test]
async fn a_search_key_that_cannot_be_used_is_left_out() {
    logs::capture();
    let kit = remembering(keyed(&Memory::new())).start().await;
    for (id, body) in [("key-none", "no list"), ("key-long", &json!(["y".repeat(200), "short"]).to_string())] {
        send(&kit, id, body).await;
        let text = "The request has no such search key";
        assert!(logs::hold(id, "WARN", text), "{:#?}", logs::lines_of(id));
    }
    assert_eq!(status(&kit, "key-long").await["keys"], json!(["short"]));
}

#[tokio::test]
async fn requests_are_found_by_their_ids_and_the_labels_of_their_items() {
    let each = ForEach::new(Flow::builder().apply("one")).label(|Json(name): Json<String>| name);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each)).start().await;
    let names: Vec<String> = (0..300).map(|number| format!("Photo {number}.jpg")).collect();
    send(&kit, "album-1", json!(names).to_string()).await;
    send(&kit, "album-2", json!(["other.jpg"]).to_string()).await;
    assert_eq!(waited(&kit, "/_/requests/album-1/result").await.status, 200);
    assert_eq!(waited(&kit, "/_/requests/album-2/result").await.status, 200);
    let by = |id: &str, by: &str, text: &str| (id.to_owned(), json!({ "by": by, "text": text }));
    assert_eq!(found(&kit, "search=photo 299").await, [by("album-1", "label", "Photo 299.jpg")]);
    assert_eq!(found(&kit, "search=album-2").await, [by("album-2", "id", "album-2")]);
    assert_eq!(found(&kit, "search=.jpg").await.len(), 2);
    assert_eq!(found(&kit, "search=Album").await.len(), 2);
    assert_eq!(found(&kit, "search=photo 300").await, []);
}

#[tokio::test]
async fn what_matches_exactly_is_found_before_newer_requests_are_looked_at() {
    let memory = Memory::new();
    let kit = remembering(keyed(&memory)).start().await;
    send(&kit, "old", r#"["order-17"]"#).await;
    let started_ms = status(&kit, "old").await["started_ms"].as_u64().unwrap();
    for number in 0..1500 {
        let scope = Scope { flow: "flow".to_owned(), request: format!("new-{number}") };
        memory.list_request(&scope, started_ms + 1 + number, Status::Success).await.unwrap();
    }
    assert_eq!(ids(found(&kit, "key=order-17").await), ["old"]);
    for exact in ["order-17", "old"] {
        let first = page(&kit, &format!("search={exact}")).await;
        assert_eq!(ids(summaries(&first)), ["old"]);
        let cursor = first["cursor"].as_str().expect("500 requests were not looked at");
        assert_eq!(found(&kit, &format!("search={exact}&cursor={cursor}")).await, [], "it is not found twice");
    }
    let first = page(&kit, "search=er-1").await;
    assert_eq!(summaries(&first), []);
    let cursor = first["cursor"].as_str().expect("500 requests were not looked at");
    assert_eq!(ids(found(&kit, &format!("search=er-1&cursor={cursor}")).await), ["old"]);

    // All pages together have each request once.
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(&kit, &format!("search=new&limit=400{cursor}")).await;
        all.extend(ids(summaries(&page)));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let newest: Vec<String> = (0..1500).rev().map(|number| format!("new-{number}")).collect();
    assert_eq!(all, newest);
}

#[tokio::test]
async fn a_page_that_is_full_of_exact_matches_goes_on_with_the_others() {
    let kit = remembering(keyed(&Memory::new())).start().await;
    for id in ["a", "b", "c"] {
        send(&kit, id, r#"["same"]"#).await;
    }
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..9 {
        let page = page(&kit, &format!("search=same&limit=2{cursor}")).await;
        all.extend(ids(summaries(&page)));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    all.sort();
    assert_eq!(all, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_search_key_expires_with_the_record() {
    let kit = remembering(keyed(&Memory::new())).setting("keep_records", "1s").start().await;
    send(&kit, "r", r#"["order-17"]"#).await;
    until(async || found(&kit, "key=order-17").await.is_empty()).await;
    assert_eq!(found(&kit, "search=order-17").await, []);
}

#[tokio::test]
async fn what_cannot_be_searched_for_is_refused() {
    let kit = remembering(keyed(&Memory::new())).start().await;
    let long = "x".repeat(129);
    for query in ["key=", "search= ", "key=a&search=b", &format!("search={long}"), &format!("key={long}")] {
        let refused = asked(&kit, Method::GET, &format!("/_/requests?{query}")).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text());
        assert_eq!(refused.json::<Value>()["code"], code::BAD_API_REQUEST.as_str(), "{query}");
    }
    let unsigned = kit.request("").method(Method::GET).path("/_/requests").query("key", "a").answer().await;
    assert_eq!(unsigned.status, 401);
}

/// Such a flow keeps no list in which a request could be found.
#[tokio::test]
async fn without_records_search_keys_have_no_effect() {
    let add = async |context: Context, text: String| {
        context.key("order-17").await?;
        Ok::<_, Error>(text)
    };
    let flow = Flow::builder().search_key(|_: String| -> String { panic!("it is not called") }).modify(add);
    let kit = TestKit::new(flow.build().unwrap()).start().await;
    let answer = kit.request("x").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
}
