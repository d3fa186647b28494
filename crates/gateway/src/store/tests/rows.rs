//! Rows of the table of values: what is read, and how much space they take.

use super::*;

/// Values of all sizes under keys in any order, some of them replaced and removed, are those of a map.
#[tokio::test]
async fn values_that_share_rows_are_read_written_and_removed() {
    use std::collections::BTreeMap;
    let fixture = open();
    let (mut expected, mut seed) = (BTreeMap::new(), 7_u64);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..1500 {
        let key = format!("result/{}", random(60));
        if random(4) == 0 {
            fixture.store.remove(scope("r"), key.clone()).await.unwrap();
            expected.remove(&key);
        } else {
            let length = [0, 10, 100, 1000, 1000, 3900, 5000, INLINE as u64 + 1][usize::try_from(random(8)).unwrap()];
            let length = usize::try_from(length).unwrap();
            let version = fixture.set("r", &key, length).await;
            // `set` writes whole parts.
            expected.insert(key, (version, length.div_ceil(1000) * length.min(1000)));
        }
        if round % 50 != 0 {
            continue;
        }
        for key in (0..60).map(|number| format!("result/{number}")) {
            let found = fixture.store.get(&scope("r"), &key).await.unwrap();
            let found = found.map(|Value { version, bytes }| match bytes {
                ValueBytes::Inline(bytes) => (version, bytes.len()),
                ValueBytes::File { length, .. } => (version, usize::try_from(length).unwrap()),
            });
            assert_eq!(found, expected.get(&key).copied(), "{key} in round {round}");
        }
        let listed = fixture.store.keys(scope("r"), None, 100).await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|(key, version, bytes)| (key, (version, bytes as usize))).collect();
        assert_eq!(listed, expected.clone().into_iter().collect::<Vec<_>>(), "in round {round}");
        for after in listed.iter().map(|(key, _)| key) {
            let next = fixture.store.keys(scope("r"), Some(after.clone()), 1).await.unwrap();
            let next = next.first().map(|(key, ..)| key);
            assert_eq!(
                next,
                expected
                    .range::<String, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
                    .next()
                    .map(|(key, _)| key)
            );
        }
    }
    // Files are removed after the answer, so this waits for that.
    let removed = async || fixture.store.remove(scope("r"), "missing".into()).await.unwrap();
    removed().await;
    let files = expected.values().filter(|(_, length)| *length > INLINE).count();
    assert_eq!(fixture.files().len(), files);
    fixture.store.end(scope("r"), None).await.unwrap();
    fixture.collect().await;
    removed().await;
    assert_eq!((fixture.rows().await, fixture.files().len()), ([0; 5], 0));
}

/// How many times the bytes of its values the file takes, without free space.
async fn space(fixture: &Fixture, values: usize) -> f64 {
    let disk = fixture.store.0.disk.clone();
    let read = move || {
        disk.commit(|write| {
            let stats = write.stats().map_err(StoreError::storage)?;
            Ok((stats.allocated_pages() as usize * stats.page_size(), false))
        })
    };
    let bytes = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    bytes as f64 / values as f64
}

#[tokio::test]
async fn records_take_little_more_space_than_their_values() {
    let fixture = open();
    let write = async |request: usize| {
        let request = format!("{request:08}-8b1a-4c11-9d5e-51f0c3a1d2e4");
        fixture.begin(&request).await;
        for key in 0..10 {
            fixture.set(&request, &format!("result/{key}"), 1000).await;
        }
        fixture.store.list(scope(&request), 7, Status::Success).await.unwrap();
    };
    // Requests side by side, as in a gateway.
    for first in (0..300).step_by(30) {
        futures_util::future::join_all((first..first + 30).map(&write)).await;
    }
    let space = space(&fixture, 300 * 10_000).await;
    assert!(space < 1.45, "{space} times the values");
}

#[tokio::test]
async fn values_that_are_written_among_others_leave_no_small_rows() {
    let fixture = open();
    // The keys of a kind are neighbours, and each kind grows at its end.
    for first in (0..1000).step_by(20) {
        let keys =
            (first..first + 20).flat_map(|key| ["member", "posted", "result"].map(|kind| format!("{kind}/{key:05}")));
        let write = |key: String| {
            let fixture = &fixture;
            async move { fixture.set("r", &key, 100).await }
        };
        futures_util::future::join_all(keys.map(write)).await;
    }
    let space = space(&fixture, 3000 * 100).await;
    assert!(space < 2.5, "{space} times the values");
}
