//! What a phase hands on: the items of a list, and the tokens that follow.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::Payload;
use faasflow_core::envelope::{List, Origin};
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{CompositeIndex, Place};
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{LABELS_PER_CHUNK, Message, Reason, chunk_key, encode_labels, labels_key};
use faasflow_core::state::{Key, StateError, StateManager as _, add_labels};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use super::chunk;
use super::perform::{Performer, Stop};
use super::within::start_clock;
use crate::forward::{NotForwarded, Onward};
use crate::observers::Activity;
use crate::records::{Patience, branching};
use crate::step::{Execution, Unanswered};

/// How many chunks are written at once, and how many tokens are posted at once.
const AT_ONCE: usize = 16;

impl<'a> Performer<'a> {
    /// Splits the output of the steps, and stores the items.
    pub(super) async fn split(
        &mut self,
        composite: CompositeIndex,
        fork: &Place,
    ) -> Result<Result<(u32, List), Reason>, Stop<'a>> {
        let input = self.take_output();
        let items = match self.execution.split(&self.instance.flow, composite, &input).await {
            Ok(items) => items,
            Err(Unanswered::Outage(outage)) => return Err(self.outage(outage)),
            Err(Unanswered::Failed(kind)) => return Ok(Err(self.composite_failed(composite, kind, input))),
        };
        drop(input);
        let labels = encode_labels(&self.execution.labels(&self.instance.flow, composite, &items));
        let count = u32::try_from(items.len()).expect("`max_items` limits the items");
        let per_chunk = chunk::items_per_chunk(&items);
        let chunks: Vec<_> = items.chunks(per_chunk).map(chunk::encode).collect();
        drop(items);
        // The labels are part of the hash, so those of another split do not replace these.
        let sha256 = chunks.iter().chain(&labels).fold(Sha256::new(), Sha256::chain_update);
        let sha256 = hex::encode(sha256.finalize());
        let labels_per_chunk = if labels.is_empty() { 0 } else { LABELS_PER_CHUNK };
        let label_keys: Vec<Key> = (0u32..).zip(&labels).map(|(number, _)| labels_key(fork, &sha256, number)).collect();
        let chunk_keys = (0u32..).map(|number| chunk_key(fork, &sha256, number));
        let values: Vec<_> = chunk_keys.zip(chunks).chain(label_keys.iter().cloned().zip(labels)).collect();
        let written = self.write_all(values).await;
        match written {
            Ok(()) => {}
            Err(error) if error.is_temporary() => return Err(self.unreadable(&error)),
            // A value that is too large stays too large.
            Err(error) => {
                let error = faasflow_core::Error::from(error).context("the items cannot be stored");
                let kind = FailureKind::Storage(Arc::new(error));
                return Ok(Err(self.composite_failed(composite, kind, Payload::empty())));
            }
        }
        if self.message.remembered && labels_per_chunk > 0 {
            match self.add_labels(&label_keys).await {
                Err(error) if error.is_temporary() => return Err(self.unreadable(&error)),
                // The request can do without being found by them.
                _ => {}
            }
        }
        let per_chunk = u32::try_from(per_chunk).expect("a chunk has few items");
        Ok(Ok((count, List { sha256, per_chunk, generation: 0, labels_per_chunk })))
    }

    /// Posts tokens. If one is not accepted, the delivery comes again and posts all of them again, under the same call ids.
    pub(super) async fn post(&mut self, mut messages: Vec<Message>) -> Result<(), Stop<'a>> {
        match &messages[..] {
            [next] if self.goes_on_here(next) => self.onward = messages.pop(),
            _ => {
                self.write_results().await?;
                self.post_to_queue(messages).await?;
            }
        }
        self.has_posted = true;
        Ok(())
    }

    async fn post_to_queue(&self, mut messages: Vec<Message>) -> Result<(), Stop<'a>> {
        self.set_labels(&mut messages).await?;
        let begins_members =
            |message: &Message| message.place.fork().is_some_and(|(fork, _)| fork == self.message.place);
        // If the record was there, an earlier delivery may have posted the members.
        if self.created && messages.first().is_some_and(begins_members) {
            self.instance.joins.of(&self.scope.request, &self.message.place).note_fork();
        }
        let posts = messages.into_iter().map(|mut message| {
            start_clock(self.execution.route, &self.message.place, &mut message);
            self.post_one(message)
        });
        let posted: Result<(), Outage> =
            futures_util::stream::iter(posts).buffer_unordered(AT_ONCE).try_collect().await;
        posted.map_err(|outage| Stop::Outage(Activity::Executing(&self.message.place), outage))
    }

    /// Adds their labels to the tokens that begin items.
    async fn set_labels(&self, messages: &mut [Message]) -> Result<(), Stop<'a>> {
        let keys: BTreeSet<Key> = messages.iter().filter_map(|message| Some(message.label_key()?.0)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = keys.into_iter().collect();
        let values = self.read_all(&keys).await?;
        let found: HashMap<Key, Bytes> =
            keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect();
        for message in messages {
            if let Some(value) = message.label_key().and_then(|(key, _)| found.get(&key)) {
                message.set_label(value);
            }
        }
        Ok(())
    }

    /// Whether the next phase can be executed in the same invocation: because a caller waits for the end of the request, and the
    /// token is the only one of the request.
    fn goes_on_here(&self, next: &Message) -> bool {
        let is_single = next.origin == Origin::Token && next.place.path().is_empty();
        // What is executed here next belongs to the deployed definition.
        let is_deployed = self.execution.route.earlier().is_none();
        is_single
            && is_deployed
            && self.message.place.path().is_empty()
            && self.caller_waits.is_some_and(Patience::is_left)
    }

    fn post_one(&self, message: Message) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async move {
            let Execution { context, deadline, observers, route, .. } = self.execution;
            let (branching, plan) = (branching(route.plan(), &message), Some(route.plan()));
            let onward = Onward { place: &message.place, payload: &message.payload, branching, call_id: None, plan };
            let posted = self.instance.forward(context, onward, deadline, observers).await;
            posted.map_err(|not_forwarded| match not_forwarded {
                NotForwarded::Transient(outage) => outage,
                // What has happened is recorded, so the request cannot fail now. A queue that keeps refusing ends up with a
                // dead letter, which can be delivered again when the cause is removed.
                NotForwarded::Failed(kind) => Outage::new(kind.code(), "a branch cannot be queued", kind.to_string()),
            })
        })
    }

    /// Writes values side by side. This future and the next ones are boxed here, because the compiler cannot prove from the outside that
    /// they can move between threads.
    fn write_all(&self, values: Vec<(Key, Bytes)>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            let writes = values.into_iter().map(|(key, value)| self.write(key, value));
            futures_util::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
        })
    }

    fn add_labels<'b>(&'b self, labels: &'b [Key]) -> BoxFuture<'b, Result<(), StateError>> {
        Box::pin(async move { add_labels(&self.manager(), &self.scope, labels).await })
    }

    fn write(&self, key: Key, chunk: Bytes) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move { self.manager().set(&self.scope, key.as_str(), chunk).await })
    }
}
