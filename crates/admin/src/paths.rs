//! The paths of the API. A path with `{…}` is a pattern; for each there is a function that fills it in.

/// The functions.
pub const FUNCTIONS: &str = "/system/functions";
/// One function.
pub const FUNCTION: &str = "/system/function/{name}";
/// How many containers a function has.
pub const SCALE: &str = "/system/scale-function/{name}";
/// What the gateway says of itself.
pub const INFO: &str = "/system/info";
/// The namespaces.
pub const NAMESPACES: &str = "/system/namespaces";
/// The secrets of functions.
pub const SECRETS: &str = "/system/secrets";
/// The log lines of functions.
pub const LOGS: &str = "/system/logs";
/// The metrics of one function.
pub const FUNCTION_METRICS: &str = "/system/metrics";
/// The state of the queue.
pub const QUEUE: &str = "/system/queue";
/// The calls in the queue.
pub const CALLS: &str = "/system/queue/calls";
/// The dead letters.
pub const DEAD_LETTERS: &str = "/system/queue/dead-letters";
/// One dead letter.
pub const DEAD_LETTER: &str = "/system/queue/dead-letters/{id}";
/// Puts dead letters back into the queue.
pub const REDRIVE: &str = "/system/queue/redrive";
/// The metrics of the gateway. The path is outside `/system` and needs no password.
pub const METRICS: &str = "/metrics";

/// The path of one function: [`FUNCTION`]. Names have only letters, digits, `-`, `_` and `.`, so nothing is escaped.
#[must_use]
pub fn function(name: &str) -> String {
    FUNCTION.replace("{name}", name)
}

/// The path that scales a function: [`SCALE`].
#[must_use]
pub fn scale(name: &str) -> String {
    SCALE.replace("{name}", name)
}

/// The path of one dead letter: [`DEAD_LETTER`].
#[must_use]
pub fn dead_letter(id: u64) -> String {
    DEAD_LETTER.replace("{id}", &id.to_string())
}
