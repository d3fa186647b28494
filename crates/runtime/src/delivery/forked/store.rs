//! What a request with branches reads from its state manager, and creates there.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::Payload;
use faasflow_core::envelope::Carried;
use faasflow_core::failure::FailureKind;
use faasflow_core::machine::forked::{Answer, Entrant};
use faasflow_core::machine::{Outage, Unfit};
use faasflow_core::state::{Condition, Key, StateError, StateManager as _, StateManagerExt as _};

use super::perform::{Performer, Stop};
use crate::forward::NoPayload;
use crate::joins::{Part, Waiting};
use crate::observers::Event;
use crate::retrying_state::{PAUSE, UNKNOWN_IN_A_ROW};

/// The largest output that is kept in a record, in bytes. A larger one is stored by itself, and the record refers to it.
const INLINE: usize = 64 * 1024;

impl<'a> Performer<'a> {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Bytes>, Stop<'a>> {
        if let Some(value) = self.turn.as_ref().and_then(|turn| turn.value(key)) {
            return Ok(Some(value));
        }
        self.manager().get(&self.scope, key.as_str()).await.map_err(|error| self.unreadable(&error))
    }

    pub(super) async fn read_all(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Stop<'a>> {
        self.manager().read_all(&self.scope, keys).await.map_err(|error| self.unreadable(&error))
    }

    pub(super) async fn create(&mut self, key: &Key, value: Bytes) -> Result<Answer, Stop<'a>> {
        let created = self.manager().set_if(&self.scope, key.as_str(), value.clone(), Condition::Absent).await;
        match created {
            Ok(Some(_)) => {
                self.unknown = 0;
                self.acted = true;
                self.created = true;
                self.count_member(key, &value);
                return Ok(Answer::Stands(value));
            }
            Ok(None) => {
                // A store that does not show yet what stands in the way is read again.
                if let Some(found) = self.read(key).await? {
                    self.unknown = 0;
                    return Ok(Answer::Stands(found));
                }
            }
            Err(error) if !error.is_temporary() || self.unknown + 1 == UNKNOWN_IN_A_ROW => {
                return Err(self.unreadable(&error));
            }
            Err(_) => {}
        }
        self.unknown += 1;
        if self.unknown >= UNKNOWN_IN_A_ROW {
            let detail = format!("it refuses to create `{key}`, but does not show what is there");
            return Err(self.outage(Outage::state_unreachable(detail)));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(Answer::Unknown)
    }

    /// Creates an entry of a join, together with other members of this process that are ready for it.
    pub(super) async fn enter(&mut self, entrant: Entrant) -> Result<Answer, Stop<'a>> {
        let plan = self.execution.route.plan();
        let part = match self.turn.take() {
            Some(turn) => turn.ready(entrant.clone()).await,
            None => Part::Alone,
        };
        let lead = match part {
            Part::Stands(value) => {
                self.acted = true;
                return Ok(Answer::Stands(value));
            }
            Part::Unknown => return Ok(Answer::Unknown),
            Part::Alone => return self.create(entrant.key(), entrant.entry(plan, [])).await,
            Part::Lead(lead) => lead,
        };
        let value = entrant.entry(plan, lead.others().iter().map(Waiting::entrant));
        let answer = self.create(entrant.key(), value).await?;
        if let Answer::Stands(value) = &answer {
            lead.created(&entrant, value);
        }
        Ok(answer)
    }

    /// The payload of a token or of a record.
    pub(super) async fn fetch(&self, carried: Carried) -> Result<Payload, Stop<'a>> {
        let (info, manager) = (self.execution.context.request(), self.manager());
        match self.instance.take(carried, info, Some(&manager), self.execution.observers).await {
            Ok(payload) => Ok(payload),
            // Whether the request is over is known from the store. Otherwise the payload was written and will be shown.
            Err(NoPayload::Unfit(Unfit::PayloadGone)) => {
                Err(self.outage(Outage::state_unreachable("it does not show a payload that was written")))
            }
            Err(NoPayload::Unfit(unfit)) => Err(Stop::Unfit(unfit)),
            Err(NoPayload::Outage(outage)) => Err(self.outage(outage)),
            Err(NoPayload::Failed(error)) => Err(self.outage(Outage::state_unreachable(format!("{error:#}")))),
        }
    }

    /// A payload as records and envelopes carry it: as it is if it is small, otherwise as a reference to the state manager.
    ///
    /// # Errors
    ///
    /// If the state manager cannot store it: for a temporary reason, or never.
    pub(super) async fn carry(&self, payload: &Payload) -> Result<Result<Carried, FailureKind>, Stop<'a>> {
        let config = &self.instance.config;
        let inline = usize::try_from(config.envelope_limit / 2).unwrap_or(usize::MAX).min(INLINE);
        if !config.intermediate_storage && payload.len() <= inline {
            return Ok(Ok(Carried::Inline(payload.clone())));
        }
        let manager = self.manager();
        match manager.store_payload(&self.scope, &self.message.place, payload).await {
            Ok(reference) => {
                let event = Event::PayloadStored { bytes: payload.len(), manager: manager.name() };
                self.execution.observers.emit(&event);
                Ok(Ok(Carried::Stored(reference)))
            }
            Err(error) if error.is_temporary() => Err(self.unreadable(&error)),
            Err(error) => {
                let error = faasflow_core::Error::from(error).context("the payload cannot be stored");
                Ok(Err(FailureKind::Storage(Arc::new(error))))
            }
        }
    }

    /// The delivery has to come again, whatever the error: to end a request, the machine needs the store as well.
    pub(super) fn unreadable(&self, error: &StateError) -> Stop<'a> {
        let manager = self.manager();
        self.outage(Outage::from_state_error(manager.name(), error))
    }
}
