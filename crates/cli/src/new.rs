//! `faasflow new`

use std::path::{Path, PathBuf};

use crate::args::New;
use crate::error::Failure;

/// Names that a crate cannot have, or that its dependencies have.
const RESERVED: [&str; 45] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "faasflow",
    "faasflow-testkit",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "pub",
    "return",
    "std",
    "struct",
    "super",
    "test",
    "tokio",
    "trait",
    "true",
    "use",
];

pub(crate) fn run(new: &New) -> Result<(), Failure> {
    let name = &new.name;
    let valid = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-');
    if !valid {
        return Err(Failure::Unusable(format!(
            "`{name}` cannot be the name of a flow: small letters, digits and `-`, a letter first, such as `my-flow`"
        )));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(Failure::Unusable(format!(
            "`{name}` cannot be the name of a flow: Rust has another use for it; choose another, such as `my-{name}`"
        )));
    }
    let folder = Path::new(name);
    if folder.exists() {
        return Err(Failure::Unusable(format!("{name} is there already: choose another name, or remove it")));
    }
    let checkout = checkout(new)?;
    let dependency = format!("{{ path = {:?} }}", checkout.join("crates/faasflow"));
    let testkit = format!("{{ path = {:?} }}", checkout.join("crates/testkit"));
    let package = name.replace('-', "_");
    let files = [
        (
            "Cargo.toml",
            format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
             [dependencies]\nfaasflow = {dependency}\n\n\
             [dev-dependencies]\nfaasflow-testkit = {testkit}\n\
             tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
             # A project of its own, also inside another workspace.\n[workspace]\n"
            ),
        ),
        (
            "src/main.rs",
            format!(
                "//! Serves the flow.\n\nfn main() -> faasflow::Result<()> {{\n    faasflow::serve({package}::define()?)\n}}\n"
            ),
        ),
        ("src/lib.rs", LIB.to_owned()),
        ("tests/flow.rs", TEST.replace("PACKAGE", &package)),
        (
            "stack.yml",
            format!(
                "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\n\nfunctions:\n  {name}:\n    \
             lang: faasflow\n    handler: .\n    image: {name}:latest\n    environment_file: [flow.yml]\n    \
             secrets: [faasflow-hmac-secret]\n\n  # A function that the flow calls: any HTTP program, or a command as here.\n  \
             shout:\n    lang: dockerfile\n    fprocess: tr a-z A-Z\n    image: shout:latest\n"
            ),
        ),
        (
            "flow.yml",
            "environment:\n  gateway: gateway.openfaas:8080\n  read_timeout: 10s\n  write_timeout: 60s\n".to_owned(),
        ),
        (".gitignore", "/target\n/.faasflow\n".to_owned()),
    ];
    for (file, text) in files {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    say!("Made {name}: the flow is in {name}/src/lib.rs. Next:");
    say!("  cd {name}");
    say!("  faasflow up");
    say!("and in another terminal:");
    say!("  echo ada | faasflow invoke {name}");
    Ok(())
}

/// The library is not published yet: projects are built against a checkout.
fn checkout(new: &New) -> Result<PathBuf, Failure> {
    let built_from = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let checkout = new.checkout.clone().unwrap_or_else(|| PathBuf::from(built_from));
    let found = checkout.canonicalize().ok().filter(|found| found.join("crates/faasflow/Cargo.toml").is_file());
    found.ok_or_else(|| {
        Failure::Unusable(format!(
            "{} is no checkout of faasflow to build against: name one with `--checkout`",
            checkout.display()
        ))
    })
}

const LIB: &str = r#"//! The flow.

use faasflow::{Call, DefinitionError, Error, Flow, Result};

/// The steps, in order.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder().modify(greet).apply(Call::new("shout").sync()).build()
}

/// Takes the body as text, and hands on another.
async fn greet(name: String) -> Result<String> {
    match name.trim() {
        "" => Err(Error::refused("say who is to be greeted")),
        name => Ok(format!("hello, {name}!")),
    }
}
"#;

const TEST: &str = r#"//! The flow, run to its end with a fake function.

use faasflow_testkit::{Fake, TestKit};

#[tokio::test]
async fn it_greets_aloud() {
    let kit = TestKit::new(PACKAGE::define().unwrap()).function("shout", Fake::echo()).start().await;
    let end = kit.request("ada").send().await;
    assert_eq!(end.text(), "hello, ada!");
    assert_eq!(kit.calls("shout").len(), 1);
}
"#;
