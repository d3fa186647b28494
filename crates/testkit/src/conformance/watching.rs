//! Watches, which tell the ends of requests.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{News, Scope, Status, Watch};

use super::records::{LONG, STARTED, remove, scope};
use super::subject::{Subject, describe, ensure};

/// How long news may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of requests that end at once.
const MANY: usize = 100;

/// Whether the manager has watches.
pub(super) async fn supported(subject: &Subject) -> bool {
    !matches!(subject.manager.watch(&subject.flow("supported")).await, Ok(None))
}

async fn open(subject: &Subject, flow: &str) -> Result<Box<dyn Watch>, String> {
    subject.manager.watch(flow).await.map_err(describe)?.ok_or_else(|| "there is no watch".to_owned())
}

async fn end(subject: &Subject, scope: &Scope) -> Result<(), String> {
    let manager = &subject.manager;
    manager.begin_request(scope, STARTED, "begun@0", Bytes::from_static(b"x")).await.map_err(describe)?;
    manager.set(scope, "over@0", Bytes::from_static(b"x")).await.map_err(describe)?;
    manager.retire_request(scope, STARTED, Status::Success, LONG, LONG).await.map_err(describe)
}

/// Reads news until one is of this request.
async fn hear(watch: &mut Box<dyn Watch>, request: &str) -> Result<(), String> {
    let hear = async {
        loop {
            match watch.next().await.map_err(describe)? {
                News::Ended(ended) if ended == request => return Ok(()),
                News::Ended(ended) => return Err(format!("it told that `{ended}` has ended")),
                _ => {}
            }
        }
    };
    let late = |_| format!("the end of `{request}` was not told within {PATIENCE:?}");
    tokio::time::timeout(PATIENCE, hear).await.map_err(late)?
}

pub(super) async fn tells(subject: Subject) -> Result<(), String> {
    let (flow, other) = (subject.flow("watched"), subject.flow("watched-not"));
    let (mut first, mut second) = (open(&subject, &flow).await?, open(&subject, &flow).await?);
    end(&subject, &scope(&other, "other")).await?;
    let ids = ["r", "Az-0_9.:~", "ü/\"\n\\"];
    for id in ids {
        end(&subject, &scope(&flow, id)).await?;
        hear(&mut first, id).await?;
        let shown = subject.manager.get(&scope(&flow, id), "over@0").await.map_err(describe)?;
        ensure(shown.is_some(), || "the end was told before its values could be read".to_owned())?;
        remove(&subject.manager, &scope(&flow, id), STARTED).await?;
        hear(&mut first, id).await?;
    }
    drop(first);
    for id in ids {
        // Each has been retired twice.
        hear(&mut second, id).await?;
        hear(&mut second, id).await?;
    }
    remove(&subject.manager, &scope(&other, "other"), STARTED).await
}

/// News that is waited for a little at a time is not lost.
pub(super) async fn tells_all(subject: Subject) -> Result<(), String> {
    let flow = subject.flow("watched-all");
    let mut watch = open(&subject, &flow).await?;
    let mut told = 0;
    for number in 0..MANY {
        let scope = scope(&flow, &format!("r{number}"));
        end(&subject, &scope).await?;
        remove(&subject.manager, &scope, STARTED).await?;
        if let Ok(news) = tokio::time::timeout(Duration::from_millis(1), watch.next()).await {
            told += usize::from(matches!(news.map_err(describe)?, News::Ended(_)));
        }
    }
    while told < 2 * MANY {
        let news = tokio::time::timeout(PATIENCE, watch.next()).await;
        let news =
            news.map_err(|_| format!("{told} ends were told, and there were {}", 2 * MANY))?.map_err(describe)?;
        told += usize::from(matches!(news, News::Ended(_)));
    }
    Ok(())
}
