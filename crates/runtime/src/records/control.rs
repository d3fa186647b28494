//! Pauses, resumes, stops and restarts requests.

use faasflow_core::code;
use faasflow_core::graph::Place;
use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::{Control, Parked, Redrive, Unposted, begun_anew};
use faasflow_core::state::{Condition, Scope, StateError, StateManager as _, Status};
use faasflow_core::{Outcome, chain};
use faasflow_http::now_ms;

use super::ended::stopped;
use super::not_done::NotDone;
use super::progress::{NotFound, Remembered, unreadable};
use super::restart::{Restart, Restartable};
use crate::conclusion::Conclusion;
use crate::deadline::Deadline;
use crate::definitions::BegunWith;
use crate::delivery::Refusal;
use crate::in_progress::Alone;
use crate::instance::Instance;
use crate::observers::{Event, Observers};
use crate::retrying_state::{PAUSE, RetryingState};

/// How often a value is written again that others have changed meanwhile.
const ATTEMPTS: usize = 20;

impl Remembered {
    pub(super) fn status(&self) -> Status {
        match (&self.progress.end, &self.progress.parked) {
            (Some(end), _) => end.outcome.into(),
            (None, Some(_)) => Status::Parked,
            (None, None) if self.progress.control.paused => Status::Paused,
            (None, None) => Status::Running,
        }
    }
}

/// The state manager for one request to the API, and the time that this may take.
struct Desk<'a> {
    deadline: &'a Deadline,
    manager: RetryingState,
    scope: &'a Scope,
}

/// Changes what was decided about a request. `change` returns `None` if there is nothing to change. Returns whether it was changed.
pub(crate) async fn decide(
    manager: &RetryingState,
    scope: &Scope,
    change: impl Fn(Control) -> Option<Control>,
) -> Result<bool, StateError> {
    let key = Control::key();
    // What a write without an answer may have written.
    let mut unknown = None;
    for _ in 0..ATTEMPTS {
        let found = manager.get_versioned(scope, key.as_str()).await?;
        let (value, condition) = match found {
            None => (None, Condition::Absent),
            Some((value, version)) => (Some(value), Condition::Version(version)),
        };
        let control = Control::decode(value.as_ref())
            .ok_or_else(|| StateError::permanent("what was decided about the request cannot be read"))?;
        if unknown.as_ref() == Some(&control) {
            return Ok(true);
        }
        let Some(changed) = change(control) else { return Ok(false) };
        match manager.set_if(scope, key.as_str(), changed.encode(), condition).await {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            // Whether it was written shows when it is read again.
            Err(error) if error.is_temporary() => {
                unknown = Some(changed);
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(StateError::temporary("others keep changing what is decided about the request"))
}

impl Desk<'_> {
    async fn decide(&self, change: impl Fn(Control) -> Option<Control>) -> Result<bool, StateError> {
        decide(&self.manager, self.scope, change).await
    }

    /// Notes that everything was posted that had to be, unless something else has been decided meanwhile.
    async fn posted(&self, is_current: impl Fn(&Control) -> bool) -> Result<(), StateError> {
        let change = |control: Control| (control.unposted.is_some() && is_current(&control)).then(|| control.posted());
        self.decide(change).await.map(drop)
    }

    async fn list(&self, remembered: &Remembered, status: Status) -> Result<(), StateError> {
        self.manager.list_request(self.scope, remembered.info.started_ms, status).await
    }
}

impl Instance {
    fn desk<'a>(&self, scope: &'a Scope, deadline: &'a Deadline) -> Desk<'a> {
        Desk { deadline, manager: self.records(deadline.state_in_ending()), scope }
    }

    async fn remembered_at(&self, desk: &Desk<'_>) -> Result<Remembered, NotFound> {
        self.remembered(desk.scope, desk.deadline.state_in_ending()).await
    }

    /// Waits until nobody else in this process resumes the request or starts it again. Otherwise both would post its tokens.
    async fn alone_at(&self, desk: &Desk<'_>) -> Result<Alone<'_>, NotDone> {
        // No request id contains a `/`.
        let id = format!("{}/control", desk.scope.request);
        let alone = self.in_progress.alone(&id, &Place::from(1), desk.deadline.steps()).await;
        alone.ok_or_else(|| {
            let reason = "the request is being resumed or started again";
            NotDone::Outage(Outage::new(code::IN_PROGRESS, reason, "it has taken all the time that this one had"))
        })
    }

    /// Pauses a request: what is in progress ends, and nothing else begins.
    pub(super) async fn pause(&self, scope: &Scope) -> Result<Status, NotDone> {
        let deadline = self.time_to_answer();
        let desk = self.desk(scope, &deadline);
        let remembered = self.remembered_at(&desk).await?;
        let status = remembered.status();
        if status.has_ended() {
            return Err(NotDone::NotPossible(status, "it has ended, so it cannot be paused".to_owned()));
        }
        if status == Status::Parked {
            let why = "nothing of it goes on; deploy the old definition and resume it, start it again from a phase, or stop it";
            return Err(NotDone::NotPossible(status, why.to_owned()));
        }
        desk.decide(|control| (!control.paused).then(|| control.pausing())).await?;
        desk.list(&remembered, Status::Paused).await?;
        self.settle(&desk, Status::Paused).await?;
        Ok(Status::Paused)
    }

    /// Lets a request that was paused or parked go on.
    pub(super) async fn resume(&self, scope: &Scope) -> Result<Status, NotDone> {
        let deadline = self.time_to_answer();
        let desk = self.desk(scope, &deadline);
        let _alone = self.alone_at(&desk).await?;
        let remembered = self.remembered_at(&desk).await?;
        let status = remembered.status();
        if status.has_ended() {
            return Err(NotDone::NotPossible(status, "it has ended; `redrive` starts it again".to_owned()));
        }
        if status == Status::Running && remembered.progress.control.unposted.is_none() {
            self.settle(&desk, Status::Running).await?;
            return Ok(status);
        }
        if let Err(refusal) = self.goes_on(&remembered, status) {
            if let Some(token) = remembered.progress.open.first().filter(|_| status == Status::Paused) {
                // Its owner decides what becomes of it, as of one whose envelope has arrived here.
                self.write_parked(&desk, &remembered, &token.place, remembered.shape.clone()).await?;
            }
            return Err(refusal);
        }
        // The line comes first: if this is interrupted, `recover` finds the request.
        desk.list(&remembered, Status::Running).await?;
        let unposted = if remembered.progress.parked.is_some() { Unposted::Open } else { Unposted::Held };
        let at_ms = now_ms();
        desk.decide(|control| Some(control.resumed(unposted, at_ms))).await?;
        desk.manager.remove(scope, Parked::key().as_str()).await?;
        // What has not begun because of the pause is seen only now.
        let remembered = self.remembered_at(&desk).await?;
        let progress = &remembered.progress;
        if progress.control.paused {
            // Somebody has paused it again. The next resume posts all that is open, because this one has not noted that it did.
            self.settle(&desk, Status::Running).await?;
            return Ok(remembered.status());
        }
        let tokens = match progress.control.unposted {
            Some(Unposted::Held) => &progress.held,
            _ => &progress.open,
        };
        self.post_again(&remembered, tokens, &deadline).await.map_err(NotDone::NotPosted)?;
        desk.posted(|control| *control == progress.control).await?;
        self.settle(&desk, Status::Running).await?;
        Ok(remembered.status())
    }

    /// Writes that a request is parked at this place, from which the definition of this shape cannot go on here.
    async fn write_parked(
        &self,
        desk: &Desk<'_>,
        remembered: &Remembered,
        place: &Place,
        shape: String,
    ) -> Result<(), StateError> {
        let deployed = self.flow.plan().shape().to_owned();
        let parked = Parked { place: place.to_string(), shape, deployed, at_ms: now_ms() };
        desk.manager.set(desk.scope, Parked::key().as_str(), parked.encode()).await?;
        desk.list(remembered, Status::Parked).await
    }

    /// Corrects the line of a request that has ended, or was paused or resumed, while this line was written.
    async fn settle(&self, desk: &Desk<'_>, listed: Status) -> Result<(), NotDone> {
        let remembered = self.remembered_at(desk).await?;
        let status = remembered.status();
        match &remembered.progress.end {
            Some(end) if end.is_finished => self.retire_ended(&remembered, end.outcome, desk.deadline).await?,
            None if status != listed => desk.list(&remembered, status).await?,
            _ => {}
        }
        Ok(())
    }

    /// Starts a request again that has ended or is parked, in a new generation.
    pub(super) async fn redrive(&self, scope: &Scope, from: Redrive) -> Result<u32, NotDone> {
        let deadline = self.time_to_answer();
        let desk = self.desk(scope, &deadline);
        let _alone = self.alone_at(&desk).await?;
        let mut remembered = self.remembered_at(&desk).await?;
        if Restartable::new(&remembered).may_restart(from)? == Restart::Begin {
            let status = remembered.status();
            let begins_with = self.definition_of_redrive(&remembered, from, status)?;
            self.begin_again(&desk, &remembered, &begins_with, from).await?;
            let first = begins_with.route(&self.flow).plan().start().in_generation(remembered.generation() + 1);
            (remembered.begun, remembered.first.place) = (begins_with, first);
        }
        let first = std::slice::from_ref(&remembered.first);
        self.post_again(&remembered, first, &deadline).await.map_err(NotDone::NotPosted)?;
        let generation = remembered.first.place.generation();
        let is_current =
            |control: &Control| (control.unposted, control.generation()) == (Some(Unposted::First), generation);
        desk.posted(is_current).await?;
        Ok(generation)
    }

    /// Begins the next generation of a request.
    async fn begin_again(
        &self,
        desk: &Desk<'_>,
        remembered: &Remembered,
        begins_with: &BegunWith,
        from: Redrive,
    ) -> Result<(), NotDone> {
        let generation = remembered.generation();
        // The line comes first: if this is interrupted, `recover` finds the request.
        desk.list(remembered, Status::Running).await?;
        let shape = match (begins_with, &remembered.begun) {
            (BegunWith::Deployed, BegunWith::Earlier(_) | BegunWith::Unknown) => Some(self.flow.plan().shape()),
            _ => None,
        };
        let at_ms = now_ms();
        let again = |control: Control| {
            let again = (control.generation() == generation).then(|| control.redriven(from, at_ms))?;
            Some(match shape {
                Some(shape) => again.with_shape(shape),
                None => again,
            })
        };
        if !desk.decide(again).await? {
            let why = "somebody else has started it again".to_owned();
            return Err(NotDone::NotPossible(Status::Running, why));
        }
        if remembered.progress.end.is_none() {
            // A token of the generation before that is still in progress must not end the request. If this fails, and one does, it
            // has ended before it was started again.
            let (key, value) = begun_anew(generation, at_ms);
            let _ = desk.manager.set_if(desk.scope, key.as_str(), value, Condition::Absent).await;
        }
        // The end of the generation before may have been listed meanwhile.
        desk.list(remembered, Status::Running).await?;
        desk.manager.remove(desk.scope, Parked::key().as_str()).await?;
        Ok(())
    }

    /// Stops a request. It ends now, as stopped, unless it has ended already.
    pub(super) async fn stop(&self, scope: &Scope) -> Result<Status, NotDone> {
        let deadline = self.time_to_answer();
        let remembered = self.remembered(scope, deadline.state_in_ending()).await?;
        if let Some(end) = &remembered.progress.end
            && (end.is_finished || end.outcome != Outcome::Stopped)
        {
            return match remembered.status() {
                Status::Stopped => Ok(Status::Stopped),
                status => Err(NotDone::NotPossible(status, "it has ended, so it cannot be stopped".to_owned())),
            };
        }
        self.end_stopped(scope, &remembered, &deadline).await
    }

    /// Ends a request that is stopped, or completes such an end that was interrupted.
    pub(super) async fn end_stopped(
        &self,
        scope: &Scope,
        remembered: &Remembered,
        deadline: &Deadline,
    ) -> Result<Status, NotDone> {
        let reason = stopped();
        let stopping = self.drive_stop(&remembered.info, &remembered.begun, &remembered.first, &reason, deadline);
        if stopping.await.map_err(NotDone::Outage)? {
            return Ok(Status::Stopped);
        }
        let status = self.remembered(scope, deadline.state_in_ending()).await?.status();
        Err(NotDone::NotPossible(status, "it has ended, so it cannot be stopped".to_owned()))
    }

    /// Parks a request whose envelope was made by another definition. `None` if it cannot be parked, so that the envelope is
    /// refused.
    pub(crate) async fn park(&self, refusal: &Refusal, observers: Option<&Observers<'_>>) -> Option<Conclusion> {
        let shape = refusal.made_by.clone()?;
        let (info, place) = refusal.of.clone().filter(|(info, _)| self.keeps(info))?;
        let scope = info.scope();
        let deadline = self.time_to_answer();
        let desk = self.desk(&scope, &deadline);
        let parked = async {
            let remembered = match self.remembered_at(&desk).await {
                Ok(remembered) => remembered,
                Err(NotFound::Store(error)) => return Err(error),
                Err(NotFound::Unreadable(key)) => return Err(StateError::permanent(unreadable(&key))),
                Err(NotFound::Unknown | NotFound::Expired) => return Ok(false),
            };
            // The envelope cannot be used any more.
            if remembered.progress.end.is_some() || remembered.generation() != place.generation() {
                return Ok(true);
            }
            self.write_parked(&desk, &remembered, &place, shape).await?;
            Ok(true)
        };
        match parked.await {
            Ok(true) => {
                let event = Event::Parked { detail: refusal.detail.as_deref().unwrap_or(&refusal.reason) };
                match observers {
                    Some(observers) => observers.emit(&event),
                    None => {
                        let trace = self.tracer.begin(&info, &place, None);
                        let lines = self.lines_about(self.flow.plan(), &info, &place, String::new(), trace.id());
                        Observers::for_phase(lines, trace, &self.metrics).emit(&event);
                    }
                }
                Some(Conclusion::Forwarded)
            }
            Ok(false) => None,
            Err(error) => Some(Conclusion::Transient(Outage::state_unreachable(chain(&error)))),
        }
    }
}
