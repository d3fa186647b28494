//! Starts the store for the joins of a graph.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::shape::{Shape, Store};
use crate::state::{Backend, install_redis};

/// The key from which the gateway of a run makes the tokens for its store.
const KEY: [u8; 32] = [7; 32];

pub(super) enum Backing {
    Nothing,
    Gateway,
    Redis(Box<Backend>),
}

impl Backing {
    /// Starts or prepares the store in the folder of the run. Secrets go into its `secrets`.
    pub(super) async fn start(shape: Shape, folder: &Path) -> Result<Backing, String> {
        let text = |error: std::io::Error| error.to_string();
        match shape {
            Shape::Linear => Ok(Backing::Nothing),
            Shape::Graph(Store::Gateway) => {
                // The gateway uses an existing key. So the token is known before the gateway starts, and the flow can run
                // separately.
                let folder = folder.join(".faasflow");
                std::fs::create_dir(&folder).map_err(text)?;
                let mut file = std::fs::File::options();
                let mut file =
                    file.create_new(true).write(true).mode(0o600).open(folder.join("state-key")).map_err(text)?;
                std::io::Write::write_all(&mut file, &KEY).map_err(text)?;
                Ok(Backing::Gateway)
            }
            Shape::Graph(Store::Redis) => {
                let backend = Backend::redis(&install_redis().await?, &folder.join("redis")).await?;
                for (name, secret) in backend.settings().1 {
                    std::fs::write(folder.join("secrets").join(name), secret).map_err(text)?;
                }
                Ok(Backing::Redis(Box::new(backend)))
            }
        }
    }

    /// The settings of the flow.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let settings = match self {
            Backing::Nothing => Vec::new(),
            Backing::Gateway => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("HMAC takes keys of any length");
                mac.update(FLOW.as_bytes());
                let code: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                vec![
                    ("state_manager", Store::Gateway.as_str().to_owned()),
                    ("state_gateway_token", format!("{FLOW}.{code}")),
                ]
            }
            Backing::Redis(backend) => backend.settings().0,
        };
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The name of the flow.
const FLOW: &str = "chaos-flow";
