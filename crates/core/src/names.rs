//! Names that flows and the local gateway must agree on.

/// The secret that holds the keys for signing, one per line.
pub const HMAC_SECRET: &str = "faasflow-hmac-secret";

/// The environment variable with which `faasflow up` tells a flow that one process serves all of its requests. It is
/// not a setting for users.
pub const SINGLE_PROCESS: &str = "faasflow_single_process";

/// The setting with the URL of the gateway whose store keeps the state. `faasflow up` sets it for its functions.
pub const STATE_URL: &str = "state_gateway_url";

/// The setting with the token for the store of the gateway. `faasflow up` sets it for its functions.
pub const STATE_TOKEN: &str = "state_gateway_token";

/// The name of the state manager that keeps state in the store of the gateway.
pub const GATEWAY_STORE: &str = "gateway";

/// The environment variable with which `faasflow up` tells a flow which state manager to use if it needs a shared one
/// and neither its definition nor its settings name one. It is not a setting for users.
pub const DEFAULT_STORE: &str = "faasflow_default_store";

/// The environment variable with which `faasflow up` tells a flow how much of the machine's memory it may count on, in
/// bytes. It is not a setting for users.
pub const MEMORY: &str = "faasflow_memory";
