use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with which a caller says that it waits (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Says that the caller's preference was followed (RFC 7240).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a caller prefers.
pub(crate) struct Preference;

impl Preference {
    /// How long the caller waits for the end of the request: the value of `Prefer: wait=SECONDS`. A preference that cannot be
    /// understood is ignored, as the RFC says.
    pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
        let values = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
        let mut preferences = values.flat_map(|value| value.split(','));
        preferences.find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let value = value.split(';').next()?.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok().map(Duration::from_secs))?
        })
    }

    /// Says that the flow has waited as its caller prefers.
    pub(crate) fn applied(wait: Option<Duration>, answer: &mut HeaderMap) {
        if let Some(wait) = wait
            && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
        {
            answer.insert(PREFERENCE_APPLIED, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seconds_to_wait() {
        let wait =
            |value: &'static str| Preference::wait(&HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))]));
        assert_eq!(wait("wait=10"), Some(Duration::from_secs(10)));
        assert_eq!(wait("respond-async, Wait = \"5\"; x=1"), Some(Duration::from_secs(5)));
        for value in ["", "respond-async", "wait", "wait=", "wait=-1", "wait=soon", "await=3"] {
            assert_eq!(wait(value), None, "{value}");
        }
    }
}
