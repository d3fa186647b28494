//! Findings, written down.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::finding::{Checked, Finding, Severity};

/// A line for each finding, under the name of the flow.
pub(super) fn text(checked: &[Checked]) -> String {
    let all = checked.iter().flat_map(|checked| &checked.findings);
    let width = all.map(|finding| finding.about.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Checked { flow, findings } in checked {
        let _ = writeln!(text, "{flow}");
        for finding in findings {
            let _ = writeln!(text, "  {:7}  {:width$}  {}", finding.severity.word(), finding.about, line(finding));
        }
    }
    text
}

fn line(finding: &Finding) -> String {
    let mut line = String::new();
    if let Some((number, name)) = &finding.step {
        let _ = write!(line, "step {number}, {name}: ");
    }
    line.push_str(&finding.what);
    if let Some(remedy) = &finding.remedy {
        let _ = write!(line, "; {remedy}");
    }
    line
}

pub(super) fn json(gateway: &str, checked: &[Checked]) -> String {
    let flows: Vec<Value> = checked
        .iter()
        .map(|Checked { flow, findings }| {
            let findings: Vec<Value> = findings
                .iter()
                .map(|finding| {
                    json!({
                        "severity": finding.severity.word(),
                        "about": finding.about,
                        "step": finding.step.as_ref().map(|(number, _)| number),
                        "function": finding.function,
                        "what": finding.what,
                        "remedy": finding.remedy,
                    })
                })
                .collect();
            json!({ "flow": flow, "findings": findings })
        })
        .collect();
    let whole = json!({
        "gateway": gateway,
        "errors": count(checked, Severity::Error),
        "warnings": count(checked, Severity::Warning),
        "notes": count(checked, Severity::Note),
        "flows": flows,
    });
    format!("{whole:#}\n")
}

pub(super) fn count(checked: &[Checked], severity: Severity) -> usize {
    checked.iter().flat_map(|checked| &checked.findings).filter(|finding| finding.severity == severity).count()
}

/// Such as `1 error, 0 warnings, 2 notes`.
pub(super) fn sum(checked: &[Checked]) -> String {
    let counted = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let count = count(checked, severity);
        format!("{count} {}{}", severity.word(), if count == 1 { "" } else { "s" })
    });
    counted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Vec<Checked> {
        let mut step = Finding::error("functions", "it is not deployed", "deploy it");
        step.step = Some((2, "function `f`".to_owned()));
        step.function = Some("f".to_owned());
        vec![Checked { flow: "flow".to_owned(), findings: vec![Finding::ok("queue", "it takes calls"), step] }]
    }

    #[test]
    fn a_line_for_each() {
        let expected = "flow\n  ok       queue      it takes calls\n  error    functions  step 2, function `f`: \
                        it is not deployed; deploy it\n";
        assert_eq!(text(&checked()), expected);
        assert_eq!(sum(&checked()), "1 error, 0 warnings, 0 notes");
    }

    #[test]
    fn the_same_for_programs() {
        let read: Value = serde_json::from_str(&json("http://g", &checked())).unwrap();
        assert_eq!((&read["gateway"], &read["errors"], &read["notes"]), (&json!("http://g"), &json!(1), &json!(0)));
        let finding = &read["flows"][0]["findings"][1];
        let expected = json!({ "severity": "error", "about": "functions", "step": 2, "function": "f",
                               "what": "it is not deployed", "remedy": "deploy it" });
        assert_eq!(*finding, expected);
        assert_eq!(read["flows"][0]["findings"][0]["remedy"], Value::Null);
    }
}
