//! Sends a request until it is answered, and distinguishes failures from outages.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::machine::NoticedBy;
use faasflow_core::{CallResponse, Error, Payload, Retry};
use faasflow_http::retry_after;
use tokio::time::Instant;

use super::answers::ReadFailure;
use super::caller::Caller;
use super::outage::detect;
use super::outgoing::{Outgoing, Time};
use super::stoppable::Stoppable;
use super::unanswered::Unanswered;
use crate::observers::{Event, Peer, Scope};

/// How long a phase waits for a function that is unavailable according to the local gateway: about as long as a function
/// takes to start. After that, the gateway's queue delivers the phase again and can use the worker for other calls in the
/// meantime.
const FUNCTION_RESTART: Duration = Duration::from_secs(10);
/// How a step retries during an outage.
const OUTAGE_RETRY: Retry =
    Retry::unlimited().initial_delay(Duration::from_millis(100)).max_delay(Duration::from_secs(2));
/// A payload of at least this many bytes is dropped when its answer begins, so that both need not be held at once. If the
/// connection is lost after that, the queue has to deliver the phase again, whereas a smaller payload is sent again from
/// here.
const LARGE_PAYLOAD: usize = 64 * 1024;

/// Whether the step's retry policy allows another attempt after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    NotLast,
    Last,
}

impl Caller {
    /// Sends a request as often as its retry policy allows, and until outages are over.
    ///
    /// # Errors
    ///
    /// If there is no answer that the retry policy accepts.
    pub(crate) async fn send(
        &self,
        outgoing: &mut Outgoing<'_>,
        scope: &mut Scope<'_>,
        mut time: Time<'_>,
    ) -> Result<CallResponse, Unanswered> {
        let Outgoing { retry, to, .. } = *outgoing;
        let (method, target, bytes) = (outgoing.method, &*outgoing.target, outgoing.size());
        scope.emit(&Event::Sending { method, target, to, bytes });
        // Attempts that met an outage do not count as attempts of the author's policy.
        let (mut attempt, mut outages, mut patience) = (1, 0, None);
        loop {
            let order = if attempt >= retry.max_attempts() { Order::Last } else { Order::NotLast };
            scope.emit(&Event::CallBegun);
            let answer = self.attempt(outgoing, order, scope, &mut time).await;
            scope.emit(&Event::Attempted { to, answer: &answer });
            // Most attempts end here. Returning early avoids moving the answer, which is large.
            if order == Order::Last && answer.as_ref().is_ok_and(|response| response.status().is_success()) {
                return answer.map_err(Unanswered::Failed);
            }
            let mut outage = match detect(&answer, to.kind, retry, to.name) {
                None => match (answer, time.outage.get()) {
                    // Without the outage, there would have been enough time.
                    (Err(kind), Some(outage)) if time.deadline.is_exceeded_by(&kind) => {
                        return Err(Unanswered::Outage(outage.clone()));
                    }
                    (answer, _) => {
                        let Some(wait) = wait_for_another(&answer, retry, to, attempt, &time, scope) else {
                            return answer.map_err(Unanswered::Failed);
                        };
                        Stoppable::wait(time.stoppable, wait).await?;
                        attempt += 1;
                        continue;
                    }
                },
                Some(outage) => outage,
            };
            time.outage.note(|| outage.clone());
            outages += 1;
            let until = *patience.get_or_insert_with(|| {
                let all = time.deadline.steps();
                if outage.noticed_by == NoticedBy::LocalGateway {
                    all.min(Instant::now() + FUNCTION_RESTART)
                } else {
                    all
                }
            });
            let pause = OUTAGE_RETRY.delay(outages, rand::random(), outage.retry_after);
            if outgoing.payload_released {
                outage.reason += ", and its payload was dropped to make room";
                return Err(Unanswered::Outage(outage));
            }
            // A function can ask for a pause that is too long for the clock.
            if Instant::now().checked_add(pause).is_none_or(|then| then >= until) {
                return Err(Unanswered::Outage(outage));
            }
            scope.emit(&Event::WaitingOut { to, outage: &outage, wait: pause });
            Stoppable::wait(time.stoppable, pause).await?;
        }
    }

    async fn attempt(
        &self,
        outgoing: &mut Outgoing<'_>,
        order: Order,
        scope: &Scope<'_>,
        time: &mut Time<'_>,
    ) -> Result<CallResponse, FailureKind> {
        let Time { deadline, cut_off, .. } = time;
        let own = outgoing.timeout.and_then(|timeout| {
            let until = Instant::now().checked_add(timeout).filter(|&until| until < deadline.steps())?;
            Some((until, timeout))
        });
        let exchange = pin!(self.exchange(outgoing, order, scope));
        match own {
            Some((until, timeout)) => match tokio::time::timeout_at(until, exchange).await {
                Ok(answer) => answer,
                Err(_) => Err(FailureKind::Timeout(timeout)),
            },
            None => match cut_off.within(exchange).await {
                Some(answer) => answer,
                None => Err(deadline.exceeded()),
            },
        }
    }

    async fn exchange(
        &self,
        outgoing: &mut Outgoing<'_>,
        order: Order,
        scope: &Scope<'_>,
    ) -> Result<CallResponse, FailureKind> {
        let response = self.client.send_built(|| outgoing.request(scope)).await.map_err(|error| {
            let kind = match &error {
                error if error.is_connect() => FailureKind::Unreachable,
                error if error.is_unusable_answer() => FailureKind::Unusable,
                _ => FailureKind::Interrupted,
            };
            kind(Arc::new(error.into()))
        })?;
        let (mut parts, body) = response.into_parts();
        if order == Order::Last && parts.status.is_success() && outgoing.payload.len() >= LARGE_PAYLOAD {
            outgoing.payload = Payload::empty();
            outgoing.payload_released = true;
        }
        // The attempt as a whole has a timeout, so reading needs none.
        match self.answers.read(&mut parts.headers, body).await {
            Ok(body) => Ok(CallResponse::new(parts.status, parts.headers, body)),
            Err(ReadFailure::Failed(kind)) => Err(kind),
            Err(ReadFailure::NoRoom(full)) => {
                outgoing.payload = Payload::empty();
                outgoing.payload_released = true;
                Err(FailureKind::Interrupted(Arc::new(Error::from(full).context("its answer was not read"))))
            }
        }
    }
}

/// How long to wait before the next attempt that the author's policy asks for. `None` if there is none.
fn wait_for_another(
    answer: &Result<CallResponse, FailureKind>,
    retry: &Retry,
    to: Peer<'_>,
    attempt: u32,
    time: &Time<'_>,
    scope: &mut Scope<'_>,
) -> Option<Duration> {
    if attempt >= retry.max_attempts() {
        return None;
    }
    let retries = match answer {
        Ok(response) => retry.retries_status(response.status()),
        Err(FailureKind::Timeout(_)) => retry.retries_timeout(),
        Err(_) => false,
    };
    if !retries {
        return None;
    }
    let asked = answer.as_ref().ok().and_then(|response| retry_after(response.headers()));
    let wait = retry.delay(attempt, rand::random(), asked);
    if Instant::now().checked_add(wait).is_none_or(|then| then >= time.deadline.steps()) {
        scope.emit(&Event::NoTimeToRetry { to });
        return None;
    }
    scope.emit(&Event::Retrying { to, answer, wait, attempt: attempt + 1, of: retry.max_attempts() });
    Some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_during_an_outage_grow_up_to_a_limit() {
        assert_eq!(OUTAGE_RETRY.delay(1, 1.0, None), Duration::from_millis(100));
        assert_eq!(OUTAGE_RETRY.delay(2, 0.0, None), Duration::from_millis(100));
        assert_eq!(OUTAGE_RETRY.delay(u32::MAX, 1.0, None), Duration::from_secs(2));
    }
}
