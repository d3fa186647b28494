//! Edits the text of a stack file. Parsing and writing YAML would lose comments and layout.

/// Why a flow cannot be added to a stack file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AppendError {
    #[error("its functions are on the line of `functions:`")]
    SameLine,
    #[error("it has a function `{0}` already")]
    Exists(String),
}

impl AppendError {
    /// What to do about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            AppendError::SameLine => "write each function on its own line below `functions:`",
            AppendError::Exists(_) => "choose another name",
        }
    }
}

/// A stack file with one flow.
pub(super) fn with_one_flow(name: &str) -> String {
    format!(
        "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\n\nfunctions:\n{}",
        flow(name, "  ", "\n")
    )
}

fn flow(name: &str, indent: &str, end: &str) -> String {
    let lines = [
        format!("{name}:"),
        "  lang: faasflow".to_owned(),
        format!("  handler: ./{name}"),
        format!("  image: {name}:latest"),
        "  environment:".to_owned(),
        format!("    workflow_name: {name}"),
        format!("  environment_file: [{name}/flow.yml]"),
        "  # A flow of more than one phase signs what it sends itself, and is given the key:".to_owned(),
        "  # secrets: [faasflow-hmac-secret]".to_owned(),
    ];
    lines.map(|line| format!("{indent}{line}{end}")).concat()
}

/// Returns the text with a flow added after the last function, or why it cannot be added.
pub(super) fn append(text: &str, name: &str) -> Result<String, AppendError> {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut inside = false;
    let mut found = false;
    let mut indent = None::<&str>;
    // The offset at which the functions end: after the last line that belongs to one.
    let mut at = 0;
    let mut passed = 0;
    for line in text.split_inclusive('\n') {
        passed += line.len();
        let content = line.trim_end();
        let bare = content.trim_start();
        let own = &content[..content.len() - bare.len()];
        // A `#` line that is indented deeper than the names belongs to a function: it is a comment of it, or a line of
        // a block of text.
        let deeper = inside && indent.is_some_and(|indent| own.len() > indent.len());
        if bare.is_empty() || (bare.starts_with('#') && !deeper) {
            continue;
        }
        if own.is_empty() {
            inside = false;
            if let Some(rest) = bare.strip_prefix("functions:") {
                let rest = rest.trim_start();
                if !(rest.is_empty() || rest.starts_with('#')) {
                    return Err(AppendError::SameLine);
                }
                (inside, found, at) = (true, true, passed);
            }
        } else if inside {
            at = passed;
            let indent = *indent.get_or_insert(own);
            let key = bare.split(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            if own == indent && key == name {
                return Err(AppendError::Exists(name.to_owned()));
            }
        }
    }
    let function = flow(name, indent.unwrap_or("  "), end);
    let (before, after) = if found { text.split_at(at) } else { (text, "") };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { end };
    let heading = if found { String::new() } else { format!("{end}functions:{end}") };
    Ok(format!("{before}{gap}{heading}{function}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "  f:\n    lang: faasflow\n    handler: ./f\n    image: f:latest\n    environment:\n      \
                        workflow_name: f\n    environment_file: [f/flow.yml]\n    # A flow of more than one phase signs \
                        what it sends itself, and is given the key:\n    # secrets: [faasflow-hmac-secret]\n";

    #[test]
    fn a_flow_is_added_after_the_last_function() {
        let head = "# mine\nprovider:   {name: openfaas}\n\nfunctions: # all\n  a:\n    fprocess: cat # yes\n";
        let tail = "\n# of the rest\nconfiguration:\n  copy: []\n";
        assert_eq!(append(&format!("{head}{tail}"), "f").unwrap(), format!("{head}{FLOW}{tail}"));
        assert_eq!(append(head, "f").unwrap(), format!("{head}{FLOW}"));
        assert_eq!(append(head.trim_end(), "f").unwrap(), format!("{head}{FLOW}"));
    }

    #[test]
    fn indentation_and_line_ends_follow_the_file() {
        let added = append("functions:\r\n    a:\r\n        fprocess: cat\r\n", "f").unwrap();
        assert!(
            added.contains(
                "\r\n    f:\r\n      lang: faasflow\r\n      handler: ./f\r\n      image: f:latest\r\n      \
             environment:\r\n        workflow_name: f\r\n      environment_file: [f/flow.yml]\r\n"
            ),
            "{added}"
        );
    }

    #[test]
    fn a_block_of_text_that_ends_like_a_comment_is_kept_whole() {
        let text = "functions:\n  a:\n    environment:\n      script: |\n        echo hi\n        # no comment\n";
        assert_eq!(append(text, "f").unwrap(), format!("{text}{FLOW}"));
    }

    #[test]
    fn a_file_without_functions_gets_the_key() {
        assert_eq!(append("version: 1.0\n", "f").unwrap(), format!("version: 1.0\n\nfunctions:\n{FLOW}"));
        assert_eq!(append("functions:\n", "f").unwrap(), format!("functions:\n{FLOW}"));
    }

    #[test]
    fn an_existing_name_and_flow_style_functions_are_refused() {
        let exists = append("functions:\n  'f':\n    fprocess: cat\n", "f");
        assert_eq!(exists, Err(AppendError::Exists("f".to_owned())));
        assert_eq!(append("functions: {a: {fprocess: cat}}\n", "f"), Err(AppendError::SameLine));
        // A key inside a function is not a function.
        assert!(append("functions:\n  a:\n    f: x\n", "f").is_ok());
    }
}
