//! What became of places before their request was redriven.

use faasflow_admin as api;
use faasflow_core::machine::Route;
use faasflow_core::machine::forked::{EarlierPlace, Ended, FailedAnswer, PlaceProgress, Steps, earlier_places};
use faasflow_core::state::{Key, Scope, StateError};

use super::answer;
use super::listed::chosen;
use super::progress::Remembered;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How many details of earlier generations one answer tells: deliveries, steps and calls.
const DETAILS: usize = 2000;
/// As how many details the answer of a function counts. It has to be read, and may have 64 KiB.
const ANSWER: usize = 20;

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

    /// Adds to places what became of them in earlier generations. `told` has them as they are told, in the same order. If there are too
    /// many details, those of the earliest generations are left out.
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
        let mut found: Vec<Found> = Vec::new();
        for (at, (now, earlier)) in places.iter().zip(&earlier).enumerate() {
            for place in earlier {
                let Some([record, tried]) = values.next() else { break };
                let Some(progress) = place.progress([record.as_ref(), tried.as_ref()], now) else { continue };
                // A success that the next generation has used was executed once.
                let before = found.last().filter(|before| before.at == at);
                if before.is_none_or(|before| !is_same_success(&before.progress, &progress)) {
                    found.push(Found { at, progress, with_details: false });
                }
            }
        }
        choose(&mut found);
        let detailed = found.iter().filter(|one| one.with_details);
        let keys: Vec<Key> = detailed.filter_map(|one| one.progress.answer_key()).collect();
        let mut answers = manager.read_all(scope, &keys).await?.into_iter();
        for Found { at, mut progress, with_details } in found {
            if with_details && progress.answer_key().is_some() {
                progress.answer = answers.next().flatten().as_ref().and_then(FailedAnswer::summary);
            }
            told[at].earlier.push(answer::earlier(&progress, with_details));
        }
        Ok(())
    }
}

/// What is recorded of a place in an earlier generation.
struct Found {
    /// Which of the places it is.
    at: usize,
    progress: PlaceProgress,
    with_details: bool,
}

/// Whether a place has used a success of the generation before. Older versions have not recorded times.
fn is_same_success(one: &PlaceProgress, other: &PlaceProgress) -> bool {
    let is_done = |progress: &PlaceProgress| progress.ended() == Some(Ended::Done);
    let is_known = one.times.done_ms > 0;
    is_done(one) && is_done(other) && is_known && one.times == other.times && other.tried.is_none()
}

/// Chooses those that are told with their details: from the latest generation on, until there are too many details.
fn choose(found: &mut [Found]) {
    let generation = |one: &Found| one.progress.place.generation();
    let generations = || found.iter().map(generation);
    let (earliest, latest) = (generations().min().unwrap_or_default(), generations().max().unwrap_or_default());
    let mut room = DETAILS;
    for earlier in (earliest..=latest).rev() {
        for one in found.iter_mut().filter(|one| generation(one) == earlier) {
            let left = room.checked_sub(details(&one.progress));
            one.with_details = left.is_some();
            room = left.unwrap_or(0);
        }
    }
}

/// How many details there are of a place: its deliveries, steps and calls, and the answer that made it fail.
fn details(progress: &PlaceProgress) -> usize {
    let steps = |steps: &Steps| -> usize { steps.listed.iter().map(|step| 1 + step.calls.len()).sum() };
    let attempts = progress.tried.iter().flat_map(|tried| &tried.attempts);
    let given_up: usize = attempts.map(|attempt| 1 + steps(&attempt.steps)).sum();
    given_up + steps(&progress.times.steps) + progress.answer_key().map_or(0, |_| ANSWER)
}

#[cfg(test)]
mod tests {
    use faasflow_core::graph::Place;
    use faasflow_core::machine::forked::{Standing, Times, Tried};

    use super::*;

    fn success(done_ms: u64) -> PlaceProgress {
        let mut progress = PlaceProgress::not_begun(&Place::parse("1").unwrap(), Standing::Ended(Ended::Done));
        progress.times = Times { done_ms, ..Times::default() };
        progress
    }

    #[test]
    fn a_success_that_was_used_is_told_apart_from_another_one() {
        assert!(is_same_success(&success(9), &success(9)));
        assert!(!is_same_success(&success(9), &success(8)));
        assert!(!is_same_success(&success(0), &success(0)), "an older version has not recorded when they ended");
        let mut tried = success(9);
        let (reason, code) = (String::new(), String::new());
        tried.tried = Some(Tried { times: 1, first_ms: 1, last_ms: 2, reason, code, attempts: Vec::new() });
        assert!(!is_same_success(&success(9), &tried));
    }
}
