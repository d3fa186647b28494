//! `faasflow requests show`

use std::io::Write as _;

use console::Term;
use faasflow_admin::FlowRequest;
use serde_json::Value;

use super::api::now_ms;
use super::context::Context;
use super::timeline;
use crate::args::OneRequest;
use crate::error::Failure;

/// The width of a drawing that does not go to a terminal.
const WIDTH: usize = 80;

pub(super) async fn run(context: &Context<'_>, asked: &OneRequest, json: bool) -> Result<(), Failure> {
    let (_, answer) = context.api.locate(asked.id.as_str(), asked.flow.as_deref(), context.stack).await?;
    if json {
        return print_json(&answer.body);
    }
    let request: FlowRequest = serde_json::from_slice(&answer.body).expect("it was read before");
    let terminal = Term::stdout();
    // Wider bars say nothing more.
    let width = if terminal.is_term() { usize::from(terminal.size().1).min(120) } else { WIDTH };
    let drawn = timeline::draw(&request, now_ms(), width, console::colors_enabled());
    std::io::stdout().write_all(drawn.as_bytes())?;
    Ok(())
}

/// Prints the answer of a flow with all its fields, also those that only a later version knows.
pub(super) fn print_json(body: &[u8]) -> Result<(), Failure> {
    let value: Value = serde_json::from_slice(body).expect("it was read before");
    say!("{value:#}");
    Ok(())
}
