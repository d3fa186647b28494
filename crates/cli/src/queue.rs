//! `faasflow queue`

use std::collections::BTreeSet;

use bytes::Bytes;
use faasflow_admin::{DeadLetterSummary, Discarded, QueueStats, QueuedCall, Redrive, Redriven, Selection, paths};
use faasflow_core::code;
use faasflow_core::counted;
use faasflow_core::line::cut;
use faasflow_runtime::log::escaped;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::args::{Queue, QueueCommand, Which};
use crate::client::{Client, error_code};
use crate::error::Failure;

/// The list fetches this many dead letters in full at most, to show what the function answered.
const FETCHED: usize = 20;
/// The largest body of a dead letter that the list fetches, in bytes.
const LARGEST_FETCHED: u64 = 1 << 20;

/// What to do if a dead letter does not exist.
const LIST: &str = "list the dead letters with `faasflow queue dead-letters`";

pub(crate) async fn run(queue: Queue) -> Result<(), Failure> {
    let client = Client::new(&queue.gateway)?;
    match queue.command {
        QueueCommand::List { limit } => list(&client, limit).await,
        QueueCommand::DeadLetters { id: Some(id), unmasked, .. } => {
            // As untyped JSON, to keep fields that only a newer gateway knows.
            let path = format!("{}{}", paths::dead_letter(id), if unmasked { "?masked=false" } else { "" });
            let answer = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
            if error_code(&answer.headers) == Some(code::NO_DEAD_LETTER) {
                return Err(Failure::failed(code::NO_DEAD_LETTER, format!("there is no dead letter {id}"))
                    .because_text("it never existed, or it was redriven or discarded")
                    .help(LIST));
            }
            let letter: Value = client.read(&answer)?;
            say!("{letter:#}");
            Ok(())
        }
        QueueCommand::DeadLetters { id: None, limit, .. } => dead_letters(&client, limit).await,
        QueueCommand::Redrive { which, rate } => {
            let Selection { ids, function } = selection(&which);
            let asked = Redrive { ids, function, per_second: rate };
            let Redriven { redriven, .. } = client.json_for(Method::POST, paths::REDRIVE, &asked).await?;
            if redriven > 0 || which.ids.is_empty() {
                say!("Put {} back into the queue", letters(redriven));
            }
            all_were_there(&which, redriven)
        }
        QueueCommand::Discard { which } => {
            let asked = selection(&which);
            let Discarded { discarded, .. } = client.json_for(Method::DELETE, paths::DEAD_LETTERS, &asked).await?;
            if discarded > 0 || which.ids.is_empty() {
                say!("Discarded {}", letters(discarded));
            }
            all_were_there(&which, discarded)
        }
    }
}

async fn list(client: &Client, limit: usize) -> Result<(), Failure> {
    let stats: QueueStats = client.json(Method::GET, paths::QUEUE).await?;
    let calls: Vec<QueuedCall> = client.json(Method::GET, &format!("{}?limit={limit}", paths::CALLS)).await?;
    let rows = calls.into_iter().map(|call| {
        let state = if call.in_flight { "in flight" } else { "waiting" };
        vec![
            call.id.to_string(),
            call.function,
            state.to_owned(),
            call.attempt.to_string(),
            call.bytes.to_string(),
            call.call_id,
        ]
    });
    table(&["ID", "FUNCTION", "STATE", "ATTEMPT", "BYTES", "CALL ID"], &rows.collect::<Vec<_>>())?;
    let QueueStats { depth, in_flight, dead_letters, dead_letters_removed, .. } = stats;
    let removed = match dead_letters_removed {
        0 => String::new(),
        removed => format!(" ({removed} more were removed, because they were too many or too old)"),
    };
    eprintln!("{depth} in the queue, {in_flight} in flight, {}{removed}", letters(dead_letters));
    Ok(())
}

async fn dead_letters(client: &Client, limit: usize) -> Result<(), Failure> {
    let path = format!("{}?limit={limit}", paths::DEAD_LETTERS);
    let letters: Vec<DeadLetterSummary> = client.json(Method::GET, &path).await?;
    let is_empty = letters.is_empty();
    let (mut rows, mut fetched) = (Vec::new(), 0);
    for letter in letters {
        let kind = if letter.callback { "callback" } else { "call" };
        let is_fetched = names_only_the_status(&letter.reason) && letter.bytes <= LARGEST_FETCHED && fetched < FETCHED;
        fetched += usize::from(is_fetched);
        let answer = if is_fetched { answer_of(client, letter.id).await } else { None };
        let reason = match answer {
            Some(answer) => format!("{}: {answer}", letter.reason),
            None => letter.reason,
        };
        rows.push(vec![
            letter.id.to_string(),
            letter.function,
            kind.to_owned(),
            letter.attempts.to_string(),
            letter.call_id,
            reason,
        ]);
    }
    table(&["ID", "FUNCTION", "KIND", "ATTEMPTS", "CALL ID", "REASON"], &rows)?;
    eprintln!(
        "{}",
        match is_empty {
            true => {
                "There are no dead letters. (A request that fails leaves none: `faasflow requests --status failure` lists those that are remembered.)"
            }
            false =>
                "Show one in full with `faasflow queue dead-letters ID`; deliver it again with `faasflow queue redrive ID`.",
        }
    );
    Ok(())
}

/// Whether a reason names nothing but the status, such as `500`, which explains nothing.
fn names_only_the_status(reason: &str) -> bool {
    reason.starts_with("it answered ") && !reason.contains(": ")
}

/// The first line of what the function answered. A flow answers with JSON that has a `reason`.
async fn answer_of(client: &Client, id: u64) -> Option<String> {
    // The letter may be gone by now, and the list is useful without this.
    let whole: Value = client.json(Method::GET, &paths::dead_letter(id)).await.ok()?;
    let answer = whole["answer_body"].as_str()?;
    let failure: Option<Value> = serde_json::from_str(answer).ok();
    let text = failure.as_ref().and_then(|failure| failure["reason"].as_str()).unwrap_or(answer);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(escaped(&cut(line.trim())).into_owned())
}

fn letters(count: u64) -> String {
    counted(count, "dead letter")
}

fn selection(which: &Which) -> Selection {
    let ids = (!which.ids.is_empty()).then(|| which.ids.clone());
    Selection { ids, function: which.function.clone() }
}

/// Fails if a dead letter that was named does not exist.
fn all_were_there(which: &Which, done: u64) -> Result<(), Failure> {
    let asked = which.ids.iter().collect::<BTreeSet<_>>().len() as u64;
    match asked.checked_sub(done) {
        None | Some(0) => Ok(()),
        Some(_) => {
            let of = which.function.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
            let what = match which.ids.as_slice() {
                [id] => format!("there is no dead letter {id}{of}"),
                _ => format!("found only {done} of {}{of}", letters(asked)),
            };
            Err(Failure::failed(code::NO_DEAD_LETTER, what).help(LIST))
        }
    }
}

pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            rows.iter().map(|row| row[column].chars().count()).chain([heads[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        say!("{}", cells.join("  ").trim_end());
        Ok::<(), Failure>(())
    };
    line(&mut heads.iter().copied())?;
    rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
}
