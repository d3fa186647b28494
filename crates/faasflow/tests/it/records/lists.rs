//! Lists that say more about each request, and that have only some of them.

use std::collections::BTreeSet;

use faasflow::{Json, Scope, StateManager as _};
use faasflow_core::state::Status;

use super::*;

/// A flow with two phases whose second one is tried again as long as the text of its request begins with `again`, and fails if it
/// begins with `bad`.
async fn troubled() -> Running {
    let two = Fake::with(|call| match call.text().split(' ').next() {
        // The pause is longer than a phase may wait, so the queue delivers it again.
        Some("again") => Reply::new("").status(503).header("retry-after", "3600"),
        Some("bad") => Reply::new("").status(400),
        _ => Reply::new(call.text()),
    });
    remembering(chain()).function("two", two).start().await
}

async fn send(kit: &Running, id: &str, body: impl Into<String>) {
    let answer = kit.request(body.into()).header("x-faasflow-request-id", id).answer().await;
    assert!(answer.status.is_success(), "{id}: {}", answer.text());
}

async fn page(kit: &Running, query: &str) -> Value {
    let answer = asked(kit, Method::GET, &format!("/_/requests?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn ids(page: &Value) -> Vec<&str> {
    page["requests"].as_array().unwrap().iter().map(|request| request["id"].as_str().unwrap()).collect()
}

/// The ids of all requests that this query lists, page by page.
async fn all(kit: &Running, query: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(kit, &format!("{query}{cursor}")).await;
        found.extend(ids(&page).into_iter().map(str::to_owned));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// The same, in the order of the ids.
async fn sorted(kit: &Running, query: &str) -> Vec<String> {
    let mut found = all(kit, query).await;
    found.sort();
    found
}

fn of<'a>(page: &'a Value, id: &str) -> &'a Value {
    page["requests"].as_array().unwrap().iter().find(|request| request["id"] == id).unwrap_or_else(|| panic!("{page}"))
}

/// Requests `again`, which is tried again, `bad`, which has failed, `good`, which has succeeded, and `held`, which waits for its second
/// phase and is paused.
async fn with_troubles() -> Running {
    let kit = troubled().await;
    for id in ["again", "bad", "good"] {
        send(&kit, id, id).await;
    }
    for (id, status) in [("bad", "failure"), ("good", "success")] {
        until(async || is_listed(&kit, id, status).await).await;
    }
    until(async || status(&kit, "again").await["places"][1]["status"] == "retrying").await;
    kit.hold_queue();
    send(&kit, "held", "held").await;
    did(&kit, "/_/requests/held/pause").await;
    kit
}

#[tokio::test]
async fn a_list_with_details_says_where_requests_are_and_why() {
    let kit = with_troubles().await;
    let list = page(&kit, "details=true").await;
    assert_eq!(ids(&list).len(), 4);
    for id in ["again", "bad", "good", "held"] {
        let told = status(&kit, id).await;
        let (listed, moved_ms) = (of(&list, id), told["moved_ms"].as_u64().unwrap());
        // It may have been tried again since.
        assert!(listed["moved_ms"].as_u64().is_some_and(|ms| ms > 0 && ms <= moved_ms), "{id}: {listed} {told}");
        assert_eq!(listed["reason"], told["reason"], "{id}");
        assert_eq!(listed["at"].is_null(), told["ended_ms"].is_u64(), "{id}: {listed}");
    }
    assert_eq!(of(&list, "bad")["reason"]["code"], code::ERROR_ANSWER.as_str());
    let at = &of(&list, "again")["at"];
    assert_eq!(
        (&at["place"], &at["steps"], &at["status"]),
        (&json!("2"), &json!(["function `two`"]), &json!("retrying"))
    );
    assert!(at["reason"]["text"].as_str().unwrap().contains("answered 503"), "{at}");
    assert!(at["call_id"].is_string(), "{at}");
    assert_eq!(at["call_id"], status(&kit, "again").await["places"][1]["call_id"]);
    let at = &of(&list, "held")["at"];
    assert_eq!((&at["place"], &at["status"], &at["reason"]), (&json!("2"), &json!("waiting"), &Value::Null));
    assert_eq!((&at["more"], &at["partial"]), (&json!(0), &json!(false)));

    // What has ended is read in another way, and differently after a redrive.
    did(&kit, "/_/requests/held/stop").await;
    did(&kit, "/_/requests/good/redrive?from=1").await;
    kit.release_queue();
    for (id, status) in [("held", "stopped"), ("good", "success")] {
        until(async || is_listed(&kit, id, status).await).await;
    }
    let list = page(&kit, "details=true").await;
    for id in ["held", "good", "bad"] {
        let told = status(&kit, id).await;
        assert_eq!(
            (&of(&list, id)["moved_ms"], &of(&list, id)["reason"]),
            (&told["moved_ms"], &told["reason"]),
            "{id}"
        );
    }
    assert_eq!(of(&list, "held")["reason"]["code"], code::REQUEST_STOPPED.as_str());

    let plain = page(&kit, "").await;
    let fields: BTreeSet<&String> =
        plain["requests"].as_array().unwrap().iter().flat_map(|request| request.as_object().unwrap().keys()).collect();
    assert_eq!(fields.into_iter().collect::<Vec<_>>(), ["id", "started_ms", "status"]);
}

#[tokio::test]
async fn requests_are_found_by_where_they_are_and_why() {
    let kit = with_troubles().await;
    for (query, found) in [
        ("retrying=true", &["again"][..]),
        ("retrying=false", &["again", "bad", "good", "held"]),
        ("at=TWO", &["again", "held"]),
        ("at=one", &[]),
        ("at=two&retrying=true", &["again"]),
        ("at=two&status=paused", &["held"]),
        ("at=two&search=he", &["held"]),
        ("reason=answered 503", &["again"]),
        ("reason=Answered", &["again", "bad"]),
        ("reason=`two`", &["again", "bad"]),
        ("reason=ff0310", &["bad"]),
        ("reason=FF031", &[]),
        ("reason=answered&status=failure", &["bad"]),
        ("reason=answered&at=two", &["again"]),
        ("reason=answered&search=b", &["bad"]),
        ("idle=0s", &["again", "held"]),
        ("idle=1h", &[]),
        ("idle=1h&retrying=true", &[]),
        ("at=two&since=1ms", &[]),
    ] {
        assert_eq!(sorted(&kit, query).await, found, "{query}");
        assert_eq!(sorted(&kit, &format!("{query}&limit=1&details=true")).await, found, "{query}, page by page");
    }
    // The queue is held, so nothing moves any more.
    let moved_ms = of(&page(&kit, "details=true").await, "held")["moved_ms"].as_u64().unwrap();
    until(async || now_ms() >= moved_ms + 1500).await;
    assert!(all(&kit, "idle=1s").await.contains(&"held".to_owned()));
}

#[tokio::test]
async fn requests_are_listed_by_their_ids() {
    let kit = with_troubles().await;
    let list = page(&kit, "ids=good,again,absent,good&details=true").await;
    assert_eq!((ids(&list), list.get("cursor")), (vec!["good", "again"], None), "newest first, and each once");
    assert_eq!(of(&list, "again")["at"]["status"], "retrying");
    assert_eq!(ids(&page(&kit, "ids=absent").await), [""; 0]);
    // They must fit the other parameters as well.
    assert_eq!(ids(&page(&kit, "ids=good,again,bad&status=failure").await), ["bad"]);
    assert_eq!(ids(&page(&kit, "ids=good,again,bad,held&retrying=true").await), ["again"]);
    assert_eq!(all(&kit, "ids=good,again,bad,held&limit=1").await, ["held", "good", "bad", "again"]);
    let some = format!("ids=good{}", ",absent".repeat(99));
    assert_eq!(ids(&page(&kit, &some).await), ["good"]);
}

#[tokio::test]
async fn the_place_that_matches_is_the_one_that_is_told() {
    let each = ForEach::new(Flow::builder().apply("one")).label(|Json(name): Json<String>| name);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each)).start().await;
    kit.hold_queue();
    let names: Vec<String> = (0..50).map(|number| format!("Photo {number}.jpg")).collect();
    send(&kit, "album", json!(names).to_string()).await;
    let list = page(&kit, "at=photo 17&details=true").await;
    let at = &of(&list, "album")["at"];
    assert_eq!((&at["label"], &at["path"], &at["more"]), (&json!("Photo 17.jpg"), &json!(["item-18"]), &json!(49)));
    assert_eq!(all(&kit, "at=item-50").await, ["album"]);
    assert_eq!(all(&kit, "at=photo 50").await, [""; 0]);
}

/// Each page looks at a limited number of requests.
#[tokio::test]
async fn the_requests_that_match_are_found_behind_many_that_do_not() {
    let memory = Memory::new();
    let kit = remembering(phases(&["one", "two"]).state(memory.clone())).start().await;
    kit.hold_queue();
    send(&kit, "old", "x").await;
    let started_ms = status(&kit, "old").await["started_ms"].as_u64().unwrap();
    // The list has lines of requests whose records have expired, or that have not begun.
    for number in 0..1500 {
        let status = if number % 2 == 0 { Status::Running } else { Status::Success };
        let scope = Scope { flow: "flow".to_owned(), request: format!("new-{number}") };
        memory.list_request(&scope, started_ms + 1 + number, status).await.unwrap();
    }
    // Those that have ended are not looked at.
    let first = page(&kit, "at=two").await;
    assert_eq!((ids(&first), &first["cursor"]), (vec!["old"], &Value::Null));
    for number in 1500..2000 {
        let scope = Scope { flow: "flow".to_owned(), request: format!("new-{number}") };
        memory.list_request(&scope, started_ms + 1 + number, Status::Paused).await.unwrap();
    }
    let first = page(&kit, "at=two").await;
    assert_eq!(ids(&first), [""; 0]);
    assert!(first["cursor"].is_string(), "{first}");
    assert_eq!(all(&kit, "at=two").await, ["old"]);
}

/// A list of 200 requests is short, although one of them has 10,000 items and each has a long reason.
#[tokio::test]
async fn one_huge_request_does_not_make_the_list_large() {
    let each = ForEach::new(Flow::builder().apply("one")).label(|item: String| item[1..200].to_owned()).at_most(10_000);
    let flow = Flow::builder().state(Memory::new()).apply("two").for_each(each);
    let two = Fake::with(|call| match call.text().as_str() {
        "bad" => Reply::new("?".repeat(50_000)).status(400),
        _ => Reply::new(call.text()),
    });
    let kit = remembering(flow).setting("max_body", "20m").function("two", two).start().await;
    for number in 0..199 {
        kit.request("bad").header("x-faasflow-request-id", format!("r{number}")).answer().await;
    }
    until(async || page(&kit, "status=failure&limit=1000").await["requests"].as_array().unwrap().len() == 199).await;
    kit.hold_queue();
    let items: Vec<String> = (0..10_000).map(|number| format!("{number:0>500}")).collect();
    send(&kit, "huge", json!(items).to_string()).await;
    assert_eq!(status(&kit, "huge").await["places"][0]["members"]["all"], 10_000);
    let answer = asked(&kit, Method::GET, "/_/requests?details=true&limit=200").await;
    assert!(answer.body.len() < 100_000, "{} bytes", answer.body.len());
    let list: Value = answer.json();
    assert_eq!(ids(&list).len(), 200);
    let at = &of(&list, "huge")["at"];
    assert_eq!((&at["partial"], at["label"].as_str().unwrap().chars().count() < 200), (&json!(true), true), "{at}");
    // A filter looks at more of it.
    assert_eq!(all(&kit, "at=item-9999&status=running").await, ["huge"]);
}

#[tokio::test]
async fn requests_are_found_by_the_call_ids_of_their_places() {
    let each = ForEach::new(Flow::builder().apply("one").apply("two"));
    let flow = Flow::builder().state(Memory::new()).apply("three").for_each(each);
    let kit = remembering(flow).start().await;
    kit.hold_queue();
    send(&kit, "other", "[1]").await;
    send(&kit, "r", "[1,2,3]").await;
    kit.release_queue();
    kit.hold_function("two");
    kit.until_called("two", 4).await;
    let told = status(&kit, "r").await;
    let calls: Vec<(String, String)> = told["places"].as_array().unwrap()[1..]
        .iter()
        .map(|place| (place["place"].as_str().unwrap().to_owned(), place["call_id"].as_str().unwrap().to_owned()))
        .collect();
    assert!(calls.len() >= 4, "{told}");
    kit.release_function("two");
    assert_eq!(waited(&kit, "/_/requests/r/result").await.text(), "[1,2,3]");
    did(&kit, "/_/requests/r/redrive?from=1").await;
    until(async || is_listed(&kit, "r", "success").await).await;
    for (place, call) in &calls {
        // The items have ended, and the places are those of an earlier generation.
        for query in [format!("search={call}"), format!("search={call}&status=success")] {
            let list = page(&kit, &query).await;
            let by = json!({ "by": "call", "text": call, "place": place });
            assert_eq!((ids(&list), &list["requests"][0]["found"]), (vec!["r"], &by), "{list}");
        }
    }
    let (_, call) = &calls[0];
    let mut other = call.clone();
    other.replace_range(..1, if call.starts_with('0') { "1" } else { "0" });
    assert_eq!(all(&kit, &format!("search={other}")).await, [""; 0]);
    assert_eq!(all(&kit, &format!("search={}", &call[..20])).await, [""; 0], "only whole call ids are found");
}

/// The pages of a search have each request once, whatever their limits.
#[tokio::test]
async fn a_search_skips_nothing_if_its_pages_have_other_limits() {
    let keyed = Flow::builder().state(Memory::new()).search_key(|text: String| text).apply("one");
    let kit = remembering(keyed).start().await;
    let mut expected = BTreeSet::new();
    for number in 0..12 {
        let key = if number % 3 == 0 { "same-not" } else { "same" };
        send(&kit, &format!("r{number}"), key).await;
        expected.insert(format!("r{number}"));
    }
    for limits in [[1, 50, 50], [3, 1, 50], [2, 5, 50], [50, 50, 50], [8, 50, 50], [1, 2, 3]] {
        let (mut found, mut cursor, mut limit) = (Vec::new(), String::new(), limits.into_iter());
        loop {
            let limit = limit.next().unwrap_or(50);
            let page = page(&kit, &format!("search=same&limit={limit}{cursor}")).await;
            assert!(ids(&page).len() <= limit);
            found.extend(ids(&page).into_iter().map(str::to_owned));
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found.len(), expected.len(), "{limits:?}: {found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{limits:?}");
    }
}

#[tokio::test]
async fn requests_are_found_by_when_they_began() {
    let keyed = Flow::builder().state(Memory::new()).search_key(|text: String| text).apply("one");
    let kit = remembering(keyed).start().await;
    let names: Vec<String> = (0..4).map(|number| format!("r{number}")).collect();
    let mut times = Vec::new();
    for name in &names {
        send(&kit, name, "same").await;
        let began = of(&page(&kit, "").await, name)["started_ms"].as_u64().unwrap();
        times.push(began);
        // Each begins in a millisecond of its own.
        until(async || now_ms() > began).await;
    }
    times.push(times[3] + 1);
    for (since, until) in (0..5).flat_map(|since| (since + 1..5).map(move |until| (since, until))) {
        let time = format!("since={}&until={}", times[since], times[until]);
        for more in ["", "&search=same", "&search=R", "&key=same", "&details=true", "&status=success"] {
            for limit in [1, 3, 50] {
                let query = format!("{time}{more}&limit={limit}");
                assert_eq!(sorted(&kit, &query).await, names[since..until], "{query}");
            }
        }
    }
    let until = |number: usize| format!("search=r2&until={}", times[number]);
    assert_eq!(all(&kit, &until(2)).await, [""; 0], "it began when the time was over");
    assert_eq!(all(&kit, &until(3)).await, ["r2"]);
    assert_eq!(all(&kit, "until=1h").await, [""; 0]);
    assert_eq!(all(&kit, "until=0s&since=1h").await.len(), 4);
    // Those that match exactly come first, as without a time.
    send(&kit, "newest", "same-too").await;
    let listed = page(&kit, "").await;
    let after = of(&listed, "newest")["started_ms"].as_u64().unwrap() + 1;
    assert_eq!(ids(&page(&kit, &format!("search=same&limit=1&until={after}")).await), ["r3"]);
    assert_eq!(sorted(&kit, &format!("search=same&limit=1&until={after}")).await.len(), 5);
}

#[tokio::test]
async fn what_cannot_be_filtered_by_is_refused_with_a_reason() {
    let kit = remembering(chain()).start().await;
    for (query, says) in [
        ("at=", "`at` must have 1 to 128 bytes"),
        ("reason=", "`reason` must have 1 to 128 bytes"),
        ("retrying=yes", "`retrying` must be `true` or `false`"),
        ("details=1", "`details` must be `true` or `false`"),
        ("idle=soon", "`idle` must be a duration such as `10m`"),
        ("at=x&status=failure", "`at` finds only requests that have not ended, so leave out `status=failure`"),
        ("retrying=true&status=success", "`retrying` finds only requests that have not ended"),
        ("idle=1m&status=stopped", "`idle` finds only requests that have not ended"),
        ("reason=x&status=success", "a request with `status=success` has no reason"),
        ("cursor=1~a~2", "`cursor` must be the `cursor` of an earlier answer"),
        ("until=soon", "`until` must be a duration such as `1h`, or a number of milliseconds"),
        ("since=1h&until=2h", "no time is between `since` and `until`"),
        ("since=5&until=5", "no time is between `since` and `until`"),
        ("ids=a&key=x", "`ids` excludes `key`, `search` and `repeats`"),
        ("ids=a&search=x", "`ids` excludes `key`, `search` and `repeats`"),
        ("ids=a&repeats=b", "`ids` excludes `key`, `search` and `repeats`"),
        ("ids=", "`ids` must be request ids between commas"),
        ("ids=a,,b", "`ids` must be request ids between commas"),
        ("ids=a,b%20c", "`ids` must be request ids between commas"),
        (&format!("ids=a{}", ",b".repeat(100)), "`ids` has more than 100 ids"),
        ("where=x", "unknown field `where`"),
    ] {
        let refused = asked(&kit, Method::GET, &format!("/_/requests?{query}")).await;
        let told: Value = refused.json();
        assert_eq!((refused.status.as_u16(), &told["code"]), (400, &json!(code::BAD_API_REQUEST.as_str())), "{told}");
        assert!(told["reason"].as_str().unwrap().contains(says), "{query}: {told}");
    }
    let refused = asked(&kit, Method::POST, "/_/recover?cursor=1~a~2~b").await;
    assert_eq!(refused.status, 400, "the cursor of a search is none of a recovery");
}
