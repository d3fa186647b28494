//! The operations that flows need, built on the few methods of a state manager.

use bytes::Bytes;

use crate::error::Result;
use crate::graph::Place;
use crate::payload::Payload;

use super::error::StateError;
use super::layout;
use super::manager::{Scope, StateManager};
use super::reference::{NotWhatWasStored, Reference};
use super::value::StateValue;

/// The operations that flows need from a state manager. Every [`StateManager`] has these methods, and there is nothing
/// to implement.
pub trait StateManagerExt: StateManager {
    /// Reads the value that the flow's own code calls `key`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the manager fails, or the stored value was not written by a flow.
    fn read_value(&self, scope: &Scope, key: &str) -> impl Future<Output = Result<Option<StateValue>>> + Send {
        async move {
            match self.get(scope, &layout::value(key)).await? {
                Some(tagged) => StateValue::untagged(key, &tagged).map(Some),
                None => Ok(None),
            }
        }
    }

    /// Writes the value that the flow's own code calls `key`, and replaces an existing one.
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

    /// Removes the value that the flow's own code calls `key`. It is not an error if there is none.
    ///
    /// # Errors
    ///
    /// If the manager fails.
    fn remove_value(&self, scope: &Scope, key: &str) -> impl Future<Output = Result<(), StateError>> + Send {
        async move { self.remove(scope, &layout::value(key)).await }
    }

    /// Stores a payload for the phase at `place`, and returns the reference that goes into the envelope.
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

    /// Reads a payload without retrying; `None` if it is gone. The inner error means that something other than the
    /// stored payload was found. That can happen for a while when a backend is under repair.
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
