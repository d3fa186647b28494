//! `faasflow man`

use clap::{Command, CommandFactory as _};
use faasflow_core::code;

use crate::args::{Arguments, Man};
use crate::error::Failure;

pub(crate) fn run(man: &Man) -> Result<(), Failure> {
    let fault = |error: std::io::Error| {
        let what = format!("the man pages cannot be written to {}", man.out.display());
        Failure::failed(code::NOT_WRITTEN, what).because(&error).help("choose another folder with `--out`")
    };
    std::fs::create_dir_all(&man.out).map_err(fault)?;
    clap_mangen::generate_to(Arguments::command(), &man.out).map_err(fault)?;
    // `generate_to` writes no pages for `help` and for hidden commands.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    say!("Wrote {} man pages to {}", pages(&command), man.out.display());
    Ok(())
}

/// The number of pages of a command and its subcommands.
fn pages(command: &Command) -> usize {
    1 + command.get_subcommands().filter(|command| !command.is_hide_set()).map(pages).sum::<usize>()
}
