//! Containers of this gateway that nobody looks after. They are found by their label, and removed.
//!
//! A gateway that was killed leaves some. So does an engine that makes a container and breaks off before it has said so, or
//! that cannot remove one at the moment.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::connection::{Connected, Containers, OWNER};
use super::names::Names;
use super::plan;
use crate::functions::endings::LAST_LOOK;

/// How long after the first try leftovers are looked for again. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Containers {
    /// Removes leftovers whenever there may be some, and tries again while it cannot be done. Never ends.
    pub(crate) async fn remove_leftovers(&self) {
        let names = self.names();
        // Those whose removal failed, which is said once.
        let mut told = BTreeSet::new();
        loop {
            names.suspected.notified().await;
            let mut pause = FIRST_PAUSE;
            while self.look_for_leftovers(&mut told).await {
                let wait = tokio::time::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
                tokio::select! {
                    () = wait => {}
                    () = names.suspected.notified() => pause = FIRST_PAUSE,
                }
            }
        }
    }

    /// Whether to look again.
    async fn look_for_leftovers(&self, told: &mut BTreeSet<String>) -> bool {
        // Without an engine, the first connection to one is waited for.
        let Ok(connected) = self.connected().await else { return false };
        let names = self.names();
        let until = {
            let mut state = names.state();
            state.suspicion = false;
            state.until
        };
        let outcome = removed(&connected, names).await;
        let stay = match outcome {
            Ok(stay) => stay,
            Err(why) => {
                if told.insert(why.clone()) {
                    tracing::warn!(
                        "containers may have been left behind, and cannot be looked for; it is tried again: {why}"
                    );
                }
                names.state().suspicion = true;
                return true;
            }
        };
        told.retain(|name| stay.iter().any(|(stays, _)| stays == name));
        for (name, why) in &stay {
            if told.insert(name.clone()) {
                tracing::warn!(
                    "the container `{name}` was left behind and cannot be removed; it is tried again: {why}"
                );
            }
        }
        let mut state = names.state();
        state.suspicion |= !stay.is_empty();
        state.suspicion || until.is_some_and(|until| Instant::now() < until)
    }

    /// Looks for leftovers for the last time, once all functions have ended.
    pub(crate) async fn end(&self) {
        let Some(connected) = self.connected_already() else { return };
        let names = self.names();
        let looking = tokio::time::timeout(LAST_LOOK, removed(&connected, names));
        let why = match looking.await {
            Ok(Ok(stay)) => {
                for (name, why) in stay {
                    tracing::error!(
                        "the container `{name}` cannot be removed: {why}; it will be removed at the next start"
                    );
                }
                return;
            }
            Ok(Err(why)) => why,
            Err(_) => "the container engine does not answer".to_owned(),
        };
        if names.state().suspicion {
            tracing::error!("containers may be left behind: {why}; they will be removed at the next start");
        }
    }
}

/// Removes this gateway's containers that nobody looks after. Yields the names of those that stay, and why they do.
async fn removed(connected: &Connected, names: &Names) -> Result<Vec<(String, String)>, String> {
    let engine = &connected.engine;
    let found = engine.labelled(OWNER, &connected.owner).await.map_err(|error| error.to_string())?;
    let left: Vec<_> = {
        // After the list was made, so that whatever is in it and has somebody was taken before.
        let state = names.state();
        let ours = found.into_iter().filter(|found| plan::is_name(&found.name, &found.labels));
        ours.filter(|container| !state.taken.contains(&container.name)).collect()
    };
    let removing = left.iter().map(|container| engine.remove(&container.id));
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for (container, outcome) in left.iter().zip(join_all(removing).await) {
        match outcome {
            Ok(()) => gone.push(container.name.as_str()),
            Err(error) => stay.push((container.name.clone(), error.to_string())),
        }
    }
    match &gone[..] {
        [] => {}
        [one] => tracing::warn!("removed the container `{one}`, which was left behind"),
        many => tracing::warn!("removed {} containers that were left behind: {}", many.len(), many.join(", ")),
    }
    Ok(stay)
}
