use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};

/// Keeps browsers from executing an answer that others have made, such as a result that is HTML: it has the origin of the server.
pub fn forbid_scripts(answer: &mut HeaderMap) {
    answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    answer.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The same as a layer, for [`map_response`](axum::middleware::map_response).
pub async fn without_scripts(mut answer: Response) -> Response {
    forbid_scripts(answer.headers_mut());
    answer
}
