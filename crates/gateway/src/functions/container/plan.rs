//! The name and the description of a function's container.

use std::collections::HashMap;
use std::path::Path;

use faasflow_containers::Blueprint;
use faasflow_core::names::STATE_URL;

use super::connection::{EngineConnection, FUNCTION, OWNER, STATE_FOLDER};
use crate::functions::environment::uses_own_store;
use crate::functions::{Function, RunError};
use crate::stack::{FunctionSpec, ResourceBounds, port};

/// The prefix of the names of containers.
const PREFIX: &str = "faasflow-";

/// Chooses a name for a container of a function.
pub(super) fn name(spec: &FunctionSpec) -> String {
    format!("{PREFIX}{}-{:08x}", spec.name, rand::random::<u32>())
}

/// Whether this gateway chose the name of a container. A container of an image that was committed from one of ours has our
/// labels, but another name.
pub(super) fn is_name(name: &str, labels: &HashMap<String, String>) -> bool {
    let number = labels.get(FUNCTION).and_then(|function| name.strip_prefix(PREFIX)?.strip_prefix(&**function));
    let digits = number.and_then(|number| number.strip_prefix('-')).unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Describes a container of a function. `secrets` is the path by which the engine finds the folder of its secrets.
pub(super) fn blueprint(
    function: &Function,
    name: &str,
    image: &str,
    connected: &EngineConnection,
    secrets: Option<&Path>,
) -> Result<Blueprint, RunError> {
    let spec = &function.spec;
    let ResourceBounds { limits, requests } =
        ResourceBounds::read(spec).map_err(|fault| RunError::Limits(fault.to_string()))?;
    let mut environment = function.environment.clone();
    environment.push(("gateway".to_owned(), connected.gateway.clone()));
    if uses_own_store(spec) {
        environment.push((STATE_URL.to_owned(), format!("http://{}", connected.store)));
    }
    let mut labels = spec.labels.clone();
    labels.extend([
        (OWNER.to_owned(), connected.owner.clone()),
        (STATE_FOLDER.to_owned(), connected.state.display().to_string()),
        (FUNCTION.to_owned(), spec.name.clone()),
    ]);
    Ok(Blueprint {
        name: name.to_owned(),
        image: image.to_owned(),
        environment,
        labels,
        port: port(spec),
        secrets: secrets.map(Path::to_owned),
        read_only_root: spec.resources.read_only_root_filesystem,
        limits,
        requests,
        reach: connected.reach.clone(),
        host: connected.host,
    })
}
