//! The secret values that the query and the headers of a request, and the answers of functions, may repeat.

use std::collections::BTreeSet;

use faasflow_core::envelope::Carried;
use faasflow_core::graph::Place;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::forked::{Input, MemberRecord};
use faasflow_core::state::Key;
use faasflow_core::{MemberOutcome, Payload};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Members, Shelves, json};
use crate::records::not_done::NotDone;
use crate::records::progress::NotFound;

/// Why nothing is shown that may repeat what a request was sent with.
const REQUEST_GONE: &str =
    "the payload that the request was sent with is no longer kept, so it is not known which values are secret";
/// Why nothing is shown that may repeat what a place began with.
const INPUT_GONE: &str =
    "the payload that the place began with is no longer kept, so it is not known which values are secret";
/// How many outputs are fetched at once.
const AT_ONCE: usize = 16;

impl Shelves<'_> {
    /// The secret values that the request was sent with.
    pub(in crate::records) async fn secret_values(&self) -> Result<Vec<String>, NotDone> {
        let secrets = self.instance.flow.secrets();
        let mut values = secrets.header_values(&self.opened.info.headers);
        if secrets.has_fields() {
            values.extend(self.values_in(self.opened.first.payload.clone(), REQUEST_GONE).await?);
        }
        Ok(values)
    }

    /// The secret values that the request was sent with, and those of what this place began with.
    pub(super) async fn secret_values_at(&self, place: &Place, input: Input) -> Result<Vec<String>, NotDone> {
        let mut values = self.secret_values().await?;
        if !self.instance.flow.secrets().has_fields() {
            return Ok(values);
        }
        match input {
            Input::Carried(carried) if carried == self.opened.first.payload => {}
            Input::Carried(carried) => values.extend(self.values_in(carried, INPUT_GONE).await?),
            Input::Item { chunk, index } => {
                values.extend(self.instance.flow.secrets().values(&self.item(&chunk, index).await?));
            }
            input => values.extend(self.values_of(self.members(place, input)).await?),
        }
        Ok(values)
    }

    async fn values_in(&self, carried: Carried, gone: &str) -> Result<Vec<String>, NotDone> {
        let payload = self.instance.recorded(carried, &self.opened.info, &self.manager, gone).await?;
        Ok(self.instance.flow.secrets().values(&payload))
    }

    /// The secret values in the outputs of members.
    async fn values_of(&self, Members { names, members }: Members) -> Result<BTreeSet<String>, NotDone> {
        let done = members.into_iter().enumerate().filter(|(_, (outcome, _))| *outcome == MemberOutcome::Done);
        let (indices, keys): (Vec<usize>, Vec<Key>) = done.map(|(index, (_, key))| (index, key)).unzip();
        let found = self.manager.read_all(self.scope, &keys).await?;
        let mut outputs = Vec::with_capacity(keys.len());
        for ((index, key), value) in indices.into_iter().zip(keys).zip(found) {
            let record = value.as_ref().and_then(MemberRecord::decode).ok_or(NotFound::Unreadable(key))?;
            let name = names.as_ref().map(|names| names.get(index).cloned().unwrap_or_default());
            outputs.push((name, record.output));
        }
        // Large outputs are stored apart from their records, and many of them would take too long one after the other.
        let values = futures_util::stream::iter(outputs).map(|(name, output)| self.values_of_output(name, output));
        let values: Vec<Vec<String>> = values.buffered(AT_ONCE).try_collect().await?;
        Ok(values.into_iter().flatten().collect())
    }

    /// The secret values in the output of a member, and in what is collected of it. `name` is that of its branch. The future is
    /// boxed here, because the compiler cannot prove from the outside that it can move between threads.
    fn values_of_output(&self, name: Option<String>, output: Carried) -> BoxFuture<'_, Result<Vec<String>, NotDone>> {
        Box::pin(async move {
            let output = self.instance.recorded(output, &self.opened.info, &self.manager, INPUT_GONE).await?;
            let secrets = self.instance.flow.secrets();
            let mut values = secrets.values(&output);
            if let Ok(text) = std::str::from_utf8(output.bytes()) {
                for collected in [collected(name.as_deref(), text), collected(name.as_deref(), &told(text))] {
                    values.extend(secrets.values(&Payload::new(collected)));
                }
            }
            Ok(values)
        })
    }
}

/// What is collected of members, with this one only: an object if they have names, or else a list.
fn collected(name: Option<&str>, text: &str) -> String {
    match name {
        Some(name) => format!("{{{}:{text}}}", json(&name)),
        None => format!("[{text}]"),
    }
}

/// An output beside the outcome of its member.
fn told(text: &str) -> String {
    format!("{{\"output\":{text}}}")
}
