//! Headers with the name of an option of the step.

/// What to write instead of a header with the name of an option; `None` for any other header. The Go original sets the
/// method with `Header("method", "put")`. If such a flow is ported literally, it sends a POST with a header `method`,
/// which no function expects.
pub(super) fn instead(name: &str, value: Option<&str>) -> Option<String> {
    let plain: String = name.trim().chars().filter(char::is_ascii_alphanumeric).collect();
    Some(match plain.to_ascii_lowercase().as_str() {
        "method" | "httpmethod" => {
            let method = value.map(|value| value.trim().to_ascii_uppercase()).filter(|method| {
                ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"].contains(&method.as_str())
            });
            format!(".method(Method::{})", method.as_deref().unwrap_or("POST"))
        }
        "query" => ".query(\"key\", \"value\")".to_owned(),
        "timeout" => ".timeout(Duration::from_secs(30))".to_owned(),
        "retry" | "retries" => ".retry(Retry::attempts(3))".to_owned(),
        "sync" | "async" => ".sync()".to_owned(),
        "onfailure" => ".on_failure(…)".to_owned(),
        "onresponse" | "onreponse" => ".on_response(…)".to_owned(),
        _ => return None,
    })
}
