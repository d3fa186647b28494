//! What became of places before their request was redriven.

use faasflow_admin as api;
use faasflow_core::machine::Route;
use faasflow_core::machine::forked::{EarlierPlace, PlaceProgress, earlier_places};
use faasflow_core::state::{Key, Scope, StateError};

use super::answer;
use super::listed::chosen;
use super::progress::Remembered;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

impl Instance {
    /// The status of a request, with what became of its places in earlier generations.
    pub(super) async fn status_with_earlier(
        &self,
        scope: &Scope,
        remembered: &Remembered,
    ) -> Result<api::FlowRequest, StateError> {
        let mut told = answer::status(self, remembered);
        // With another definition, the places meant something else before.
        if remembered.generation() > 0 && remembered.progress.control.shape.is_none() {
            let manager = self.records(self.time_to_answer().state_in_steps());
            let route = remembered.begun.route(&self.flow);
            let listed = chosen(route.plan(), &remembered.progress.places).places;
            self.add_earlier(&manager, scope, route, &listed, &mut told.places).await?;
        }
        Ok(told)
    }

    /// Adds to places what became of them in earlier generations. `told` has them as they are told, in the same order.
    pub(super) async fn add_earlier(
        &self,
        manager: &RetryingState,
        scope: &Scope,
        route: Route<'_>,
        places: &[&PlaceProgress],
        told: &mut [api::Place],
    ) -> Result<(), StateError> {
        let earlier: Vec<Vec<EarlierPlace>> = places.iter().map(|now| earlier_places(route, &now.place)).collect();
        let keys: Vec<Key> = earlier.iter().flatten().flat_map(|place| place.keys.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let values = manager.read_all(scope, &keys).await?;
        let mut values = values.chunks_exact(2);
        for ((now, earlier), told) in places.iter().zip(&earlier).zip(told) {
            for place in earlier {
                let Some([record, tried]) = values.next() else { break };
                let progress = place.progress([record.as_ref(), tried.as_ref()], now);
                told.earlier.extend(progress.map(|progress| answer::earlier(&progress)));
            }
        }
        Ok(())
    }
}
