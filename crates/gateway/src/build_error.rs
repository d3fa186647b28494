//! Why cargo could not build functions.

use std::io;
use std::path::PathBuf;

/// Why cargo could not build functions. It is the source of [`GatewayError::Build`](crate::GatewayError::Build).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo cannot be started.
    #[error("cargo cannot be started")]
    NoCargo(#[source] io::Error),
    /// Cargo ended with an error.
    #[error("{output}")]
    Cargo {
        /// What cargo printed.
        output: String,
        /// What to do about it, if that is known.
        help: Option<String>,
    },
    /// Cargo printed metadata that cannot be parsed.
    #[error("the metadata of cargo cannot be parsed")]
    Metadata(#[source] serde_json::Error),
    /// The folder is not a package, although it may be a workspace.
    #[error("{} is not a package", .0.display())]
    NotAPackage(PathBuf),
    /// The package has no program.
    #[error("the package `{0}` has no program")]
    NoProgram(String),
    /// The package has several programs, and does not say which one is the function.
    #[error("the package `{0}` has several programs")]
    SeveralPrograms(String),
    /// Cargo succeeded, but did not build the program.
    #[error("cargo did not build the program `{0}`")]
    NotBuilt(String),
    /// It is not known how cargo ended.
    #[error("it is not known how cargo ended")]
    Lost(#[source] io::Error),
}

impl BuildError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &str {
        match self {
            BuildError::NoCargo(_) => "install Rust, and put cargo into `PATH`",
            BuildError::Cargo { help: Some(help), .. } => help,
            BuildError::Cargo { help: None, .. } | BuildError::NotBuilt(_) => "correct what cargo reports",
            BuildError::Metadata(_) => "run `cargo metadata` in the project, and update Rust if it fails there too",
            BuildError::NotAPackage(_) => "name the folder of a package, which has a `[package]` in its Cargo.toml",
            BuildError::NoProgram(_) => "add a src/main.rs",
            BuildError::SeveralPrograms(_) => "name one of them with `default-run` in Cargo.toml",
            BuildError::Lost(_) => "build again",
        }
    }
}
