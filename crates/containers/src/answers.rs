//! The parts of an engine's answers that are used here.
//!
//! bollard's types know only Docker's names for the state of a container. They reject Podman's, such as `stopped` and
//! `initialized`. The types here do not read the name.

use std::collections::HashMap;

use serde::Deserialize;

/// The description of one container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Container {
    pub(crate) state: Option<State>,
    pub(crate) host_config: Option<HostConfig>,
    pub(crate) mounts: Option<Vec<Mount>>,
    pub(crate) network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct State {
    pub(crate) running: bool,
    pub(crate) paused: bool,
    #[serde(rename = "OOMKilled")]
    pub(crate) oom_killed: bool,
    pub(crate) exit_code: Option<i64>,
    pub(crate) error: Option<String>,
    pub(crate) health: Option<Health>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Health {
    pub(crate) status: Option<String>,
    pub(crate) log: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostConfig {
    pub(crate) memory: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Mount {
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NetworkSettings {
    pub(crate) ports: Option<HashMap<String, Option<Vec<Binding>>>>,
    pub(crate) networks: Option<HashMap<String, Endpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Binding {
    pub(crate) host_port: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoint {
    #[serde(rename = "IPAddress")]
    pub(crate) ip_address: Option<String>,
}

/// A container in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContainerSummary {
    pub(crate) id: Option<String>,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) labels: Option<HashMap<String, String>>,
}

/// The description of an engine.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Info {
    security_options: Option<Vec<String>>,
}

impl Info {
    pub(crate) fn is_rootless(&self) -> bool {
        self.security_options.iter().flatten().any(|option| option == "name=rootless")
    }
}
