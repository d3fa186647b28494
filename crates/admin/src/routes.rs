use crate::paths;

/// A route of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The method, in capitals.
    pub method: &'static str,
    /// The path, a constant of [`paths`].
    pub path: &'static str,
    /// The parameters of its query. They are optional unless the reference says otherwise.
    pub query: &'static [&'static str],
}

const fn route(method: &'static str, path: &'static str, query: &'static [&'static str]) -> Route {
    Route { method, path, query }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    route("GET", paths::FUNCTIONS, &["namespace", "usage"]),
    route("POST", paths::FUNCTIONS, &[]),
    route("PUT", paths::FUNCTIONS, &[]),
    route("DELETE", paths::FUNCTIONS, &[]),
    route("GET", paths::FUNCTION, &["namespace", "usage"]),
    route("POST", paths::SCALE, &["namespace"]),
    route("GET", paths::INFO, &[]),
    route("GET", paths::PAGE_TOKEN, &[]),
    route("GET", paths::EVENTS, &["after"]),
    route("GET", paths::ACTIVITY, &[]),
    route("GET", paths::NAMESPACES, &[]),
    route("GET", paths::SECRETS, &["namespace"]),
    route("POST", paths::SECRETS, &[]),
    route("PUT", paths::SECRETS, &[]),
    route("DELETE", paths::SECRETS, &[]),
    route("GET", paths::LOGS, &["name", "request", "place", "tail", "since", "follow", "namespace"]),
    route("GET", paths::FUNCTION_METRICS, &["name", "namespace"]),
    route("GET", paths::QUEUE, &[]),
    route("GET", paths::CALLS, &["limit"]),
    route("GET", paths::DEAD_LETTERS, &["limit", "function", "request"]),
    route("GET", paths::DEAD_LETTER, &["masked"]),
    route("POST", paths::REDRIVE, &[]),
    route("DELETE", paths::DEAD_LETTERS, &[]),
    route("GET", paths::FLOWS, &[]),
    route("GET", paths::DRAWING, &[]),
    route("GET", paths::FLOW_ACTIVITY, &[]),
    route(
        "GET",
        paths::REQUESTS,
        &[
            "status", "since", "until", "key", "search", "repeats", "ids", "at", "retrying", "idle", "reason",
            "details", "limit", "cursor",
        ],
    ),
    route("GET", paths::REQUEST, &[]),
    route("GET", paths::ITEMS, &["place", "status", "search", "limit", "cursor"]),
    route("GET", paths::PLACE, &["place"]),
    route("GET", paths::RESULT, &["masked"]),
    route("GET", paths::INPUT, &["place"]),
    route("GET", paths::INPUT_HEAD, &[]),
    route("GET", paths::OUTPUT, &["place"]),
    route("GET", paths::ANSWER, &["place"]),
    route("GET", paths::ANSWER_HEAD, &["place"]),
    route("POST", paths::PAUSE, &[]),
    route("POST", paths::RESUME, &[]),
    route("POST", paths::STOP, &[]),
    route("POST", paths::REDRIVE_REQUEST, &["from"]),
    route("POST", paths::AGAIN, &["id"]),
    route("POST", paths::RECOVER, &["older", "force", "limit", "cursor"]),
    route("GET", paths::METRICS, &[]),
];
