//! `faasflow queue`

use std::collections::BTreeSet;

use faasflow_admin::{DeadLetterSummary, Discarded, QueueStats, QueuedCall, Redrive, Redriven, Selection, paths};
use faasflow_core::code;
use http::Method;
use serde_json::Value;

use crate::args::{Queue, QueueCommand, Which};
use crate::client::Client;
use crate::error::Failure;

pub(crate) async fn run(queue: Queue) -> Result<(), Failure> {
    let client = Client::new(&queue.gateway)?;
    match queue.command {
        QueueCommand::List { limit } => list(&client, limit).await,
        QueueCommand::DeadLetters { id: Some(id), .. } => {
            // Whole, with what a newer gateway tells besides.
            let letter: Value = client.json(Method::GET, &paths::dead_letter(id)).await?;
            say!("{letter:#}");
            Ok(())
        }
        QueueCommand::DeadLetters { id: None, limit } => dead_letters(&client, limit).await,
        QueueCommand::Redrive { which, rate } => {
            let Selection { ids, function } = selection(&which);
            let asked = Redrive { ids, function, per_second: rate };
            let Redriven { redriven, .. } = client.json_for(Method::POST, paths::REDRIVE, &asked).await?;
            say!("{redriven} put back into the queue");
            all_were_there(&which, redriven)
        }
        QueueCommand::Discard { which } => {
            let asked = selection(&which);
            let Discarded { discarded, .. } = client.json_for(Method::DELETE, paths::DEAD_LETTERS, &asked).await?;
            say!("{discarded} removed");
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
    let QueueStats { depth, in_flight, dead_letters, .. } = stats;
    eprintln!("{depth} in the queue, {in_flight} in flight, {dead_letters} dead letters");
    Ok(())
}

async fn dead_letters(client: &Client, limit: usize) -> Result<(), Failure> {
    let path = format!("{}?limit={limit}", paths::DEAD_LETTERS);
    let letters: Vec<DeadLetterSummary> = client.json(Method::GET, &path).await?;
    let is_empty = letters.is_empty();
    let rows = letters.into_iter().map(|letter| {
        let kind = if letter.callback { "callback" } else { "call" };
        vec![
            letter.id.to_string(),
            letter.function,
            kind.to_owned(),
            letter.attempts.to_string(),
            letter.call_id,
            letter.reason,
        ]
    });
    table(&["ID", "FUNCTION", "KIND", "ATTEMPTS", "CALL ID", "REASON"], &rows.collect::<Vec<_>>())?;
    eprintln!(
        "{}",
        match is_empty {
            true => {
                "There are none. A flow that failed is none: it has ended, and `faasflow logs REQUEST-ID` shows why."
            }
            false => "`faasflow queue dead-letters ID` shows one whole, `faasflow queue redrive ID` puts it back.",
        }
    );
    Ok(())
}

fn selection(which: &Which) -> Selection {
    let ids = (!which.ids.is_empty()).then(|| which.ids.clone());
    Selection { ids, function: which.function.clone() }
}

/// Whoever names dead letters wants to know of one that is not there.
fn all_were_there(which: &Which, done: u64) -> Result<(), Failure> {
    let asked = which.ids.iter().collect::<BTreeSet<_>>().len() as u64;
    match asked.checked_sub(done) {
        None | Some(0) => Ok(()),
        Some(absent) => {
            let or = which.function.as_ref().map(|name| format!(", or not of `{name}`")).unwrap_or_default();
            Err(Failure::failed(code::NO_DEAD_LETTER, format!("{absent} of {asked} dead letters are not there{or}"))
                .help("`faasflow queue dead-letters` lists those that are"))
        }
    }
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
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
