//! The items of a for-each and the branches of a graph, a page at a time, and single places.

use faasflow::Json;

use super::*;

/// Items that name themselves: `{ "name": "a" }` has the label `a`.
fn named(body: FlowBuilder) -> ForEach {
    ForEach::new(body).label(|Json(item): Json<Value>| item["name"].as_str().map(str::to_owned))
}

fn flow(each: ForEach) -> FlowBuilder {
    Flow::builder().state(Memory::new()).for_each(each)
}

fn list(names: impl IntoIterator<Item = String>) -> String {
    json!(names.into_iter().map(|name| json!({ "name": name })).collect::<Vec<_>>()).to_string()
}

async fn start(kit: &Running, id: &str, body: impl Into<Vec<u8>>) {
    let answer = kit.request(body.into()).header("x-faasflow-request-id", id).answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

async fn page(kit: &Running, target: &str) -> Value {
    let answer = asked(kit, Method::GET, &format!("/_/requests/{target}")).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

/// The number and the status of each item of a page.
fn rows(page: &Value) -> Vec<(u64, &str)> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| (item["number"].as_u64().unwrap(), item["status"].as_str().unwrap())).collect()
}

/// What every page says of itself: its counts add up, and are those of the status.
async fn agrees(kit: &Running, id: &str, page: &Value) {
    let told = status(kit, id).await;
    let places = told["places"].as_array().unwrap().iter();
    let fork = places.into_iter().find(|place| place["place"] == page["place"]).unwrap();
    assert_eq!(page["members"], fork["members"], "{told}");
}

/// Delivers the envelope of a place that waits in the queue.
async fn deliver(kit: &Running, id: &str, place: &str) -> Answer {
    let told = page(kit, &format!("{id}/place?place={place}")).await;
    let call_id = told["place"]["call_id"].as_str().unwrap();
    let (headers, body) =
        kit.queued().into_iter().find(|(headers, _)| headers["x-call-id"] == call_id).expect("it is in the queue");
    kit.request(body).headers(headers).answer().await
}

/// Fails for items whose text contains `bad`, and is away for those with `away`.
fn picky() -> Fake {
    Fake::with(|call| match call.text() {
        text if text.contains("bad") => Reply::new("no").status(400),
        // The pause is longer than a phase may wait, so the queue delivers it again.
        text if text.contains("away") => Reply::new("away").status(503).header("retry-after", "3600"),
        text => Reply::new(text),
    })
}

#[tokio::test]
async fn items_are_listed_by_what_has_become_of_them() {
    let each = named(Flow::builder().apply("one").apply("two")).at_most(3).complete(Complete::Settled);
    let kit = remembering(flow(each).apply("three")).function("one", picky()).start().await;
    kit.hold_function("two");
    start(&kit, "k", list(["a", "bad b", "c", "d", "bad e", "f", "g"].map(str::to_owned))).await;
    // The second one has failed, so the fourth one has begun.
    kit.until_called("two", 3).await;
    let told = page(&kit, "k/items?place=1").await;
    let in_progress = [1, 3, 4].map(|number| (number, "running"));
    let waiting = [5, 6, 7].map(|number| (number, "waiting"));
    let expected = [&[(2, "failed")][..], &in_progress, &waiting].concat();
    assert_eq!(rows(&told), expected, "{told}");
    agrees(&kit, "k", &told).await;
    let item = |number: usize| told["items"].as_array().unwrap().iter().find(|item| item["number"] == number).unwrap();
    assert_eq!((&item(2)["label"], &item(2)["place"]), (&json!("bad b"), &json!("1.1/2")), "{told}");
    assert_eq!((&item(2)["code"], &item(2)["attempts"]), (&json!("FF0310"), &json!(1)), "{told}");
    assert!(item(2)["reason"].as_str().unwrap().contains("400") && item(2)["done_ms"].is_u64(), "{told}");
    assert_eq!((&item(1)["place"], &item(1)["label"]), (&json!("1.0/3"), &json!("a")), "{told}");
    assert!(item(1)["began_ms"].is_u64() && item(1)["done_ms"].is_null(), "{told}");
    assert_eq!((&item(7)["place"], &item(7)["label"]), (&json!("1.6/2"), &json!("g")), "{told}");
    assert_eq!(told.get("cursor"), None);
    assert_eq!(status(&kit, "k").await["places"][0]["members"]["at_most"], 3);

    kit.release_function("two");
    waited(&kit, "/_/requests/k").await;
    let told = page(&kit, "k/items?place=1").await;
    let expected = [(2, "failed"), (5, "failed"), (1, "done"), (3, "done"), (4, "done"), (6, "done"), (7, "done")];
    assert_eq!(rows(&told), expected, "{told}");
    agrees(&kit, "k", &told).await;
    assert_eq!(told["items"][2]["place"], "1.0/3", "{told}");
}

#[tokio::test]
async fn items_are_found_by_status_label_and_number() {
    let each = named(Flow::builder().apply("one")).complete(Complete::Settled);
    let kit = remembering(flow(each)).function("one", picky()).start().await;
    let name = |number: usize| if number % 100 == 17 { format!("bad {number}") } else { format!("Page {number}") };
    start(&kit, "f", list((1..=600).map(name))).await;
    waited(&kit, "/_/requests/f").await;
    let failed = [17, 117, 217, 317, 417, 517].map(|number| (number, "failed"));
    assert_eq!(rows(&page(&kit, "f/items?place=1&status=failed").await), failed);
    assert_eq!(rows(&page(&kit, "f/items?place=1&search=BAD 4").await), [(417, "failed")]);
    // 300 is the number of one item, and in the label of none but this one.
    assert_eq!(rows(&page(&kit, "f/items?place=1&search=300").await), [(300, "done")]);
    assert_eq!(rows(&page(&kit, "f/items?place=1&search=bad&status=done").await), []);
    let told = page(&kit, "f/items?place=1&search=page 59&limit=4").await;
    assert_eq!(rows(&told), [(59, "done"), (590, "done"), (591, "done"), (592, "done")], "{told}");

    // The pages together have every item once, whatever their size.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let told = page(&kit, &format!("f/items?place=1&limit=100{cursor}")).await;
        seen.extend(rows(&told).into_iter().map(|(number, _)| number));
        match told["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen[..6], [17, 117, 217, 317, 417, 517]);
    seen.sort_unstable();
    assert_eq!(seen, (1..=600).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_item_that_is_retried_comes_before_those_in_progress() {
    let each = named(Flow::builder().apply("one"));
    let kit = remembering(flow(each)).function("one", picky()).start().await;
    kit.hold_queue();
    start(&kit, "r", list(["a", "b", "away c"].map(str::to_owned))).await;
    assert_eq!(deliver(&kit, "r", "1.2/2").await.status, 503);
    let told = page(&kit, "r/items?place=1").await;
    assert_eq!(rows(&told), [(3, "retrying"), (1, "running"), (2, "running")], "{told}");
    assert!(told["items"][0]["reason"].as_str().unwrap().contains("503"), "{told}");
    assert_eq!(rows(&page(&kit, "r/items?place=1&status=retrying").await), [(3, "retrying")]);
    assert_eq!(rows(&page(&kit, "r/items?place=1&status=running").await), [(1, "running"), (2, "running")]);
    did(&kit, "/_/requests/r/pause").await;
    let told = page(&kit, "r/items?place=1").await;
    assert_eq!(rows(&told), [(1, "waiting"), (2, "waiting"), (3, "waiting")], "{told}");
    agrees(&kit, "r", &told).await;
    did(&kit, "/_/requests/r/stop").await;
    let told = page(&kit, "r/items?place=1").await;
    assert_eq!(rows(&told), [(1, "stopped"), (2, "stopped"), (3, "stopped")], "{told}");
    agrees(&kit, "r", &told).await;
}

#[tokio::test]
async fn items_inside_items_and_branches_are_listed_at_their_own_places() {
    let faces = ForEach::new(Flow::builder().apply("one"))
        .split(async |Json(photo): Json<Value>| {
            photo["faces"].as_array().unwrap().iter().map(|face| Json(face.clone())).collect::<Vec<_>>()
        })
        .label(|Json(face): Json<String>| face)
        .complete(Complete::Settled);
    let each = named(Flow::builder().for_each(faces).apply("two"));
    let branches =
        [("photos", Flow::builder().for_each(each).apply("three")), ("else", Flow::builder().apply("three"))];
    let kit = remembering(Flow::builder().state(Memory::new()).parallel(branches)).function("one", picky());
    let kit = kit.start().await;
    kit.hold_function("two");
    let photos = json!([{ "name": "p", "faces": ["left", "bad"] }, { "name": "q", "faces": ["only"] }]);
    start(&kit, "n", photos.to_string()).await;
    kit.until_called("two", 2).await;

    let told = page(&kit, "n/items?place=1").await;
    let branch = |at: usize| (&told["items"][at]["branch"], &told["items"][at]["status"]);
    assert_eq!(rows(&told).len(), 2, "{told}");
    assert_eq!(branch(0), (&json!("photos"), &json!("running")), "{told}");
    assert_eq!(branch(1), (&json!("else"), &json!("done")), "{told}");
    assert_eq!(rows(&page(&kit, "n/items?place=1&search=ELSE").await), [(2, "done")]);

    let photos = told["items"][0]["place"].as_str().unwrap().to_owned();
    let told = page(&kit, &format!("n/items?place={photos}")).await;
    assert_eq!(rows(&told), [(1, "running"), (2, "running")], "{told}");
    agrees(&kit, "n", &told).await;
    let fork = told["items"][0]["place"].as_str().unwrap();
    let told = page(&kit, &format!("n/items?place={fork}")).await;
    assert_eq!(rows(&told), [(2, "failed"), (1, "done")], "{told}");
    assert_eq!(told["items"][1]["label"], "left", "{told}");
    agrees(&kit, "n", &told).await;
    let face = told["items"][0]["place"].as_str().unwrap();
    let told = page(&kit, &format!("n/place?place={face}")).await;
    assert_eq!((&told["place"]["label"], &told["place"]["status"]), (&json!("p / bad"), &json!("failed")), "{told}");
}

#[tokio::test]
async fn an_item_is_listed_where_its_own_items_are_in_progress() {
    let inner = ForEach::new(Flow::builder().apply("one"))
        .split(async |Json(list): Json<Vec<Value>>| list.into_iter().map(Json).collect::<Vec<_>>());
    let each = ForEach::new(Flow::builder().for_each(inner).apply("two"));
    let kit = remembering(flow(each)).start().await;
    kit.hold_function("one");
    start(&kit, "o", "[[1,2],[3]]").await;
    kit.until_called("one", 3).await;
    let told = page(&kit, "o/items?place=1").await;
    assert_eq!(rows(&told), [(1, "running"), (2, "running")], "{told}");
    let place = told["items"][0]["place"].as_str().unwrap();
    let told = page(&kit, &format!("o/place?place={place}")).await;
    let counts = json!({ "all": 2, "waiting": 0, "running": 2, "done": 0, "failed": 0, "stopped": 0 });
    assert_eq!((&told["place"]["status"], &told["place"]["members"]), (&json!("done"), &counts), "{told}");
}

#[tokio::test]
async fn what_is_wrong_with_a_question_about_items_is_said() {
    let kit = remembering(chain()).function("three", Fake::failing(400)).start().await;
    start(&kit, "w", "x").await;
    waited(&kit, "/_/requests/w").await;
    for (target, status, code, why) in [
        ("w/items?place=1", 404, "FF0418", "the place `1` has begun no items and no branches"),
        ("w/items?place=3", 404, "FF0418", "the place `3` has begun no items and no branches"),
        ("w/items?place=9", 404, "FF0418", "has not reached the place `9`, or has no such place"),
        ("w/items?place=1.0/2", 404, "FF0418", "has no such place"),
        ("w/items", 400, "FF0418", "`place` must be a place"),
        ("w/items?place=01", 400, "FF0418", "`place` must be a place"),
        ("w/items?place=1&status=success", 400, "FF0418", "`status` must be `failed`"),
        ("w/items?place=1&search=", 400, "FF0418", "`search` must have 1 to"),
        ("w/items?place=1&limit=101", 400, "FF0418", "`limit` must be a number from 1 to 100"),
        ("w/items?place=1&cursor=17", 400, "FF0418", "`cursor` must be the `cursor` of an earlier answer"),
        ("w/items?place=1&cursor=done~0", 400, "FF0418", "`cursor` must be the `cursor` of an earlier answer"),
        ("w/items?placing=1", 400, "FF0418", "placing"),
        ("w/place?place=9", 404, "FF0418", "has not reached the place `9`, or has no such place"),
        ("w/place?place=1.0/2", 404, "FF0418", "has no such place"),
        ("w/place", 400, "FF0418", "`place` must be a place"),
        ("unknown/items?place=1", 404, "FF0416", "knows no request"),
        ("unknown/place?place=1", 404, "FF0416", "knows no request"),
    ] {
        let answer = asked(&kit, Method::GET, &format!("/_/requests/{target}")).await;
        let told: Value = answer.json();
        assert_eq!((answer.status.as_u16(), told["code"].as_str()), (status, Some(code)), "{target}: {told}");
        assert!(told["reason"].as_str().unwrap().contains(why), "{target}: {told}");
    }
    for what in ["items", "place"] {
        let request = kit.request("").method(Method::GET).path(format!("/_/requests/w/{what}")).query("place", "1");
        let answer = request.answer().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (401, Some("FF0407")), "{what}");
    }
}

#[tokio::test]
async fn a_client_is_told_that_a_page_of_items_has_not_changed() {
    let kit = remembering(flow(named(Flow::builder().apply("one")))).start().await;
    kit.hold_queue();
    start(&kit, "e", list(["a".to_owned()])).await;
    let target = "/_/requests/e/items?place=1";
    let first = asked(&kit, Method::GET, target).await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = asked_with(&kit, target, &tag).await;
    assert_eq!((again.status.as_u16(), again.text().as_str()), (304, ""));
    kit.release_queue();
    waited(&kit, "/_/requests/e").await;
    assert_eq!(asked_with(&kit, target, &tag).await.status, 200);
}

/// A signed request with `If-None-Match`.
async fn asked_with(kit: &Running, target: &str, tag: &str) -> Answer {
    let at = now_ms();
    let (path, query) = target.split_once('?').unwrap();
    let (name, signature) = kit.sign(api_request("flow", "GET", target, at).as_bytes());
    let (key, value) = query.split_once('=').unwrap();
    let request = kit.request("").method(Method::GET).path(path).query(key, value).header("if-none-match", tag);
    let request = request.header("x-faasflow-signed-at", at.to_string());
    let answer = request.header(name, signature.to_str().unwrap()).answer().await;
    contract::check(kit, "GET", target, &answer).await;
    answer
}

/// The largest for-each: the status stays small while it is in progress, and each item is found.
#[tokio::test]
async fn ten_thousand_items_are_found_and_the_status_stays_small() {
    let each = named(Flow::builder().apply("one")).at_most(10_000).complete(Complete::Settled);
    let kit = remembering(flow(each)).function("one", picky()).start().await;
    kit.hold_queue();
    let name = |number: usize| if number % 800 == 7 { format!("bad {number}") } else { format!("customer {number}") };
    start(&kit, "big", list((1..=10_000).map(name))).await;
    let answer = get(&kit, "/_/requests/big").await;
    assert!(answer.body.len() < 10_000, "the status has {} bytes", answer.body.len());
    let told: Value = answer.json();
    assert_eq!(told["places"].as_array().unwrap().len(), 21, "{told}");
    assert_eq!(told["places"][0]["unlisted"], json!({ "failed": 0, "open": 9980, "retrying": 0 }), "{told}");
    for index in (6..10_000).step_by(800) {
        assert_eq!(deliver(&kit, "big", &format!("1.{index}/2")).await.status, 200);
    }
    let told = page(&kit, "big/items?place=1&limit=100").await;
    let failed: Vec<(u64, &str)> = (7..=10_000).step_by(800).map(|number| (number, "failed")).collect();
    assert_eq!(rows(&told)[..13], failed, "{told}");
    assert_eq!(rows(&told)[13], (1, "running"), "{told}");
    let counts = json!({ "all": 10_000, "waiting": 0, "running": 9987, "done": 0, "failed": 13, "stopped": 0 });
    assert_eq!(told["members"], counts);
    assert_eq!(rows(&page(&kit, "big/items?place=1&search=customer 4711").await), [(4711, "running")]);
    let told = page(&kit, "big/place?place=1.4710/2").await;
    assert_eq!(
        (&told["place"]["label"], &told["place"]["status"]),
        (&json!("customer 4711"), &json!("running")),
        "{told}"
    );
    kit.lose_queue();
}

/// Of a short list, all items are listed. A longer one would make the status long, so those that have ended well are counted.
#[tokio::test]
async fn the_items_of_a_short_list_are_listed_when_they_have_ended() {
    let each = ForEach::new(Flow::builder().apply("one")).complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each).apply("two"));
    let fails = Fake::with(|call| Reply::new(call.text()).status(if call.text() == "7" { 400 } else { 200 }));
    let kit = kit.function("one", fails).start().await;
    for (items, listed) in [(20, 20), (21, 1)] {
        let id = items.to_string();
        start(&kit, &id, json!((1..=items).collect::<Vec<_>>()).to_string()).await;
        let told: Value = waited(&kit, &format!("/_/requests/{id}")).await.json();
        let of_items = told["places"].as_array().unwrap().iter().filter(|place| place["path"] != json!([]));
        let statuses: Vec<_> = of_items.map(|place| place["status"].as_str().unwrap()).collect();
        let failed = statuses.iter().filter(|status| **status == "failed").count();
        assert_eq!((statuses.len(), failed), (listed, 1), "{told}");
        assert_eq!(told["places"][0]["members"]["done"], json!(items - 1), "{told}");
    }
}
