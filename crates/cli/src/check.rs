//! `faasflow check`: checks whether flows would run on a gateway, before they are deployed.
//!
//! [`gather`] collects facts first; [`rules`] judges them without any I/O.

mod facts;
mod finding;
mod gather;
mod report;
mod rules;

use faasflow_core::code;
use faasflow_gateway::Stack;

use crate::args::{Check, CheckFormat};
use crate::check::finding::{FlowFindings, Severity};
use crate::check::report::Look;
use crate::error::Failure;

pub(crate) async fn run(check: Check) -> Result<(), Failure> {
    let stack = Stack::read(&check.stack)?;
    crate::config::show_hints(&stack);
    let (gateway, flows) = gather::gather(&check, &stack).await?;
    let judged =
        flows.into_iter().map(|flow| FlowFindings { findings: rules::judge(&flow, &gateway), flow: flow.name });
    let checked: Vec<FlowFindings> = judged.collect();
    let text = match check.format {
        CheckFormat::Text => report::text(&checked, Look::of_stdout()),
        CheckFormat::Json => report::json(&gateway.url, &checked),
    };
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    let sum = report::sum(&checked);
    if report::count(&checked, Severity::Error) > 0 {
        let what = format!("{sum}: the flows would not work at {}", gateway.url);
        return Err(Failure::failed(code::CHECK_FAILED, what)
            .help("correct each finding that is an error; each says what to do"));
    }
    eprintln!("{sum}");
    Ok(())
}
