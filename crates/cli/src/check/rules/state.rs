//! The state manager is one that the flow can start with.

use faasflow_runtime::Config;
use faasflow_runtime::config::EMBEDDED;

use super::super::facts::{FlowFacts, GatewayFacts};
use super::super::finding::Finding;

const ABOUT: &str = "state";
/// The secrets with credentials for S3.
const S3_SECRETS: [&str; 2] = ["s3-access-key", "s3-secret-key"];
/// The secret with the address of a Redis server.
const REDIS_SECRET: &str = "redis-url";

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let Ok(config) = &flow.settings else { return Vec::new() };
    let state = manager(flow, config);
    let mut findings = Vec::new();
    if flow.description.state != EMBEDDED && config.state_manager != EMBEDDED && flow.description.state != state {
        findings.push(Finding::error(
            ABOUT,
            format!(
                "the definition says `{}`, and the setting `state_manager` says `{state}`: it does not start",
                flow.description.state
            ),
            "say it in one place",
        ));
        return findings;
    }
    match state {
        EMBEDDED if config.intermediate_storage && flow.has_several_phases() => findings.push(Finding::error(
            ABOUT,
            "`intermediate_storage` is `true`, and there is no state manager to store payloads in: it does not start",
            "set `state_manager` to `s3` or `redis`, or `intermediate_storage` to `false`",
        )),
        "memory" if flow.has_several_phases() && !gateway.local => findings.push(Finding::error(
            ABOUT,
            format!(
                "`memory` is of one process, and each of the {} phases may be run by another: it does not start",
                flow.phases()
            ),
            "use `s3` or `redis`, or none; `memory` is for tests and `faasflow up`",
        )),
        "s3" => findings.extend(s3(flow)),
        "redis" if !flow.environment.contains_key("redis_url") && !names(flow, REDIS_SECRET) => {
            findings.push(Finding::note(
                ABOUT,
                "neither `redis_url` nor the secret `redis-url` is given: redis://redis:6379 is used, or what the \
                 definition says",
                "set one of them, if the server is elsewhere",
            ));
        }
        EMBEDDED | "redis" | "memory" => {}
        // The definition may have a state manager of the user's own; a setting can name only ours.
        other if config.state_manager == EMBEDDED || flow.description.state == other => {}
        other => findings.push(Finding::error(
            ABOUT,
            format!("`state_manager` is `{other}`, which there is not: it does not start"),
            "write `envelope`, `s3`, `redis` or, for tests, `memory`",
        )),
    }
    if findings.is_empty() {
        let whose =
            if state == EMBEDDED { "it travels in the envelope".to_owned() } else { format!("it is in `{state}`") };
        findings.push(Finding::ok(ABOUT, whose));
    }
    findings
}

/// Where state lives.
pub(super) fn manager<'a>(flow: &'a FlowFacts, config: &'a Config) -> &'a str {
    match config.state_manager.as_str() {
        EMBEDDED => &flow.description.state,
        named => named,
    }
}

fn names(flow: &FlowFacts, secret: &str) -> bool {
    flow.secrets.iter().any(|named| named == secret)
}

fn s3(flow: &FlowFacts) -> Option<Finding> {
    match S3_SECRETS.map(|secret| names(flow, secret)) {
        [true, true] => None,
        [false, false] if flow.environment.contains_key("AWS_ACCESS_KEY_ID") => None,
        [false, false] => Some(Finding::note(
            ABOUT,
            "it keeps state in S3 and names no credentials: the role of the machine is used, or what the definition says",
            format!("name the secrets `{}` and `{}` in stack.yml, if there is neither", S3_SECRETS[0], S3_SECRETS[1]),
        )),
        [access, _] => {
            let (named, missing) = if access { (0, 1) } else { (1, 0) };
            Some(Finding::error(
                ABOUT,
                format!(
                    "it names the secret `{}` without `{}`: it does not start",
                    S3_SECRETS[named], S3_SECRETS[missing]
                ),
                "name both in stack.yml, or neither",
            ))
        }
    }
}
