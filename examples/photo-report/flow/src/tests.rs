//! The flow without its functions.

use faasflow::{FromPayload as _, IntoPayload as _};
use faasflow_testkit::explore;

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

/// In every order in which its branches and faces can end, and with one fault anywhere, a photo ends once.
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
