//! Deployed functions on disk, in a file for each. So they are there again after a restart of the gateway.

use std::io;
use std::path::PathBuf;

use faasflow_admin::Deployment;
use serde::{Deserialize, Serialize};

use crate::error::{DeployedError, GatewayError};
use crate::functions::deployment::Runs;
use crate::private_file;

/// The version of the files. A gateway refuses files of a later version.
const VERSION: u32 = 1;

/// A deployed function as it is stored in its file.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredFunction {
    version: u32,
    pub(crate) created_ms: u64,
    pub(crate) deployment: Deployment,
    /// Missing in files of gateways that did not support containers.
    #[serde(default)]
    pub(crate) runs: Runs,
}

impl StoredFunction {
    pub(crate) fn new(created_ms: u64, deployment: Deployment, runs: Runs) -> StoredFunction {
        StoredFunction { version: VERSION, created_ms, deployment, runs }
    }
}

/// The folder with the files of deployed functions.
#[derive(Clone, Debug)]
pub(crate) struct Storage(PathBuf);

impl Storage {
    /// Opens the folder, and creates it if it does not exist.
    pub(crate) fn open(path: PathBuf) -> Result<Storage, GatewayError> {
        private_file::folder(&path).map_err(|source| GatewayError::StateFolder { path: path.clone(), source })?;
        Ok(Storage(path))
    }

    /// Removes the unfinished files of a gateway that was killed. Call this only while no other gateway uses the folder.
    pub(crate) fn sweep(&self) {
        private_file::sweep(&self.0);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    pub(crate) fn write(&self, function: &StoredFunction) -> io::Result<()> {
        let bytes = serde_json::to_vec(function)?;
        private_file::replace(&self.file(&function.deployment.service), &bytes)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match private_file::remove(&self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads all files.
    ///
    /// # Errors
    ///
    /// If one is damaged. Ignoring it would be worse, because calls that wait for the function in the queue would become dead
    /// letters.
    pub(crate) fn read(&self) -> Result<Vec<StoredFunction>, GatewayError> {
        let listed = private_file::names(&self.0);
        let names = listed.map_err(|source| GatewayError::StateFolder { path: self.0.clone(), source })?;
        let files = names.iter().filter_map(|file| Some((file.strip_suffix(".json")?, self.0.join(file))));
        files
            .map(|(name, path)| {
                let bytes = std::fs::read(&path)
                    .map_err(|error| GatewayError::Unreadable { path: path.clone(), source: error.into() })?;
                parse(name, &bytes).map_err(|source| GatewayError::Deployed { path, source })
            })
            .collect()
    }
}

fn parse(name: &str, bytes: &[u8]) -> Result<StoredFunction, DeployedError> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_slice(bytes)?;
    if head.version > VERSION {
        return Err(DeployedError::Version { version: head.version, known: VERSION });
    }
    let stored: StoredFunction = serde_json::from_slice(bytes)?;
    if stored.deployment.service != name {
        return Err(DeployedError::OtherFunction(stored.deployment.service));
    }
    Ok(stored)
}
