use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use faasflow_core::Unreadable;
use faasflow_core::code::{self, Code};

use crate::queue::QueueError;
use crate::stack::StackError;

/// A gateway that cannot start, or a function that it cannot run. The causes are not part of the text: print it with
/// `faasflow_core::chain` to show them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The stack file cannot be used.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder or file of the gateway's own cannot be written.
    #[error("cannot write {}", path.display())]
    StateFolder {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that the gateway or a function needs cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Unreadable,
    },
    /// Functions name secrets that are not there.
    #[error("secrets are missing: {}; write each into a file of its name in {}", listed(missing), folder.display())]
    Secrets {
        /// Which, in the order of the functions that want them.
        missing: Vec<MissingSecret>,
        /// Where they are looked for.
        folder: PathBuf,
    },
    /// The key for signing is empty.
    #[error("the key for signing in {} is empty: write one there, or remove the file to have one made", path.display())]
    EmptyKey {
        /// The file.
        path: PathBuf,
    },
    /// The user or the password of the gateway's own API is empty.
    #[error("{} is empty: write one there, or remove the file to have one made", path.display())]
    EmptyCredential {
        /// The file.
        path: PathBuf,
    },
    /// The user of the gateway's own API can never log in.
    #[error("{} holds a `:`, with which nobody can log in: write another name into it", path.display())]
    UserWithColon {
        /// The file.
        path: PathBuf,
    },
    /// A function that was deployed was kept in a file that is of no use.
    #[error(
        "the deployed function in {} cannot be used; mend the file, or remove it and deploy the function again",
        path.display()
    )]
    Deployed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DeployedError,
    },
    /// Cargo could not build functions; the text is cargo's.
    #[error("cargo could not build {what}:\n{output}")]
    Build {
        /// What was to be built.
        what: String,
        /// What cargo said.
        output: String,
    },
    /// Functions do not run.
    #[error("not all functions run:{}", lines(reasons))]
    Functions {
        /// Why each does not, by its name.
        reasons: BTreeMap<String, String>,
    },
}

/// A secret that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingSecret {
    /// Its name.
    pub secret: String,
    /// The function that names it.
    pub function: String,
}

/// What is wrong with the file of a deployed function.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployedError {
    /// It is not JSON of the known form.
    #[error(transparent)]
    Format(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error("it is of version {version}, and this program knows {known}")]
    Version {
        /// Its version.
        version: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// It is of another function than its name says.
    #[error("it holds `{0}`")]
    OtherFunction(String),
}

fn listed(missing: &[MissingSecret]) -> String {
    let shown = missing.iter().map(|MissingSecret { secret, function }| format!("`{secret}` (for `{function}`)"));
    shown.collect::<Vec<_>>().join(", ")
}

fn lines(reasons: &BTreeMap<String, String>) -> String {
    reasons.iter().fold(String::new(), |mut lines, (function, why)| {
        let _ = write!(lines, "\n  - `{function}`: {why}");
        lines
    })
}

impl GatewayError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            GatewayError::Stack(error) => error.code(),
            GatewayError::Queue(error) => error.code(),
            GatewayError::Listen { .. } => code::GATEWAY_CANNOT_LISTEN,
            GatewayError::StateFolder { .. } => code::STATE_FOLDER,
            GatewayError::Unreadable { .. } => code::GATEWAY_FILE_UNREADABLE,
            GatewayError::Secrets { .. } => code::SECRETS_MISSING,
            GatewayError::EmptyKey { .. } => code::SIGNING_KEY_EMPTY,
            GatewayError::EmptyCredential { .. } => code::CREDENTIAL_EMPTY,
            GatewayError::UserWithColon { .. } => code::USER_WITH_COLON,
            GatewayError::Deployed { .. } => code::DEPLOYED_FUNCTION_UNREADABLE,
            GatewayError::Build { .. } => code::BUILD_FAILED,
            GatewayError::Functions { .. } => code::FUNCTIONS_DO_NOT_RUN,
        }
    }
}
