//! What a phase reads and writes while the caller of a linear request waits: its result is written together with later ones.

use std::pin::pin;

use bytes::Bytes;
use faasflow_core::code;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{Answer, result_key};
use faasflow_core::state::Key;

use super::perform::{Performer, Stop};
use crate::records::{NotWritten, Patience, Unwritten, WRITE_AFTER};

impl<'a> Performer<'a> {
    /// The results of earlier phases of this invocation that are not written yet.
    fn unwritten(&self) -> Option<&'a Unwritten> {
        self.caller_waits.map(|patience| &patience.unwritten)
    }

    /// Whether a value is the result of this phase, and may be written later.
    pub(super) fn may_write_later(&self, key: &Key) -> bool {
        let plan = self.instance.flow.plan();
        plan.is_linear() && *key == result_key(&self.message.place) && self.caller_waits.is_some_and(Patience::is_left)
    }

    pub(super) fn write_later(&mut self, key: Key, value: Bytes) -> Answer {
        self.acted = true;
        if let Some(unwritten) = self.unwritten() {
            unwritten.push(key, value.clone());
        }
        Answer::Stands(value)
    }

    /// Reads several keys, unless they were read a moment ago for the phase before.
    pub(super) async fn look(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Stop<'a>> {
        let Some(unwritten) = self.unwritten() else { return self.read_all(keys).await };
        let known = || keys.iter().map(|key| unwritten.get(key));
        if unwritten.is_alone() {
            return Ok(known().collect());
        }
        let found = self.read_all(keys).await?;
        unwritten.looked(found.iter().all(Option::is_none));
        Ok(found.into_iter().zip(known()).map(|(found, known)| found.or(known)).collect())
    }

    /// Whether results must be written before anything else.
    pub(super) fn has_unwritten(&self) -> bool {
        self.unwritten().is_some_and(|unwritten| !unwritten.is_empty())
    }

    /// Creates a value after the results that are not written yet, with the same write.
    pub(super) async fn create_last(&mut self, key: Key, value: Bytes) -> Result<Answer, Stop<'a>> {
        if let Some(unwritten) = self.unwritten() {
            unwritten.push(key.clone(), value.clone());
        }
        match self.try_write_results().await {
            Ok(()) => {
                self.acted = true;
                Ok(Answer::Stands(value))
            }
            Err(NotWritten::Taken(taken, found)) if taken == key => Ok(Answer::Stands(found)),
            Err(not_written) => Err(self.not_written(not_written)),
        }
    }

    /// Writes the results that are not written yet.
    pub(super) async fn write_results(&self) -> Result<(), Stop<'a>> {
        self.try_write_results().await.map_err(|not_written| self.not_written(not_written))
    }

    async fn try_write_results(&self) -> Result<(), NotWritten> {
        match self.unwritten() {
            Some(unwritten) if !unwritten.is_empty() => unwritten.write(&self.manager(), &self.scope).await,
            _ => Ok(()),
        }
    }

    fn not_written(&self, not_written: NotWritten) -> Stop<'a> {
        match not_written {
            NotWritten::Store(error) => self.unreadable(&error),
            NotWritten::Taken(key, _) => {
                let reason = "another delivery of the request is in progress";
                self.outage(Outage::new(code::IN_PROGRESS, reason, format!("it has created `{key}`")))
            }
        }
    }

    /// Executes steps. If they take long, results are written meanwhile.
    pub(super) async fn writing_meanwhile<T>(&self, running: impl Future<Output = T>) -> Result<T, Stop<'a>> {
        if !self.has_unwritten() {
            return Ok(running.await);
        }
        let mut running = pin!(running);
        tokio::select! {
            biased;
            ran = &mut running => return Ok(ran),
            () = tokio::time::sleep(WRITE_AFTER) => {}
        }
        let (ran, written) = tokio::join!(running, self.try_write_results());
        match written {
            Err(taken @ NotWritten::Taken(..)) => Err(self.not_written(taken)),
            // What was not written is tried again before anything else is.
            Ok(()) | Err(NotWritten::Store(_)) => Ok(ran),
        }
    }
}
