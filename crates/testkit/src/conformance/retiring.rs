//! The end of requests that are remembered, and their expiry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_core::state::{Condition, ListQuery, Scope, StateManager, Status, search_flow};

use super::records::{LONG, STARTED, expect, for_each, line, list, remove, remove_all, scope};
use super::subject::{Subject, describe, ensure};

/// How long requests that a check sees expire stay, and what outlives them after that.
const KEEP_FOR: Duration = Duration::from_secs(2);
const KNOWN_FOR: Duration = Duration::from_secs(3);
/// The clocks of two machines may differ by this much.
const SKEW: Duration = Duration::from_millis(500);
/// How long it may take until something that has expired is removed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins a request with values of all kinds.
async fn begin(manager: &Arc<dyn StateManager>, scope: &Scope) -> Result<(), String> {
    let begun = manager.begin_request(scope, STARTED, "begun@0", Bytes::from_static(b"x")).await;
    ensure(begun.map_err(describe)?, || "the request did not begin".to_owned())?;
    // Managers that write large values in parts must keep and remove those as well.
    for (key, length) in [("result/1", 10), ("payload/2-cd", 9 << 20), ("over@0", 3), ("finished@0", 3)] {
        manager.set(scope, key, Bytes::from(vec![3; length])).await.map_err(describe)?;
    }
    Ok(())
}

const OWN: [&str; 3] = ["begun@0", "result/1", "payload/2-cd"];
const OUTLIVING: [&str; 2] = ["over@0", "finished@0"];

/// How many of the keys have a value.
async fn count(manager: &Arc<dyn StateManager>, scope: &Scope, keys: &[&str]) -> Result<usize, String> {
    let found = manager.get_many(scope, keys).await.map_err(describe)?;
    Ok(found.iter().flatten().count())
}

/// Removes what has expired until none of the keys has a value. Returns how long after `retired` that is.
async fn until_gone(
    manager: &Arc<dyn StateManager>,
    scope: &Scope,
    keys: &[&str],
    retired: Instant,
) -> Result<Duration, String> {
    loop {
        let removed = manager.remove_expired(&scope.flow, 10).await.map_err(describe)?;
        ensure(removed <= 10, || format!("`remove_expired` removed {removed} requests, and the limit is 10"))?;
        if count(manager, scope, keys).await? == 0 {
            return Ok(retired.elapsed());
        }
        ensure(retired.elapsed() < PATIENCE, || format!("{keys:?} are still there after {:?}", retired.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn retires(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("retires"));
    let (own, other, all) = (scope(&flow, "r"), scope(&flow, "other"), ListQuery::newest(10));
    begin(manager, &own).await?;
    begin(manager, &other).await?;
    manager.retire_request(&other, STARTED, Status::Failure, LONG, LONG).await.map_err(describe)?;
    let retired = Instant::now();
    manager.retire_request(&own, STARTED, Status::Success, KEEP_FOR, KNOWN_FOR).await.map_err(describe)?;
    let (kept, listed) = (count(manager, &own, &OWN).await?, list(manager, &flow, &all).await?);
    if retired.elapsed() < KEEP_FOR {
        ensure(kept == OWN.len(), || format!("{kept} of {} values are readable after the end", OWN.len()))?;
        let expected = [line("r", STARTED, Status::Success), line("other", STARTED, Status::Failure)];
        ensure(listed == expected, || format!("the list has {listed:?}, expected {expected:?}"))?;
    }
    let gone = until_gone(manager, &own, &OWN, retired).await?;
    ensure(gone + SKEW >= KEEP_FOR, || format!("the values were gone after {gone:?}, expected {KEEP_FOR:?}"))?;
    expect(manager, &flow, &all, &[line("other", STARTED, Status::Failure)]).await?;
    let known = count(manager, &own, &OUTLIVING).await?;
    if retired.elapsed() < KEEP_FOR + KNOWN_FOR - SKEW {
        ensure(known == OUTLIVING.len(), || "what outlives the request was removed with it".to_owned())?;
    }
    let gone = until_gone(manager, &own, &OUTLIVING, retired).await?;
    let stays = KEEP_FOR + KNOWN_FOR;
    ensure(gone + SKEW >= stays, || format!("what outlives it was gone after {gone:?}, expected {stays:?}"))?;
    let kept = count(manager, &other, &OWN).await? + count(manager, &other, &OUTLIVING).await?;
    ensure(kept == OWN.len() + OUTLIVING.len(), || "another request lost values".to_owned())?;
    remove_all(manager, &flow, &[("other", STARTED)]).await?;
    let kept = count(manager, &other, &OWN).await? + count(manager, &other, &OUTLIVING).await?;
    ensure(kept == 0, || format!("{kept} values are left of a request that was removed"))
}

pub(super) async fn leaves_out(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("leaves-out"));
    let retire = |number: usize| {
        let (manager, own) = (manager.clone(), scope(&flow, &format!("r{number:03}")));
        async move {
            let keep_for = Duration::from_secs(1);
            manager.retire_request(&own, STARTED, Status::Success, keep_for, KNOWN_FOR).await.map_err(describe)
        }
    };
    // More than a manager removes in one step, in front of one that stays.
    for_each(0..300, retire).await?;
    manager.list_request(&scope(&flow, "a"), STARTED, Status::Success).await.map_err(describe)?;
    tokio::time::sleep(Duration::from_secs(1) + SKEW).await;
    for status in [None, Some(Status::Success)] {
        let query = ListQuery { status, ..ListQuery::newest(10) };
        expect(manager, &flow, &query, &[line("a", STARTED, Status::Success)]).await?;
    }
    // `remove_expired` keeps to its limit, and has something to remove unless the manager has done so by itself.
    let begun = Instant::now();
    while manager.remove_expired(&flow, 100).await.map_err(describe)? > 0 {
        ensure(begun.elapsed() < PATIENCE, || "`remove_expired` does not come to an end".to_owned())?;
    }
    remove_all(manager, &flow, &[("a", STARTED)]).await
}

pub(super) async fn retires_again(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("retires-again"));
    let (own, all) = (scope(&flow, "r"), ListQuery::newest(10));
    let retire = async |keep_for, known_for| {
        manager.retire_request(&own, STARTED, Status::Recovered, keep_for, known_for).await.map_err(describe)
    };
    retire(Duration::ZERO, LONG).await.map_err(|error| format!("a request that never began: {error}"))?;
    expect(manager, &flow, &all, &[]).await?;

    begin(manager, &own).await?;
    retire(LONG, LONG).await?;
    for _ in 0..2 {
        retire(Duration::ZERO, LONG).await?;
        let (own_count, outliving) = (count(manager, &own, &OWN).await?, count(manager, &own, &OUTLIVING).await?);
        ensure(own_count == 0, || format!("{own_count} values are left that were to be removed now"))?;
        ensure(outliving == OUTLIVING.len(), || "what outlives the request was removed with it".to_owned())?;
        expect(manager, &flow, &all, &[]).await?;
    }
    remove(manager, &own, STARTED).await?;
    ensure(count(manager, &own, &OUTLIVING).await? == 0, || "what outlives the request is still there".to_owned())?;

    // A request that goes on after all does not expire, and neither does one that begins again.
    begin(manager, &own).await?;
    retire(KEEP_FOR, KNOWN_FOR).await?;
    manager.list_request(&own, STARTED, Status::Running).await.map_err(describe)?;
    let again = scope(&flow, "again");
    begin(manager, &again).await?;
    let retired = manager.retire_request(&again, STARTED, Status::Success, Duration::ZERO, KEEP_FOR).await;
    retired.map_err(describe)?;
    begin(manager, &again).await?;
    tokio::time::sleep(KEEP_FOR + SKEW).await;
    while manager.remove_expired(&flow, 10).await.map_err(describe)? > 0 {}
    let kept = count(manager, &own, &OWN).await? + count(manager, &own, &OUTLIVING).await?;
    ensure(kept == OWN.len() + OUTLIVING.len(), || "a request that is listed as running again has expired".to_owned())?;
    let kept = count(manager, &again, &OWN).await?;
    ensure(kept == OWN.len(), || "a request that began again has lost values".to_owned())?;
    let running = |request| line(request, STARTED, Status::Running);
    expect(manager, &flow, &all, &[running("r"), running("again")]).await?;
    remove_all(manager, &flow, &[("r", STARTED), ("again", STARTED)]).await
}

/// What has expired is gone, or the manager says that it has expired, before anybody removes it.
pub(super) async fn says(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("says"));
    let own = scope(&flow, "r");
    let is_expired = async || manager.is_expired(&own).await.map_err(describe);
    begin(manager, &own).await?;
    ensure(!is_expired().await?, || "a request that goes on has expired".to_owned())?;
    let retire = async |keep_for| manager.retire_request(&own, STARTED, Status::Success, keep_for, LONG).await;
    retire(LONG).await.map_err(describe)?;
    ensure(!is_expired().await?, || "a request that was just retired has expired".to_owned())?;
    retire(Duration::from_secs(1)).await.map_err(describe)?;
    tokio::time::sleep(Duration::from_secs(1) + SKEW).await;
    let left = count(manager, &own, &OWN).await?;
    ensure(left == 0 || is_expired().await?, || format!("{left} values that have expired can be read"))?;
    manager.list_request(&own, STARTED, Status::Running).await.map_err(describe)?;
    ensure(!is_expired().await?, || "a request that was started again has expired".to_owned())?;
    remove(manager, &own, STARTED).await
}

/// The requests with a search key are a value in a scope of their own, which begins with that value and not with a request. Each change
/// makes it stay longer.
pub(super) async fn keeps_search_keys(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("search"));
    let of_key = scope(&search_flow(&flow), "0123456789abcdef0123456789abcdef");
    let keep = async |keep_for| {
        manager.retire_request(&of_key, 0, Status::Success, keep_for, Duration::ZERO).await.map_err(describe)
    };
    let mut condition = Condition::Absent;
    for value in [Bytes::from_static(b"[1]"), Bytes::from_static(b"[2,1]")] {
        let written = manager.set_if(&of_key, "requests", value.clone(), condition).await.map_err(describe)?;
        ensure(written.is_some(), || format!("{value:?} was not written"))?;
        keep(LONG).await?;
        let found = manager.get_versioned(&of_key, "requests").await.map_err(describe)?;
        let Some((found, version)) = found else { return Err(format!("{value:?} is gone after `retire_request`")) };
        ensure(found == value, || format!("the value is {found:?}, expected {value:?}"))?;
        condition = Condition::Version(version);
    }
    let newest = ListQuery::newest(10);
    expect(manager, &of_key.flow, &newest, &[line(&of_key.request, 0, Status::Success)]).await?;
    expect(manager, &flow, &newest, &[]).await?;
    keep(Duration::ZERO).await?;
    let found = manager.get(&of_key, "requests").await.map_err(describe)?;
    ensure(found.is_none(), || "the value is still there after its time".to_owned())?;
    expect(manager, &of_key.flow, &newest, &[]).await
}
