//! The labels of the items of a for-each.

use faasflow::{Error, Json};

use super::*;
use crate::support::logs;

/// The labels of the places with this status.
fn labels(status: &Value, of: &str) -> Vec<Value> {
    let places = status["places"].as_array().unwrap().iter();
    places
        .filter(|place| place["status"] == of && place["path"] != json!([]))
        .map(|place| place["label"].clone())
        .collect()
}

fn photos(names: &[&str]) -> String {
    json!(names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>()).to_string()
}

fn named(body: FlowBuilder) -> ForEach {
    ForEach::new(body).label(|Json(photo): Json<Value>| photo["name"].as_str().map(str::to_owned))
}

async fn start(kit: &Running, id: &str, body: String) {
    let answer = kit.request(body).header("x-faasflow-request-id", id).answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

async fn ended(kit: &Running, id: &str) -> Value {
    waited(kit, &format!("/_/requests/{id}")).await.json()
}

#[tokio::test]
async fn items_that_are_in_progress_or_have_failed_have_their_labels() {
    let each = named(Flow::builder().apply("one").apply("two")).at_most(2).complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each));
    let fails =
        Fake::with(|call| Reply::new(call.text()).status(if call.text().contains("c.jpg") { 400 } else { 200 }));
    let kit = kit.function("two", fails).start().await;
    kit.hold_queue();
    start(&kit, "l", photos(&["a.jpg", "b.jpg", "c.jpg"])).await;
    assert_eq!(labels(&status(&kit, "l").await, "running"), ["a.jpg", "b.jpg"]);
    // The item that began when another one ended has its label too, also in its second phase.
    kit.release_queue();
    let told = ended(&kit, "l").await;
    assert_eq!(labels(&told, "failed"), ["c.jpg"], "{told}");
    let failed = told["places"].as_array().unwrap().iter().find(|place| place["status"] == "failed");
    assert_eq!(failed.unwrap()["path"], json!(["item-3"]), "{told}");
}

#[tokio::test]
async fn labels_of_items_inside_each_other_stand_behind_each_other() {
    let faces = ForEach::new(Flow::builder().apply("one"))
        .split(async |Json(photo): Json<Value>| {
            photo["faces"].as_array().unwrap().iter().map(|face| Json(face.clone())).collect::<Vec<_>>()
        })
        .label(|Json(face): Json<String>| face)
        .complete(Complete::Settled);
    let each = named(Flow::builder().for_each(faces).apply("two")).complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each));
    let kit = kit.function("one", Fake::failing(400)).function("two", Fake::failing(400)).start().await;
    kit.hold_queue();
    let list = json!([{ "name": "a.jpg", "faces": ["left", "right"] }, { "faces": ["only"] }]).to_string();
    start(&kit, "n", list).await;
    assert_eq!(labels(&status(&kit, "n").await, "running"), [json!("a.jpg"), Value::Null]);
    kit.release_queue();
    let told = ended(&kit, "n").await;
    let places = told["places"].as_array().unwrap().iter();
    let faces = places.filter(|place| place["path"].as_array().unwrap().len() == 2);
    let faces: Vec<&str> = faces.map(|place| place["label"].as_str().unwrap()).collect();
    assert_eq!(faces, ["a.jpg / left", "a.jpg / right", "only"], "{told}");
}

#[tokio::test]
async fn an_item_whose_label_cannot_be_made_has_none() {
    logs::capture();
    let each = ForEach::new(Flow::builder().apply("one")).label(|Json(number): Json<u32>| match number {
        1 => Err(Error::msg("one has no name")),
        2 => panic!("two has no name either"),
        number => Ok(number),
    });
    let each = each.complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each));
    let kit = kit.function("one", Fake::failing(400)).start().await;
    start(&kit, "label-fails", r#"[1,2,3,"four"]"#.to_owned()).await;
    let told = ended(&kit, "label-fails").await;
    assert_eq!(labels(&told, "failed"), [Value::Null, Value::Null, json!("3"), Value::Null], "{told}");
    let text = "3 items without a label, because the function for labels failed: one has no name";
    assert!(logs::hold("label-fails", "WARN", text), "{:#?}", logs::lines_of("label-fails"));
}

#[tokio::test]
async fn log_lines_of_an_item_have_its_label() {
    logs::capture();
    for (id, call) in [("label-async", Call::new("one")), ("label-sync", Call::new("one").sync())] {
        let each = named(Flow::builder().apply(call));
        let kit = remembering(Flow::builder().state(Memory::new()).for_each(each)).start().await;
        kit.request(photos(&["a b.jpg"])).header("x-faasflow-request-id", id).send().await;
        let lines = logs::lines_of(id);
        let of_item = lines.iter().filter(|line| line.contains("Executing function `one`")).collect::<Vec<_>>();
        assert!(!of_item.is_empty(), "{lines:#?}");
        for line in of_item {
            assert!(line.contains(r#"branch="item-1" label="a b.jpg""#), "{line}");
        }
    }
}

/// Another function for labels is no other definition.
#[tokio::test]
async fn labels_stay_as_they_were_when_the_items_began() {
    let memory = Memory::new();
    let flow = |suffix: &'static str| {
        let label = move |Json(photo): Json<Value>| format!("{}{suffix}", photo["name"].as_str().unwrap());
        let each = ForEach::new(Flow::builder().apply("one")).at_most(1).label(label).complete(Complete::Settled);
        Flow::builder().state(memory.clone()).for_each(each)
    };
    let kit = remembering(flow("")).function("one", Fake::failing(400)).start().await;
    kit.hold_queue();
    start(&kit, "d", photos(&["a.jpg", "b.jpg"])).await;
    kit.deploy(flow(" (new)").build().unwrap()).await;
    kit.release_queue();
    let told = ended(&kit, "d").await;
    assert_eq!(
        (told["status"].as_str(), labels(&told, "failed")),
        (Some("success"), vec![json!("a.jpg"), json!("b.jpg")])
    );
}

#[tokio::test]
async fn items_of_a_request_that_is_recovered_or_redriven_have_their_labels() {
    let each = named(Flow::builder().apply("one")).at_most(1);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each));
    let kit = kit.function("one", Fake::echo().after_failing(1, 400)).start().await;
    kit.hold_queue();
    start(&kit, "v", photos(&["a.jpg", "b.jpg"])).await;
    kit.lose_queue();
    let recovered = did(&kit, "/_/recover?force=true&older=0s").await;
    assert_eq!(recovered["recovered"][0]["tokens"], 1, "{recovered}");
    kit.release_queue();
    assert_eq!(labels(&ended(&kit, "v").await, "failed"), ["a.jpg"]);
    kit.hold_queue();
    did(&kit, "/_/requests/v/redrive").await;
    kit.release_queue();
    assert_eq!(ended(&kit, "v").await["status"], "success");
}
