//! Flows on OpenFaaS. The same checks run on its real gateway, queue and worker, and on `faasflow up` alone.

use std::sync::Arc;

use crate::suite::Suite;

mod cli;
mod faults;
mod graphs;
mod invocations;
mod photos;
mod records;
mod stand;
mod ui;

use stand::{Programs, Stand};

pub(crate) async fn install() -> Result<(), String> {
    Programs::install().await.map(drop)
}

/// Builds faas-cli, and returns its path.
pub(crate) async fn install_faas_cli() -> Result<std::path::PathBuf, String> {
    stand::install_faas_cli().await
}

pub(crate) async fn run(suite: Suite) -> Result<(), String> {
    let programs = Programs::install().await?;
    suite.not_done(
        "flows under of-watchdog",
        "its module is not to be had under any version known here; the template's image runs a flow under it",
    );
    for real in [true, false] {
        let stand = match Stand::start(&programs, real).await {
            Ok(stand) => Arc::new(stand),
            Err(why) => {
                suite.note(&format!("the stand {} starts", Stand::title(real)), Err(why), std::time::Duration::ZERO);
                continue;
            }
        };
        suite.heading(Stand::title(real));
        invocations::run(&suite, &stand).await;
        photos::run(&suite, &stand).await;
        graphs::run(&suite, &stand).await;
        faults::run(&suite, &stand).await;
        records::run(&suite, &stand).await;
        ui::run(&suite, &stand, &programs).await;
        cli::run(&suite, &stand, &programs).await;
        if let Some(stand) = Arc::into_inner(stand) {
            stand.stop().await?;
        }
    }
    Ok(())
}
