//! Starts the store for records and joins.

use std::path::Path;

use super::shape::{Shape, Store};
use crate::gateway_store;
use crate::state::{Backend, install_minio, install_redis};

pub(super) enum Backing {
    Nothing,
    Gateway,
    Server(Box<Backend>),
}

impl Backing {
    /// Starts or prepares the store in the folder of the run. Secrets go into its `secrets`.
    pub(super) async fn start(shape: Shape, folder: &Path) -> Result<Backing, String> {
        match shape.store() {
            None => Ok(Backing::Nothing),
            Some(Store::Gateway) => {
                gateway_store::prepare(folder)?;
                Ok(Backing::Gateway)
            }
            Some(Store::Redis) => {
                Backing::server(Backend::redis(&install_redis().await?, &folder.join("redis")).await?, folder)
            }
            Some(Store::S3) => {
                Backing::server(Backend::minio(&install_minio().await?, &folder.join("s3"), None).await?, folder)
            }
        }
    }

    /// Writes the secrets of a server into the folder of the run.
    fn server(backend: Backend, folder: &Path) -> Result<Backing, String> {
        for (name, secret) in backend.settings().1 {
            std::fs::write(folder.join("secrets").join(name), secret).map_err(|error| error.to_string())?;
        }
        Ok(Backing::Server(Box::new(backend)))
    }

    /// The settings of the flow.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let settings = match self {
            Backing::Nothing => Vec::new(),
            Backing::Gateway => gateway_store::settings(FLOW).into(),
            Backing::Server(backend) => backend.settings().0,
        };
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The name of the flow.
const FLOW: &str = "chaos-flow";
