//! Opens the state manager that a setting names.

use std::path::Path;
use std::sync::Arc;

use faasflow_core::state::{StateError, StateManager};

use crate::memory::Memory;
#[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
use crate::settings::Settings;

/// Opens the state manager with this name (`memory`, `gateway`, `s3` or `redis`), using the settings that `lookup` finds and the
/// secrets in the folder `secrets`. It does not connect yet.
///
/// # Errors
///
/// If there is no state manager with this name, or a setting or secret cannot be used. The text names the setting, its
/// value and what is accepted.
#[cfg_attr(
    not(any(feature = "gateway", feature = "s3", feature = "redis")),
    expect(unused_variables, reason = "memory alone has neither settings nor secrets")
)]
pub fn open(
    name: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    secrets: &Path,
) -> Result<Arc<dyn StateManager>, StateError> {
    #[cfg(any(feature = "gateway", feature = "s3", feature = "redis"))]
    let settings = Settings { lookup, secrets: secrets.to_owned() };
    match name {
        "memory" => Ok(Arc::new(Memory::new())),
        #[cfg(feature = "gateway")]
        "gateway" => Ok(Arc::new(crate::GatewayStore::from_settings(&settings)?)),
        #[cfg(feature = "s3")]
        "s3" => Ok(Arc::new(crate::S3::from_settings(&settings)?)),
        #[cfg(feature = "redis")]
        "redis" => Ok(Arc::new(crate::Redis::from_settings(&settings)?)),
        #[allow(unreachable_patterns, reason = "which of them are left depends on the features")]
        "gateway" | "s3" | "redis" => Err(StateError::misconfigured(format!(
            "`state_manager` is `{name}`, but this program was built without it"
        ))
        .with_help(format!("add the feature `{name}` to the dependency on `faasflow`"))),
        _ => Err(StateError::misconfigured(format!("`state_manager` is `{name}`, which is not a state manager"))
            .with_help("write `envelope`, `s3`, `redis`, `gateway` or, for tests, `memory`")),
    }
}
