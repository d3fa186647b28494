//! The checks on the cluster.

mod applied;
mod kills;
mod load;
mod policies;
mod requests;
mod updates;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::cluster::Cluster;
use super::kubectl::Kubectl;
use super::machine::NODE;
use super::manifests::{Manifests, PASSWORD};
use super::programs::Programs;
use crate::client::Client;
use crate::recorder::Recorder;
use crate::server::Server;
use crate::suite::Suite;

/// The cluster and the servers that the checks use.
pub(super) struct Stand {
    kubectl: Kubectl,
    manifests: Manifests,
    client: Client,
    /// Receives the reports of requests that have ended.
    recorder: Recorder,
    kubelet: Mutex<Server>,
    policies: Result<(), String>,
}

impl Stand {
    /// The address of a Service, which forwards to one of its pods.
    async fn service(&self, name: &str) -> Result<String, String> {
        let address = self.kubectl.ours(&["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]).await?;
        Ok(format!("http://{address}:8080"))
    }

    /// The URL of the gateway with its password, for routes under `/system`.
    async fn system(&self, path: &str) -> Result<serde_json::Value, String> {
        let url = self.service("gateway").await?.replace("http://", &format!("http://admin:{PASSWORD}@"));
        let answer = self.client.get(&format!("{url}{path}")).await?.expect(200)?;
        serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
    }

    /// The pods of a flow or function: the name of each, and the field that a path selects.
    async fn pods(&self, name: &str, field: &str) -> Result<Vec<(String, String)>, String> {
        let label = format!("--selector=app.kubernetes.io/name={name}");
        let output = format!("jsonpath={{range .items[*]}}{{.metadata.name}} {{{field}}}{{\"\\n\"}}{{end}}");
        let text = self.kubectl.ours(&["get", "pods", &label, "-o", &output]).await?;
        let pair = |line: &str| line.split_once(' ').map(|(name, field)| (name.to_owned(), field.trim().to_owned()));
        Ok(text.lines().filter_map(pair).collect())
    }
}

/// Imports the images, applies the manifests, and runs all checks.
///
/// # Errors
///
/// If the cluster or a server cannot be used.
pub(super) async fn run(suite: &Suite, cluster: Cluster, programs: &Programs, folder: &Path) -> Result<(), String> {
    let images = std::fs::read_dir(folder.join("images")).map_err(|error| error.to_string())?;
    for image in images.flatten() {
        cluster.import(&image.path()).await?;
    }
    let Cluster { kubectl, kubelet, policies, others: _others, .. } = cluster;
    let stand = Arc::new(Stand {
        kubectl,
        manifests: Manifests::write(folder).await?,
        client: Client::new(),
        recorder: Recorder::start_at(NODE).await?,
        kubelet: Mutex::new(kubelet),
        policies,
    });
    suite.heading("The manifests");
    applied::run(suite, &stand, programs).await?;
    suite.heading("Requests through the Services");
    requests::run(suite, &stand).await;
    suite.heading("Updates and failures");
    updates::run(suite, &stand).await;
    kills::run(suite, &stand).await;
    suite.heading("Network policies");
    policies::run(suite, &stand).await;
    Ok(())
}
