//! `faasflow queue`

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::args::{Queue, QueueCommand, Which};
use crate::client::Client;
use crate::error::Failure;

pub(crate) async fn run(queue: Queue) -> Result<(), Failure> {
    let client = Client::new(&queue.gateway)?;
    match queue.command {
        QueueCommand::List { limit } => {
            let stats = client.json(Method::GET, "/system/queue", None).await?;
            let calls = client.json(Method::GET, &format!("/system/queue/calls?limit={limit}"), None).await?;
            let rows = calls.as_array().into_iter().flatten().map(|call| {
                let state = if call["in_flight"] == true { "in flight" } else { "waiting" };
                vec![
                    shown(&call["id"]),
                    shown(&call["function"]),
                    state.to_owned(),
                    shown(&call["attempt"]),
                    shown(&call["bytes"]),
                    shown(&call["call_id"]),
                ]
            });
            table(&["ID", "FUNCTION", "STATE", "ATTEMPT", "BYTES", "CALL ID"], &rows.collect::<Vec<_>>())?;
            eprintln!(
                "{} in the queue, {} in flight, {} dead letters",
                stats["depth"], stats["in_flight"], stats["dead_letters"]
            );
        }
        QueueCommand::DeadLetters { id: Some(id), .. } => {
            let letter = client.json(Method::GET, &format!("/system/queue/dead-letters/{id}"), None).await?;
            say!("{letter:#}");
        }
        QueueCommand::DeadLetters { id: None, limit } => {
            let letters = client.json(Method::GET, &format!("/system/queue/dead-letters?limit={limit}"), None).await?;
            let letters: Vec<&Value> = letters.as_array().into_iter().flatten().collect();
            let rows = letters.iter().map(|letter| {
                let kind = if letter["callback"] == true { "callback" } else { "call" };
                vec![
                    shown(&letter["id"]),
                    shown(&letter["function"]),
                    kind.to_owned(),
                    shown(&letter["attempts"]),
                    shown(&letter["call_id"]),
                    shown(&letter["reason"]),
                ]
            });
            table(&["ID", "FUNCTION", "KIND", "ATTEMPTS", "CALL ID", "REASON"], &rows.collect::<Vec<_>>())?;
            eprintln!(
                "{}",
                match letters.is_empty() {
                    true => {
                        "There are none. A flow that failed is none: it has ended, and `faasflow logs REQUEST-ID` shows why."
                    }
                    false => {
                        "`faasflow queue dead-letters ID` shows one whole, `faasflow queue redrive ID` puts it back."
                    }
                }
            );
        }
        QueueCommand::Redrive { which, rate } => {
            let mut asked = selection(&which);
            asked["per_second"] = json!(rate);
            let done = client.json(Method::POST, "/system/queue/redrive", Some(&asked)).await?;
            say!("{} put back into the queue", done["redriven"]);
            all_were_there(&which, &done["redriven"])?;
        }
        QueueCommand::Discard { which } => {
            let done = client.json(Method::DELETE, "/system/queue/dead-letters", Some(&selection(&which))).await?;
            say!("{} removed", done["discarded"]);
            all_were_there(&which, &done["discarded"])?;
        }
    }
    Ok(())
}

fn selection(which: &Which) -> Value {
    let ids = (!which.ids.is_empty()).then_some(&which.ids);
    json!({ "ids": ids, "function": which.function })
}

/// Whoever names dead letters wants to know of one that is not there.
fn all_were_there(which: &Which, done: &Value) -> Result<(), Failure> {
    let asked = which.ids.iter().collect::<BTreeSet<_>>().len() as u64;
    let done = done.as_u64().ok_or_else(|| Failure::Failed("the gateway does not say how many".to_owned()))?;
    match asked.checked_sub(done) {
        None | Some(0) => Ok(()),
        Some(absent) => {
            let or = which.function.as_ref().map(|name| format!(", or not of `{name}`")).unwrap_or_default();
            Err(Failure::Failed(format!(
                "{absent} of {asked} dead letters are not there{or}; `faasflow queue dead-letters` lists those that are"
            )))
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
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
