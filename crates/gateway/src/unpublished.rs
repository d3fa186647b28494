//! Advice if cargo does not find Faasflow's own crates, which are not published yet.

use std::path::{Path, PathBuf};

/// The beginnings of lines that cargo prints in this case.
const SAID: [&str; 3] = [
    "error: no matching package named `faasflow",
    "error: failed to load source for dependency `faasflow",
    "error: failed to select a version for the requirement `faasflow",
];

/// The checkout that this program was built from, and `None` in a release, for which `cargo xtask release` sets the variable.
const BUILT_FROM: Option<&str> = match option_env!("FAASFLOW_NO_CHECKOUT") {
    Some(_) => None,
    None => Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")),
};

/// The lines to write for the project in `folder`, if the output of cargo says that it does not find Faasflow's crates.
#[must_use]
pub(crate) fn advice(output: &str, folder: &Path) -> Option<String> {
    if !output.lines().any(|line| SAID.iter().any(|begin| line.starts_with(begin))) {
        return None;
    }
    // This program may have been built elsewhere.
    let built_from = BUILT_FROM.and_then(|folder| Path::new(folder).canonicalize().ok());
    let checkout = built_from.filter(|checkout| checkout.join("crates/faasflow/Cargo.toml").is_file());
    let checkout = checkout.unwrap_or_else(|| PathBuf::from("PATH-OF-A-CHECKOUT"));
    // `{:?}` escapes the backslashes of Windows, as TOML requires.
    let [library, testkit] = ["crates/faasflow", "crates/testkit"].map(|path| checkout.join(path));
    Some(format!(
        "Faasflow's crates are not published yet. Tell cargo where they are, in {}:\n\n\
         [patch.crates-io]\n\
         faasflow = {{ path = {library:?} }}\n\
         faasflow-testkit = {{ path = {testkit:?} }}\n\n\
         An image does not have this path. Write this for both crates there:\n\n\
         {{ git = \"https://github.com/faasflow/faasflow\", rev = \"COMMIT\" }}",
        folder.join(".cargo/config.toml").display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i4_if_crates_are_not_found_the_lines_to_write_are_printed() {
        for output in [
            "    Updating crates.io index\nerror: no matching package named `faasflow` found\nlocation searched: crates.io index\n",
            "error: no matching package named `faasflow-testkit` found\n",
            "error: failed to load source for dependency `faasflow`\n\nCaused by:\n  unable to update /nowhere/crates/faasflow\n",
        ] {
            let advice = advice(output, Path::new("/projects/my-flow")).unwrap();
            let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
            for line in [
                "Faasflow's crates are not published yet. Tell cargo where they are, in /projects/my-flow/.cargo/config.toml:",
                "[patch.crates-io]",
                &format!("faasflow = {{ path = \"{}/crates/faasflow\" }}", checkout.display()),
                &format!("faasflow-testkit = {{ path = \"{}/crates/testkit\" }}", checkout.display()),
            ] {
                assert!(advice.lines().any(|found| found == line), "{line}\n{advice}");
            }
            // The lines to copy are valid for cargo.
            let lines: Vec<&str> = advice.lines().filter(|line| line.starts_with(['[', 'f'])).collect();
            assert_eq!(lines.len(), 3, "{lines:?}");
        }
        assert_eq!(advice("error: no matching package named `faas` found\n", Path::new("")), None);
        assert_eq!(advice("error: failed to load source for dependency `serde`\n", Path::new("")), None);
    }
}
