use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use faasflow_core::code::{self, Code};
use faasflow_core::{Problem, Unreadable};

use crate::build_error::BuildError;
use crate::queue::QueueError;
use crate::stack::StackError;
use crate::store::StoreError;

/// Why a gateway cannot start, or cannot run a function. The text includes neither causes nor remedies: `faasflow_core::chain`
/// prints the causes, and [`help`](GatewayError::help) is the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The stack file cannot be used.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway cannot listen on its address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder or file in the state folder cannot be written.
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
    /// Functions name secrets that do not exist.
    #[error("secrets are missing: {}", listed(missing))]
    Secrets {
        /// The secrets, in the order of the functions that name them.
        missing: Vec<MissingSecret>,
        /// The folder of the secrets.
        folder: PathBuf,
    },
    /// The key for signing is empty.
    #[error("the key for signing in {} is empty", path.display())]
    EmptyKey {
        /// The file.
        path: PathBuf,
    },
    /// The user name or the password of the admin API is empty.
    #[error("{} is empty", path.display())]
    EmptyCredential {
        /// The file.
        path: PathBuf,
    },
    /// Nobody could log in with the user name of the admin API.
    #[error("the user name in {} contains a `:`, so nobody could log in with it", path.display())]
    UserWithColon {
        /// The file.
        path: PathBuf,
    },
    /// The file of a deployed function cannot be used.
    #[error("the deployed function in {} cannot be used", path.display())]
    Deployed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DeployedError,
    },
    /// Cargo could not build functions.
    #[error("cargo could not build {what}")]
    Build {
        /// The functions that cargo should have built.
        what: String,
        /// Why it could not.
        source: BuildError,
    },
    /// Some functions do not run.
    #[error("not all functions run:{}", lines(reasons))]
    Functions {
        /// The reason, by the name of the function.
        reasons: BTreeMap<String, String>,
    },
}

/// A secret that does not exist.
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
    /// It is not JSON, or has other fields.
    #[error(transparent)]
    Format(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error("it has version {version}, and this program reads versions up to {known}")]
    Version {
        /// Its version.
        version: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// The file belongs to another function than its name says.
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
    /// What to do about it, if that is known. It names no options of the program that starts the gateway.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            GatewayError::Queue(error) => error.help().map(str::to_owned),
            GatewayError::Store(error) => error.help().map(str::to_owned),
            GatewayError::Secrets { folder, .. } => {
                Some(format!("write each secret into a file of its name in {}", folder.display()))
            }
            GatewayError::EmptyKey { .. } => {
                Some("write a key into the file, or remove it, and the gateway makes one".to_owned())
            }
            GatewayError::EmptyCredential { .. } => {
                Some("write a value into the file, or remove it, and the gateway makes one".to_owned())
            }
            GatewayError::UserWithColon { .. } => Some("write another name into the file".to_owned()),
            GatewayError::Deployed { .. } => {
                Some("correct the file, or remove it and deploy the function again".to_owned())
            }
            GatewayError::Unreadable { source, .. } => Some(source.help().to_owned()),
            GatewayError::Listen { .. } => Some("choose another address or port".to_owned()),
            GatewayError::StateFolder { .. } => {
                Some("let the user that this program runs as write there, or choose another state folder".to_owned())
            }
            GatewayError::Build { source, .. } => Some(source.help().to_owned()),
            GatewayError::Functions { .. } => {
                Some("read what each function logged; a function that has ended is started again".to_owned())
            }
            // Its problems have remedies.
            GatewayError::Stack(_) => None,
        }
    }

    /// The error as it is printed for people: with its causes, and what to do.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.help().into_iter().fold(Problem::from_error(self.code(), self), Problem::help)
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            GatewayError::Stack(error) => error.code(),
            GatewayError::Queue(error) => error.code(),
            GatewayError::Store(error) => error.code(),
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
