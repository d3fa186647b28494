//! The secrets are there, and the flow may read them.

use faasflow_runtime::Config;
use faasflow_runtime::config::{HMAC_SECRET, SECRETS};

use super::super::facts::{Answered, FlowFacts, GatewayFacts};
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
                    "the key for signing is read from {} (`secret_mount_path`), which cannot be seen from here",
                    config.secret_mount_path.display()
                ),
                format!("see to it that the image has `{HMAC_SECRET}` there"),
            ));
        } else if !named {
            findings.push(key_not_named(flow, gateway));
            wanted.push(HMAC_SECRET);
        }
    }
    match &gateway.secrets {
        Answered::Known(present) => {
            let missing = wanted.iter().filter(|name| !present.iter().any(|known| known == *name));
            findings.extend(missing.map(|name| absent(name, flow, gateway)));
        }
        answered if !wanted.is_empty() => {
            if let Some(why) = unknown(answered, "GET /system/secrets", gateway) {
                let wanted = names(wanted.iter().copied());
                findings.push(why.finding(ABOUT, &format!("whether {wanted} exist is not known")));
            }
        }
        _ => {}
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            ABOUT,
            if wanted.is_empty() {
                "it needs none".to_owned()
            } else {
                format!("there: {}", names(wanted.iter().copied()))
            },
        ));
    }
    findings
}

/// As the flow function has it when it starts.
fn needs_key(flow: &FlowFacts, config: &Config) -> bool {
    config.enable_hmac && (flow.has_several_phases() || config.verify_request)
}

fn key_not_named(flow: &FlowFacts, gateway: &GatewayFacts) -> Finding {
    let why = if flow.has_several_phases() {
        format!("it has {} phases, whose envelopes are signed", flow.phases())
    } else {
        "it verifies requests (`verify_request`)".to_owned()
    };
    let finding = Finding::error(
        ABOUT,
        format!("{why}, and does not name the secret `{HMAC_SECRET}`: on OpenFaaS it does not start without"),
        format!("add `secrets: [{HMAC_SECRET}]` to it in stack.yml"),
    );
    // `faasflow up` gives flows the key whatever the stack says.
    if gateway.local { finding.rated(Severity::Warning) } else { finding }
}

/// Whether the gateway has a function of this name.
fn is_listed(flow: &FlowFacts, gateway: &GatewayFacts) -> bool {
    matches!(&gateway.functions, Answered::Known(functions) if functions.iter().any(|known| known.name == flow.name))
}

fn absent(name: &str, flow: &FlowFacts, gateway: &GatewayFacts) -> Finding {
    let create_key = || format!("`openssl rand -hex 32 | faas-cli secret create {HMAC_SECRET}`");
    if gateway.local && name == HMAC_SECRET {
        let what = format!("`{name}` does not exist yet");
        // The gateway makes it for flows of the stack that it is started with. One that it does not list is of
        // another stack, and would be deployed through the API, which asks for the secret.
        return if is_listed(flow, gateway) {
            Finding::note(ABOUT, what, "`faasflow up` makes it when it starts this stack")
        } else {
            let what = format!("{what}, and the gateway does not have this flow, so it made none");
            Finding::warning(ABOUT, what, format!("{}, or start `faasflow up` with this one", create_key()))
        };
    }
    let remedy = if gateway.local {
        format!(
            "write it to `secrets/{name}` in the folder that `faasflow up` keeps its files in, by default `.faasflow`"
        )
    } else if name == HMAC_SECRET {
        create_key()
    } else {
        format!("`faas-cli secret create {name} --from-file FILE`")
    };
    Finding::error(ABOUT, format!("`{name}` does not exist at the gateway: the flow would not be deployed"), remedy)
}
