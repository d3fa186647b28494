//! The pages of the dashboard never make HTML from a text, and contain no scripts or styles inside HTML.

use std::path::Path;

use super::Fault;

const FOLDER: &str = "crates/dashboard/assets/";

/// What would make HTML or code from a text, and what to write instead.
const IN_SCRIPTS: [(&str, &str); 10] = [
    ("innerHTML", "`put` of dom.js"),
    ("outerHTML", "`put` of dom.js"),
    ("insertAdjacentHTML", "`h` of dom.js"),
    ("document.write", "`h` of dom.js"),
    ("createContextualFragment", "`h` of dom.js"),
    ("setHTML", "`put` of dom.js"),
    ("DOMParser", "`h` of dom.js"),
    ("srcdoc", "`h` of dom.js"),
    ("eval(", "a function"),
    ("new Function", "a function"),
];

pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let pages = files.iter().filter(|file| file.starts_with(FOLDER));
    pages.flat_map(|file| faults(file, &std::fs::read_to_string(root.join(file)).unwrap_or_default())).collect()
}

fn faults(file: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut fault = |what: String| {
            faults.push(Fault { rule: "pages make no HTML from texts", place: format!("{file}:{number}"), what });
        };
        if file.ends_with(".js") {
            for (word, instead) in IN_SCRIPTS {
                if line.contains(word) {
                    fault(format!("`{word}` is not used in pages: use {instead}"));
                }
            }
            if line.contains("style:") || line.contains("\"style\"") {
                fault("the policy forbids the attribute `style`: use a class".to_owned());
            }
        }
        if file.ends_with(".html") || file.ends_with(".svg") {
            let lower = line.to_lowercase();
            let has_handler = lower.split_whitespace().any(|word| word.starts_with("on") && word.contains('='));
            let has_script = lower.split("<script").skip(1).any(|rest| !rest.contains("src="));
            if has_handler || has_script || lower.contains("style=") || lower.contains("<style") {
                fault("the policy forbids scripts and styles inside HTML: use a file".to_owned());
            }
        }
        for outside in ["http://", "https://"] {
            // The name of a language of XML, which nothing loads.
            if line.replace("http://www.w3.org/2000/svg", "").contains(outside) {
                fault("pages load nothing from other servers".to_owned());
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_html_from_a_text_is_found() {
        let found = |file: &str, line: &str| faults(&format!("{FOLDER}{file}"), line).len();
        for line in [
            "node.innerHTML = text;",
            "node.insertAdjacentHTML('beforeend', text);",
            "document.write(text);",
            "eval(text);",
            "h(\"p\", { style: \"color: red\" });",
            "fetch(\"https://elsewhere.example\");",
        ] {
            assert_eq!(found("main.js", line), 1, "{line}");
        }
        for line in [
            "node.textContent = text;",
            "h(\"p\", { class: \"quiet\" }, text);",
            "const SVG = \"http://www.w3.org/2000/svg\";",
        ] {
            assert_eq!(found("main.js", line), 0, "{line}");
        }
        for line in ["<p style=\"color: red\">", "<body onload=\"start()\">", "<script>start()</script>", "<style>"] {
            assert_eq!(found("index.html", line), 1, "{line}");
        }
        assert_eq!(found("index.html", "<script type=\"module\" src=\"/ui/assets/main.js\"></script>"), 0);
    }
}
