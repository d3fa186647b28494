//! Names that flows and the local gateway must agree on.

/// The secret that holds the keys for signing, one per line.
pub const HMAC_SECRET: &str = "faasflow-hmac-secret";

/// The environment variable with which `faasflow up` tells a flow that one process serves all of its requests. It is
/// not a setting for users.
pub const SINGLE_PROCESS: &str = "faasflow_single_process";

/// The environment variable with which `faasflow up` tells a flow how much of the machine's memory it may count on, in
/// bytes. It is not a setting for users.
pub const MEMORY: &str = "faasflow_memory";
