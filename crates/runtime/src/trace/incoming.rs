//! Reads the trace context of a request, in the forms that callers use.

use faasflow_core::{TraceContext, headers};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::id::{SpanContext, SpanId, TraceId, is_hexadecimal};
use super::sampling::Sampling;

/// B3 in one header (Zipkin).
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
/// Jaeger's own header, which is older than W3C Trace Context.
const UBER: HeaderName = HeaderName::from_static("uber-trace-id");

/// The longest `tracestate` that is passed on. The standard requires at least 512 characters. It is sent with every call.
const LONGEST_STATE: usize = 4096;

/// The trace context of a fresh request in W3C's form. It is read from W3C's headers, otherwise from B3's, otherwise from
/// Jaeger's. As the standard requires, a context that cannot be read is ignored.
pub(crate) fn incoming(headers: &HeaderMap, sampling: &Sampling) -> TraceContext {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(parent) = text(&headers::TRACEPARENT).filter(|text| parse(text).is_some()) {
        // Several headers form one list.
        let state: Vec<&str> =
            headers.get_all(headers::TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let state = Some(state.join(",")).filter(|state| (1..=LONGEST_STATE).contains(&state.len()));
        return TraceContext { parent: Some(parent.to_owned()), state };
    }
    let found = text(&B3)
        .and_then(|text| b3(text, sampling))
        .or_else(|| {
            let sampled = match text(&B3_FLAGS) {
                Some("1") => Some("d"),
                _ => text(&B3_SAMPLED),
            };
            of_b3(text(&B3_TRACE)?, text(&B3_SPAN)?, sampled, sampling)
        })
        .or_else(|| text(&UBER).and_then(uber))
        .or_else(|| [B3, B3_SAMPLED].iter().any(|name| matches!(text(name), Some("0" | "false"))).then(unsampled));
    TraceContext { parent: found.map(|found| found.traceparent()), state: None }
}

/// Reads a `traceparent` (W3C Trace Context, level 1, 3.2). This is called several times for each request.
pub(crate) fn parse(text: &str) -> Option<SpanContext> {
    let (fixed, more) = text.as_bytes().split_first_chunk::<55>()?;
    if [fixed[2], fixed[35], fixed[52]] != *b"---" {
        return None;
    }
    let ([version], [flags]) = (digits(&fixed[..2])?, digits(&fixed[53..])?);
    // Later versions may append fields.
    let fits = match more.first() {
        None => version != 0xff,
        Some(next) => ![0, 0xff].contains(&version) && *next == b'-',
    };
    let (trace, span) = (digits(&fixed[3..35])?, digits(&fixed[36..52])?);
    // Ids of zeros only are not valid.
    let valid = fits && trace != [0; 16] && span != [0; 8];
    valid.then_some(SpanContext { trace: TraceId(trace), span: SpanId(span), sampled: flags & 1 == 1 })
}

/// Reads lower-case hexadecimal digits, two for each byte.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Reads `{trace}-{span}-{sampled}-{parent}`. The last two may be absent.
fn b3(text: &str, sampling: &Sampling) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    of_b3(trace, span, parts.next(), sampling)
}

/// Reads `{trace}:{span}:{parent}:{flags}`. Some clients escape the colons.
fn uber(text: &str) -> Option<SpanContext> {
    let text = text.replace("%3A", ":").replace("%3a", ":");
    let parts: Vec<&str> = text.split(':').collect();
    let [trace, span, _, flags] = parts[..] else { return None };
    let fits = |text: &str, longest: usize| (1..=longest).contains(&text.len());
    if !fits(trace, 32) || !fits(span, 16) || !fits(flags, 2) || !is_hexadecimal(flags) {
        return None;
    }
    // Leading zeros may be missing.
    ids(&format!("{trace:0>32}"), &format!("{span:0>16}"), u8::from_str_radix(flags, 16).ok()? & 1 == 1)
}

/// B3 can say that a request must not be traced, without naming a trace. This is passed on as a new trace that is not
/// sampled, so nobody sees it.
fn unsampled() -> SpanContext {
    let trace = TraceId(rand::random::<u128>().max(1).to_be_bytes());
    SpanContext { trace, span: SpanId::random(), sampled: false }
}

/// With B3, a caller may leave the sampling decision to the receiver.
fn of_b3(trace: &str, span: &str, sampled: Option<&str>, sampling: &Sampling) -> Option<SpanContext> {
    let sampled = match sampled {
        Some("1" | "d" | "true") => true,
        Some("0" | "false") => false,
        Some(_) => return None,
        None => sampling.decide_anew(ids(trace, span, true)?.trace),
    };
    ids(trace, span, sampled)
}

fn ids(trace: &str, span: &str, sampled: bool) -> Option<SpanContext> {
    if ![16, 32].contains(&trace.len()) || span.len() != 16 || !is_hexadecimal(trace) || !is_hexadecimal(span) {
        return None;
    }
    // Ids of zeros only are not valid.
    let trace = u128::from_str_radix(trace, 16).ok().filter(|&id| id > 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|&id| id > 0)?;
    Some(SpanContext { trace: TraceId(trace.to_be_bytes()), span: SpanId(span.to_be_bytes()), sampled })
}

/// Makes `to` the parent of a call. This sets `traceparent`, and replaces the values of any other trace headers that the
/// flow's caller sent. Otherwise, a function that reads those would consider itself called by the flow's caller.
pub(crate) fn point(headers: &mut HeaderMap, to: &SpanContext, state: Option<&str>) {
    let insert = |headers: &mut HeaderMap, name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if let Ok(value) = HeaderValue::from_bytes(&to.traceparent_bytes()) {
        headers.insert(headers::TRACEPARENT, value);
    }
    if let Some(state) = state {
        insert(headers, headers::TRACESTATE, state.to_owned());
    }
    let (trace, span) = (to.trace, to.span);
    let sampled = if to.sampled { "1" } else { "0" };
    if headers.contains_key(&B3) {
        insert(headers, B3, format!("{trace}-{span}-{sampled}"));
    }
    if headers.contains_key(&UBER) {
        insert(headers, UBER, format!("{trace}:{span}:0:{sampled}"));
    }
    if headers.contains_key(&B3_TRACE) {
        insert(headers, B3_TRACE, trace.to_string());
        insert(headers, B3_SPAN, span.to_string());
        insert(headers, B3_SAMPLED, sampled.to_owned());
        headers.remove(B3_PARENT);
        headers.remove(B3_FLAGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn read(pairs: &[(&'static str, &str)]) -> Option<String> {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        incoming(&pairs.collect(), &Sampling { parent_based: true, ratio: 1.0 }).parent
    }

    #[test]
    fn all_forms_of_trace_context_are_read() {
        let sampled = Some(format!("00-{TRACE}-{SPAN}-01"));
        let unsampled = Some(format!("00-{TRACE}-{SPAN}-00"));
        assert_eq!(read(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]), sampled);
        assert_eq!(read(&[("b3", &format!("{TRACE}-{SPAN}"))]), sampled);
        assert_eq!(read(&[("b3", &format!("{TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"))]), sampled);
        assert_eq!(read(&[("b3", &format!("{TRACE}-{SPAN}-0"))]), unsampled);
        assert_eq!(read(&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")]), unsampled);
        assert_eq!(read(&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-flags", "1")]), sampled);
        assert_eq!(read(&[("uber-trace-id", &format!("{TRACE}:{SPAN}:0:1"))]), sampled);
        assert_eq!(read(&[("uber-trace-id", &format!("{TRACE}%3A{SPAN}%3A0%3A0"))]), unsampled);
    }

    #[test]
    fn b3_can_ask_for_no_trace_without_naming_one() {
        for (name, value) in [("b3", "0"), ("x-b3-sampled", "0"), ("x-b3-sampled", "false")] {
            assert!(read(&[(name, value)]).unwrap().ends_with("-00"), "{name}: {value}");
        }
        assert_eq!(read(&[("x-b3-sampled", "1")]), None);
    }

    #[test]
    fn b3_can_leave_the_sampling_decision_to_us() {
        let mut headers = HeaderMap::new();
        headers.insert(B3, format!("{TRACE}-{SPAN}").parse().unwrap());
        let flags = |ratio| incoming(&headers, &Sampling { parent_based: true, ratio }).parent.unwrap();
        assert!(flags(0.0).ends_with("-00") && flags(1.0).ends_with("-01"));
    }

    #[test]
    fn short_ids_are_padded() {
        let padded = Some(format!("00-{:0>32}-{:0>16}-01", "8448eb211c80319c", "1a"));
        assert_eq!(read(&[("uber-trace-id", "8448eb211c80319c:1a:0:3")]), padded);
        let padded = Some(format!("00-{:0>32}-{SPAN}-01", "8448eb211c80319c"));
        assert_eq!(read(&[("b3", &format!("8448eb211c80319c-{SPAN}-1"))]), padded);
    }

    #[test]
    fn traceparent_takes_precedence() {
        let parent = format!("00-{TRACE}-{SPAN}-00");
        assert_eq!(read(&[("b3", "1-2-3"), ("traceparent", &parent)]), Some(parent.clone()));
        assert_eq!(read(&[("b3", &format!("{SPAN}-{SPAN}-1")), ("traceparent", &parent)]), Some(parent));
    }

    #[test]
    fn malformed_contexts_are_ignored() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-0af7651916cd43dd8448eb211c80319cab7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(&[("traceparent", text), ("tracestate", "a=b")]), None, "{text}");
        }
        for text in ["1", "1-2", "x-y-1"] {
            assert_eq!(read(&[("b3", text)]), None, "{text}");
        }
        for text in [
            "1:2:3",
            ":::",
            "0:0:0:1",
            "1:2:3:zz",
            "1:2:3:+1",
            "+1:2:3:1",
            "1:+2:3:1",
            "00112233445566778899aabbccddeeff0:1:0:1",
        ] {
            assert_eq!(read(&[("uber-trace-id", text)]), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        let parent = format!("01-{TRACE}-{SPAN}-01-more");
        assert_eq!(read(&[("traceparent", &parent)]), Some(parent));
    }

    #[test]
    fn the_parent_is_replaced_in_every_form_that_is_present() {
        let to = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        let mut headers = HeaderMap::new();
        for name in [B3, UBER, B3_TRACE, B3_SPAN, B3_PARENT, B3_FLAGS] {
            headers.insert(name, HeaderValue::from_static("the caller's"));
        }
        point(&mut headers, &to, Some("a=b"));
        assert_eq!(headers[headers::TRACEPARENT], format!("00-{TRACE}-{SPAN}-01"));
        assert_eq!(headers[headers::TRACESTATE], "a=b");
        assert_eq!(headers[B3], format!("{TRACE}-{SPAN}-1"));
        assert_eq!(headers[UBER], format!("{TRACE}:{SPAN}:0:1"));
        assert_eq!((headers[B3_TRACE].as_bytes(), headers[B3_SPAN].as_bytes()), (TRACE.as_bytes(), SPAN.as_bytes()));
        assert!(headers.get(B3_PARENT).is_none() && headers.get(B3_FLAGS).is_none());

        let mut plain = HeaderMap::new();
        point(&mut plain, &to, None);
        assert_eq!(plain.len(), 1);
    }
}
