//! Which places the status of a request lists. All are looked at, but a for-each may have thousands of items in progress.

use std::collections::HashMap;

use faasflow_admin as api;
use faasflow_core::graph::{Place, Plan};
use faasflow_core::machine::forked::{Ended, FAILED, PlaceProgress, Standing};

/// How many items of a for-each are listed besides those that failed. The rest is only counted.
const OTHERS: usize = 20;

/// What is seen of an item in its places.
#[derive(Clone, Copy, Default)]
struct Item {
    /// Where it comes in the order of the places.
    at: usize,
    has_failed: bool,
    is_open: bool,
    is_retried: bool,
}

/// The places to list, and the items that are not listed, by the places that began them.
pub(super) struct Chosen<'a> {
    pub(super) places: Vec<&'a PlaceProgress>,
    unlisted: HashMap<&'a Place, api::Unlisted>,
}

/// Chooses the places to list: of the items of a for-each, the first that failed, and of the others first those that are retried.
pub(super) fn chosen<'a>(plan: &Plan, places: &'a [PlaceProgress]) -> Chosen<'a> {
    let mut items: HashMap<Place, HashMap<u32, Item>> = HashMap::new();
    for (at, progress) in places.iter().enumerate() {
        for (depth, fork, index) in around(plan, &progress.place) {
            let item = items.entry(fork).or_default().entry(index).or_insert_with(|| Item { at, ..Item::default() });
            let is_inside = progress.place.path().len() > depth + 1;
            item.has_failed |=
                !is_inside && matches!(progress.standing, Standing::Ended(Ended::Failed | Ended::Replied));
            item.is_open |= matches!(progress.standing, Standing::Running | Standing::Waiting);
            item.is_retried |= progress.ended().is_none() && progress.tried.is_some();
        }
    }
    let mut unlisted: HashMap<Place, api::Unlisted> = HashMap::new();
    for (fork, items) in &mut items {
        let (mut failed, mut others): (Vec<_>, Vec<_>) =
            items.iter().map(|(index, item)| (*index, *item)).partition(|(_, item)| item.has_failed && !item.is_open);
        failed.sort_unstable_by_key(|(_, item)| item.at);
        others.sort_unstable_by_key(|(_, item)| (!item.is_retried, item.at));
        let mut left = api::Unlisted::default();
        for (index, _) in failed.iter().skip(FAILED) {
            items.remove(index);
        }
        for (index, item) in others.iter().skip(OTHERS) {
            items.remove(index);
            left.open += u64::from(item.is_open);
            left.retrying += u64::from(item.is_open && item.is_retried);
        }
        left.failed = failed.len().min(FAILED) as u64;
        unlisted.insert(fork.clone(), left);
    }
    let is_listed = |progress: &&PlaceProgress| {
        around(plan, &progress.place)
            .all(|(_, fork, index)| items.get(&fork).is_some_and(|items| items.contains_key(&index)))
    };
    let mut counted = HashMap::new();
    for progress in places {
        let Some(members) = progress.members.filter(|_| plan.begins_items(&progress.place)) else { continue };
        let mut left = unlisted.get(&progress.place).copied().unwrap_or_default();
        left.failed = u64::from(members.failed).saturating_sub(left.failed);
        if left != api::Unlisted::default() {
            counted.insert(&progress.place, left);
        }
    }
    Chosen { places: places.iter().filter(is_listed).collect(), unlisted: counted }
}

impl Chosen<'_> {
    /// Those of the items that a place began and that are not listed.
    pub(super) fn unlisted(&self, place: &Place) -> Option<api::Unlisted> {
        self.unlisted.get(place).copied()
    }
}

/// The items that a place is in, from the outermost to the innermost: how many branches and items are around each, the place that began
/// it, and its index.
fn around(plan: &Plan, place: &Place) -> impl Iterator<Item = (usize, Place, u32)> {
    let indices = place.path().iter().map(|member| member.index);
    let all = place.forks().zip(indices).enumerate().map(|(depth, (fork, index))| (depth, fork, index));
    all.filter(|(_, fork, _)| plan.begins_items(fork))
}
