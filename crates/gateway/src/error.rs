use std::net::SocketAddr;
use std::path::PathBuf;

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
    #[error(
        "cannot listen on {address}: {source}; choose another port with `--port`, or `--port 0` for any that is free"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder or file of the gateway's own cannot be written.
    #[error("cannot write {}: {source}; choose another folder with `--state-dir`", path.display())]
    StateFolder {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that the gateway or a function needs cannot be read.
    #[error("{} cannot be read: {}", path.display(), faasflow_core::why_unreadable(error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not. The message tells it.
        error: std::io::Error,
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
