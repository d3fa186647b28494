use super::super::facts::FlowFacts;
use super::super::finding::Finding;

const ABOUT: &str = "settings";

pub(super) fn judge(flow: &FlowFacts) -> Vec<Finding> {
    let typos = flow.typos.iter().map(|typo| Finding::warning(ABOUT, typo, "").of_itself());
    let mut findings: Vec<Finding> = typos.collect();
    match &flow.settings {
        // Each fault says what is accepted.
        Err(faults) => findings.extend(faults.iter().map(|fault| Finding::error(ABOUT, fault, "").of_itself())),
        Ok(config) if config.workflow_name != flow.name => findings.push(Finding::error(
            ABOUT,
            format!(
                "`workflow_name` is `{}`, and it is deployed as `{}`: each further phase would go to another function",
                config.workflow_name, flow.name
            ),
            format!("remove `workflow_name`, or make it `{}`", flow.name),
        )),
        Ok(_) => {}
    }
    if findings.is_empty() {
        findings.push(Finding::ok(ABOUT, "all can be used"));
    }
    findings
}
