//! The secrets of the flow exist, and the stack gives them to it.

use faasflow_runtime::Config;
use faasflow_runtime::config::{HMAC_SECRET, SECRETS};

use super::super::facts::{FlowFacts, GatewayFacts, Reply};
use super::super::finding::{Finding, Severity};
use super::functions::names;
use super::wording::unknown;

const ABOUT: &str = "secrets";

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let config = flow.settings.as_ref().ok();
    let mut wanted: Vec<&str> = flow.secrets.iter().map(String::as_str).collect();
    if let Some(config) = config.filter(|config| needs_key(flow, config)) {
        let named = wanted.contains(&HMAC_SECRET);
        if config.secret_mount_path != std::path::Path::new(SECRETS) && !gateway.local {
            findings.push(Finding::note(
                ABOUT,
                format!(
                    "the signing key is read from {} (`secret_mount_path`), which cannot be checked from here",
                    config.secret_mount_path.display()
                ),
                format!("make sure that the image has the file `{HMAC_SECRET}` there"),
            ));
        } else if !named {
            findings.push(key_not_named(flow, gateway));
            wanted.push(HMAC_SECRET);
        }
    }
    match &gateway.secrets {
        Reply::Known(present) => {
            let missing = wanted.iter().filter(|name| !present.iter().any(|known| known == *name));
            findings.extend(missing.map(|name| absent(name, flow, gateway)));
        }
        answered if !wanted.is_empty() => {
            if let Some(why) = unknown(answered, "GET /system/secrets", gateway) {
                let wanted = names(wanted.iter().copied());
                findings.push(why.finding(ABOUT, &format!("it is not known whether {wanted} exist")));
            }
        }
        _ => {}
    }
    // Broken settings do not tell whether the flow needs the key, so "ok" would be a guess.
    if findings.is_empty() && config.is_some() {
        findings.push(Finding::ok(
            ABOUT,
            if wanted.is_empty() {
                "the flow needs none".to_owned()
            } else {
                format!("all exist: {}", names(wanted.iter().copied()))
            },
        ));
    }
    findings
}

/// The same condition as when the flow function starts.
fn needs_key(flow: &FlowFacts, config: &Config) -> bool {
    config.enable_hmac && (flow.has_several_phases() || config.verify_request)
}

fn key_not_named(flow: &FlowFacts, gateway: &GatewayFacts) -> Finding {
    let why = if flow.has_several_phases() {
        format!("it signs envelopes, because it has {} phases", flow.phases())
    } else {
        "it verifies requests (`verify_request`)".to_owned()
    };
    let finding = Finding::error(
        ABOUT,
        format!("{why}, but its `secrets` do not name `{HMAC_SECRET}`: on OpenFaaS it would not start"),
        format!("add `secrets: [{HMAC_SECRET}]` to the flow in stack.yml"),
    );
    // `faasflow up` gives flows the key even if the stack does not name it.
    if gateway.local { finding.with_severity(Severity::Warning) } else { finding }
}

/// Whether the gateway has a function of this name.
fn is_listed(flow: &FlowFacts, gateway: &GatewayFacts) -> bool {
    matches!(&gateway.functions, Reply::Known(functions) if functions.iter().any(|known| known.name == flow.name))
}

fn absent(name: &str, flow: &FlowFacts, gateway: &GatewayFacts) -> Finding {
    let create_key = || format!("`openssl rand -hex 32 | faas-cli secret create {HMAC_SECRET}`");
    if gateway.local && name == HMAC_SECRET {
        let what = format!("`{name}` does not exist yet");
        // The gateway generates it for the flows of the stack it is started with. A flow that it does not list would be
        // deployed through the API, which requires the secret.
        return if is_listed(flow, gateway) {
            Finding::note(ABOUT, what, "`faasflow up` generates it when it starts this stack")
        } else {
            let what = format!(
                "{what}: the gateway generates it only for flows of its own stack, which does not have this one"
            );
            Finding::warning(
                ABOUT,
                what,
                format!("create it with {}, or start `faasflow up` with this stack", create_key()),
            )
        };
    }
    let remedy = if gateway.local {
        format!("write it to the file `secrets/{name}` in the state folder of `faasflow up`, by default `.faasflow`")
    } else if name == HMAC_SECRET {
        format!("create it with {}", create_key())
    } else {
        format!("create it with `faas-cli secret create {name} --from-file FILE`")
    };
    Finding::error(ABOUT, format!("`{name}` does not exist at the gateway, so the flow could not be deployed"), remedy)
}
