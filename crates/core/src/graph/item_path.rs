/// The items that lead to a step inside a for-each, if the for-each runs within a phase. All items of such a for-each share
/// a [`Place`](super::Place), so this path distinguishes their idempotency keys.
///
/// The idempotency key of a step consists of the [prefix](super::Place::idempotency_prefix) of its place, this path and the
/// number of the step.
///
/// ```
/// use faasflow_core::graph::{ItemPath, Place};
///
/// let key = |path: &ItemPath, step: u32| {
///     format!("{}{}{step}", Place::from(2).idempotency_prefix("order-17"), path.as_str())
/// };
/// let outer = ItemPath::default().item(6);
/// assert_eq!(key(&ItemPath::default(), 9), "order-17-2-9");
/// assert_eq!(key(&outer, 9), "order-17-2-6.9");
/// assert_eq!(key(&outer.item(0), 9), "order-17-2-6.0.9");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ItemPath(String);

impl ItemPath {
    /// The path of an item in a for-each at this path. Items are counted from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> ItemPath {
        ItemPath(format!("{}{index}.", self.0))
    }

    /// The path as text: the index of each item, followed by a dot. It is empty outside for-eaches.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::graph::Place;

    /// Functions drop a call whose key they have seen, so two steps must never share one.
    #[test]
    fn no_two_steps_have_the_same_idempotency_key() {
        let numbers = [0, 1, 2, 11, 12, 111];
        let mut paths = vec![ItemPath::default()];
        for depth in 0..2 {
            let deepest: Vec<ItemPath> =
                paths.iter().filter(|path| path.as_str().matches('.').count() == depth).cloned().collect();
            paths.extend(deepest.iter().flat_map(|path| numbers.map(|item| path.item(item))));
        }
        assert_eq!(paths.len(), 1 + 6 + 36);
        let phases = [1, 2, 12].map(Place::from);
        let members = phases.iter().flat_map(|fork| [1, 12].map(|index| fork.member(index, &Place::from(2))));
        let places: Vec<Place> = phases.iter().cloned().chain(members.clone()).collect();
        let later = places.iter().map(|place| place.clone().in_generation(1));
        let places: Vec<Place> = places.iter().cloned().chain(later).collect();
        let mut known = HashMap::new();
        for request in ["r", "r-1", "r-1-2", "r-1-2-1.1"] {
            for place in &places {
                for path in &paths {
                    for step in [1, 2, 11, 111] {
                        let key = format!("{}{}{step}", place.idempotency_prefix(request), path.as_str());
                        let at = (request, place, path, step);
                        let other = known.insert(key.clone(), at);
                        assert!(other.is_none(), "{key}: {at:?} and {other:?}");
                    }
                }
            }
        }
    }
}
