//! The end of requests with branches.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{Condition, Scope, StateManager};

use super::subject::{Subject, describe, ensure};

/// Much longer than a check takes.
const KEEP_FOR: Duration = Duration::from_secs(3600);
/// The keys that outlive a request.
const OUTLIVING: [&str; 3] = ["over@0", "finished@0", "over@17"];
/// Keys of all other kinds, some of which look similar.
const OTHERS: [&str; 9] = [
    "state/over@0",
    "over",
    "result/3.17/5",
    "member/3/17",
    "entry/3/4",
    "turn/3/17/1",
    "decided/3@1",
    "list/3-abc/0",
    "payload/1-ab",
];

pub(super) async fn supported(subject: &Subject) -> bool {
    let ended = subject.manager.end_request(&subject.own("supported"), Duration::ZERO).await;
    !matches!(ended, Err(error) if error.is_unsupported())
}

async fn fill(manager: &dyn StateManager, scope: &Scope) -> Result<(), String> {
    for key in OUTLIVING.into_iter().chain(OTHERS) {
        manager.set(scope, key, Bytes::from(format!("value of {key}"))).await.map_err(describe)?;
    }
    // Managers that write large values in parts must remove those as well.
    manager.set(scope, "payload/2-cd", Bytes::from(vec![3; 9 << 20])).await.map_err(describe)
}

/// Checks which keys exist.
async fn expect(manager: &dyn StateManager, scope: &Scope, outliving: bool, others: bool) -> Result<(), String> {
    let stays = OUTLIVING.into_iter().map(|key| (key, outliving));
    let goes = OTHERS.into_iter().chain(["payload/2-cd"]).map(|key| (key, others));
    for (key, expected) in stays.chain(goes) {
        let found = manager.get(scope, key).await.map_err(describe)?.is_some();
        ensure(found == expected, || format!("`{key}` exists: {found}, expected: {expected}"))?;
    }
    Ok(())
}

pub(super) async fn leaves(subject: Subject) -> Result<(), String> {
    let (manager, scope, other) = (&*subject.manager, subject.own("ends"), subject.own("ends-not"));
    for scope in [&scope, &other] {
        fill(manager, scope).await?;
    }
    // It may be called again, because the answer to the first call may have been lost.
    for _ in 0..2 {
        manager.end_request(&scope, KEEP_FOR).await.map_err(describe)?;
        expect(manager, &scope, true, false).await?;
    }
    for key in OUTLIVING {
        let found = manager.get(&scope, key).await.map_err(describe)?;
        ensure(found == Some(Bytes::from(format!("value of {key}"))), || format!("the value of `{key}` has changed"))?;
    }
    expect(manager, &other, true, true).await.map_err(|why| format!("another request: {why}"))?;
    for scope in [&scope, &other] {
        manager.remove_request(scope).await.map_err(describe)?;
        expect(manager, scope, false, false).await.map_err(|why| format!("after `remove_request`: {why}"))?;
    }
    Ok(())
}

pub(super) async fn created_once(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&*subject.manager, subject.own("outlives"));
    let create = |value: &'static str| manager.set_if(&scope, "over@0", Bytes::from(value), Condition::Absent);
    match create("one").await {
        Err(error) if error.is_unsupported() => return Ok(()),
        created => ensure(created.map_err(describe)?.is_some(), || "a missing key was not created".to_owned())?,
    }
    ensure(create("two").await.map_err(describe)?.is_none(), || "a key was created twice".to_owned())?;
    manager.end_request(&scope, KEEP_FOR).await.map_err(describe)?;
    ensure(create("three").await.map_err(describe)?.is_none(), || {
        "a key that outlives the request was created again after the end".to_owned()
    })?;
    let found = manager.get(&scope, "over@0").await.map_err(describe)?;
    ensure(found.as_deref() == Some(b"one"), || format!("its value changed to {found:?}"))?;
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn leaves_nothing(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&*subject.manager, subject.own("ends-at-once"));
    manager.end_request(&scope, KEEP_FOR).await.map_err(|error| format!("without values: {}", describe(error)))?;
    fill(manager, &scope).await?;
    manager.end_request(&scope, Duration::ZERO).await.map_err(describe)?;
    expect(manager, &scope, false, false).await
}
