//! Deployed functions on disk: a file for each, so that they outlive the gateway.

use std::io;
use std::path::PathBuf;

use faasflow_admin::Deployment;
use serde::{Deserialize, Serialize};

use crate::error::{DeployedError, GatewayError};
use crate::functions::deployment::Runs;
use crate::private_file;

/// The version of the files. A gateway does not read those of a newer one.
const VERSION: u32 = 1;

/// A deployed function as its file has it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    version: u32,
    pub(crate) created_ms: u64,
    pub(crate) deployment: Deployment,
    /// Absent in the files of gateways that knew no containers.
    #[serde(default)]
    pub(crate) runs: Runs,
}

impl Kept {
    pub(crate) fn new(created_ms: u64, deployment: Deployment, runs: Runs) -> Kept {
        Kept { version: VERSION, created_ms, deployment, runs }
    }
}

/// The folder of those files.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder where there is none.
    pub(crate) fn open(path: PathBuf) -> Result<Folder, GatewayError> {
        private_file::folder(&path).map_err(|source| GatewayError::StateFolder { path: path.clone(), source })?;
        Ok(Folder(path))
    }

    /// Removes what a gateway that was killed left unfinished. Only for who has the folder alone.
    pub(crate) fn sweep(&self) {
        private_file::sweep(&self.0);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    pub(crate) fn write(&self, kept: &Kept) -> io::Result<()> {
        let bytes = serde_json::to_vec(kept)?;
        private_file::replace(&self.file(&kept.deployment.service), &bytes)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match private_file::remove(&self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All that are kept.
    ///
    /// # Errors
    ///
    /// If one is damaged. To go on without it would be worse: calls that wait for the function in the queue would
    /// become dead letters, for want of a function that somebody was told is there.
    pub(crate) fn read(&self) -> Result<Vec<Kept>, GatewayError> {
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

fn parse(name: &str, bytes: &[u8]) -> Result<Kept, DeployedError> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_slice(bytes)?;
    if head.version > VERSION {
        return Err(DeployedError::Version { version: head.version, known: VERSION });
    }
    let kept: Kept = serde_json::from_slice(bytes)?;
    if kept.deployment.service != name {
        return Err(DeployedError::OtherFunction(kept.deployment.service));
    }
    Ok(kept)
}
