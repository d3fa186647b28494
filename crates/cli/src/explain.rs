//! `faasflow explain`: prints the section of the reference about an error.

use faasflow_core::code::{self, Code};

use crate::args::Explain;
use crate::error::Failure;

/// The page of the reference, so that there is only one text to maintain.
const PAGE: &str = include_str!("../errors.md");

pub(crate) fn run(explain: &Explain) -> Result<(), Failure> {
    let Some(text) = &explain.code else {
        for code in Code::all() {
            say!("{code}  {}", code.title());
        }
        return Ok(());
    };
    let code = Code::find(text).ok_or_else(|| {
        Failure::unusable(code::NO_SUCH_CODE, format!("there is no error code `{text}`"))
            .because_text("a code is `FF` and four digits, as printed in `error[FF0102]`")
            .help("list all codes with `faasflow explain`")
    })?;
    say!("{}", section(code).trim_end());
    Ok(())
}

/// The section about a code, with Markdown syntax removed.
fn section(code: Code) -> String {
    let heading = format!("## {code}: ");
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&heading));
    let lines = lines.enumerate().take_while(|(number, line)| *number == 0 || !is_heading(line));
    let mut section = String::new();
    let mut in_example = false;
    for (_, line) in lines {
        if line.starts_with("```") {
            in_example = !in_example;
        } else if in_example {
            section.push_str("    ");
            section.push_str(line);
            section.push('\n');
        } else {
            let line = line.trim_start_matches("## ").replace("**", "");
            section.push_str(&without_links(&line));
            section.push('\n');
        }
    }
    section
}

fn is_heading(line: &str) -> bool {
    line.starts_with("# ") || line.starts_with("## ")
}

/// Turns `[text](page.md)` into `text (page.md)`, with the path of the page in the repository.
fn without_links(line: &str) -> String {
    let Some((before, (text, (target, after)))) = line.split_once('[').and_then(|(before, rest)| {
        let (text, rest) = rest.split_once("](")?;
        Some((before, (text, rest.split_once(')')?)))
    }) else {
        return line.to_owned();
    };
    let target = target.trim_start_matches("../");
    let target = if target.contains('/') { format!("docs/{target}") } else { format!("docs/reference/{target}") };
    format!("{before}{text} ({target}){}", without_links(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_section_to_print() {
        for code in Code::all() {
            let section = section(*code);
            assert!(section.starts_with(&format!("{code}: {}", code.title())), "{code}: {section}");
            assert!(section.contains("What to do: ") && !section.contains("```"), "{section}");
            assert_eq!(section.matches("What to do: ").count(), 1, "{section}");
        }
    }

    #[test]
    fn links_become_the_names_of_files() {
        assert_eq!(
            without_links("See [one](../guide/one.md) and [two](two.md#x)."),
            "See one (docs/guide/one.md) and two (docs/reference/two.md#x)."
        );
        assert_eq!(without_links("`[package]` in a file"), "`[package]` in a file");
    }
}
