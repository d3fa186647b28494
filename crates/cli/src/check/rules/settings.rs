//! The settings of the flow can be used.

use faasflow_core::parse_url;
use faasflow_runtime::Config;
use http::Uri;

use super::super::facts::{FlowFacts, GatewayFacts};
use super::super::finding::Finding;

const ABOUT: &str = "settings";
/// The names of OpenFaaS's gateway, as functions see it: `gateway` on faasd, with a namespace on Kubernetes.
const GATEWAYS: [&str; 4] =
    ["gateway", "gateway.openfaas", "gateway.openfaas.svc", "gateway.openfaas.svc.cluster.local"];
const GATEWAY_PORT: u16 = 8080;

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let typos = flow.typos.iter().map(|typo| Finding::warning(ABOUT, typo, "").without_remedy());
    let mut findings: Vec<Finding> = typos.collect();
    match &flow.settings {
        Err(faults) => findings.extend(faults.iter().map(|fault| {
            Finding::error(ABOUT, format!("{} ({})", faasflow_core::chain(fault), fault.code()), fault.help())
        })),
        Ok(config) if config.workflow_name != flow.name => findings.push(Finding::error(
            ABOUT,
            format!(
                "`workflow_name` is `{}`, but the flow is deployed as `{}`: its further phases would go to another function",
                config.workflow_name, flow.name
            ),
            format!("remove `workflow_name`, or set it to `{}`", flow.name),
        )),
        Ok(_) => {}
    }
    findings.extend(flow.settings.as_ref().ok().and_then(|config| other_gateway(config, gateway)));
    if findings.is_empty() {
        findings.push(Finding::ok(ABOUT, "all are valid"));
    }
    findings
}

/// A note if the flow calls a gateway that is neither OpenFaaS's nor the one that is checked. `faasflow up` overrides the
/// setting, so this cannot happen there.
fn other_gateway(config: &Config, gateway: &GatewayFacts) -> Option<Finding> {
    let (host, port) = address(&config.gateway)?;
    let usual = GATEWAYS.contains(&host.as_str()) && port == GATEWAY_PORT;
    let asked = parse_url(&gateway.url).ok().and_then(|asked| address(&asked));
    if gateway.local || usual || asked == Some((host, port)) {
        return None;
    }
    Some(Finding::note(
        ABOUT,
        format!(
            "the flow calls the gateway `{}` (`gateway`), but this check is about {}",
            config.gateway.to_string().trim_end_matches('/'),
            gateway.url
        ),
        format!(
            "unless you want that, set `gateway` to the name of the gateway in the cluster, such as \
             `gateway.openfaas:{GATEWAY_PORT}`"
        ),
    ))
}

fn address(url: &Uri) -> Option<(String, u16)> {
    let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
    let host = url.host()?.trim_end_matches('.').to_ascii_lowercase();
    Some((host, url.port_u16().unwrap_or(default)))
}
