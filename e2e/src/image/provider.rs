//! Functions that are images, under `faasflow up`: what OpenFaaS's certifier requires of a provider, and what users
//! rely on.

use std::sync::Arc;

use crate::docker::{Docker, stand_ins};
use crate::suite::Suite;

mod certifier;
mod changes;
mod contained;
mod inside;
pub(super) mod podman;
mod stand;

use stand::Stand;

/// Runs all checks on this engine. faas-cli uses the suite's Docker client.
pub(super) async fn run(suite: &Suite, docker: &Docker) -> Result<(), String> {
    stand_ins::functions::functions(docker).await?;
    suite.not_done(
        "the images of functions that OpenFaaS's certifier deploys",
        "none can be pulled; stand-ins of the same names are made of a program that does the same as far as it is asked",
    );
    suite.heading("What OpenFaaS's certifier asks of a provider");
    let stand = Arc::new(Stand::start(docker, "provider", 8090).await?);
    certifier::run(suite, &stand).await;
    suite.heading("Functions that are images");
    contained::run(suite, &stand).await;
    suite.heading("Changes, ends and leftovers");
    changes::run(suite, &stand).await;
    inside::run(suite, &stand).await;
    Ok(())
}
