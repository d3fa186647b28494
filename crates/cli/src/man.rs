//! `faasflow man`

use clap::CommandFactory as _;
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
    let pages = std::fs::read_dir(&man.out).map_err(fault)?.flatten();
    let is_ours = |name: &str| name.starts_with("faasflow") && name.ends_with(".1");
    let count = pages.filter(|page| page.file_name().to_str().is_some_and(is_ours)).count();
    say!("Wrote {count} man pages to {}", man.out.display());
    Ok(())
}
