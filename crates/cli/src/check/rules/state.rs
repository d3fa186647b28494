//! The flow can start with its state manager.

use faasflow_core::names::{GATEWAY_STORE, STATE_URL};
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
    // `faasflow up` lends flows its own store.
    let has_default_store = gateway.local || config.default_store.is_some();
    let mut findings = Vec::new();
    if flow.description.state != EMBEDDED && config.state_manager != EMBEDDED && flow.description.state != state {
        findings.push(Finding::error(
            ABOUT,
            format!(
                "the definition uses `{}`, but the setting `state_manager` is `{state}`: the flow would not start",
                flow.description.state
            ),
            "set the state manager in one of the two places",
        ));
        return findings;
    }
    match state {
        EMBEDDED if flow.description.needs_store() && !has_default_store => findings.push(Finding::error(
            ABOUT,
            "its branches have asynchronous calls and meet in a store that all instances share, but there is no state \
             manager: the flow would not start",
            "set `state_manager` to `redis` or `s3`, or to `gateway` on a local gateway; or make all calls in the branches \
             synchronous with `.sync()`",
        )),
        EMBEDDED if config.intermediate_storage && flow.has_several_phases() => findings.push(Finding::error(
            ABOUT,
            "`intermediate_storage` is `true`, but there is no state manager to store payloads in: the flow would not start",
            "set `state_manager` to `s3` or `redis`, or `intermediate_storage` to `false`",
        )),
        "memory" if flow.has_several_phases() && !gateway.local => findings.push(Finding::error(
            ABOUT,
            format!(
                "`memory` lives in one process, but each of the {} phases may run in another: the flow would not start",
                flow.phases()
            ),
            "use `s3`, `redis` or no state manager; `memory` is for tests and `faasflow up`",
        )),
        GATEWAY_STORE => findings.extend(gateway_store(flow, gateway)),
        "s3" => findings.extend(s3(flow)),
        "redis" if !flow.environment.contains_key("redis_url") && !names(flow, REDIS_SECRET) => {
            findings.push(Finding::note(
                ABOUT,
                "neither `redis_url` nor the secret `redis-url` is set, so the address in the definition or \
                 redis://redis:6379 is used",
                "set one of them if the server has another address",
            ));
        }
        EMBEDDED | "redis" | "memory" => {}
        // A definition may use a custom state manager; a setting can name only the built-in ones.
        other if config.state_manager == EMBEDDED || flow.description.state == other => {}
        other => findings.push(Finding::error(
            ABOUT,
            format!("`state_manager` is `{other}`, which does not exist: the flow would not start"),
            "use `envelope`, `s3`, `redis`, `gateway` or, for tests, `memory`",
        )),
    }
    if findings.is_empty() {
        let whose = match state {
            EMBEDDED if flow.description.needs_store() => "it is kept in the store of the local gateway".to_owned(),
            EMBEDDED => "it is kept in the envelope".to_owned(),
            state => format!("it is kept in `{state}`"),
        };
        findings.push(Finding::ok(ABOUT, whose));
    }
    findings
}

/// The name of the state manager: the setting, or else the one in the definition.
pub(super) fn manager<'a>(flow: &'a FlowFacts, config: &'a Config) -> &'a str {
    match config.state_manager.as_str() {
        EMBEDDED => &flow.description.state,
        named => named,
    }
}

fn names(flow: &FlowFacts, secret: &str) -> bool {
    flow.secrets.iter().any(|named| named == secret)
}

/// The store of the local gateway, which OpenFaaS's gateway does not have.
fn gateway_store(flow: &FlowFacts, gateway: &GatewayFacts) -> Option<Finding> {
    if gateway.local || flow.environment.contains_key(STATE_URL) {
        return None;
    }
    Some(Finding::error(
        ABOUT,
        format!("`state_manager` is `{GATEWAY_STORE}`, and {} is not a local gateway, so it has no store", gateway.url),
        "set `state_manager` to `s3` or `redis`",
    ))
}

fn s3(flow: &FlowFacts) -> Option<Finding> {
    match S3_SECRETS.map(|secret| names(flow, secret)) {
        [true, true] => None,
        [false, false] if flow.environment.contains_key("AWS_ACCESS_KEY_ID") => None,
        [false, false] => Some(Finding::note(
            ABOUT,
            "the stack names no credentials for S3, so those in the definition or the role of the machine are used",
            format!("if there are neither, name the secrets `{}` and `{}` in stack.yml", S3_SECRETS[0], S3_SECRETS[1]),
        )),
        [access, _] => {
            let (named, missing) = if access { (0, 1) } else { (1, 0) };
            Some(Finding::error(
                ABOUT,
                format!(
                    "its `secrets` name `{}`, but not `{}`: the flow would not start",
                    S3_SECRETS[named], S3_SECRETS[missing]
                ),
                "name both in stack.yml, or neither",
            ))
        }
    }
}
