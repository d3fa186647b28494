//! The branches and items of a request, told apart by their places.

use faasflow_admin::{Members, Place};

/// Whether a place is in an item of a for-each. Flows call the fourth item `item-4`, and it has the index 3 in the place.
pub(super) fn is_in_item(place: &Place) -> bool {
    indices(place).zip(&place.path).any(|(index, name)| is_item(index, name))
}

/// Whether what comes after a place are items and not branches. Branches are all listed; of items, only some are.
pub(super) fn are_items(place: &Place, all: &[Place]) -> bool {
    let is_branch = |other: &Place| {
        let innermost = indices(other).last().zip(other.path.last());
        fork(&other.place).is_some_and(|fork| fork == place.place)
            && innermost.is_some_and(|(index, name)| !is_item(index, name))
    };
    place.members.is_some() && !all.iter().any(is_branch)
}

/// How many items or branches come after a place.
pub(super) fn number(place: &Place, all: &[Place]) -> Option<String> {
    let Members { all: count, .. } = *place.members.as_ref()?;
    Some(match (are_items(place, all), count) {
        (true, 1) => "1 item".to_owned(),
        (true, _) => format!("{count} items"),
        (false, 1) => "1 branch".to_owned(),
        (false, _) => format!("{count} branches"),
    })
}

/// How many there are, and how far they are.
pub(super) fn counts(place: &Place, all: &[Place]) -> Option<String> {
    let Members { done, running, waiting, failed, stopped, .. } = *place.members.as_ref()?;
    let parts = [(done, "done"), (running, "running"), (waiting, "waiting"), (failed, "failed"), (stopped, "stopped")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let number = number(place, all)?;
    Some(if parts.is_empty() { number } else { format!("{number}: {}", parts.join(", ")) })
}

fn is_item(index: u64, name: &str) -> bool {
    name.strip_prefix("item-").and_then(|number| number.parse::<u64>().ok()) == index.checked_add(1)
}

/// The indices of the branches and items that a place is in, outermost first: `3.17/5` has 17.
fn indices(place: &Place) -> impl Iterator<Item = u64> {
    let place = place.place.split('@').next().unwrap_or_default();
    place.split('/').filter_map(|segment| segment.split_once('.')?.1.parse().ok())
}

/// The place of the fork that a place comes after, as text: `3.17/5@1` has `3@1`.
fn fork(place: &str) -> Option<String> {
    let (place, generation) = match place.split_once('@') {
        Some((place, generation)) => (place, format!("@{generation}")),
        None => (place, String::new()),
    };
    let (fork, _) = place.rsplit_once('/')?.0.rsplit_once('.')?;
    Some(format!("{fork}{generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(place: &str, path: &[&str]) -> Place {
        serde_json::from_str(&serde_json::json!({ "place": place, "path": path }).to_string()).unwrap()
    }

    #[test]
    fn items_are_told_from_branches_by_their_index() {
        assert!(is_in_item(&place("1.3/2", &["item-4"])));
        assert!(is_in_item(&place("1.0/2.6/3@1", &["thumb", "item-7"])));
        assert!(is_in_item(&place("1.6/2.0/3", &["item-7", "thumb"])));
        // A branch may have such a name.
        assert!(!is_in_item(&place("1.0/2", &["item-4"])));
        assert!(!is_in_item(&place("1", &[])));
    }

    #[test]
    fn the_members_of_a_place_are_branches_if_one_of_them_is() {
        let fork = |text: &str| {
            let mut fork = place(text, &[]);
            fork.members = Some(Members::default());
            fork
        };
        let all = [place("1.0/2@1", &["thumb"]), place("1.0/2.3/4", &["thumb", "item-4"]), place("3.0/5", &["item-1"])];
        assert!(!are_items(&fork("1@1"), &all));
        // That branch is in another generation.
        assert!(are_items(&fork("1"), &all));
        assert!(are_items(&fork("1.0/2"), &all) && are_items(&fork("3"), &all));
        assert_eq!(number(&fork("1@1"), &all).as_deref(), Some("0 branches"));
    }
}
