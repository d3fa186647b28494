//! The paths of the API. A path with `{…}` is a pattern; for each there is a function that fills it in.

/// The functions.
pub const FUNCTIONS: &str = "/system/functions";
/// One function.
pub const FUNCTION: &str = "/system/function/{name}";
/// How many containers a function has.
pub const SCALE: &str = "/system/scale-function/{name}";
/// What the gateway says of itself.
pub const INFO: &str = "/system/info";
/// The token of the gateway's own pages.
pub const PAGE_TOKEN: &str = "/system/page-token";
/// What happens at the gateway, as events.
pub const EVENTS: &str = "/system/events";
/// The last hour of the gateway.
pub const ACTIVITY: &str = "/system/activity";
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
/// The names of the flows.
pub const FLOWS: &str = "/system/flows";
/// A flow as a picture.
pub const DRAWING: &str = "/system/flows/{flow}/drawing";
/// The last hour of a flow.
pub const FLOW_ACTIVITY: &str = "/system/flows/{flow}/activity";
/// The requests of a flow.
pub const REQUESTS: &str = "/system/flows/{flow}/requests";
/// One request.
pub const REQUEST: &str = "/system/flows/{flow}/requests/{id}";
/// The items or branches that a place of a request began.
pub const ITEMS: &str = "/system/flows/{flow}/requests/{id}/items";
/// One place of a request.
pub const PLACE: &str = "/system/flows/{flow}/requests/{id}/place";
/// The result of a request.
pub const RESULT: &str = "/system/flows/{flow}/requests/{id}/result";
/// What a place of a request begins with, or the request itself.
pub const INPUT: &str = "/system/flows/{flow}/requests/{id}/input";
/// The query and the headers that a request was sent with.
pub const INPUT_HEAD: &str = "/system/flows/{flow}/requests/{id}/input/head";
/// The output of a place.
pub const OUTPUT: &str = "/system/flows/{flow}/requests/{id}/output";
/// The answer of a function that made a place fail.
pub const ANSWER: &str = "/system/flows/{flow}/requests/{id}/answer";
/// The status and the headers of that answer.
pub const ANSWER_HEAD: &str = "/system/flows/{flow}/requests/{id}/answer/head";
/// Pauses a request.
pub const PAUSE: &str = "/system/flows/{flow}/requests/{id}/pause";
/// Makes a request go on that was paused.
pub const RESUME: &str = "/system/flows/{flow}/requests/{id}/resume";
/// Ends a request.
pub const STOP: &str = "/system/flows/{flow}/requests/{id}/stop";
/// Starts a request again that has ended.
pub const REDRIVE_REQUEST: &str = "/system/flows/{flow}/requests/{id}/redrive";
/// Runs a request again, as a new one with the same input.
pub const AGAIN: &str = "/system/flows/{flow}/requests/{id}/again";
/// Makes requests go on that do not move.
pub const RECOVER: &str = "/system/flows/{flow}/recover";
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

/// A path below a flow: [`DRAWING`], [`FLOW_ACTIVITY`], [`REQUESTS`] or [`RECOVER`].
#[must_use]
pub fn of_flow(path: &str, flow: &str) -> String {
    path.replace("{flow}", flow)
}

/// A path below a request of a flow, such as [`REQUEST`] or [`STOP`]. Ids of requests need no escaping either.
#[must_use]
pub fn of_request(path: &str, flow: &str, id: &str) -> String {
    of_flow(path, flow).replace("{id}", id)
}
