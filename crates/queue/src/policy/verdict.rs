//! Decides what the outcome of an attempt means for its call.

use std::time::Duration;

use faasflow_core::counted;
use faasflow_core::headers::{GATEWAY_ERROR, gateway_error};
use http::StatusCode;

use crate::deliver::{Answer, Unreachable};
use crate::policy::options::QueueOptions;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was answered with 2xx.
    Delivered,
    /// It is tried again after this long.
    Again(Duration),
    /// It was not executed, because the receiver is busy. It comes again after this long, and this attempt does not count.
    Later(Duration),
    /// It becomes a dead letter, for this reason.
    Dead(String),
}

/// The longest `Retry-After` that is respected, so that a function cannot park its calls forever.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The shortest wait after 429, whatever `Retry-After` says. With 0, a worker would try again without pause.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// The earlier attempts of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    /// The number of the attempt, from 1. Deliveries that were put off do not count.
    pub(crate) attempt: u32,
    /// How many times in a row it was put off before.
    pub(crate) put_off: u32,
}

/// A call is tried again after a temporary status ([`QueueOptions::retry`]), and if the function cannot be reached or dies. After
/// a 500 it is not, because the function itself failed and would fail again. The same holds for an answer that cannot be used.
///
/// A 429 means that nothing was executed: the function has reached its `max_inflight`, or limits its rate. An answer with
/// [`BUSY`](faasflow_core::headers::BUSY) means the same, for a flow or the gateway without room. This may last long under load, so
/// the call is put off as often as necessary and never given up.
pub(crate) fn verdict(
    outcome: &Result<Answer, Unreachable>,
    tries: Tries,
    random: f64,
    options: &QueueOptions,
) -> Verdict {
    let attempt = tries.attempt;
    let retry = options.retry();
    let (what, passing, asked) = match outcome {
        Ok(answer) if answer.status.is_success() => return Verdict::Delivered,
        Ok(answer) => {
            let asked = faasflow_http::retry_after(&answer.headers).map(|asked| asked.min(LONGEST_WAIT));
            let busy = answer.status == StatusCode::SERVICE_UNAVAILABLE
                && answer.headers.contains_key(faasflow_core::headers::BUSY);
            if busy || answer.status == StatusCode::TOO_MANY_REQUESTS {
                return Verdict::Later(
                    asked
                        .unwrap_or_else(|| retry.delay(tries.put_off.saturating_add(1), random, None))
                        .max(SHORTEST_WAIT),
                );
            }
            let passing = retry.retries_status(answer.status) && !is_unusable(answer);
            (answered(answer), passing, asked)
        }
        Err(unreachable) => (unreachable.reason.clone(), true, None),
    };
    if !passing {
        return Verdict::Dead(what);
    }
    if attempt >= retry.max_attempts() {
        return Verdict::Dead(format!("{what}, at the last of {}", counted(attempt.into(), "attempt")));
    }
    Verdict::Again(retry.delay(attempt, random, asked))
}

/// Whether the gateway reports that the receiver executed the call but gave an answer that cannot be used. The next answer would
/// be no better.
fn is_unusable(answer: &Answer) -> bool {
    answer.headers.get(GATEWAY_ERROR).is_some_and(|why| why == gateway_error::UNUSABLE_ANSWER)
}

fn answered(answer: &Answer) -> String {
    match &answer.cause {
        Some(cause) => format!("it answered {}: {cause}", answer.status),
        None => format!("it answered {}", answer.status),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Result<Answer, Unreachable> {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Answer { status, headers, body: Bytes::new(), duration: Duration::ZERO, cause: None })
    }

    fn attempt(attempt: u32) -> Tries {
        Tries { attempt, put_off: 0 }
    }

    #[test]
    fn only_temporary_answers_are_tried_again() {
        let options = QueueOptions::default();
        for status in [200, 202, 204] {
            assert_eq!(verdict(&answer(status, None), attempt(1), 0.0, &options), Verdict::Delivered, "{status}");
        }
        for status in [408, 425, 502, 503, 504] {
            assert!(matches!(verdict(&answer(status, None), attempt(1), 0.0, &options), Verdict::Again(_)), "{status}");
            assert!(matches!(verdict(&answer(status, None), attempt(10), 0.0, &options), Verdict::Dead(_)), "{status}");
        }
        for status in [301, 400, 401, 404, 409, 413, 500, 501] {
            assert!(matches!(verdict(&answer(status, None), attempt(1), 0.0, &options), Verdict::Dead(_)), "{status}");
        }
        let unreachable = Err(Unreachable { reason: "refused".into() });
        assert!(matches!(verdict(&unreachable, attempt(1), 0.0, &options), Verdict::Again(_)));
    }

    #[test]
    fn r7_a_call_is_not_given_up_for_lack_of_room() {
        let options = QueueOptions::default();
        let mut refused = answer(503, Some("2"));
        refused.as_mut().unwrap().headers.insert(faasflow_core::headers::BUSY, "true".parse().unwrap());
        for tries in [1, 10, 1000, u32::MAX] {
            let verdict = verdict(&refused, attempt(tries), 0.0, &options);
            assert_eq!(verdict, Verdict::Later(Duration::from_secs(2)), "{tries}");
        }
        assert!(matches!(verdict(&answer(503, Some("2")), attempt(10), 0.0, &options), Verdict::Dead(_)));
        refused.as_mut().unwrap().status = StatusCode::NOT_FOUND;
        assert!(matches!(verdict(&refused, attempt(1), 0.0, &options), Verdict::Dead(_)));
    }

    #[test]
    fn r2_an_unusable_answer_is_final() {
        let mut unusable = answer(502, None).unwrap();
        unusable.headers.insert(GATEWAY_ERROR, gateway_error::UNUSABLE_ANSWER.parse().unwrap());
        unusable.cause = Some("its answer cannot be used: too large".to_owned());
        let reason = "it answered 502 Bad Gateway: its answer cannot be used: too large";
        let options = QueueOptions::default();
        assert_eq!(verdict(&Ok(unusable.clone()), attempt(1), 0.0, &options), Verdict::Dead(reason.to_owned()));
        unusable.headers.insert(GATEWAY_ERROR, gateway_error::FUNCTION_DIED.parse().unwrap());
        assert!(matches!(verdict(&Ok(unusable), attempt(1), 0.0, &options), Verdict::Again(_)));
    }

    #[test]
    fn waits_double_with_jitter_and_heed_retry_after() {
        let options = QueueOptions::default();
        let wait = |tries, random, after| match verdict(&answer(503, after), attempt(tries), random, &options) {
            Verdict::Again(wait) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(1, 0.0, None), Duration::from_millis(100));
        assert_eq!(wait(1, 1.0, None), Duration::from_millis(200));
        assert_eq!(wait(3, 1.0, None), Duration::from_millis(800));
        assert_eq!(wait(9, 1.0, None), Duration::from_secs(30));
        assert_eq!(wait(1, 1.0, Some("7")), Duration::from_secs(7));
        assert_eq!(wait(1, 1.0, Some("999999999")), Duration::from_secs(3600));
    }

    #[test]
    fn h8_a_429_is_retried_later_and_is_not_an_attempt() {
        let options = QueueOptions::default();
        let wait = |attempt, put_off, random, after| match verdict(
            &answer(429, after),
            Tries { attempt, put_off },
            random,
            &options,
        ) {
            Verdict::Later(wait) => wait,
            other => panic!("{other:?}"),
        };
        // Without `Retry-After`, the waits grow.
        for (put_off, least) in [(0, 100), (1, 200), (3, 800), (20, 15_000), (1_000_000, 15_000)] {
            assert_eq!(wait(options.max_attempts, put_off, 0.0, None), Duration::from_millis(least), "{put_off}");
        }
        // With `Retry-After`, the call comes exactly then.
        assert_eq!(wait(1, 20, 1.0, Some("1")), Duration::from_secs(1));
        assert_eq!(wait(1, 0, 1.0, Some("0")), SHORTEST_WAIT);
        assert_eq!(wait(1, 0, 1.0, Some("999999999")), LONGEST_WAIT);
    }

    #[test]
    fn h6_a_dead_letter_has_the_cause() {
        let mut failed = answer(500, None).unwrap();
        failed.cause = Some("exit status 3: no price".to_owned());
        let reason = "it answered 500 Internal Server Error: exit status 3: no price";
        let verdict = verdict(&Ok(failed), attempt(1), 0.0, &QueueOptions::default());
        assert_eq!(verdict, Verdict::Dead(reason.to_owned()));
    }
}
