//! The author's code that gives items labels and requests search keys.

use std::sync::Arc;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::CompositeIndex;
use faasflow_core::{Composite, Error, Flow, Payload};

use super::execute::Execution;
use super::panics::caught_at_once;
use crate::observers::Event;

impl Execution<'_> {
    /// The labels of the items of a for-each; empty if its author gives them none. An item whose label cannot be made has none.
    pub(crate) fn labels(&self, flow: &Flow, composite: CompositeIndex, items: &[Payload]) -> Vec<Option<String>> {
        let Composite::ForEach { label: Some(label), .. } = flow.composite(composite) else { return Vec::new() };
        let (mut first, mut failed) = (None, 0);
        let make = |item: &Payload| {
            let made = caught_at_once(|| label(item.clone()).map_err(handler));
            made.unwrap_or_else(|kind| {
                failed += 1;
                first.get_or_insert(kind);
                None
            })
        };
        let labels = items.iter().map(make).collect();
        if let Some(kind) = &first {
            self.observers.emit(&Event::NotLabelled { items: failed, kind });
        }
        labels
    }

    /// Lets log lines and failures not show the secrets in this payload.
    pub(super) fn hide_secrets(&self, flow: &Flow, payload: &Payload) {
        if !flow.secrets().is_empty() {
            self.observers.log().hide(flow.secrets().values(payload));
        }
    }

    /// Adds the search keys that the flow gives requests with this payload. One that cannot be added is left out.
    ///
    /// # Errors
    ///
    /// If the state manager fails for a temporary reason.
    pub(crate) async fn add_search_keys(&self, flow: &Flow, payload: &Payload) -> Result<(), Error> {
        let made = caught_at_once(|| flow.search_keys(payload).unwrap_or_else(|| Ok(Vec::new())).map_err(handler));
        let keys = made.unwrap_or_else(|kind| {
            self.observers.emit(&Event::NoSearchKey { kind: &kind });
            Vec::new()
        });
        for key in keys {
            match self.context.key(&key).await {
                Ok(()) => {}
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => self.observers.emit(&Event::NoSearchKey { kind: &handler(error) }),
            }
        }
        Ok(())
    }
}

fn handler(error: Error) -> FailureKind {
    FailureKind::Handler(Arc::new(error))
}
