//! Reads how many requests have ended, together.

use std::collections::HashMap;

use faasflow_core::machine::forked::{Control, MemberRecord, end_of, ended_ms, over_key};
use faasflow_core::state::{Listed, Scope, StateError, StateManager as _, Status};

use super::answer::reason_of;
use super::ended::stopped;
use super::look::Look;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How many different places may be read at which requests have failed. Others are looked at one by one.
const PLACES: usize = 16;
/// How many results are read at a time. That of a request that was recovered has a payload.
const RESULTS: usize = 32;

impl Instance {
    /// How these requests have ended: each that is listed as ended and was not redriven. Most requests are such ones, and reading each on
    /// its own would take long.
    pub(super) async fn ends(
        &self,
        manager: &RetryingState,
        lines: &[Listed],
    ) -> Result<Vec<Option<Look>>, StateError> {
        let mut ends: Vec<Option<Look>> = lines.iter().map(|_| None).collect();
        let ended: Vec<usize> = (0..lines.len()).filter(|index| lines[*index].status.has_ended()).collect();
        if ended.is_empty() {
            return Ok(ends);
        }
        let scopes: Vec<Scope> = ended.iter().map(|index| self.scope_of(&lines[*index].request)).collect();
        let controls = manager.get_across(&scopes, Control::key().as_str()).await?;
        let overs = manager.get_across(&scopes, over_key(0).as_str()).await?;
        // Those whose reason is in a result, by the key of the result.
        let mut results: HashMap<String, Vec<(usize, u64)>> = HashMap::new();
        for (index, (control, over)) in ended.into_iter().zip(controls.iter().zip(&overs)) {
            // The end of one that was redriven has another key.
            let is_first = Control::decode(control.as_ref()).is_some_and(|control| control.generation() == 0);
            let Some(over) = over.as_ref().filter(|_| is_first) else { continue };
            let status = lines[index].status;
            let moved_ms = ended_ms(over).unwrap_or(lines[index].started_ms);
            match end_of(over).filter(|(outcome, _)| Status::from(*outcome) == status) {
                Some((_, Some(key))) if matches!(status, Status::Failure | Status::Recovered) => {
                    results.entry(key).or_default().push((index, moved_ms));
                }
                Some(_) => {
                    let reason = (status == Status::Stopped).then(|| reason_of(&stopped(), None));
                    ends[index] = Some(Look::Ended { moved_ms, reason });
                }
                None => {}
            }
        }
        for (key, of) in results.into_iter().take(PLACES) {
            for of in of.chunks(RESULTS) {
                let scopes: Vec<Scope> = of.iter().map(|(index, _)| self.scope_of(&lines[*index].request)).collect();
                let records = manager.get_across(&scopes, &key).await?;
                for ((index, moved_ms), record) in of.iter().zip(records) {
                    let Some(record) = record.as_ref().and_then(MemberRecord::decode) else { continue };
                    let reason = record.reason.map(|reason| reason_of(&reason, key.strip_prefix("result/")));
                    ends[*index] = Some(Look::Ended { moved_ms: *moved_ms, reason });
                }
            }
        }
        Ok(ends)
    }
}
