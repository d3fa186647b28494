//! Runs a request again, as a new one with the same input.

use std::sync::Arc;

use faasflow_core::state::Scope;
use faasflow_core::{RequestId, RequestInfo};
use faasflow_http::now_ms;
use http::HeaderMap;

use super::not_done::NotDone;
use super::payloads::no_room;
use crate::delivery::NotRepeated;
use crate::instance::Instance;
use crate::trace::incoming;

impl Instance {
    /// Starts a request with this id and the input of the request of this scope: its body, its content type, its headers and its
    /// query. It begins with the deployed definition, and nobody is called back.
    pub(super) async fn again(&self, scope: &Scope, id: RequestId) -> Result<(), NotDone> {
        let deadline = self.time_to_answer();
        let manager = self.records(deadline.state_in_steps());
        let opened = self.kept(&manager, scope).await?;
        let original = opened.info.id.clone();
        if original == id {
            let why = format!(
                "`{id}` is the id of the request to repeat; leave `id` out, or choose another one for the new request"
            );
            return Err(NotDone::Bad(why));
        }
        let _admitted = self.budget.admit().map_err(no_room)?;
        let gone = "the input of the request is no longer kept; send the request again from where it came from";
        let payload = self.recorded(opened.first.payload, &opened.info, &manager, gone).await?;
        let info = RequestInfo {
            id,
            callback_url: None,
            trace: incoming(&HeaderMap::new(), &self.config.sampling),
            started_ms: now_ms(),
            ..(*opened.info).clone()
        };
        self.repeat(Arc::new(info), payload, &original, &deadline).await.map_err(|error| match error {
            NotRepeated::Refused(status, code, reason) => NotDone::Refused(status, code, reason),
            NotRepeated::Outage(outage) => NotDone::Outage(outage),
        })
    }
}
