//! Whether a request can be started again.

use faasflow_core::machine::forked::{Redrive, Unposted};
use faasflow_core::state::Status;

use super::not_done::NotDone;
use super::progress::Remembered;

/// The most often that a request is started again.
const GENERATIONS: u32 = 100;
/// What somebody has to do who starts a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// Begin the next generation.
    Begin,
    /// Post the first token of this generation, because the caller who has begun it was interrupted.
    Post,
}

/// What it depends on whether a request can be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restartable {
    status: Status,
    generation: u32,
    /// Whether everything that happens at its end is done, if it has ended.
    is_finished: bool,
    /// How its generation began, if nothing of that generation may have been posted.
    unposted: Option<Redrive>,
}

impl Restartable {
    pub(super) fn new(remembered: &Remembered) -> Restartable {
        let control = &remembered.progress.control;
        let unposted = control.redrive().filter(|_| control.unposted == Some(Unposted::First));
        let is_finished = remembered.progress.end.as_ref().is_some_and(|end| end.is_finished);
        Restartable { status: remembered.status(), generation: control.generation(), is_finished, unposted }
    }

    /// Whether the request can be started again from there, and how.
    pub(super) fn may_restart(self, from: Redrive) -> Result<Restart, NotDone> {
        let Restartable { status, generation, is_finished, unposted } = self;
        let impossible = |why: &str| Err(NotDone::NotPossible(status, why.to_owned()));
        let has_begun = matches!(status, Status::Running | Status::Paused);
        match from {
            _ if has_begun && unposted == Some(from) => return Ok(Restart::Post),
            _ if has_begun => return impossible("it has not ended; stop it first"),
            Redrive::Failed if status == Status::Parked => {
                return impossible("it has not failed; to start it again from a phase, name the phase");
            }
            Redrive::Failed if !matches!(status, Status::Failure | Status::Stopped) => {
                return impossible("it did not fail; to start it again from a phase, name the phase");
            }
            Redrive::Failed | Redrive::Phase(_) => {}
        }
        if generation >= GENERATIONS {
            return impossible(&format!("it has been started again {GENERATIONS} times"));
        }
        if status.has_ended() && !is_finished {
            return impossible("its end is not complete yet; try again in a moment");
        }
        Ok(Restart::Begin)
    }
}

#[cfg(test)]
mod tests {
    use Restart::{Begin, Post};
    use Status::{Failure, Parked, Paused, Recovered, Running, Stopped, Success};

    use super::*;

    fn may(request: Restartable, from: Redrive) -> Result<Restart, String> {
        request.may_restart(from).map_err(|error| match error {
            NotDone::NotPossible(status, why) => format!("{status}: {why}"),
            other => panic!("{other:?}"),
        })
    }

    fn request(status: Status) -> Restartable {
        Restartable { status, generation: 1, is_finished: status.has_ended(), unposted: None }
    }

    #[test]
    fn what_can_be_started_again_depends_on_the_status() {
        for (status, failed, phase) in [
            (Running, Err("stop it first"), Err("stop it first")),
            (Paused, Err("stop it first"), Err("stop it first")),
            (Parked, Err("name the phase"), Ok(Begin)),
            (Success, Err("name the phase"), Ok(Begin)),
            (Recovered, Err("name the phase"), Ok(Begin)),
            (Failure, Ok(Begin), Ok(Begin)),
            (Stopped, Ok(Begin), Ok(Begin)),
        ] {
            for (from, expected) in [(Redrive::Failed, failed), (Redrive::Phase(2), phase)] {
                match (may(request(status), from), expected) {
                    (Ok(may), Ok(expected)) => assert_eq!(may, expected, "{status} {from:?}"),
                    (Err(why), Err(expected)) => assert!(why.contains(expected), "{status} {from:?}: {why}"),
                    (may, expected) => panic!("{status} {from:?}: {may:?}, not {expected:?}"),
                }
            }
        }
    }

    #[test]
    fn a_generation_that_was_not_posted_can_be_posted_from_the_same_place() {
        for status in [Running, Paused] {
            let begun = Restartable { unposted: Some(Redrive::Phase(2)), ..request(status) };
            assert_eq!(may(begun, Redrive::Phase(2)), Ok(Post));
            for from in [Redrive::Failed, Redrive::Phase(3)] {
                assert!(may(begun, from).unwrap_err().contains("stop it first"));
            }
        }
        // It was posted after all, and has failed since.
        let ended = Restartable { unposted: Some(Redrive::Failed), ..request(Failure) };
        assert_eq!(may(ended, Redrive::Failed), Ok(Begin));
    }

    #[test]
    fn an_end_has_to_be_complete() {
        let ending = Restartable { is_finished: false, ..request(Failure) };
        assert!(may(ending, Redrive::Failed).unwrap_err().contains("not complete yet"));
    }

    #[test]
    fn a_request_starts_again_a_limited_number_of_times() {
        let last = Restartable { generation: GENERATIONS - 1, ..request(Failure) };
        assert_eq!(may(last, Redrive::Failed), Ok(Begin));
        let over = Restartable { generation: GENERATIONS, ..request(Failure) };
        assert_eq!(may(over, Redrive::Failed).unwrap_err(), "failure: it has been started again 100 times");
    }
}
