//! Prints findings.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use console::{Term, style};
use faasflow_core::counted;
use serde_json::{Value, json};

use super::finding::{Finding, FlowFindings, Severity};

/// How to print text.
#[derive(Clone, Copy, Default)]
pub(super) struct Look {
    /// The width to wrap at, in columns; `None` prints each finding on one line.
    width: Option<usize>,
    colours: bool,
}

impl Look {
    /// Wrapped on a terminal, one line each elsewhere; in colours if `console` finds that standard output shows them, which
    /// respects `NO_COLOR` and `CLICOLOR_FORCE`.
    pub(super) fn of_stdout() -> Look {
        let width = std::io::stdout().is_terminal().then(|| usize::from(Term::stdout().size().1).max(60));
        Look { width, colours: console::colors_enabled() }
    }

    fn word(self, severity: Severity) -> String {
        let word = style(format!("{:7}", severity.word())).force_styling(self.colours);
        let word = match severity {
            Severity::Ok => word.green(),
            Severity::Note => word.cyan(),
            Severity::Warning => word.yellow().bold(),
            Severity::Error => word.red().bold(),
        };
        word.to_string()
    }
}

/// The findings of each flow, below its name.
pub(super) fn text(checked: &[FlowFindings], look: Look) -> String {
    let all = checked.iter().flat_map(|checked| &checked.findings);
    let about_width = all.map(|finding| finding.about.len()).max().unwrap_or_default();
    // The severity has 7 columns; 2 more stand before it and after each column.
    let indent = " ".repeat(2 + 7 + 2 + about_width + 2);
    let mut text = String::new();
    for FlowFindings { flow, findings } in checked {
        let _ = writeln!(text, "{flow}");
        for finding in findings {
            let line = line(finding);
            let lines = match look.width {
                Some(width) => {
                    textwrap::wrap(&line, width.saturating_sub(indent.len()).max(30)).join(&format!("\n{indent}"))
                }
                None => line,
            };
            let _ = writeln!(text, "  {}  {:about_width$}  {lines}", look.word(finding.severity), finding.about);
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

pub(super) fn json(gateway: &str, checked: &[FlowFindings]) -> String {
    let flows: Vec<Value> = checked
        .iter()
        .map(|FlowFindings { flow, findings }| {
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

pub(super) fn count(checked: &[FlowFindings], severity: Severity) -> usize {
    checked.iter().flat_map(|checked| &checked.findings).filter(|finding| finding.severity == severity).count()
}

/// The numbers of findings, as in `1 error, 0 warnings, 2 notes`.
pub(super) fn sum(checked: &[FlowFindings]) -> String {
    let counted = [Severity::Error, Severity::Warning, Severity::Note]
        .map(|severity| counted(count(checked, severity) as u64, severity.word()));
    counted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Vec<FlowFindings> {
        let mut step = Finding::error("functions", "it is not deployed", "deploy it");
        step.step = Some((2, "function `f`".to_owned()));
        step.function = Some("f".to_owned());
        vec![FlowFindings { flow: "flow".to_owned(), findings: vec![Finding::ok("queue", "it takes calls"), step] }]
    }

    #[test]
    fn text_has_a_line_for_each_finding() {
        let expected = "flow\n  ok       queue      it takes calls\n  error    functions  step 2, function `f`: \
                        it is not deployed; deploy it\n";
        assert_eq!(text(&checked(), Look::default()), expected);
        assert_eq!(sum(&checked()), "1 error, 0 warnings, 0 notes");
    }

    #[test]
    fn text_on_a_terminal_is_wrapped_and_coloured() {
        let wrapped = text(&checked(), Look { width: Some(60), colours: true });
        let expected = "flow\n  \u{1b}[32mok     \u{1b}[0m  queue      it takes calls\n  \u{1b}[31m\u{1b}[1merror  \
                        \u{1b}[0m  functions  step 2, function `f`: it is not\n                      deployed; deploy \
                        it\n";
        assert_eq!(wrapped, expected);
    }

    #[test]
    fn json_has_the_same_findings() {
        let read: Value = serde_json::from_str(&json("http://g", &checked())).unwrap();
        assert_eq!((&read["gateway"], &read["errors"], &read["notes"]), (&json!("http://g"), &json!(1), &json!(0)));
        let finding = &read["flows"][0]["findings"][1];
        let expected = json!({ "severity": "error", "about": "functions", "step": 2, "function": "f",
                               "what": "it is not deployed", "remedy": "deploy it" });
        assert_eq!(*finding, expected);
        assert_eq!(read["flows"][0]["findings"][0]["remedy"], Value::Null);
    }
}
