//! `faasflow new`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use faasflow_core::{Unreadable, code};
use faasflow_gateway::Stack;

use crate::args::New;
use crate::checkout::BUILT_FROM;
use crate::error::Failure;

mod stack_file;

/// Folders of `faas-cli`: its build output and its templates.
const RESERVED: [&str; 2] = ["build", "template"];

/// The files of the template, so that `faas-cli new` and `faasflow new` create the same project.
const HANDLER: [(&str, &str); 7] = [
    (".gitignore", include_str!("../template/gitignore")),
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    (CARGO_CONFIG, include_str!("../template/cargo-config.toml")),
    ("flow.yml", include_str!("../template/flow.yml")),
    ("src/lib.rs", include_str!("../template/lib.rs")),
    ("src/main.rs", include_str!("../template/main.rs")),
    ("tests/flow.rs", include_str!("../template/flow_test.rs")),
];
/// The one file that `faasflow new` adds something to.
const CARGO_CONFIG: &str = ".cargo/config.toml";

/// Lines for `.gitignore`: the first folder holds the queue and keys, the others belong to `faas-cli`.
const IGNORED: [&str; 3] = ["/.faasflow", "/build", "/template"];

pub(crate) fn run(new: &New) -> Result<(), Failure> {
    let name = new.name.as_str();
    check_name(name)?;
    let stack = new.append.clone().unwrap_or_else(|| PathBuf::from("stack.yml"));
    let base = stack.parent().unwrap_or(Path::new("")).to_owned();
    let folder = base.join(name);
    if folder.exists() {
        return Err(Failure::unusable(code::EXISTS, format!("the folder `{}` exists already", folder.display()))
            .help("choose another name, or remove the folder first"));
    }
    let before = match &new.append {
        Some(file) => Some(std::fs::read_to_string(file).map_err(|error| cannot_read(file, error))?),
        None => {
            let there = ["stack.yml", "stack.yaml"].into_iter().find(|file| Path::new(file).exists());
            if let Some(file) = there {
                return Err(Failure::unusable(code::EXISTS, format!("`{file}` exists already in this folder"))
                    .help(format!("add the flow to it with `--append {file}`, or run this in another folder")));
            }
            None
        }
    };
    let after = match &before {
        None => stack_file::with_one_flow(name),
        Some(text) => {
            stack_file::append(text, name).map_err(|error| cannot_append(&stack).because(&error).help(error.help()))?
        }
    };
    let checkout = checkout(new.checkout.as_deref(), BUILT_FROM)?;
    if let Err(failure) =
        write_project(&folder, &checkout).and_then(|()| replace_stack_file(&stack, before.as_deref(), &after))
    {
        // An incomplete project would be in the way of the next attempt.
        let _ = std::fs::remove_dir_all(&folder);
        return Err(failure);
    }
    ignore(&base.join(".gitignore"))?;

    let found = ["stack.yml", "stack.yaml"].iter().find(|file| Path::new(file).is_file());
    let up = if found.is_some_and(|found| Path::new(found) == stack) {
        String::new()
    } else {
        format!(" {}", stack.display())
    };
    let added = if before.is_some() { "Added it to" } else { "Created" };
    say!("Created {name}: the flow is in {}", folder.join("src/lib.rs").display());
    say!("{added} {}, the list of functions to run", stack.display());
    say!("\nBuild and run it (the first build takes a few minutes):");
    say!("  faasflow up{up}");
    say!("When it is ready, call it from another terminal:");
    say!("  echo Ada | faasflow invoke {name}");
    Ok(())
}

/// Writes the files of the project.
fn write_project(folder: &Path, checkout: &Path) -> Result<(), Failure> {
    for (file, text) in HANDLER {
        let mut text = text.to_owned();
        if file == CARGO_CONFIG {
            text.push_str(&patch(checkout));
        }
        let path = folder.join(file);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| not_written(&path, &error))?;
    }
    Ok(())
}

/// Replaces the text of the stack file, atomically.
///
/// The new text is read back first. It is not written if it cannot be read, or if it would change another function.
fn replace_stack_file(stack: &Path, before: Option<&str>, after: &str) -> Result<(), Failure> {
    // If the file is a symbolic link, keep the link and replace its target.
    let target = std::fs::canonicalize(stack).unwrap_or_else(|_| stack.to_owned());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let fault = |error: &std::io::Error| not_written(stack, error);
    let mut new =
        tempfile::Builder::new().prefix(".stack-").suffix(".yml").tempfile_in(folder).map_err(|e| fault(&e))?;
    new.write_all(after.as_bytes()).map_err(|error| fault(&error))?;
    let read = Stack::read(new.path()).map_err(|error| {
        let text = error.to_string().replace(&new.path().display().to_string(), &stack.display().to_string());
        cannot_append(stack).because_text(format!("with the flow added, {text}")).help("correct the file first")
    })?;
    if before.is_some()
        && let Ok(was) = Stack::read(stack)
        && let Some((name, _)) = was.functions.iter().find(|(name, spec)| {
            let now = read.functions.get(*name);
            now.is_none_or(|now| {
                (&now.kind, &now.environment, &now.secrets) != (&spec.kind, &spec.environment, &spec.secrets)
            })
        })
    {
        let why = format!("it would change the function `{name}`");
        return Err(cannot_append(stack).because_text(why).help("add the flow by hand"));
    }
    if let Ok(metadata) = std::fs::metadata(&target) {
        new.as_file().set_permissions(metadata.permissions()).map_err(|error| fault(&error))?;
    } else {
        #[cfg(unix)]
        new.as_file()
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .map_err(|error| fault(&error))?;
    }
    new.as_file().sync_all().map_err(|error| fault(&error))?;
    new.persist(&target).map_err(|error| fault(&error.error))?;
    Ok(())
}

pub(crate) fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(code::NOT_WRITTEN, format!("`{}` cannot be written", path.display()))
        .because(error)
        .help("make room on the disk, or let this user write to the folder")
}

fn cannot_append(stack: &Path) -> Failure {
    Failure::unusable(code::NOT_APPENDED, format!("the flow cannot be added to `{}`", stack.display()))
}

fn cannot_read(stack: &Path, error: std::io::Error) -> Failure {
    let why = Unreadable::from(error);
    let help = match why.error().kind() {
        std::io::ErrorKind::NotFound => "check the path; without `--append`, the command creates a new stack.yml",
        _ => why.help(),
    };
    cannot_append(stack).because(&why).help(help)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let valid = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-');
    if !valid {
        return Err(Failure::unusable(code::BAD_NEW_NAME, format!("`{name}` cannot be the name of a flow"))
            .because_text(
                "a name has lower-case letters, digits and `-`, begins with a letter and does not end with `-`",
            )
            .help(format!("choose another name, such as `{}`", suggestion(name))));
    }
    if RESERVED.contains(&name) {
        return Err(Failure::unusable(code::BAD_NEW_NAME, format!("`{name}` cannot be the name of a flow"))
            .because_text("faas-cli uses a folder of this name")
            .help(format!("choose another name, such as `my-{name}`")));
    }
    Ok(())
}

/// The nearest valid name: `My_Flow` becomes `my-flow`.
fn suggestion(name: &str) -> String {
    let replaced: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = replaced.split('-').filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    if name.starts_with(|first: char| first.is_ascii_lowercase()) { name } else { "my-flow".to_owned() }
}

/// The library is not published yet, so projects are built against a checkout.
fn checkout(given: Option<&Path>, built_from: Option<&str>) -> Result<PathBuf, Failure> {
    let help = "name the folder of a checkout with `--checkout`";
    let Some(checkout) = given.or(built_from.map(Path::new)) else {
        return Err(Failure::unusable(code::NO_CHECKOUT, "no checkout of faasflow is given")
            .because_text("a new project is built against the library in a checkout")
            .help(help));
    };
    let found = checkout.canonicalize().ok().filter(|found| found.join("crates/faasflow/Cargo.toml").is_file());
    found.ok_or_else(|| {
        Failure::unusable(code::NO_CHECKOUT, format!("`{}` is not a checkout of faasflow", checkout.display()))
            .because_text("a new project is built against the library in a checkout, and this folder has none")
            .help(help)
    })
}

fn patch(checkout: &Path) -> String {
    let [library, testkit] = ["crates/faasflow", "crates/testkit"].map(|path| checkout.join(path));
    format!(
        "\n# Written by `faasflow new`.\n[patch.crates-io]\nfaasflow = {{ path = {library:?} }}\n\
         faasflow-testkit = {{ path = {testkit:?} }}\n"
    )
}

fn ignore(file: &Path) -> Result<(), Failure> {
    let mut text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let missing: Vec<&str> = IGNORED
        .into_iter()
        .filter(|path| !text.lines().any(|line| line.trim().trim_matches('/') == path.trim_matches('/')))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.extend(missing.iter().map(|path| format!("{path}\n")));
    Ok(std::fs::write(file, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    // unpublished: see RELEASE.md
    #[test]
    fn a_release_needs_the_option_for_a_checkout() {
        let failure = checkout(None, None).err().unwrap().to_string();
        let says = "no checkout of faasflow is given: a new project is built against the library in a checkout";
        assert!(failure.contains(says), "{failure}");
        // These tests are not built as a release.
        let found = checkout(None, BUILT_FROM).ok().unwrap();
        assert_eq!(checkout(Some(&found), None).ok(), Some(found));
    }
}
