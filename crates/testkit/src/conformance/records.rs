//! Requests that are remembered: their beginning and the list.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{Condition, ListPosition, ListQuery, Listed, Scope, StateError, StateManager, Status};
use tokio::task::JoinSet;

use super::subject::{Subject, describe, ensure};

/// A time at which requests of the checks start, in milliseconds since the Unix epoch.
pub(super) const STARTED: u64 = 1_750_000_000_000;
/// Much longer than a check takes.
pub(super) const LONG: Duration = Duration::from_secs(3600);
/// The number of requests that start in the same millisecond, and how many are listed at once.
const MANY: usize = 1000;
const AT_ONCE: usize = 32;

/// Calls each method. If one is not supported, the error says which.
pub(super) async fn supported(subject: &Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("supported"));
    let scope = scope(&flow, "r");
    let is_supported = |name: &str, error: Option<StateError>| match error {
        Some(error) if error.is_unsupported() => Err(format!("`{name}` is not supported")),
        _ => Ok(()),
    };
    is_supported("begin_request", manager.begin_request(&scope, STARTED, "key", Bytes::new()).await.err())?;
    is_supported("list_request", manager.list_request(&scope, STARTED, Status::Paused).await.err())?;
    is_supported("list_requests", manager.list_requests(&flow, &ListQuery::newest(1)).await.err())?;
    let retired = manager.retire_request(&scope, STARTED, Status::Success, Duration::ZERO, Duration::ZERO).await;
    is_supported("retire_request", retired.err())
}

/// Checks whether `supports_records` says what is true.
pub(super) fn claim(claimed: bool, branches: bool, records: &Result<(), String>) -> Result<(), String> {
    match (claimed, branches, records) {
        (true, false, _) => Err("it is `true`, but flows that branch cannot use the manager".to_owned()),
        (true, true, Err(why)) => Err(format!("it is `true`, but {why}")),
        (false, true, Ok(_)) => Err("it is `false`, but all methods that it needs are supported".to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn scope(flow: &str, request: &str) -> Scope {
    Scope { flow: flow.to_owned(), request: request.to_owned() }
}

pub(super) fn line(request: &str, started_ms: u64, status: Status) -> Listed {
    Listed { request: request.to_owned(), started_ms, status }
}

pub(super) async fn list(
    manager: &Arc<dyn StateManager>,
    flow: &str,
    query: &ListQuery,
) -> Result<Vec<Listed>, String> {
    manager.list_requests(flow, query).await.map_err(describe)
}

/// Checks what the list has.
pub(super) async fn expect(
    manager: &Arc<dyn StateManager>,
    flow: &str,
    query: &ListQuery,
    expected: &[Listed],
) -> Result<(), String> {
    let found = list(manager, flow, query).await?;
    ensure(found == expected, || format!("{query:?}: the list has {found:?}, expected {expected:?}"))
}

/// Removes a request with everything that belongs to it.
pub(super) async fn remove(manager: &Arc<dyn StateManager>, scope: &Scope, started_ms: u64) -> Result<(), String> {
    let retired = manager.retire_request(scope, started_ms, Status::Success, Duration::ZERO, Duration::ZERO).await;
    retired.map_err(describe)
}

/// Does something with each item, with a few of them at once.
pub(super) async fn for_each<T, F>(items: impl IntoIterator<Item = T>, run: impl Fn(T) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for item in items {
        if running.len() >= AT_ONCE
            && let Some(done) = running.join_next().await
        {
            done.map_err(|error| error.to_string())??;
        }
        running.spawn(run(item));
    }
    while let Some(done) = running.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Removes several requests of a flow, and checks that none is listed then.
pub(super) async fn remove_all(
    manager: &Arc<dyn StateManager>,
    flow: &str,
    requests: &[(&str, u64)],
) -> Result<(), String> {
    let remove = |&(request, started_ms): &(&str, u64)| {
        let (manager, own) = (manager.clone(), scope(flow, request));
        async move { remove(&manager, &own, started_ms).await }
    };
    for_each(requests, remove).await?;
    expect(manager, flow, &ListQuery::newest(10), &[]).await
}

pub(super) async fn begins_once(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("begins"));
    let own = scope(&flow, "r");
    let begin = async |started_ms, value| {
        manager.begin_request(&own, started_ms, "begun@0", Bytes::from_static(value)).await.map_err(describe)
    };
    let all = ListQuery::newest(10);
    ensure(begin(STARTED, b"one").await?, || "a new request did not begin".to_owned())?;
    expect(manager, &flow, &all, &[line("r", STARTED, Status::Running)]).await?;
    manager.list_request(&own, STARTED, Status::Paused).await.map_err(describe)?;
    // The same message again, and another one with the same id.
    for (started_ms, value) in [(STARTED, b"one"), (STARTED, b"two"), (STARTED + 5, b"two"), (STARTED - 5, b"two")] {
        ensure(!begin(started_ms, value).await?, || format!("it began again, with the time {started_ms}"))?;
    }
    expect(manager, &flow, &all, &[line("r", STARTED, Status::Paused)]).await?;
    let found = manager.get(&own, "begun@0").await.map_err(describe)?;
    ensure(found.as_deref() == Some(b"one"), || format!("the value changed to {found:?}"))?;
    // The value is like any other.
    let created = manager.set_if(&own, "begun@0", Bytes::from("x"), Condition::Absent).await.map_err(describe)?;
    ensure(created.is_none(), || "the value was created again".to_owned())?;
    remove_all(manager, &flow, &[("r", STARTED)]).await?;
    ensure(begin(STARTED + 7, b"three").await?, || "a request that was removed did not begin again".to_owned())?;
    expect(manager, &flow, &all, &[line("r", STARTED + 7, Status::Running)]).await?;
    remove_all(manager, &flow, &[("r", STARTED + 7)]).await
}

pub(super) async fn concurrent_beginnings(subject: Subject) -> Result<(), String> {
    let flow = subject.flow("beginnings");
    for same_time in [true, false] {
        let mut beginnings = JoinSet::new();
        for number in 0..50 {
            let (manager, own) = (subject.manager.clone(), scope(&flow, "r"));
            let started_ms = if same_time { STARTED } else { STARTED + number };
            beginnings.spawn(async move {
                let value = Bytes::from(number.to_string());
                let begun = manager.begin_request(&own, started_ms, "begun@0", value.clone()).await;
                begun.map(|begun| begun.then_some((value, started_ms)))
            });
        }
        let mut begun = Vec::new();
        while let Some(done) = beginnings.join_next().await {
            begun.extend(done.map_err(|error| error.to_string())?.map_err(describe)?);
        }
        ensure(begun.len() == 1, || format!("{} of 50 beginnings succeeded, expected 1", begun.len()))?;
        let (value, started_ms) = &begun[0];
        let found = subject.manager.get(&scope(&flow, "r"), "begun@0").await.map_err(describe)?;
        ensure(found.as_ref() == Some(value), || "the value is not that of the beginning that succeeded".to_owned())?;
        let expected = [line("r", *started_ms, Status::Running)];
        expect(&subject.manager, &flow, &ListQuery::newest(100), &expected).await?;
        remove_all(&subject.manager, &flow, &[("r", *started_ms)]).await?;
    }
    Ok(())
}

pub(super) async fn statuses(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("statuses"));
    let own = scope(&flow, "r");
    let with = |status| ListQuery { status: Some(status), ..ListQuery::newest(10) };
    let changes = Status::ALL.into_iter().chain([Status::Running, Status::Running, Status::Parked]);
    for status in changes {
        manager.list_request(&own, STARTED, status).await.map_err(describe)?;
        expect(manager, &flow, &ListQuery::newest(10), &[line("r", STARTED, status)]).await?;
        for other in Status::ALL {
            let expected = (other == status).then(|| line("r", STARTED, status));
            expect(manager, &flow, &with(other), expected.as_slice()).await?;
        }
    }
    manager.retire_request(&own, STARTED, Status::Stopped, LONG, LONG).await.map_err(describe)?;
    for query in [ListQuery::newest(10), with(Status::Stopped)] {
        expect(manager, &flow, &query, &[line("r", STARTED, Status::Stopped)]).await?;
    }
    expect(manager, &flow, &with(Status::Parked), &[]).await?;
    remove_all(manager, &flow, &[("r", STARTED)]).await?;
    expect(manager, &flow, &with(Status::Stopped), &[]).await
}

pub(super) async fn newest_first(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("newest"));
    let requests = [
        ("c", 3, Status::Running),
        ("a", 10, Status::Failure),
        ("d", 2, Status::Running),
        ("b", 100, Status::Running),
        ("f", 9, Status::Failure),
        ("e", 9, Status::Running),
    ];
    let mut lines = Vec::new();
    for (request, after, status) in requests {
        manager.list_request(&scope(&flow, request), STARTED + after, status).await.map_err(describe)?;
        lines.push(line(request, STARTED + after, status));
    }
    lines.sort_by(|a, b| (b.started_ms, &b.request).cmp(&(a.started_ms, &a.request)));
    let after = |started_ms, request: &str| Some(ListPosition { started_ms, request: request.to_owned() });
    let mut queries = Vec::new();
    for status in [None, Some(Status::Running), Some(Status::Failure), Some(Status::Paused)] {
        for since_ms in [0, STARTED + 9, STARTED + 10, STARTED + 101] {
            for limit in [0, 1, 2, 100] {
                for after in [
                    None,
                    after(STARTED + 100, "b"),
                    after(STARTED + 9, "f"),
                    // Positions of which there is no line.
                    after(STARTED + 9, "eee"),
                    after(STARTED + 9, ""),
                    after(STARTED + 5, "x"),
                    after(0, "x"),
                ] {
                    queries.push(ListQuery { status, since_ms, after, limit });
                }
            }
        }
    }
    for query in queries {
        let expected: Vec<Listed> =
            lines.iter().filter(|line| query.includes(line)).take(query.limit).cloned().collect();
        expect(manager, &flow, &query, &expected).await?;
    }
    let all: Vec<(&str, u64)> = requests.iter().map(|(request, after, _)| (*request, STARTED + after)).collect();
    remove_all(manager, &flow, &all).await
}

pub(super) async fn ids(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, subject.flow("ids"));
    let (long, longer) = ("z".repeat(127), "z".repeat(128));
    // As long as the ids that scopes have if the caller chose the id of the request.
    let longest = format!("{}.0123456789abcdef", "Z".repeat(128));
    let mut ids = vec![
        ".",
        "..",
        "-",
        "--",
        "_",
        ":",
        "a",
        "A",
        "a.",
        "a-",
        "a_",
        "a:",
        "a.b",
        "a-b",
        "a_b",
        "ab",
        "aB",
        "Ab",
        "0",
        "9",
        "00",
        "z",
        "zz",
        "Z",
        "running",
        "a.running",
        "-1",
        "1750000000000",
    ];
    ids.extend([long.as_str(), longer.as_str(), longest.as_str()]);
    for id in &ids {
        let begun = manager.begin_request(&scope(&flow, id), STARTED, "begun@0", Bytes::from_static(b"x")).await;
        ensure(begun.map_err(describe)?, || format!("`{id}` did not begin"))?;
    }
    ids.sort_unstable();
    ids.reverse();
    let expected: Vec<Listed> = ids.iter().map(|id| line(id, STARTED, Status::Running)).collect();
    for status in [None, Some(Status::Running)] {
        for (index, id) in ids.iter().enumerate() {
            let after = Some(ListPosition { started_ms: STARTED, request: (*id).to_owned() });
            let query = ListQuery { status, after, ..ListQuery::newest(100) };
            expect(manager, &flow, &query, &expected[index + 1..]).await?;
        }
        expect(manager, &flow, &ListQuery { status, ..ListQuery::newest(100) }, &expected).await?;
    }
    let all: Vec<(&str, u64)> = ids.iter().map(|id| (*id, STARTED)).collect();
    remove_all(manager, &flow, &all).await
}

pub(super) async fn pages(subject: Subject) -> Result<(), String> {
    let (manager, flow) = (&subject.manager, &subject.flow("pages"));
    let ids: Vec<String> = (0..MANY).map(|number| format!("{number:03x}-{}", number % 7)).collect();
    let statuses = [Status::Running, Status::Success];
    let list_one = |(number, id): (usize, &String)| {
        let (manager, own, status) = (manager.clone(), scope(flow, id), statuses[number % 2]);
        async move { manager.list_request(&own, STARTED, status).await.map_err(describe) }
    };
    for_each(ids.iter().enumerate(), list_one).await?;
    for status in [None, Some(Status::Running)] {
        let expected = MANY / if status.is_some() { 2 } else { 1 };
        for limit in [7, 100, MANY] {
            let (mut found, mut last) = (BTreeSet::new(), None);
            loop {
                let page = list(manager, flow, &ListQuery { status, after: last.clone(), since_ms: 0, limit }).await?;
                let Some(end) = page.last() else { break };
                last = Some(ListPosition { started_ms: end.started_ms, request: end.request.clone() });
                for line in page {
                    let request = line.request.clone();
                    ensure(found.insert(line.request), || format!("`{request}` is on two pages of {limit}"))?;
                }
            }
            ensure(found.len() == expected, || format!("pages of {limit} have {} of {expected} lines", found.len()))?;
        }
    }
    let all: Vec<(&str, u64)> = ids.iter().map(|id| (id.as_str(), STARTED)).collect();
    remove_all(manager, flow, &all).await
}

pub(super) async fn isolation(subject: Subject) -> Result<(), String> {
    let manager = &subject.manager;
    let flows = ["a", "a-running", "a.b", "a-a"].map(|name| subject.flow(&format!("isolation-{name}")));
    for (number, flow) in (0..).zip(&flows) {
        let begun = manager.begin_request(&scope(flow, "r"), STARTED + number, "begun@0", Bytes::new()).await;
        ensure(begun.map_err(describe)?, || "the request did not begin".to_owned())?;
    }
    for (number, flow) in (0..).zip(&flows) {
        expect(manager, flow, &ListQuery::newest(10), &[line("r", STARTED + number, Status::Running)]).await?;
        // The other flows are not affected.
        remove_all(manager, flow, &[("r", STARTED + number)]).await?;
    }
    Ok(())
}
