//! Decides which requests are traced, by OpenTelemetry's variables.

use faasflow_core::RequestInfo;
use sha2::{Digest as _, Sha256};

use super::id::{SpanContext, TraceId};

/// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether the decision in an incoming trace context is kept.
    pub parent_based: bool,
    /// The fraction of other requests that is traced, from 0 to 1.
    pub ratio: f64,
}

impl Default for Sampling {
    /// Traces every request whose trace context does not say otherwise.
    fn default() -> Sampling {
        Sampling { parent_based: true, ratio: 1.0 }
    }
}

impl Sampling {
    /// Reads the name of a sampler and its argument: `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    ///
    /// # Errors
    ///
    /// The variable that is not valid, its value, and what is accepted.
    pub fn parse(name: &str, argument: Option<&str>) -> Result<Sampling, BadSampler> {
        let lower = name.to_ascii_lowercase();
        let (parent_based, kind) = match lower.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, &*lower),
        };
        let ratio = match (kind, argument) {
            ("always_on", _) | ("traceidratio", None) => 1.0,
            ("always_off", _) => 0.0,
            ("traceidratio", Some(text)) => match text.parse() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                _ => {
                    let help = "write the fraction of requests to trace, from `0.0` to `1.0`, such as `0.1`";
                    return Err(fault("OTEL_TRACES_SAMPLER_ARG", text, help));
                }
            },
            _ => {
                let help = "write `always_on`, `always_off` or `traceidratio`, or one of them after `parentbased_`";
                return Err(fault("OTEL_TRACES_SAMPLER", name, help));
            }
        };
        Ok(Sampling { parent_based, ratio })
    }

    /// Decides whether a request is traced. Every phase reaches the same decision, whichever process executes it.
    pub(crate) fn decide(&self, incoming: Option<&SpanContext>, trace: TraceId) -> bool {
        match incoming {
            Some(incoming) if self.parent_based => incoming.sampled,
            Some(_) => self.decide_anew(trace),
            // Some bits are the same in all UUIDs, among them the highest bits of the second half. Hash the id to spread it
            // evenly.
            None => self.includes(|| low_half(&Sha256::digest(trace.0))),
        }
    }

    /// Decides about a trace that began elsewhere, by the random half of its id, as other implementations do.
    pub(super) fn decide_anew(&self, trace: TraceId) -> bool {
        self.includes(|| low_half(&trace.0))
    }

    #[expect(clippy::cast_precision_loss, reason = "the fraction need not be exact to the last bit")]
    fn includes(&self, random: impl FnOnce() -> u64) -> bool {
        self.ratio >= 1.0 || (random() as f64) < self.ratio * 2f64.powi(64)
    }
}

fn low_half(bytes: &[u8]) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&bytes[8..16]);
    u64::from_be_bytes(half)
}

/// The id of a trace that begins here. It is the request's id if that is a UUID, so a request that is delivered twice has
/// one trace.
pub(super) fn trace_id(info: &RequestInfo) -> TraceId {
    match uuid::Uuid::try_parse(info.id.as_str()) {
        Ok(id) if !id.is_nil() => TraceId(id.into_bytes()),
        _ => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&Sha256::digest(info.scope().request)[..16]);
            TraceId(bytes)
        }
    }
}

fn fault(variable: &'static str, value: &str, help: &'static str) -> BadSampler {
    BadSampler { variable, value: value.to_owned(), help }
}

/// `OTEL_TRACES_SAMPLER` or `OTEL_TRACES_SAMPLER_ARG` is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}` is `{value}`, which is not valid")]
#[non_exhaustive]
pub struct BadSampler {
    /// The name of the variable.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What is accepted.
    pub help: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::incoming::parse;

    #[test]
    fn the_standard_samplers_are_read() {
        let sampling = |parent_based, ratio| Ok(Sampling { parent_based, ratio });
        assert_eq!(Sampling::parse("always_on", Some("0.3")), sampling(false, 1.0));
        assert_eq!(Sampling::parse("ParentBased_Always_On", None), Ok(Sampling::default()));
        assert_eq!(Sampling::parse("parentbased_always_off", None), sampling(true, 0.0));
        assert_eq!(Sampling::parse("traceidratio", Some("0.25")), sampling(false, 0.25));
        assert_eq!(Sampling::parse("parentbased_traceidratio", None), sampling(true, 1.0));
        for (name, argument, says) in [
            ("Jaeger_Remote", Some("0.1"), "`OTEL_TRACES_SAMPLER` is `Jaeger_Remote`, which"),
            ("", None, "`OTEL_TRACES_SAMPLER` is ``, "),
            ("traceidratio", Some("2"), "`OTEL_TRACES_SAMPLER_ARG` is `2`, "),
            ("parentbased_traceidratio", Some("x"), "`OTEL_TRACES_SAMPLER_ARG` is `x`, "),
        ] {
            let fault = Sampling::parse(name, argument).unwrap_err();
            assert!(
                fault.to_string().starts_with(says) && fault.help.starts_with("write "),
                "{name} {argument:?}: {fault}"
            );
        }
    }

    #[test]
    fn parent_based_sampling_keeps_the_caller_s_decision() {
        let incoming = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap();
        let decide = |name| Sampling::parse(name, None).unwrap().decide(Some(&incoming), incoming.trace);
        assert!(!decide("parentbased_always_on"));
        assert!(decide("always_on"));
    }

    #[test]
    fn uuids_are_sampled_at_the_requested_ratio() {
        for make in [uuid::Uuid::now_v7, uuid::Uuid::new_v4] {
            for ratio in [0.1, 0.5, 0.9] {
                let sampling = Sampling { parent_based: true, ratio };
                let of_uuid = || sampling.decide(None, TraceId(make().into_bytes()));
                let taken = (0..10_000).filter(|_| of_uuid()).count();
                let expected = 10_000.0 * ratio;
                assert!((taken as f64 - expected).abs() < 300.0, "{taken} of {expected}");
            }
        }
    }

    #[test]
    fn all_and_none() {
        for trace in [TraceId([0xff; 16]), TraceId([1; 16])] {
            assert!(Sampling { parent_based: false, ratio: 1.0 }.decide(None, trace));
            assert!(!Sampling { parent_based: false, ratio: 0.0 }.decide(None, trace));
        }
    }
}
