//! Checks the values of a function. Wrong ones are refused when a stack file is read and when a function is deployed, instead
//! of when the function is called, or never.

use http::HeaderValue;

use faasflow_core::duration;

use super::fault::Fault;
use super::image;
use super::inflight::{MAX_INFLIGHT, max_inflight};
use super::names::{LONGEST_NAME, check_secret_name, is_name};
use super::spec::{FunctionSpec, Kind};

/// The origin of the variables of a deployed function.
pub(crate) const DEPLOYMENT: &str = "its deployment";

/// Variables with durations, of both watchdogs. An image may have either of them. A watchdog uses its default for a value that
/// it cannot parse.
const DURATIONS: [&str; 5] = ["exec_timeout", "hard_timeout", "healthcheck_interval", "read_timeout", "write_timeout"];
const PORTS: [&str; 2] = ["metrics_port", "port"];

/// Returns everything in a function that cannot be used. `environment` is the key under which its variables were written.
pub(crate) fn check(spec: &FunctionSpec, environment: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_name(&spec.name) {
        let rule = format!("use at most {LONGEST_NAME} letters, digits, `-` and `_`");
        faults.push(Fault::value("its name is not valid").help(rule));
    }
    for (key, value) in &spec.environment {
        if let Err((what, help)) = variable(spec, key, value) {
            let origin = spec.origins.get(key).filter(|origin| *origin != DEPLOYMENT);
            let origin = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
            let what = format!("`{environment}`: `{}`{origin} {what}", key.escape_debug());
            faults.push(Fault::value(what).help(help));
        }
    }
    for secret in &spec.secrets {
        if let Err(rule) = check_secret_name(secret) {
            let what = format!("`secrets`: `{}` is not the name of a secret", secret.escape_debug());
            faults.push(Fault::value(what).help(rule));
        }
    }
    if let Kind::Image(image) = &spec.kind {
        faults.extend(image::check(spec, image));
    }
    for (what, map) in [("labels", &spec.labels), ("annotations", &spec.annotations)] {
        for (key, value) in map {
            if key.is_empty() || key.contains('\0') || value.contains('\0') {
                let key = key.escape_debug();
                let what = format!("`{what}`: `{key}` is empty, or it or its value contains a NUL byte");
                faults.push(Fault::value(what).help("remove it"));
            }
        }
    }
    faults
}

/// Checks a variable. The error is the rest of a sentence that begins with its name, and what to do.
fn variable(spec: &FunctionSpec, key: &str, value: &str) -> Result<(), (String, &'static str)> {
    if key.is_empty() || key.contains(['=', '\0']) {
        return Err(("cannot be the name of a variable".to_owned(), "use a name without `=` and NUL bytes"));
    }
    if value.contains('\0') {
        return Err(("has a NUL byte in its value".to_owned(), "remove it"));
    }
    // The kernel's MAX_ARG_STRLEN, which includes a byte for `=` and one for the end.
    if key.len() + value.len() + 2 > 128 * 1024 && !matches!(spec.kind, Kind::Url(_)) {
        let what = format!("has {} bytes; name and value of a variable can have 131072 bytes together", value.len());
        return Err((what, "put it into a secret or a file"));
    }
    let value = value.trim();
    if value.is_empty() {
        return Ok(());
    }
    let fault = |help: &'static str| Err((format!("is `{value}`"), help));
    if key == MAX_INFLIGHT && max_inflight(&spec.environment).is_err() {
        return fault("write how many requests may be in flight, such as `10`, or `0` for no limit");
    }
    // Another program reads the rest of the environment if the function runs elsewhere.
    if matches!(spec.kind, Kind::Url(_)) {
        return Ok(());
    }
    // A flow has settings of the same names, and reports their faults together with those of its other settings.
    if DURATIONS.contains(&key) && !(spec.is_flow() && ["read_timeout", "write_timeout"].contains(&key)) {
        return match duration::parse(value) {
            Ok(_) => Ok(()),
            Err(_) => fault("write a duration such as `30s`, `1m30s` or `500ms`, or seconds"),
        };
    }
    if PORTS.contains(&key) && !spec.is_flow() && value.parse::<u16>().is_err() {
        return fault("write the number of a port, from 0 to 65535");
    }
    if matches!(spec.kind, Kind::Command(_)) {
        if key == "combine_output" && !["true", "false"].contains(&value) {
            return fault("write `true` or `false`");
        }
        if key == "content_type" && HeaderValue::from_str(value).is_err() {
            return fault("write a content type such as `application/json`");
        }
    }
    Ok(())
}
