//! Whether the definition that is deployed can execute what a request has ahead of it.

use faasflow_core::counted;
use faasflow_core::graph::{CompositeKind, Follow, Place};
use faasflow_core::machine::forked::{Ended, PlaceProgress, Redrive};
use faasflow_core::state::Status;

use super::not_done::NotDone;
use super::progress::Remembered;
use crate::definitions::BegunWith;
use crate::instance::Instance;

impl Instance {
    /// Checks that the phases that make a request go on are the same in the deployed definition, and everything ahead of them.
    ///
    /// # Errors
    ///
    /// If one is not.
    pub(super) fn goes_on(&self, remembered: &Remembered, status: Status) -> Result<(), NotDone> {
        // What a request ended with is recorded.
        if remembered.progress.end.is_some() {
            return Ok(());
        }
        let places = &remembered.progress.places;
        let is_recorded =
            |place: &Place| places.iter().any(|progress| progress.place == *place && progress.ended().is_some());
        let open = remembered.progress.open.iter().map(|token| &token.place).filter(|place| !is_recorded(place));
        self.are_same(remembered, open, status, "start the request again from a phase")
    }

    /// The definition with which a request starts again: the one that it began with, if what it will execute is the same in the
    /// deployed one. Otherwise the deployed one, if the phases whose results it uses are the same.
    ///
    /// # Errors
    ///
    /// If neither is possible.
    pub(super) fn definition_of_redrive(
        &self,
        remembered: &Remembered,
        from: Redrive,
        status: Status,
    ) -> Result<BegunWith, NotDone> {
        let impossible = |why: String| Err(NotDone::NotPossible(status, why));
        let is_executed = |progress: &&PlaceProgress| match from {
            Redrive::Failed => progress.ended() != Some(Ended::Done),
            Redrive::Phase(phase) => progress.ended() != Some(Ended::Done) && progress.place.phase() < phase,
        };
        let plan = remembered.begun.route(&self.flow).plan();
        // The items of a for-each that have ended are only counted.
        let first_item = |progress: &PlaceProgress| {
            let members = progress.members.filter(|members| members.done < members.all)?;
            let Follow::Fork(composite) = *plan.segment(&progress.place)?.follow() else { return None };
            let Follow::Next(item) = plan.entry(composite, 0) else { return None };
            let is_for_each = plan.composite(composite).kind() == CompositeKind::ForEach && members.all > 0;
            is_for_each.then(|| progress.place.member(0, item))
        };
        let places = &remembered.progress.places;
        let executed: Vec<Place> = places
            .iter()
            .filter(is_executed)
            .map(|progress| progress.place.clone())
            .chain(places.iter().filter_map(first_item))
            .collect();
        let is_same = self.are_same(remembered, executed.iter(), status, "name the phase to start from");
        let Redrive::Phase(phase) = from else { return is_same.map(|()| remembered.begun.clone()) };
        // From the first phase on, nothing of the definition that it began with is used.
        if phase > 1
            && let BegunWith::Earlier(earlier) = &remembered.begun
        {
            if is_same.is_ok() && earlier.is_same_from(phase) {
                return Ok(remembered.begun.clone());
            }
            let same = earlier.same_phases();
            if phase > same + 1 {
                return impossible(format!(
                    "the phases before phase {phase} have changed too: the request began with `{}`, and `{}` is deployed; start it \
                     again from phase {} or an earlier one, or deploy the old definition",
                    remembered.shape,
                    self.flow.plan().shape(),
                    same + 1,
                ));
            }
        }
        match (1..=self.flow.plan().phase_count()).contains(&phase) {
            true => Ok(BegunWith::Deployed),
            false => Err(NotDone::Bad(format!(
                "the flow has no phase {phase}; it has {}",
                counted(self.flow.plan().phase_count() as u64, "phase")
            ))),
        }
    }

    fn are_same<'a>(
        &self,
        remembered: &Remembered,
        mut places: impl Iterator<Item = &'a Place>,
        status: Status,
        instead: &str,
    ) -> Result<(), NotDone> {
        let route = remembered.begun.route(&self.flow);
        let changed = match &remembered.begun {
            BegunWith::Deployed => None,
            BegunWith::Earlier(_) => places.find(|place| route.segment(place).is_none()),
            BegunWith::Unknown => places.next(),
        };
        let Some(place) = changed else { return Ok(()) };
        let why = format!(
            "the flow is deployed with another definition now, which is different from phase {place} on: the request began with `{}`, \
             and `{}` is deployed; deploy the old one, {instead}, or stop it",
            remembered.shape,
            self.flow.plan().shape(),
        );
        Err(NotDone::NotPossible(status, why))
    }
}
