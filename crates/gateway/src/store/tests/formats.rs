//! Files of older versions, as those versions wrote them. Each has the requests `open` and `ended`, and that of the second format
//! has also the request `remembered`, which is retired for a hundred years.

use faasflow_http::{Budget, Codings, Limits};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

use super::*;

const OLDER: [&[u8]; 2] = [include_bytes!("../format-1.redb.gz"), include_bytes!("../format-2.redb.gz")];

/// The keys of the request `open`, each with its version and the size of its value.
const OPEN: [(&str, u64, u64); 5] =
    [("begun@0", 1, 10), ("empty", 7, 0), ("payload/1", 6, 67_000), ("result/1", 3, 1000), ("result/2", 4, 1000)];
/// The number of the file with the value of `payload/1`.
const FILE: u64 = 5;

async fn older(compressed: &'static [u8]) -> Fixture {
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let mut share = Budget::new(Limits::for_memory(1 << 30)).request_share();
    let codings = Codings::from_headers(&headers).unwrap();
    let file = codings.decode(Bytes::from_static(compressed), 1 << 20, &mut share).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state.redb"), file).unwrap();
    std::fs::create_dir(folder.path().join("state-values")).unwrap();
    std::fs::write(folder.path().join(format!("state-values/{FILE}.value")), [7; 67_000]).unwrap();
    Fixture { store: Store::open(folder.path(), limits()).unwrap(), folder }
}

async fn read(fixture: &Fixture, key: &str) -> (u64, Vec<u8>) {
    use tokio::io::AsyncReadExt as _;
    let Value { version, bytes } = fixture.store.get(&scope("open"), key).await.unwrap().unwrap();
    match bytes {
        ValueBytes::Inline(bytes) => (version, bytes.to_vec()),
        ValueBytes::File { mut file, .. } => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).await.unwrap();
            (version, bytes)
        }
    }
}

async fn listed(fixture: &Fixture) -> Vec<Listed> {
    fixture.store.lines("f".into(), "flow".into(), ListQuery::newest(9)).await.unwrap()
}

/// Reads a file twice, because it is converted when it is opened for the first time. Then it can be used like any other.
async fn is_taken_up(mut fixture: Fixture, remembered: &[Listed]) {
    for _ in 0..2 {
        let keys = fixture.store.keys(scope("open"), None, 9).await.unwrap();
        assert_eq!(keys, OPEN.map(|(key, version, bytes)| (key.to_owned(), version, bytes)));
        for (key, version, bytes) in OPEN {
            assert_eq!(read(&fixture, key).await, (version, vec![7; usize::try_from(bytes).unwrap()]), "{key}");
        }
        assert_eq!(fixture.keys("ended").await, ["over@0"]);
        assert_eq!(listed(&fixture).await, remembered);
        fixture = fixture.reopen().await;
    }
    let replaced = fixture.set("open", "result/1", 100).await;
    fixture.set("open", "result/3", 100).await;
    fixture.store.remove(scope("open"), "empty".into()).await.unwrap();
    let value = fixture.store.begin();
    let again = value.write(scope("open"), "begun@0".into(), Condition::Version(1), Some(8)).await.unwrap();
    assert!(again.is_some());
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.keys("open").await, ["begun@0", "payload/1", "result/1", "result/2", "result/3"]);
    assert_eq!(read(&fixture, "result/1").await, (replaced, vec![7; 100]));
    assert_eq!(read(&fixture, "result/2").await, (4, vec![7; 1000]));
    assert_eq!(listed(&fixture).await.len(), remembered.len() + 1);
    for request in ["open", "ended", "remembered"] {
        fixture.store.end(scope(request), None).await.unwrap();
    }
    fixture.collect().await;
    let fixture = fixture.reopen().await;
    assert_eq!((fixture.rows().await, fixture.lines().await, fixture.files().len()), ([0; 5], [0; 3], 0));
}

#[tokio::test]
async fn a_file_of_the_first_format_is_taken_up() {
    is_taken_up(older(OLDER[0]).await, &[]).await;
}

#[tokio::test]
async fn a_file_of_the_second_format_is_taken_up() {
    let fixture = older(OLDER[1]).await;
    assert_eq!(fixture.keys("remembered").await, ["begun@0", "result/1", "over@0"]);
    let remembered = Listed { request: "remembered".to_owned(), started_ms: 7, status: Status::Success };
    is_taken_up(fixture, &[remembered]).await;
}
