use std::net::SocketAddr;
use std::path::PathBuf;

use faasflow_core::code::{self, Code};

use crate::queue::QueueError;
use crate::stack::StackError;

/// A gateway that cannot start, or a function that it cannot run.
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
        source: std::io::Error,
    },
    /// Functions name secrets that are not there.
    #[error("secrets are missing: {missing}; write each into a file of its name in {}", folder.display())]
    Secrets {
        /// Their names, and the functions that want them.
        missing: String,
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
        "the deployed function in {} cannot be read: {what}; mend the file, or remove it and deploy the function again",
        path.display()
    )]
    Deployed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
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
    #[error("not all functions run:{0}")]
    Functions(String),
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
            GatewayError::Functions(_) => code::FUNCTIONS_DO_NOT_RUN,
        }
    }
}
