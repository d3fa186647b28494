//! The definitions with which requests in progress began.

use std::sync::{Arc, Mutex};

use faasflow_core::Flow;
use faasflow_core::graph::{Earlier, Fingerprint};
use faasflow_core::machine::Route;

/// The definition with which a request began.
#[derive(Clone, Debug)]
pub(crate) enum BegunWith {
    /// The one that is deployed.
    Deployed,
    /// Another one, which is known.
    Earlier(Arc<Earlier>),
    /// Another one, of which only the fingerprint is known, because its shape is too long for an envelope.
    Unknown,
}

impl BegunWith {
    /// The route of the request. If nothing is known about its definition, its numbers are taken for those of the deployed one.
    pub(crate) fn route<'a>(&'a self, flow: &'a Flow) -> Route<'a> {
        Route::new(flow, self.earlier().map(|earlier| &**earlier))
    }

    pub(crate) fn earlier(&self) -> Option<&Arc<Earlier>> {
        match self {
            BegunWith::Earlier(earlier) => Some(earlier),
            BegunWith::Deployed | BegunWith::Unknown => None,
        }
    }
}

/// How many earlier definitions are remembered, so that they are not compared again for each delivery.
const REMEMBERED: usize = 8;

/// The earlier definitions that deliveries met last.
#[derive(Debug, Default)]
pub(crate) struct Definitions(Mutex<Vec<(Fingerprint, BegunWith)>>);

impl Definitions {
    /// The definition with this fingerprint. `shape` may have been cut off.
    pub(crate) fn find(&self, flow: &Flow, fingerprint: Fingerprint, shape: &str) -> BegunWith {
        let plan = flow.plan();
        if fingerprint == plan.fingerprint() {
            return BegunWith::Deployed;
        }
        let known = |known: &Vec<(Fingerprint, BegunWith)>| {
            known.iter().find(|(other, _)| *other == fingerprint).map(|(_, begun)| begun.clone())
        };
        if let Some(begun) = known(&lock(&self.0)) {
            return begun;
        }
        // A shape that was cut off has another fingerprint. It is not remembered, because another envelope may have all of it.
        let earlier = (Fingerprint::from_shape(shape) == fingerprint).then(|| Earlier::new(shape, plan)).flatten();
        let Some(earlier) = earlier else { return BegunWith::Unknown };
        let begun = BegunWith::Earlier(Arc::new(earlier));
        let mut known = lock(&self.0);
        known.truncate(REMEMBERED - 1);
        known.insert(0, (fingerprint, begun.clone()));
        begun
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(functions: &[&str]) -> Flow {
        functions.iter().fold(Flow::builder(), |flow, function| flow.apply(*function)).build().unwrap()
    }

    #[test]
    fn an_earlier_definition_is_compared_once() {
        let (definitions, deployed) = (Definitions::default(), flow(&["new", "a", "b"]));
        let find = |flow: &Flow, shape: &str| definitions.find(&deployed, flow.plan().fingerprint(), shape);
        assert!(matches!(find(&deployed, ""), BegunWith::Deployed));

        let old = flow(&["a", "b"]);
        // The shape was cut off, or belongs to another definition.
        for shape in ["", "[call a]", "[call a] [call c]"] {
            assert!(matches!(find(&old, shape), BegunWith::Unknown), "{shape}");
        }
        let BegunWith::Earlier(first) = find(&old, old.plan().shape()) else { panic!("it is known") };
        let BegunWith::Earlier(again) = find(&old, "") else { panic!("it is known") };
        assert!(Arc::ptr_eq(&first, &again));

        for number in 0..2 * REMEMBERED {
            let other = flow(&["a", &format!("f{number}")]);
            assert!(matches!(find(&other, other.plan().shape()), BegunWith::Earlier(_)));
        }
        assert_eq!(lock(&definitions.0).len(), REMEMBERED);
    }
}
