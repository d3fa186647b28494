//! The answers of flows that have failed.

/// Why a function failed. A flow answers with JSON that names the phase, the step and the reason; other functions answer
/// with any text.
pub(crate) fn reason(body: &str) -> String {
    let failure: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let part = |name: &str| failure.as_ref().and_then(|failure| failure[name].as_str());
    let phase = failure.as_ref().and_then(|failure| failure["phase"].as_u64());
    match (phase, part("step"), part("reason")) {
        (Some(phase), Some(step), Some(reason)) => format!("phase {phase}, {step}: {reason}"),
        (_, _, Some(reason)) if part("request_id").is_some() => reason.to_owned(),
        _ => body.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_of_a_flow_is_printed_as_text() {
        let body = r#"{"request_id":"a","phase":2,"step":"function `resize`","reason":"it is away","code":"FF0303"}"#;
        assert_eq!(reason(body), "phase 2, function `resize`: it is away");
        assert_eq!(
            reason(r#"{"request_id":"a","reason":"the signature is missing","code":"FF0407"}"#),
            "the signature is missing"
        );
        assert_eq!(reason("exit status 3\n"), "exit status 3");
        assert_eq!(reason(r#"{"reason":"another form"}"#), r#"{"reason":"another form"}"#);
    }
}
