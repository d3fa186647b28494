//! Makes requests go on that have not moved for a while, because a queue has lost their envelopes or a process has died.

use std::time::Duration;

use faasflow_admin::{REQUESTS_VERSION, RecoveredRequest, Recovery, UnrecoveredRequest};
use faasflow_core::Outcome;
use faasflow_core::machine::forked::{Control, Parked};
use faasflow_core::state::{
    ListPosition, ListQuery, Listed, Scope, StateError, StateManager as _, Status, search_flow,
};
use faasflow_http::now_ms;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::control::decide;
use super::not_done::NotDone;
use super::progress::{NotFound, Remembered};
use crate::deadline::Deadline;
use crate::definitions::BegunWith;
use crate::delivery::KNOWN_TO_BE_OVER;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// How much longer than `write_timeout` a phase is taken to be in progress: what follows its steps has a second of its own, and
/// clocks may differ.
const MARGIN: Duration = Duration::from_secs(5);
/// How many requests are looked at at once.
const AT_ONCE: usize = 8;
/// How many lines of the list are read at once.
const PAGE: usize = 100;
/// How many requests that have expired are removed.
const REMOVED: usize = 1000;

/// How much longer than two phases the process may have been dead whose requests a new one looks for.
const DEAD: Duration = Duration::from_secs(10 * 60);
/// How many requests a new process looks at.
const LOOKED_AT_AFTER_A_DEATH: usize = 10_000;
/// The longest time by which processes that start together look for requests one after the other.
const APART: Duration = Duration::from_secs(5);
/// How many requests are looked at that are listed as paused, and as parked.
const RELISTED: usize = 1000;

/// Which requests are recovered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stalled {
    /// How long they must not have moved.
    pub(super) older: Duration,
    /// Whether that may be shorter than a phase takes. A phase that is still in progress is then executed twice.
    pub(super) force: bool,
    /// When they began at the earliest, in milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    /// Only those whose caller waited, and which no queue may have.
    pub(super) caller_waits: bool,
}

impl Stalled {
    pub(super) fn new(older: Duration) -> Stalled {
        Stalled { older, force: false, since_ms: 0, caller_waits: false }
    }
}

/// What was done about one request.
enum Done {
    /// It has moved recently, or is not to be moved.
    Nothing,
    /// The time was over before it was looked at.
    NotLooked,
    /// It goes on with this many tokens.
    GoesOn(usize),
}

impl Instance {
    /// Makes the requests go on that have not moved for some time. It looks at `limit` requests at most, from the newest to the
    /// oldest, and stops when its time is over. It returns where it stopped, so that it can be called again.
    pub(super) async fn recover(
        &self,
        stalled: Stalled,
        limit: usize,
        mut after: Option<ListPosition>,
        deadline: &Deadline,
    ) -> Result<(Recovery, Option<ListPosition>), StateError> {
        let (until, manager) = (deadline.state_in_steps(), self.records(deadline.state_in_ending()));
        let mut told = Recovery::default();
        told.version = REQUESTS_VERSION;
        let older = match stalled.force {
            true => stalled.older,
            // A request does not move while one of its phases is executed.
            false => stalled.older.max(self.longest_phase()),
        };
        told.older_ms = u64::try_from(older.as_millis()).unwrap_or(u64::MAX);
        if !stalled.caller_waits {
            told.removed = manager.remove_expired(&self.name, REMOVED).await? as u64;
            manager.remove_expired(&search_flow(&self.name), REMOVED).await?;
        }
        if after.is_none() && !stalled.caller_waits {
            self.relist(&manager, until).await?;
        }
        while (told.looked_at as usize) < limit && Instant::now() < until {
            let query = ListQuery {
                status: Some(Status::Running),
                since_ms: stalled.since_ms,
                after: after.clone(),
                ..ListQuery::newest(PAGE.min(limit - told.looked_at as usize))
            };
            let lines = manager.list_requests(&self.name, &query).await?;
            if lines.is_empty() {
                return Ok((told, None));
            }
            let look = |line: Listed| async move {
                let done = match Instant::now() < until {
                    true => self.recover_one(&line, older, stalled, deadline).await,
                    false => Ok(Done::NotLooked),
                };
                (line, done)
            };
            let mut done = futures_util::stream::iter(lines).map(look).buffered(AT_ONCE);
            while let Some((line, done)) = done.next().await {
                let id = line.request.clone();
                match done {
                    Ok(Done::NotLooked) => return Ok((told, after)),
                    Ok(Done::Nothing) => {}
                    Ok(Done::GoesOn(tokens)) => {
                        let mut recovered = RecoveredRequest::default();
                        (recovered.id, recovered.tokens) = (id, tokens as u64);
                        told.recovered.push(recovered);
                    }
                    Err(error) => {
                        if let Some(detail) = error.detail() {
                            tracing::warn!("The request {id} is not recovered: {detail}");
                        }
                        let mut failed = UnrecoveredRequest::default();
                        (failed.id, failed.reason) = (id, error.answer().2);
                        told.failed.push(failed);
                    }
                }
                told.looked_at += 1;
                after = Some(position(line));
            }
        }
        Ok((told, after))
    }

    /// Makes requests go on whose caller waited when the process of the flow died, once any of their phases must be over. No queue
    /// has them, because their phases were executed in one invocation. Each process does so once, after its start.
    pub(crate) async fn recover_after_a_death(&self) {
        let began_ms = now_ms();
        let apart = APART.min(self.config.write_timeout).mul_f64(rand::random());
        tokio::time::sleep(self.longest_phase() + apart).await;
        let past = 2 * self.longest_phase() + DEAD;
        let since_ms = began_ms.saturating_sub(u64::try_from(past.as_millis()).unwrap_or(u64::MAX));
        let stalled = Stalled { since_ms, caller_waits: true, ..Stalled::new(Duration::ZERO) };
        match self.recover(stalled, LOOKED_AT_AFTER_A_DEATH, None, &self.time_to_answer()).await {
            Ok((told, _)) => {
                for recovered in &told.recovered {
                    tracing::info!("The request `{}` goes on: a process died while its caller waited", recovered.id);
                }
            }
            Err(error) => tracing::debug!(%error, "Requests of a process that died cannot be looked for"),
        }
    }

    /// How long a phase may take, with what follows it.
    fn longest_phase(&self) -> Duration {
        self.config.write_timeout + MARGIN
    }

    /// Lists requests as running that are listed as paused or parked and are neither. That happens if somebody pauses a request and
    /// somebody else resumes it at the same moment.
    async fn relist(&self, manager: &RetryingState, until: Instant) -> Result<(), StateError> {
        for status in [Status::Paused, Status::Parked] {
            let (mut after, mut looked_at) = (None, 0);
            while looked_at < RELISTED && Instant::now() < until {
                let query = ListQuery { status: Some(status), after, ..ListQuery::newest(PAGE) };
                let lines = manager.list_requests(&self.name, &query).await?;
                let Some(last) = lines.last() else { break };
                (after, looked_at) = (Some(position(last.clone())), looked_at + lines.len());
                let scopes: Vec<Scope> = lines.iter().map(|line| self.scope_of(&line.request)).collect();
                let controls = manager.get_across(&scopes, Control::key().as_str()).await?;
                let parked = manager.get_across(&scopes, Parked::key().as_str()).await?;
                for ((line, scope), (control, parked)) in lines.iter().zip(&scopes).zip(controls.iter().zip(&parked)) {
                    let is_paused = Control::decode(control.as_ref()).is_none_or(|control| control.paused);
                    if !is_paused && parked.is_none() {
                        manager.list_request(scope, line.started_ms, Status::Running).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn recover_one(
        &self,
        line: &Listed,
        older: Duration,
        stalled: Stalled,
        deadline: &Deadline,
    ) -> Result<Done, NotDone> {
        let (scope, until) = (self.scope_of(&line.request), deadline.state_in_ending());
        let mut remembered = match self.remembered(&scope, until).await {
            Ok(remembered) => remembered,
            // It was put on the list, but has not begun, or its values have expired.
            Err(NotFound::Unknown | NotFound::Expired) => {
                if is_old(line.started_ms, older.max(self.config.write_timeout)) {
                    self.unlist(line, until).await?;
                }
                return Ok(Done::Nothing);
            }
            Err(error) => return Err(error.into()),
        };
        if !is_old(remembered.moved_ms(), older) || (stalled.caller_waits && !remembered.caller_waits) {
            return Ok(Done::Nothing);
        }
        if let Some(end) = &remembered.progress.end {
            if end.is_finished {
                self.retire_ended(&remembered, end.outcome, deadline).await?;
                return Ok(Done::Nothing);
            }
            if end.outcome == Outcome::Stopped {
                self.end_stopped(&scope, &remembered, deadline).await?;
                return Ok(Done::GoesOn(0));
            }
        } else if remembered.status() != Status::Running {
            self.records(until).list_request(&scope, line.started_ms, remembered.status()).await?;
            return Ok(Done::Nothing);
        }
        if let Err(error) = self.goes_on(&remembered, Status::Running) {
            let may_be_in_progress = !is_old(remembered.began_ms, older.max(self.config.write_timeout));
            if may_be_in_progress || remembered.progress.places.iter().any(|place| place.ended().is_some()) {
                return Err(error);
            }
            // Nothing of it was executed, so it can as well begin with the deployed definition.
            let deployed = |control: Control| Some(control.with_shape(self.flow.plan().shape()));
            decide(&self.records(until), &scope, deployed).await?;
            (remembered.begun, remembered.progress.open) = (BegunWith::Deployed, vec![remembered.first.clone()]);
        }
        let tokens = &remembered.progress.open;
        self.post_again(&remembered, tokens, deadline).await.map_err(NotDone::NotPosted)?;
        Ok(Done::GoesOn(tokens.len()))
    }

    /// Lets the values of a request expire that has ended, if its own end could not do that.
    pub(super) async fn retire_ended(
        &self,
        remembered: &Remembered,
        outcome: Outcome,
        deadline: &Deadline,
    ) -> Result<(), StateError> {
        let manager = self.records(deadline.state_in_ending());
        let (scope, started_ms) = (remembered.info.scope(), remembered.info.started_ms);
        let (keep, known) = (self.config.keep_records, KNOWN_TO_BE_OVER);
        manager.retire_request(&scope, started_ms, outcome.into(), keep, known).await
    }

    /// Takes a request off the list of which nothing else is known.
    async fn unlist(&self, line: &Listed, until: Instant) -> Result<(), StateError> {
        let manager = self.records(until);
        let scope = self.scope_of(&line.request);
        tracing::debug!("Taking a request off the list that has not begun: {}", line.request);
        let (zero, known) = (Duration::ZERO, KNOWN_TO_BE_OVER);
        manager.retire_request(&scope, line.started_ms, Status::Failure, zero, known).await
    }
}

/// The position of a line in the list.
fn position(line: Listed) -> ListPosition {
    ListPosition { started_ms: line.started_ms, request: line.request }
}

fn is_old(moved_ms: u64, older: Duration) -> bool {
    Duration::from_millis(now_ms().saturating_sub(moved_ms)) >= older
}
