//! Conditional writes.

use bytes::Bytes;
use faasflow_core::state::{Condition, Version};
use tokio::task::JoinSet;

use super::subject::{Subject, describe, ensure};

pub(super) async fn supported(subject: &Subject) -> bool {
    let scope = subject.own("supported");
    !matches!(subject.manager.get_versioned(&scope, "key").await, Err(error) if error.is_unsupported())
}

pub(super) async fn create(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("create"));
    let create = |value: &'static str| manager.set_if(&scope, "key", Bytes::from(value), Condition::Absent);
    ensure(create("one").await.map_err(describe)?.is_some(), || "a missing key was not created".to_owned())?;
    ensure(create("two").await.map_err(describe)?.is_none(), || "a key was created twice".to_owned())?;
    let found = manager.get(&scope, "key").await.map_err(describe)?;
    ensure(found.as_deref() == Some(b"one"), || format!("the second creator changed the value to {found:?}"))?;
    manager.remove(&scope, "key").await.map_err(describe)?;
    ensure(create("three").await.map_err(describe)?.is_some(), || "a removed key was not created".to_owned())?;
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn create_in_order(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("create-in-order"));
    let large = Bytes::from(vec![7; 3 << 20]);
    let value = |key: &'static str| (key, if key == "c" { large.clone() } else { Bytes::from(key) });
    let all = ["a", "b", "c", "d", "over@7"].map(value);
    let created = manager.create_in_order(&scope, &all).await.map_err(describe)?;
    ensure(created == all.len(), || format!("{created} of {} missing keys were created", all.len()))?;
    let found = manager.get_many(&scope, &all.clone().map(|(key, _)| key)).await.map_err(describe)?;
    ensure(found.into_iter().eq(all.map(|(_, value)| Some(value))), || "other values were read".to_owned())?;

    manager.remove(&scope, "b").await.map_err(describe)?;
    let values = [("e", Bytes::from("1")), ("b", Bytes::from("2")), ("a", Bytes::from("3")), ("f", Bytes::from("4"))];
    let created = manager.create_in_order(&scope, &values).await.map_err(describe)?;
    ensure(created == 2, || format!("{created} keys were created, and the third of four existed"))?;
    let found = manager.get_many(&scope, &["e", "b", "a", "f"]).await.map_err(describe)?;
    let expected = [Some(Bytes::from("1")), Some(Bytes::from("2")), Some(Bytes::from("a")), None];
    ensure(found == expected, || format!("there are {found:?} instead of {expected:?}"))?;
    manager.end_request(&scope, std::time::Duration::ZERO).await.or_else(|error| match error.is_unsupported() {
        true => Ok(()),
        false => Err(describe(error)),
    })?;
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn update(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("update"));
    let none = Condition::Version(Version::new("\"0123456789abcdef0123456789abcdef\""));
    let written = manager.set_if(&scope, "key", Bytes::from("x"), none).await.map_err(describe)?;
    ensure(written.is_none(), || "a missing key was updated".to_owned())?;

    manager.set(&scope, "key", Bytes::from("one")).await.map_err(describe)?;
    let (value, first) =
        manager.get_versioned(&scope, "key").await.map_err(describe)?.ok_or("the value was not found")?;
    ensure(value == "one", || format!("`one` was set, but {value:?} was read"))?;
    // A large value, so that managers that write in parts do so here as well.
    let large = Bytes::from(vec![7; 6 << 20]);
    let second =
        manager.set_if(&scope, "key", large.clone(), Condition::Version(first.clone())).await.map_err(describe)?;
    let second = second.ok_or("a write with the version that was just read was refused")?;
    ensure(second != first, || "two values have the same version".to_owned())?;
    let stale =
        manager.set_if(&scope, "key", Bytes::from("late"), Condition::Version(first)).await.map_err(describe)?;
    ensure(stale.is_none(), || "a value was replaced although its version had changed".to_owned())?;
    let (value, now) = manager.get_versioned(&scope, "key").await.map_err(describe)?.ok_or("the value is gone")?;
    ensure(value == large && now == second, || {
        "the value or its version differs from what was just written".to_owned()
    })?;
    // A plain write also creates a version.
    manager.set(&scope, "key", Bytes::from("four")).await.map_err(describe)?;
    let stale =
        manager.set_if(&scope, "key", Bytes::from("late"), Condition::Version(second)).await.map_err(describe)?;
    ensure(stale.is_none(), || "a plain write did not change the version".to_owned())?;
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn concurrent_creators(subject: Subject) -> Result<(), String> {
    let scope = subject.own("creators");
    let mut creators = JoinSet::new();
    for creator in 0..16 {
        let (manager, scope) = (subject.manager.clone(), scope.clone());
        creators.spawn(async move {
            let value = Bytes::from(creator.to_string());
            let created = manager.set_if(&scope, "key", value.clone(), Condition::Absent).await;
            created.map(|version| version.map(|_| value))
        });
    }
    let mut winners = Vec::new();
    while let Some(done) = creators.join_next().await {
        winners.extend(done.map_err(|error| error.to_string())?.map_err(describe)?);
    }
    ensure(winners.len() == 1, || format!("{} of 16 creators succeeded, expected 1", winners.len()))?;
    let found = subject.manager.get(&scope, "key").await.map_err(describe)?;
    ensure(found.as_ref() == winners.first(), || {
        "the value differs from what the successful creator wrote".to_owned()
    })?;
    subject.manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn concurrent_counters(subject: Subject) -> Result<(), String> {
    const COUNTERS: u64 = 8;
    const TIMES: u64 = 10;
    let scope = subject.own("counters");
    subject.manager.set(&scope, "count", Bytes::from("0")).await.map_err(describe)?;
    let mut counters = JoinSet::new();
    for _ in 0..COUNTERS {
        let (manager, scope) = (subject.manager.clone(), scope.clone());
        counters.spawn(async move {
            for _ in 0..TIMES {
                loop {
                    let found = manager.get_versioned(&scope, "count").await.map_err(describe)?;
                    let (value, version) = found.ok_or("the count is gone")?;
                    let count: u64 =
                        String::from_utf8_lossy(&value).parse().map_err(|_| "the count is not a number")?;
                    let next = Bytes::from((count + 1).to_string());
                    let condition = Condition::Version(version);
                    if manager.set_if(&scope, "count", next, condition).await.map_err(describe)?.is_some() {
                        break;
                    }
                }
            }
            Ok::<(), String>(())
        });
    }
    while let Some(done) = counters.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    let count = subject.manager.get(&scope, "count").await.map_err(describe)?.unwrap_or_default();
    let expected = (COUNTERS * TIMES).to_string();
    ensure(count == expected, || {
        format!("after {expected} increments, the count is {}", String::from_utf8_lossy(&count))
    })?;
    subject.manager.remove_request(&scope).await.map_err(describe)
}
