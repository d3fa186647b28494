//! What flows do with a state manager, in terms of the few methods that one has.

use bytes::Bytes;

use crate::error::Result;
use crate::graph::Place;
use crate::payload::Payload;

use super::error::StateError;
use super::layout;
use super::manager::{Scope, StateManager};
use super::reference::{NotWhatWasStored, Reference};
use super::value::StateValue;

/// What flows keep in a state manager. Every [`StateManager`] has these methods; there is nothing to implement.
pub trait StateManagerExt: StateManager {
    /// Reads the value that the flow's own code calls `key`; `None` if it is absent.
    ///
    /// # Errors
    ///
    /// If the manager fails, or a flow did not write what is there.
    fn read_value(&self, scope: &Scope, key: &str) -> impl Future<Output = Result<Option<StateValue>>> + Send {
        async move {
            match self.get(scope, &layout::value(key)).await? {
                Some(tagged) => StateValue::untagged(key, &tagged).map(Some),
                None => Ok(None),
            }
        }
    }

    /// Writes the value that the flow's own code calls `key`, over the one that is there.
    ///
    /// # Errors
    ///
    /// If the manager fails.
    fn write_value(
        &self,
        scope: &Scope,
        key: &str,
        value: &StateValue,
    ) -> impl Future<Output = Result<(), StateError>> + Send {
        let tagged: Bytes = value.tagged();
        async move { self.set(scope, &layout::value(key), tagged).await }
    }

    /// Removes the value that the flow's own code calls `key`; an absent one is no error.
    ///
    /// # Errors
    ///
    /// If the manager fails.
    fn remove_value(&self, scope: &Scope, key: &str) -> impl Future<Output = Result<(), StateError>> + Send {
        async move { self.remove(scope, &layout::value(key)).await }
    }

    /// Stores a payload for the phase at `place`, and yields what the envelope says of it.
    ///
    /// # Errors
    ///
    /// If the manager fails.
    fn store_payload(
        &self,
        scope: &Scope,
        place: &Place,
        payload: &Payload,
    ) -> impl Future<Output = Result<Reference, StateError>> + Send {
        let reference = Reference::to(payload, place);
        async move {
            self.set(scope, reference.key(), payload.bytes().clone()).await?;
            Ok(reference)
        }
    }

    /// Reads a payload once; `None` if it is not there any more. The inner error says that something else is there than
    /// what was stored, which a backend under repair may do for a while.
    ///
    /// # Errors
    ///
    /// If the manager fails.
    fn read_payload(
        &self,
        scope: &Scope,
        reference: &Reference,
    ) -> impl Future<Output = Result<Option<Result<Payload, NotWhatWasStored>>, StateError>> + Send {
        async move { Ok(self.get(scope, reference.key()).await?.map(|found| reference.check(found))) }
    }
}

impl<M: StateManager + ?Sized> StateManagerExt for M {}
