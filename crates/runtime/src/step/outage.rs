//! Detects outages: temporary conditions that keep a phase from continuing.
//!
//! A phase waits for an outage to end while it has time. If its time runs out, the delivery is answered with 503, and the
//! queue delivers it again.

use faasflow_core::failure::FailureKind;
use faasflow_core::headers::{self, gateway_error};
use faasflow_core::machine::{NoticedBy, Outage};
use faasflow_core::{CallResponse, Retry, code};
use faasflow_http::retry_after;
use http::{HeaderName, StatusCode};

use crate::observers::CallKind;

/// OpenFaaS's gateway and providers put this header on their own answers. The queue worker of the commercial edition retries
/// when it sees the header.
const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");

/// Temporary answers of the gateway itself: "Can't reach service for", no endpoint, and too many calls at once. A 502 or 504
/// is not among them, because it means that the function took too long, and it would again.
const GATEWAY_OUTAGES: Retry = Retry::unlimited().on_only(&[
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
]);

/// The answers of a proxy whose server is down.
const PROXY_OUTAGES: Retry = Retry::unlimited().on_only(&[
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
]);

/// Answers that ask for a retry if they have a `Retry-After` header (RFC 9110, 10.2.3). A flow that cannot continue answers
/// like this.
const RETRY_AFTER_OUTAGES: Retry =
    Retry::unlimited().on_only(&[StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE]);

/// The outage that an attempt to send a request met, if any. `peer` is the receiver as log lines name it.
///
/// An attempt counts as an outage if calling again is safe, or if a redelivered phase would call again anyway: no connection
/// was made, the connection was lost before the answer was complete, or the peer asked for a retry.
pub(crate) fn detect(
    answer: &Result<CallResponse, FailureKind>,
    kind: CallKind,
    retry: &Retry,
    peer: &str,
) -> Option<Outage> {
    match answer {
        // The author may prefer a quick failure over waiting, or not knowing the result over calling twice.
        _ if !retry.retries_unreachable() => None,
        Err(FailureKind::Unreachable(error)) => {
            let reason = format!("{} cannot be reached", unavailable(kind, peer));
            Some(Outage::new(code::UNREACHABLE, reason, format!("{error:#}")))
        }
        Err(FailureKind::Interrupted(error)) => {
            let reason = format!("{} broke off before it had answered", unavailable(kind, peer));
            Some(Outage::new(code::INTERRUPTED, reason, format!("{error:#}")))
        }
        Err(_) => None,
        Ok(response) => answered(response, kind, retry, peer),
    }
}

/// The service that is unavailable if no answer came. Calls go through the gateway, and everything else goes directly to its
/// URL.
fn unavailable(kind: CallKind, peer: &str) -> &str {
    match kind {
        CallKind::Call => "the gateway",
        CallKind::Callback | CallKind::Report => peer,
    }
}

fn answered(response: &CallResponse, kind: CallKind, retry: &Retry, peer: &str) -> Option<Outage> {
    let status = response.status();
    if status.is_success() || !(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let (code, reason, marked) = match response
        .header(headers::GATEWAY_ERROR.as_str())
        .filter(|_| kind == CallKind::Call)
    {
        Some(gateway_error::FUNCTION_DIED) => (code::INTERRUPTED, format!("{peer} died before it had answered"), true),
        Some(gateway_error::FUNCTION_UNREACHABLE) => (code::UNREACHABLE, format!("{peer} cannot be reached"), true),
        Some(_) => return None,
        None if kind == CallKind::Call && response.header(INTERNAL.as_str()).is_some() => {
            if !GATEWAY_OUTAGES.retries_status(status) {
                return None;
            }
            (code::UNREACHABLE, format!("{peer} cannot be reached: the gateway answered {status}"), false)
        }
        // From here on, the author's retry policy takes precedence, if there is one.
        None if *retry != Retry::never() && kind != CallKind::Report => return None,
        None if kind != CallKind::Call && PROXY_OUTAGES.retries_status(status) => {
            (code::ASKED_TO_WAIT, format!("{peer} answered {status}"), false)
        }
        None if RETRY_AFTER_OUTAGES.retries_status(status) && response.header("retry-after").is_some() => {
            (code::ASKED_TO_WAIT, format!("{peer} answered {status} and asks to be called again"), false)
        }
        None => return None,
    };
    let text = String::from_utf8_lossy(response.payload().bytes());
    let detail = match text.trim() {
        "" => format!("it answered {status}"),
        text => format!("it answered {status}: {}", text.chars().take(300).collect::<String>()),
    };
    let noticed_by = if marked { NoticedBy::LocalGateway } else { NoticedBy::Flow };
    Some(Outage { code, detail, reason, retry_after: retry_after(response.headers()), noticed_by })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use faasflow_core::Error;
    use http::HeaderMap;

    use super::*;

    fn response(status: u16, headers: &[(&'static str, &str)]) -> Result<CallResponse, FailureKind> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        Ok(CallResponse::new(StatusCode::from_u16(status).unwrap(), headers, Bytes::from_static(b"text\n")))
    }

    fn because(text: &str) -> Arc<Error> {
        Arc::new(Error::msg(text))
    }

    fn is_outage(answer: &Result<CallResponse, FailureKind>, kind: CallKind) -> bool {
        detect(answer, kind, &Retry::never(), "function `f`").is_some()
    }

    /// The table in the reference: what counts as an outage by default.
    #[test]
    fn r1_outages_are_recognised() {
        use CallKind::{Call, Callback, Report};
        const DIED: &[(&str, &str)] = &[("x-faasflow-gateway-error", "function-died")];
        const UNREACHABLE: &[(&str, &str)] = &[("x-faasflow-gateway-error", "function-unreachable")];
        const UNUSABLE: &[(&str, &str)] =
            &[("x-faasflow-gateway-error", "unusable-answer"), ("x-openfaas-internal", "proxy")];
        const INTERNAL: &[(&str, &str)] = &[("x-openfaas-internal", "proxy")];
        const LATER: &[(&str, &str)] = &[("retry-after", "1")];
        for (status, headers, kind, expected) in [
            (200, INTERNAL, Call, false),
            (404, INTERNAL, Call, false),
            (502, DIED, Call, true),
            (500, UNREACHABLE, Call, true),
            (502, UNUSABLE, Call, false),
            (503, UNUSABLE, Call, false),
            (500, INTERNAL, Call, true),
            (503, INTERNAL, Call, true),
            (429, INTERNAL, Call, true),
            (502, INTERNAL, Call, false),
            (504, INTERNAL, Call, false),
            (500, LATER, Call, false),
            (503, LATER, Call, true),
            (429, LATER, Call, true),
            (503, &[], Call, false),
            (429, &[], Call, false),
            (500, &[], Call, false),
            // These headers mean nothing on the answers of other servers.
            (500, DIED, Callback, false),
            (500, INTERNAL, Callback, false),
            (500, &[], Callback, false),
            (502, &[], Callback, true),
            (503, &[], Report, true),
            (403, &[], Report, false),
        ] {
            assert_eq!(is_outage(&response(status, headers), kind), expected, "{status} {headers:?} {kind:?}");
        }
        for kind in [Call, Callback, Report] {
            assert!(is_outage(&Err(FailureKind::Unreachable(because(""))), kind));
            assert!(is_outage(&Err(FailureKind::Interrupted(because(""))), kind));
            assert!(!is_outage(&Err(FailureKind::Timeout(Duration::ZERO)), kind));
            assert!(!is_outage(&Err(FailureKind::AnswerTooLarge(1)), kind));
            assert!(!is_outage(&Err(FailureKind::Unusable(because(""))), kind));
        }
    }

    #[test]
    fn r1_the_retry_policy_overrides_the_defaults() {
        let later = response(503, &[("retry-after", "1")]);
        let died = response(502, &[("x-faasflow-gateway-error", "function-died")]);
        let own = Retry::attempts(3);
        assert!(detect(&later, CallKind::Call, &own, "f").is_none());
        assert!(detect(&died, CallKind::Call, &own, "f").is_some());
        let careful = Retry::never().on_unreachable(false);
        assert!(detect(&died, CallKind::Call, &careful, "f").is_none());
        assert!(detect(&Err(FailureKind::Unreachable(because(""))), CallKind::Call, &careful, "f").is_none());
    }

    #[test]
    fn an_outage_names_the_peer_and_keeps_details_for_the_log() {
        let refused = Err(FailureKind::Unreachable(because("could not connect: refused")));
        let of = |answer, kind, peer| detect(answer, kind, &Retry::never(), peer).unwrap();
        assert_eq!(of(&refused, CallKind::Call, "function `f`").reason, "the gateway cannot be reached");
        let callback = of(&refused, CallKind::Callback, "callback to `storage.io`");
        assert_eq!(callback.reason, "callback to `storage.io` cannot be reached");
        assert_eq!(callback.detail, "could not connect: refused");
        let later = of(&response(503, &[("retry-after", "7")]), CallKind::Call, "function `f`");
        assert_eq!(later.reason, "function `f` answered 503 Service Unavailable and asks to be called again");
        assert_eq!(later.detail, "it answered 503 Service Unavailable: text");
        assert_eq!(later.retry_after, Some(Duration::from_secs(7)));
    }
}
