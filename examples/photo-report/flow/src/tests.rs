//! Tests the flow without its functions.

use faasflow::{FromPayload as _, IntoPayload as _};
use faasflow_testkit::{Fake, RecordedCall, Running, TestKit, explore};

use super::*;

const TWO_FACES: &str = r#"{"width": 40, "height": 20, "faces": [
    {"x": 1, "y": 2, "width": 9, "height": 9, "score": 5.5}, {"x": 21, "y": 2, "width": 9, "height": 9, "score": 5.5}]}"#;

fn album() -> Archive {
    Archive::default().with("album/a.jpg", "a").with("album/._a.jpg", "").with("album/notes.txt", "").with("b.PNG", "b")
}

#[test]
fn synchronous_calls_stay_in_one_phase() {
    let flow = define(Calls::Synchronous).unwrap();
    assert_eq!(flow.plan().phase_count(), 1);
    assert!(!flow.plan().needs_store());
    assert!(define(Calls::Asynchronous).unwrap().plan().needs_store());
}

#[tokio::test]
async fn photos_are_split_in_the_order_of_their_names() {
    let context = Context::for_test("");
    let album = keep_names(context.clone(), album()).await.unwrap();
    assert_eq!(context.get::<Vec<String>>("names").await.unwrap().unwrap(), ["a.jpg", "b.PNG"]);
    let photos = photos(album).await;
    assert_eq!(photos.iter().map(|photo| &photo.bytes()[..]).collect::<Vec<_>>(), [b"a", b"b"]);
    let refused = keep_names(context, Archive::default().with("notes.txt", "")).await.unwrap_err();
    assert!(refused.public_reason().unwrap().starts_with("the archive has no photo"));
}

/// A photo ends once, no matter in which order its branches and faces end, even with one fault.
#[test]
fn a_photo_with_two_faces_in_any_order() {
    let flow = photo(Calls::Asynchronous).build().unwrap();
    let explored = explore(&flow, "photo")
        .function("facedetect", |_| Ok(TWO_FACES.to_owned()))
        .function("palette", |_| Ok("[]".to_owned()))
        .sample(7, 300)
        .run();
    let card = Archive::from_payload(Payload::new(explored.output().to_owned())).unwrap();
    let paths: Vec<&str> = card.files().map(|(path, _)| path).collect();
    assert_eq!(paths, ["thumbnail.jpg", "palette.json", "details/face-1.jpg", "details/face-2.jpg"]);
}

#[test]
fn the_album_survives_as_a_payload() {
    let payload = album().into_payload().unwrap();
    assert_eq!(Archive::from_payload(payload).unwrap().files().len(), 4);
}

/// Starts the flow with fake functions. The bytes of a photo are the number of its faces.
async fn start(calls: Calls) -> Running {
    let boxes = |call: &RecordedCall| {
        let count: i32 = call.text().parse().unwrap();
        // From right to left, because the flow has to sort them.
        let face = |index: i32| format!(r#"{{"x": {}, "y": 0, "width": 9, "height": 9}}"#, (count - index) * 10);
        format!(r#"{{"faces": [{}]}}"#, (0..count).map(face).collect::<Vec<_>>().join(", "))
    };
    let crop = |call: &RecordedCall| {
        let archive = Archive::from_payload(Payload::new(call.body.clone())).unwrap();
        let face: serde_json::Value = serde_json::from_slice(archive.file("box.json").unwrap()).unwrap();
        let photo = String::from_utf8_lossy(archive.file("picture").unwrap()).into_owned();
        format!("{photo}: {} {}", face["x"], call.query.as_deref().unwrap())
    };
    let sheet = |call: &RecordedCall| {
        let archive = Archive::from_payload(Payload::new(call.body.clone())).unwrap();
        let line = |(path, bytes): (&str, &Bytes)| format!("{path} = {}\n", String::from_utf8_lossy(bytes));
        archive.files().map(line).collect::<String>()
    };
    TestKit::new(define(calls).unwrap())
        .function("thumbnail", Fake::with(|call| format!("small {}", call.text())))
        .function("palette", Fake::answer(r##"[{"hex":"#102030","share":1.0}]"##))
        .function("facedetect", Fake::with(boxes))
        .function("crop", Fake::with(crop))
        .function("tint", Fake::with(|call| format!("{} {}", call.text(), call.query.as_deref().unwrap())))
        .function("contact-sheet", Fake::with(sheet))
        .start()
        .await
}

/// Sends photos with these numbers of faces, and returns the sheet and the report.
async fn report_of(kit: &Running, faces: &[&'static str]) -> (String, serde_json::Value) {
    let album = faces.iter().fold(Archive::default(), |all, faces| all.with(format!("{faces}.jpg"), *faces));
    let end = kit.request(album.into_payload().unwrap().into_bytes()).send().await;
    assert_eq!(end.outcome(), Some(faasflow::Outcome::Success), "{}", end.text());
    assert_eq!(end.header("content-type"), Some("application/x-tar"));
    let result = Archive::from_payload(Payload::new(end.body)).unwrap();
    let sheet = String::from_utf8(result.file("sheet.jpg").unwrap().to_vec()).unwrap();
    (sheet, serde_json::from_slice(result.file("report.json").unwrap()).unwrap())
}

const SHEET: &str = r##"001/thumbnail.jpg = small 1
001/palette.json = [{"hex":"#102030","share":1.0}]
001/details/face-1.jpg = 1: 10 margin=60 tone=sepia
001/caption.txt = 1.jpg
one face, as a portrait
002/thumbnail.jpg = small 2
002/palette.json = [{"hex":"#102030","share":1.0}]
002/details/face-1.jpg = 2: 10 margin=20 tone=blue
002/details/face-2.jpg = 2: 20 margin=20 tone=blue
002/caption.txt = 2.jpg
2 faces, each close up
003/thumbnail.jpg = small 0
003/palette.json = [{"hex":"#102030","share":1.0}]
003/details/whole.jpg = 0 tone=green
003/caption.txt = 0.jpg
no face, tinted as a whole
"##;

async fn check(kit: &Running) {
    let (sheet, report) = report_of(kit, &["1", "2", "0"]).await;
    assert_eq!(sheet, SHEET);
    let photo = |index: usize| (report[index]["name"].as_str(), report[index]["faces"].as_u64());
    assert_eq!(
        [photo(0), photo(1), photo(2)],
        [(Some("1.jpg"), Some(1)), (Some("2.jpg"), Some(2)), (Some("0.jpg"), Some(0))]
    );
    assert_eq!(report[1]["palette"][0]["hex"], "#102030");
}

#[tokio::test(flavor = "multi_thread")]
async fn synchronously() {
    let kit = start(Calls::Synchronous).await;
    check(&kit).await;
    assert_eq!((kit.calls("crop").len(), kit.calls("tint").len(), kit.calls("contact-sheet").len()), (3, 4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronously() {
    check(&start(Calls::Asynchronous).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronously_with_every_delivery_twice() {
    let kit = start(Calls::Asynchronous).await;
    kit.deliver_twice();
    check(&kit).await;
}

/// The flow function crashes in a branch, and the queue delivers the branch again.
#[tokio::test(flavor = "multi_thread")]
async fn asynchronously_with_a_crash() {
    let kit = start(Calls::Asynchronous).await;
    kit.crash_at("tint");
    check(&kit).await;
}
