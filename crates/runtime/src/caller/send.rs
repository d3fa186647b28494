//! Sends a request until it is answered, and tells what failed from what passes.

use std::pin::pin;
use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::{CallResponse, Payload, chain};
use http::StatusCode;
use tokio::time::Instant;

use super::{Caller, Outgoing, Time};
use crate::answers::Unread;
use crate::config::show;
use crate::http::retry_after;
use crate::log::RequestLog;
use crate::outage::Outage;
use crate::trace::StepSpan;

/// How long a phase waits for a function that the local gateway says is away: about as long as one takes to start. The
/// gateway's queue delivers the phase again, and has better uses for its places meanwhile.
const FUNCTION_RESTART: Duration = Duration::from_secs(10);
/// The longest wait between two attempts during an outage.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A payload of this many bytes is given up when an answer to it begins, so that it is not held beside the answer. If the
/// answer breaks off then, the queue has to deliver the phase again; a smaller payload is sent once more from here.
const LARGE: usize = 64 * 1024;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// For good.
    Failed(FailureKind),
    /// For a reason that has not passed in time.
    Outage(Outage),
}

impl From<FailureKind> for Unanswered {
    fn from(kind: FailureKind) -> Unanswered {
        Unanswered::Failed(kind)
    }
}

impl Caller {
    /// Sends a request as often as its retries say, and until an outage is over.
    ///
    /// # Errors
    ///
    /// If there is no answer that its retries leave as it is.
    pub(crate) async fn send(
        &self,
        outgoing: &mut Outgoing<'_>,
        mut span: Option<&mut StepSpan<'_>>,
        mut time: Time<'_>,
        log: &RequestLog,
    ) -> Result<CallResponse, Unanswered> {
        let Outgoing { retry, kind, function, peer, .. } = *outgoing;
        if let Some(span) = &mut span {
            span.sends(outgoing.method, &outgoing.target, kind == super::CallKind::Call, outgoing.size());
        }
        // Attempts that met with an outage do not count as attempts of the author's policy.
        let (mut attempt, mut outages, mut patience) = (1, 0, None);
        loop {
            let last = attempt >= retry.max_attempts();
            let answer = self.attempt(outgoing, last, span.as_deref(), &mut time).await;
            match (&answer, outgoing.answered_well) {
                (Ok(response), Some(counter)) if response.status() == StatusCode::OK => counter.inc(),
                _ => self.metrics.attempt(kind, function, &answer),
            }
            if let Some(span) = &mut span {
                span.attempted(&answer);
            }
            let mut outage = match Outage::of(&answer, kind, retry, peer) {
                None => match (answer, time.outage.get()) {
                    // Without the outage there would have been time.
                    (Err(FailureKind::Deadline(_)), Some(outage)) => return Err(Unanswered::Outage(outage.clone())),
                    (answer, _) => {
                        let Some(wait) = self.wait_for_another(&answer, outgoing, attempt, &time, log) else {
                            return answer.map_err(Unanswered::Failed);
                        };
                        self.metrics.retried(kind, function);
                        tokio::time::sleep(wait).await;
                        attempt += 1;
                        continue;
                    }
                },
                Some(outage) => outage,
            };
            let _ = time.outage.set(outage.clone());
            outages += 1;
            let until = *patience.get_or_insert_with(|| {
                let all = time.deadline.steps();
                if outage.marked { all.min(Instant::now() + FUNCTION_RESTART) } else { all }
            });
            let pause = pause(outages, rand::random()).max(outage.retry_after.unwrap_or_default());
            if outgoing.given_up {
                outage.reason += ", and the payload was given up to make room";
                return Err(Unanswered::Outage(outage));
            }
            // A function can ask for more than a clock can count.
            if Instant::now().checked_add(pause).is_none_or(|then| then >= until) {
                return Err(Unanswered::Outage(outage));
            }
            log.warn(format_args!("{}; trying again in {}: {}", outage.reason, show(millis(pause)), outage.detail));
            self.metrics.retried(kind, function);
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait until the next attempt that the author's policy asks for; `None` if the answer stands.
    fn wait_for_another(
        &self,
        answer: &Result<CallResponse, FailureKind>,
        outgoing: &Outgoing<'_>,
        attempt: u32,
        time: &Time<'_>,
        log: &RequestLog,
    ) -> Option<Duration> {
        let retry = outgoing.retry;
        if attempt >= retry.max_attempts() {
            return None;
        }
        let why = match answer {
            Ok(response) if retry.retries_status(response.status()) => format!("it answered {}", response.status()),
            Err(FailureKind::Timeout(after)) if retry.retries_timeout() => format!("no answer within {}", show(*after)),
            _ => return None,
        };
        let asked = answer.as_ref().ok().and_then(|response| retry_after(response.headers()));
        let wait = retry.delay(attempt, rand::random(), asked);
        if Instant::now().checked_add(wait).is_none_or(|then| then >= time.deadline.steps()) {
            log.warn(format_args!("No time is left to try {} again", outgoing.peer));
            return None;
        }
        log.info(format_args!(
            "Trying {} again in {} ({why}), attempt {} of {}",
            outgoing.peer,
            show(millis(wait)),
            attempt + 1,
            retry.max_attempts()
        ));
        Some(wait)
    }

    async fn attempt(
        &self,
        outgoing: &mut Outgoing<'_>,
        last: bool,
        span: Option<&StepSpan<'_>>,
        time: &mut Time<'_>,
    ) -> Result<CallResponse, FailureKind> {
        let Time { deadline, cut_off, .. } = time;
        let own = outgoing.timeout.and_then(|timeout| {
            let until = Instant::now().checked_add(timeout).filter(|&until| until < deadline.steps())?;
            Some((until, timeout))
        });
        let exchange = pin!(self.exchange(outgoing, last, span));
        match own {
            Some((until, timeout)) => match tokio::time::timeout_at(until, exchange).await {
                Ok(answer) => answer,
                Err(_) => Err(FailureKind::Timeout(timeout)),
            },
            None => match cut_off.within(exchange).await {
                Some(answer) => answer,
                None => Err(FailureKind::Deadline(deadline.allowed())),
            },
        }
    }

    async fn exchange(
        &self,
        outgoing: &mut Outgoing<'_>,
        last: bool,
        span: Option<&StepSpan<'_>>,
    ) -> Result<CallResponse, FailureKind> {
        let response = self.client.send(outgoing.request(span)).await.map_err(|error| {
            let text = chain(&error);
            if error.is_connect() {
                FailureKind::Unreachable(text)
            } else if error.is_unusable_answer() {
                FailureKind::Unusable(text)
            } else {
                FailureKind::Interrupted(text)
            }
        })?;
        let (mut parts, body) = response.into_parts();
        if last && parts.status.is_success() && outgoing.payload.len() >= LARGE {
            outgoing.payload = Payload::empty();
            outgoing.given_up = true;
        }
        // The time is bounded by the attempt as a whole.
        match self.answers.read(&mut parts.headers, body).await {
            Ok(body) => Ok(CallResponse::new(parts.status, parts.headers, body)),
            Err(Unread::Failed(kind)) => Err(kind),
            Err(Unread::NoRoom(text)) => {
                outgoing.payload = Payload::empty();
                outgoing.given_up = true;
                Err(FailureKind::Interrupted(text))
            }
        }
    }
}

/// How long to wait after so many attempts that met with an outage, where `random` is a number in [0, 1).
fn pause(outages: u32, random: f64) -> Duration {
    let full = Duration::from_millis(50).saturating_mul(1 << outages.min(10)).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + random / 2.0)
}

fn millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        assert_eq!(pause(1, 1.0), Duration::from_millis(100));
        assert_eq!(pause(2, 0.0), Duration::from_millis(100));
        assert_eq!(pause(u32::MAX, 1.0), LONGEST_PAUSE);
    }
}
