//! What an attempt means for its call.

use std::time::Duration;

use http::StatusCode;

use crate::queue::QueueOptions;
use crate::queue::dispatch::{Answer, Unreachable};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was answered with 2xx.
    Delivered,
    /// It is tried again after this long.
    Again(Duration),
    /// It becomes a dead letter, for this reason.
    Dead(String),
}

/// The longest that a `Retry-After` is heeded: a function must not park its calls for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Passing troubles are tried again: 408, 425, 429, 502, 503, 504, and functions that cannot be reached. A 500 is
/// the function's own failure, and would be one again.
pub(crate) fn verdict(
    outcome: &Result<Answer, Unreachable>,
    attempt: u32,
    random: f64,
    options: &QueueOptions,
) -> Verdict {
    let (what, passing, asked) = match outcome {
        Ok(answer) if answer.status.is_success() => return Verdict::Delivered,
        Ok(answer) => {
            let passing = matches!(answer.status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504);
            let asked = faasflow_runtime::http::retry_after(&answer.headers);
            (answered(answer.status), passing, asked)
        }
        Err(unreachable) => (format!("it could not be reached: {}", unreachable.reason), true, None),
    };
    if !passing {
        return Verdict::Dead(what);
    }
    if attempt >= options.max_attempts {
        return Verdict::Dead(format!("{what}, at the last of {attempt} attempts"));
    }
    let doublings = attempt.saturating_sub(1).min(30);
    let full = options.initial_delay.saturating_mul(1 << doublings).min(options.max_delay);
    let wait = full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    Verdict::Again(wait.max(asked.unwrap_or_default().min(LONGEST_WAIT)))
}

fn answered(status: StatusCode) -> String {
    format!("it answered {status}")
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
        Ok(Answer { status, headers, body: Bytes::new(), duration: Duration::ZERO })
    }

    #[test]
    fn which_answers_are_tried_again() {
        let options = QueueOptions::default();
        for status in [200, 202, 204] {
            assert_eq!(verdict(&answer(status, None), 1, 0.0, &options), Verdict::Delivered, "{status}");
        }
        for status in [408, 425, 429, 502, 503, 504] {
            assert!(matches!(verdict(&answer(status, None), 1, 0.0, &options), Verdict::Again(_)), "{status}");
            assert!(matches!(verdict(&answer(status, None), 10, 0.0, &options), Verdict::Dead(_)), "{status}");
        }
        for status in [301, 400, 401, 404, 409, 413, 500, 501] {
            assert!(matches!(verdict(&answer(status, None), 1, 0.0, &options), Verdict::Dead(_)), "{status}");
        }
        let unreachable = Err(Unreachable { reason: "refused".into() });
        assert!(matches!(verdict(&unreachable, 1, 0.0, &options), Verdict::Again(_)));
    }

    #[test]
    fn waits_double_with_jitter_and_heed_retry_after() {
        let options = QueueOptions::default();
        let wait = |attempt, random, after| match verdict(&answer(503, after), attempt, random, &options) {
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
}
