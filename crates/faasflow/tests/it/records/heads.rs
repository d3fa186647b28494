//! The query and the headers of a request, and the headers of an answer that made a place fail, as people are shown them.

use faasflow_core::graph::Place;
use faasflow_core::machine::forked::FailedAnswer;
use faasflow_core::state::{Scope, StateManager as _};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::payloads::payload;
use super::*;

const CARD: &str = r#"{"card":{"number":"4111-1111"}}"#;

/// The value of a header as it is shown, and how it differs.
fn shown<'a>(head: &'a Value, name: &str) -> (&'a str, Option<&'a str>) {
    let found: Vec<&Value> = head["headers"].as_array().unwrap().iter().filter(|one| one["name"] == name).collect();
    let [header] = found[..] else { panic!("{} headers `{name}`: {head}", found.len()) };
    (header["value"].as_str().unwrap(), header["altered"].as_str())
}

#[tokio::test]
async fn the_query_and_the_headers_of_a_request_are_shown_to_those_who_sign() {
    let kit = remembering(chain()).start().await;
    let headers: [(&str, &[u8]); 8] = [
        ("x-faasflow-request-id", b"h"),
        ("content-type", b"text/plain"),
        ("x-tenant", b"north"),
        ("x-empty", b""),
        ("x-city", "zürich".as_bytes()),
        ("x-latin1", b"z\xfcrich"),
        ("authorization", b"Bearer t0ken-1234"),
        ("cookie", b"session=t0ken-1234"),
    ];
    let header =
        |(name, value): (&str, &[u8])| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    let headers: HeaderMap = headers.into_iter().map(header).collect();
    kit.request("x").headers(headers).query("size", "5 cm").query("tag", "ä&b").answer().await;
    waited(&kit, "/_/requests/h").await;
    let answer = payload(&kit, "h/input/head").await;
    assert_eq!(answer.header("x-faasflow-masked"), Some("true"));
    assert!(!answer.text().contains("t0ken"), "{}", answer.text());
    let head: Value = answer.json();
    assert_eq!((&head["version"], &head["headers_left_out"]), (&json!(1), &json!(0)));
    assert_eq!((&head["query"], head.get("query_altered")), (&json!("size=5+cm&tag=%C3%A4%26b"), None));
    assert_eq!(shown(&head, "x-tenant"), ("north", None));
    assert_eq!(shown(&head, "x-empty"), ("", None));
    assert_eq!(shown(&head, "content-type"), ("text/plain", None));
    assert_eq!(shown(&head, "x-city"), ("zürich", None));
    assert_eq!(shown(&head, "x-latin1"), ("z\u{fffd}rich", Some("not_utf8")));
    assert_eq!(shown(&head, "authorization"), ("[secret]", Some("masked")));
    assert_eq!(shown(&head, "cookie"), ("[secret]", Some("masked")));
    // To know the id is not enough.
    let told = status(&kit, "h").await.to_string();
    assert!(!told.contains("north") && !told.contains("size"), "{told}");
    let unsigned = get(&kit, "/_/requests/h/input/head").await;
    assert_eq!((unsigned.status.as_u16(), unsigned.header("x-faasflow-error-code")), (401, Some("FF0407")));
}

#[tokio::test]
async fn a_request_without_query_and_headers_has_an_empty_head() {
    let kit = remembering(chain()).start().await;
    kit.request("x").header("x-faasflow-request-id", "e").answer().await;
    let answer = payload(&kit, "e/input/head").await;
    assert_eq!(answer.header("x-faasflow-masked"), None);
    let head: Value = answer.json();
    assert_eq!(head["query"], "");
    let names: Vec<&str> =
        head["headers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, [""; 0]);
}

#[tokio::test]
async fn secret_values_are_masked_in_the_query_and_in_headers() {
    let kit = remembering(chain().secret("/card/number").secret_header("x-card")).start().await;
    let request = kit.request(CARD).header("x-faasflow-request-id", "s").header("content-type", "application/json");
    let request = request.query("card", "is 4111-1111").query("size", "5").query("own", "card-9876");
    let request = request.header("x-card", "card-9876").header("x-note", "the card 4111-1111");
    request.answer().await;
    waited(&kit, "/_/requests/s").await;
    let answer = payload(&kit, "s/input/head").await;
    assert_eq!(answer.header("x-faasflow-masked"), Some("true"));
    let head: Value = answer.json();
    assert_eq!(head["query"], "card=[secret]&size=5&own=[secret]");
    assert_eq!(head["query_altered"], "masked");
    assert_eq!(shown(&head, "x-card"), ("[secret]", Some("masked")));
    assert_eq!(shown(&head, "x-note"), ("the card [secret]", Some("masked")));
}

/// Programs often repeat only a part of a header.
#[tokio::test]
async fn the_parts_of_a_credential_are_masked_too() {
    let refuses = Fake::with(|call| {
        let token = call.header("authorization").unwrap().split_once(' ').unwrap().1.to_owned();
        let reply = Reply::new(format!("{token} has expired, and so have s:c00kie-1 and c00kie-2")).status(401);
        reply.header("x-token", &token).header("x-cookie", "of c00kie-2")
    });
    let kit = remembering(chain()).function("one", refuses).start().await;
    let request = kit.request("x").header("x-faasflow-request-id", "c").header("authorization", "Bearer t0ken-5678");
    let request = request.header("cookie", "first=s%3Ac00kie-1; second=\"c00kie-2\"");
    request.query("access_token", "t0ken-5678").query("s", "c00kie-2").query("size", "5").answer().await;
    let told: Value = waited(&kit, "/_/requests/c").await.json();
    assert_eq!(told["status"], "failure", "{told}");
    let answer = payload(&kit, "c/input/head").await;
    let head: Value = answer.json();
    assert_eq!(head["query"], "access_token=[secret]&s=[secret]&size=5");
    assert_eq!(head["query_altered"], "masked");
    assert!(!answer.text().contains("t0ken") && !answer.text().contains("c00kie"), "{head}");
    let body = payload(&kit, "c/answer?place=1").await;
    assert_eq!(body.text(), "[secret] has expired, and so have [secret] and [secret]");
    assert_eq!(body.header("x-faasflow-masked"), Some("true"));
    let head: Value = payload(&kit, "c/answer/head?place=1").await.json();
    assert_eq!(shown(&head, "x-token"), ("[secret]", Some("masked")));
    assert_eq!(shown(&head, "x-cookie"), ("of [secret]", Some("masked")));

    // `ada:pass:word`
    let request = kit.request("x").header("x-faasflow-request-id", "w").header("x-note", "not pass:word");
    request.header("authorization", "Basic YWRhOnBhc3M6d29yZA==").query("user", "ada").answer().await;
    let head: Value = payload(&kit, "w/input/head").await.json();
    assert_eq!((shown(&head, "x-note"), &head["query"]), (("not [secret]", Some("masked")), &json!("user=ada")));
}

#[tokio::test]
async fn a_secret_header_may_have_any_bytes() {
    let refuses = Fake::with(|_| Reply::new("no room in zürich-9, nor in m\u{fc}nchen-9").status(400));
    let flow = chain().secret_header("x-city").secret_header("x-town");
    let kit = remembering(flow).function("one", refuses).start().await;
    let headers: [(&str, &[u8]); 5] = [
        ("x-faasflow-request-id", b"u"),
        ("x-city", "zürich-9".as_bytes()),
        ("x-town", b"m\xfcnchen-9"),
        ("x-note", "to zürich-9".as_bytes()),
        ("x-latin1", b"to m\xfcnchen-9"),
    ];
    let header =
        |(name, value): (&str, &[u8])| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    kit.request("x").headers(headers.into_iter().map(header).collect()).answer().await;
    waited(&kit, "/_/requests/u").await;
    let head: Value = payload(&kit, "u/input/head").await.json();
    assert_eq!(shown(&head, "x-note"), ("to [secret]", Some("masked")));
    assert_eq!(shown(&head, "x-latin1"), ("to [secret]", Some("masked")));
    assert_eq!(payload(&kit, "u/answer?place=1").await.text(), "no room in [secret], nor in [secret]");
}

/// All of them reach the functions, even if the request runs again.
#[tokio::test]
async fn a_request_with_many_headers_shows_some_of_them_and_runs_again_with_all() {
    let kit = remembering(chain()).start().await;
    let mut request = kit.request("x").header("x-faasflow-request-id", "m").query("size", "5");
    for number in 0..150 {
        request = request.header(format!("x-{number}"), number.to_string());
    }
    request.header("authorization", "Bearer t0ken-1234").answer().await;
    waited(&kit, "/_/requests/m").await;
    let head: Value = payload(&kit, "m/input/head").await.json();
    let listed = head["headers"].as_array().unwrap().len() as u64;
    assert_eq!(listed, 100);
    assert!(head["headers_left_out"].as_u64().unwrap() >= 51, "{head}");
    let again = asked(&kit, Method::POST, "/_/requests/m/again?id=n").await;
    assert_eq!(again.status, 202, "{}", again.text());
    waited(&kit, "/_/requests/n").await;
    let second: Value = payload(&kit, "n/input/head").await.json();
    assert_eq!(second, head, "the new request has the head of the original");
    let calls = kit.calls("one");
    let sent = |call: usize| (0..150).filter(|number| calls[call].headers.contains_key(format!("x-{number}"))).count();
    assert_eq!((sent(0), sent(1)), (150, 150));
    assert_eq!(calls[1].header("authorization"), Some("Bearer t0ken-1234"));
}

#[tokio::test]
async fn the_headers_of_the_answer_that_made_a_place_fail_are_kept() {
    let refuses = Fake::with(|call| {
        let reply = Reply::new("too many").status(429).header("content-type", "text/plain");
        let reply = reply.header("x-limit", "5 per second").header("set-cookie", "session=t0ken-1234");
        let reply = reply.header("link", "<a>").header("link", "<b>");
        // It repeats what it was sent.
        let reply = reply.header("x-echo", call.header("authorization").unwrap()).header("x-card", "of 4111-1111");
        // It repeats its own cookie.
        reply.header("x-session", "in t0ken-1234")
    });
    let kit = remembering(chain().secret("/card/number")).function("two", refuses).start().await;
    let request = kit.request(CARD).header("x-faasflow-request-id", "a").header("content-type", "application/json");
    request.header("authorization", "Bearer t0ken-5678").answer().await;
    let told: Value = waited(&kit, "/_/requests/a").await.json();
    assert_eq!(told["status"], "failure", "{told}");
    assert!(!told.to_string().contains("5 per second"), "a caller reads what a function has answered: {told}");
    let answer = payload(&kit, "a/answer/head?place=2").await;
    assert_eq!(answer.header("x-faasflow-masked"), Some("true"));
    assert!(!answer.text().contains("t0ken") && !answer.text().contains("4111"), "{}", answer.text());
    let head: Value = answer.json();
    assert_eq!((&head["status"], &head["headers_left_out"]), (&json!(429), &json!(0)), "{head}");
    assert_eq!(shown(&head, "content-type"), ("text/plain", None));
    assert_eq!(shown(&head, "x-limit"), ("5 per second", None));
    assert_eq!(shown(&head, "set-cookie"), ("[secret]", Some("masked")));
    assert_eq!(shown(&head, "x-echo"), ("[secret]", Some("masked")));
    assert_eq!(shown(&head, "x-card"), ("of [secret]", Some("masked")));
    assert_eq!(shown(&head, "x-session"), ("in [secret]", Some("masked")));
    let links: Vec<&Value> = head["headers"].as_array().unwrap().iter().filter(|one| one["name"] == "link").collect();
    assert_eq!(links, [&json!({ "name": "link", "value": "<a>" }), &json!({ "name": "link", "value": "<b>" })]);
    let unsigned = get(&kit, "/_/requests/a/answer/head?place=2").await;
    assert_eq!(unsigned.status, 401);
}

/// A function may repeat a secret header in the body of its answer. It is masked there too.
#[tokio::test]
async fn the_body_of_an_answer_does_not_repeat_a_secret_header() {
    let refuses = Fake::with(|call| Reply::new(format!("{:?} is not allowed", call.header("x-key"))).status(403));
    let kit = remembering(chain().secret_header("x-key")).function("one", refuses).start().await;
    kit.request("x").header("x-faasflow-request-id", "b").header("x-key", "key-9876").answer().await;
    waited(&kit, "/_/requests/b").await;
    assert_eq!(payload(&kit, "b/answer?place=1").await.text(), "Some(\"[secret]\") is not allowed");
}

/// The values of cookies are not stored, so the body is masked when it is.
#[tokio::test]
async fn the_body_of_an_answer_does_not_repeat_its_own_cookie() {
    let refuses = Fake::with(|_| {
        Reply::new("session t0ken-1234 has expired").status(403).header("set-cookie", "session=t0ken-1234; Path=/")
    });
    let kit = remembering(chain()).function("one", refuses).start().await;
    kit.request("x").header("x-faasflow-request-id", "s").answer().await;
    waited(&kit, "/_/requests/s").await;
    let answer = payload(&kit, "s/answer?place=1").await;
    assert_eq!(answer.text(), "session [secret] has expired");
    assert_eq!(answer.header("x-faasflow-masked"), Some("true"));
}

#[tokio::test]
async fn an_answer_that_contains_the_text_of_the_mask_is_not_reported_as_masked() {
    let refuses = Fake::with(|_| Reply::new("no [secret] is known").status(403).header("x-why", "no [secret]"));
    let kit = remembering(chain()).function("one", refuses).start().await;
    kit.request("x").header("x-faasflow-request-id", "t").answer().await;
    waited(&kit, "/_/requests/t").await;
    let answer = payload(&kit, "t/answer?place=1").await;
    assert_eq!((answer.text().as_str(), answer.header("x-faasflow-masked")), ("no [secret] is known", None));
    let answer = payload(&kit, "t/answer/head?place=1").await;
    assert_eq!(answer.header("x-faasflow-masked"), None);
    assert_eq!(shown(&answer.json(), "x-why"), ("no [secret]", None));
}

/// The method is not recorded. A request can be sent again with POST, even if the original was sent with another one.
#[tokio::test]
async fn the_method_makes_no_difference() {
    let kit = remembering(chain()).start().await;
    let mut statuses = Vec::new();
    for method in [Method::POST, Method::PUT, Method::GET, Method::DELETE, Method::PATCH] {
        let id = method.as_str().to_lowercase();
        let request = kit.request(CARD).method(method).query("a", "b").header("x-own", "c");
        request.header("x-faasflow-request-id", &id).header("content-type", "application/json").answer().await;
        statuses.push(waited(&kit, &format!("/_/requests/{id}")).await.json::<Value>()["status"].clone());
        let sent = payload(&kit, &format!("{id}/input")).await;
        assert_eq!(sent.text(), CARD, "{id}");
        let head: Value = payload(&kit, &format!("{id}/input/head")).await.json();
        assert_eq!((&head["query"], shown(&head, "x-own")), (&json!("a=b"), ("c", None)), "{id}");
    }
    assert_eq!(statuses, ["success"; 5]);
}

#[tokio::test]
async fn an_answer_with_many_headers_keeps_some_of_them() {
    let refuses = Fake::with(|_| {
        let large = Reply::new("no").status(400).header("x-large", &"x".repeat(40_000));
        (0..20).fold(large, |reply, number| reply.header(&format!("x-{number}"), &number.to_string()))
    });
    let kit = remembering(chain()).function("one", refuses).start().await;
    kit.request("x").header("x-faasflow-request-id", "l").answer().await;
    waited(&kit, "/_/requests/l").await;
    let head: Value = payload(&kit, "l/answer/head?place=1").await.json();
    assert_eq!(head["headers_left_out"], 1, "{head}");
    assert_eq!(shown(&head, "x-19"), ("19", None));
}

#[tokio::test]
async fn an_answer_that_an_older_version_kept_has_no_headers() {
    let memory = Memory::new();
    let kit = remembering(phases(&["one", "two"]).state(memory.clone())).function("two", Fake::failing(400));
    let kit = kit.start().await;
    kit.request("x").header("x-faasflow-request-id", "o").answer().await;
    waited(&kit, "/_/requests/o").await;
    assert!(payload(&kit, "o/answer/head?place=2").await.json::<Value>()["headers"].is_array());
    let scope = Scope { flow: "flow".into(), request: "o".into() };
    let value = "{\"status\":418,\"bytes\":3,\"content_type\":\"text/plain\"}\nold";
    memory.set(&scope, FailedAnswer::key(&Place::from(2)).as_str(), value.into()).await.unwrap();
    let head: Value = payload(&kit, "o/answer/head?place=2").await.json();
    assert_eq!(head, json!({ "version": 1, "status": 418, "headers_left_out": 0 }));
    assert_eq!(payload(&kit, "o/answer?place=2").await.text(), "old");
}

/// It must not be taken for an answer that an older version has recorded.
#[tokio::test]
async fn an_answer_whose_headers_cannot_be_read_is_refused() {
    let memory = Memory::new();
    let kit = remembering(phases(&["one", "two"]).state(memory.clone())).function("two", Fake::failing(400));
    let kit = kit.start().await;
    kit.request("x").header("x-faasflow-request-id", "d").answer().await;
    waited(&kit, "/_/requests/d").await;
    let scope = Scope { flow: "flow".into(), request: "d".into() };
    let value = "{\"status\":418,\"bytes\":3,\"headers\":{\"list\":[[\"x y\",\"a\"]]}}\nnew";
    memory.set(&scope, FailedAnswer::key(&Place::from(2)).as_str(), value.into()).await.unwrap();
    for target in ["d/answer/head?place=2", "d/answer?place=2"] {
        let answer = asked(&kit, Method::GET, &format!("/_/requests/{target}")).await;
        let found = (answer.status.as_u16(), answer.header("x-faasflow-error-code"));
        assert_eq!(found, (500, Some("FF0425")), "{target}: {}", answer.text());
        assert!(answer.text().contains("is damaged, or a later version"), "{target}: {}", answer.text());
    }
    // The status needs no headers.
    assert_eq!(status(&kit, "d").await["places"][1]["answer"], json!({ "status": 418, "bytes": 3 }));
}

#[tokio::test]
async fn a_head_that_is_not_there_is_refused_with_the_reason() {
    let kit = remembering(chain()).function("two", Fake::failing(400)).start().await;
    kit.request("x").header("x-faasflow-request-id", "r").answer().await;
    waited(&kit, "/_/requests/r").await;
    for (target, status, code, why) in [
        ("none/input/head", 404, "FF0416", "knows no request with this id"),
        ("r/input/head?place=1", 400, "FF0418", "unknown field `place`"),
        ("r/answer/head", 400, "FF0418", "`place` must be a place"),
        ("r/answer/head?place=1", 404, "FF0418", "did not fail because of an answer"),
        ("r/answer/head?place=3", 404, "FF0418", "has not reached the place `3`"),
    ] {
        let answer = asked(&kit, Method::GET, &format!("/_/requests/{target}")).await;
        let found = (answer.status.as_u16(), answer.header("x-faasflow-error-code"));
        assert_eq!(found, (status, Some(code)), "{target}: {}", answer.text());
        assert!(answer.text().contains(why), "{target}: {}", answer.text());
    }
}
