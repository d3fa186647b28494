//! `faasflow completions`

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::args::{Arguments, Completions};
use crate::error::Failure;

pub(crate) fn run(completions: &Completions) -> Result<(), Failure> {
    // Into memory first: clap panics if it cannot write, and a closed pipe is not a bug.
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Arguments::command(), "faasflow", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
