//! The release notes: the section of CHANGELOG.md for a version.

/// Takes the section of a version out of the changelog, without its heading.
///
/// # Errors
///
/// If there is none, if it is empty, or if it is still called `Unreleased` and this is no draft.
pub(super) fn section(changelog: &str, version: &str, draft: bool) -> Result<String, String> {
    let mut lines = changelog.lines().skip_while(|line| !is_heading_of(line, version));
    let Some(heading) = lines.next() else {
        return Err(format!("CHANGELOG.md has no section `## {version}`: write what changed"));
    };
    if heading.contains("Unreleased") && !draft {
        return Err(format!(
            "CHANGELOG.md still calls the section `{}`: rename it to `## {version}`, or make a draft with --draft",
            heading.trim_start_matches("## ")
        ));
    }
    let text: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let text = text.join("\n").trim().to_owned();
    if text.is_empty() { Err(format!("the section of {version} in CHANGELOG.md is empty")) } else { Ok(text + "\n") }
}

/// Whether a line is `## 1.2.3`, `## 1.2.3 (2026-12-01)` or `## Unreleased: 1.2.3`.
fn is_heading_of(line: &str, version: &str) -> bool {
    line.strip_prefix("## ").is_some_and(|title| title.split_whitespace().any(|word| word == version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str =
        "# Changelog\n\nText.\n\n## Unreleased: 0.2.0\n\n- New.\n\n## 0.1.10\n\n## 0.1.1 (2026-12-01)\n\n- Old.\n";

    #[test]
    fn a_section_ends_at_the_next_heading() {
        assert_eq!(section(CHANGELOG, "0.1.1", false).unwrap(), "- Old.\n");
        assert_eq!(section(CHANGELOG, "0.2.0", true).unwrap(), "- New.\n");
    }

    #[test]
    fn a_version_without_a_finished_section_is_an_error() {
        assert!(section(CHANGELOG, "0.2.0", false).unwrap_err().contains("rename it to `## 0.2.0`"));
        assert!(section(CHANGELOG, "0.1.10", false).unwrap_err().contains("is empty"));
        for absent in ["0.1", "1.1", "0.3.0"] {
            assert!(section(CHANGELOG, absent, true).unwrap_err().contains("no section"), "{absent}");
        }
    }
}
