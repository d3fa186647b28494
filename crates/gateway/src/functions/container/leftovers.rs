//! Removes leftovers: containers of this gateway, found by their label, that no task manages.
//!
//! A gateway that was killed leaves some. So does an engine that creates a container and fails before it answers, or that
//! cannot remove one at the moment.

use futures_util::future::join_all;
use std::collections::BTreeSet;
use tokio::time::Instant;

use super::connection::{Containers, EngineConnection, OWNER};
use super::names::Names;
use super::plan;
use crate::functions::RunError;
use crate::functions::backoff::{Backoff, REMOVE_LEFTOVERS};
use crate::functions::endings::LAST_LOOK;

impl Containers {
    /// Removes leftovers whenever there may be some, and tries again until it succeeds. Never returns.
    pub(crate) async fn remove_leftovers(&self) {
        let names = self.names();
        // Messages that have been logged. Each is logged once.
        let mut logged = BTreeSet::new();
        loop {
            names.suspected.notified().await;
            let mut backoff = Backoff::new(&REMOVE_LEFTOVERS);
            while self.look_for_leftovers(&mut logged).await {
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    () = names.suspected.notified() => backoff.reset(),
                }
            }
        }
    }

    /// Removes the present leftovers. Returns whether to look again.
    async fn look_for_leftovers(&self, logged: &mut BTreeSet<String>) -> bool {
        // Without an engine there is nothing to do until the first connection to one.
        let Ok(connected) = self.connected().await else { return false };
        let names = self.names();
        let until = {
            let mut state = names.state();
            state.suspicion = false;
            state.until
        };
        let remaining = match remove(&connected, names).await {
            Ok(remaining) => remaining,
            Err(error) => {
                let why = error.describe();
                if logged.insert(why.clone()) {
                    let code = error.code();
                    tracing::warn!(%code, "cannot look for containers that were left behind, and will try again: {why}");
                }
                names.state().suspicion = true;
                return true;
            }
        };
        logged.retain(|name| remaining.iter().any(|(other, _)| other == name));
        for (name, error) in &remaining {
            if logged.insert(name.clone()) {
                let (code, why) = (error.code(), error.describe());
                tracing::warn!(%code, "cannot remove the container `{name}`, which was left behind, and will try again: {why}");
            }
        }
        let mut state = names.state();
        state.suspicion |= !remaining.is_empty();
        state.suspicion || until.is_some_and(|until| Instant::now() < until)
    }

    /// Looks for leftovers for the last time, once all functions have ended.
    pub(crate) async fn end(&self) {
        let Some(connected) = self.connected_already() else { return };
        let names = self.names();
        let looking = tokio::time::timeout(LAST_LOOK, remove(&connected, names));
        let why = match looking.await {
            Ok(Ok(remaining)) => {
                for (name, error) in remaining {
                    let (code, why) = (error.code(), error.describe());
                    tracing::error!(%code, "cannot remove the container `{name}`; the next start will remove it: {why}");
                }
                return;
            }
            Ok(Err(error)) => error.describe(),
            Err(_) => "the container engine does not answer".to_owned(),
        };
        if names.state().suspicion {
            tracing::error!("containers may be left behind, and the next start will remove them: {why}");
        }
    }
}

/// Removes the leftovers. Returns the names of those that could not be removed, with the error.
async fn remove(connected: &EngineConnection, names: &Names) -> Result<Vec<(String, RunError)>, RunError> {
    let engine = &connected.engine;
    let found = engine.labelled(OWNER, &connected.owner).await?;
    let left: Vec<_> = {
        // The lock is taken after listing. So every container in the list that a task manages has its name here by now.
        let state = names.state();
        let ours = found.into_iter().filter(|found| plan::is_name(&found.name, &found.labels));
        ours.filter(|container| !state.managed.contains(&container.name)).collect()
    };
    let removing = left.iter().map(|container| engine.remove(&container.id));
    let (mut gone, mut remaining) = (Vec::new(), Vec::new());
    for (container, outcome) in left.iter().zip(join_all(removing).await) {
        match outcome {
            Ok(()) => gone.push(container.name.as_str()),
            Err(error) => remaining.push((container.name.clone(), error.into())),
        }
    }
    match &gone[..] {
        [] => {}
        [one] => tracing::warn!("Removed the container `{one}`, which was left behind"),
        many => tracing::warn!("Removed {} containers that were left behind: {}", many.len(), many.join(", ")),
    }
    Ok(remaining)
}
