//! A flow with branches that runs outside `faasflow up`. It can be killed, its deliveries go through a proxy, and so do its
//! requests to the gateway's store.

use std::path::Path;

use tokio::sync::Mutex;

use super::deliveries::Deliveries;
use super::stand::{beside, tracing};
use crate::gateway_store;
use crate::server::{Recipe, Server, free_port};
use crate::severed::Severable;

/// Its name.
pub(super) const NAME: &str = "graph-separate";
/// How long one of its phases may take.
const PHASE: &str = "5s";

pub(super) struct SeparateFlow {
    process: Mutex<Server>,
    pub(super) deliveries: Deliveries,
    pub(super) store: Severable,
}

impl SeparateFlow {
    /// Starts it. `folder` is that of the stack file, and `gateway` is the port that `faasflow up` will have.
    pub(super) async fn start(folder: &Path, gateway: u16, trace_server: String) -> Result<SeparateFlow, String> {
        let port = free_port()?;
        let deliveries = Deliveries::start(port).await?;
        let store = Severable::start(gateway).await?;
        gateway_store::prepare(folder)?;
        let secrets = folder.join("separate-secrets");
        std::fs::create_dir(&secrets).map_err(|error| error.to_string())?;
        std::fs::write(secrets.join("faasflow-hmac-secret"), "of this run alone").map_err(|error| error.to_string())?;
        let mut environment = tracing(trace_server, free_port()?);
        environment.extend([
            ("E2E_FLOW", "graph".to_owned()),
            ("workflow_name", NAME.to_owned()),
            ("gateway", format!("127.0.0.1:{gateway}")),
            ("state_gateway_url", format!("http://127.0.0.1:{}", store.port())),
            ("host", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("write_timeout", PHASE.to_owned()),
            ("secret_mount_path", secrets.display().to_string()),
        ]);
        environment.extend(gateway_store::settings(NAME));
        let process = Server::start(Recipe {
            program: beside("e2e-flow")?,
            arguments: Vec::new(),
            environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            port,
            ready: None,
            log: folder.join(format!("{NAME}.log")),
        })
        .await?;
        Ok(SeparateFlow { process: process.into(), deliveries, store })
    }

    /// Its entry in the stack file.
    pub(super) fn function(&self) -> String {
        format!("  {NAME}:\n    annotations: {{ faasflow.url: '{}' }}\n", self.deliveries.url())
    }

    /// Kills its process, and starts it again.
    pub(super) async fn restart(&self) -> Result<(), String> {
        let mut process = self.process.lock().await;
        process.kill().await?;
        process.again().await
    }
}
