//! Values that nothing could be done with. They are refused when a stack file is read and when a function is deployed,
//! rather than when the function is called, or never.

use http::HeaderValue;

use faasflow_core::duration;

use super::image;
use super::inflight::{MAX_INFLIGHT, max_inflight};
use super::names::{LONGEST_NAME, check_secret_name, is_name};
use super::spec::{FunctionSpec, Kind};

/// Where the variables of a deployed function come from.
pub(crate) const DEPLOYMENT: &str = "its deployment";

/// Durations of both watchdogs. An image may have either, and takes its default for one that it cannot read.
const DURATIONS: [&str; 5] = ["exec_timeout", "hard_timeout", "healthcheck_interval", "read_timeout", "write_timeout"];
const PORTS: [&str; 2] = ["metrics_port", "port"];

/// Everything of a function that cannot be used, each with its key, its value and the remedy. `environment` is how the
/// variables are called where they were written.
pub(crate) fn check(spec: &FunctionSpec, environment: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_name(&spec.name) {
        faults.push(format!("its name may have letters, digits, `-` and `_` only, and at most {LONGEST_NAME} of them"));
    }
    for (key, value) in &spec.environment {
        if let Err(why) = variable(spec, key, value) {
            let origin = spec.origins.get(key).filter(|origin| *origin != DEPLOYMENT);
            let origin = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
            faults.push(format!("`{environment}`: `{}`{origin} {why}", key.escape_debug()));
        }
    }
    for secret in &spec.secrets {
        if let Err(why) = check_secret_name(secret) {
            faults.push(format!("`secrets`: `{}`: {why}", secret.escape_debug()));
        }
    }
    if let Kind::Image(image) = &spec.kind {
        faults.extend(image::check(spec, image));
    }
    for (what, map) in [("labels", &spec.labels), ("annotations", &spec.annotations)] {
        for (key, value) in map {
            if key.is_empty() || key.contains('\0') || value.contains('\0') {
                let key = key.escape_debug();
                faults.push(format!(
                    "`{what}`: `{key}`: a key must not be empty, and none may have a NUL in it; remove it"
                ));
            }
        }
    }
    faults
}

/// Says what is wrong with a variable, as the rest of a sentence that begins with its name.
fn variable(spec: &FunctionSpec, key: &str, value: &str) -> Result<(), String> {
    if key.is_empty() || key.contains(['=', '\0']) {
        return Err("cannot be the name of a variable: it must not be empty, nor have `=` or a NUL in it".to_owned());
    }
    if value.contains('\0') {
        return Err("has a NUL in its value, which no variable of a process may have; remove it".to_owned());
    }
    // The kernel's MAX_ARG_STRLEN, in which `=` and the end have a byte each.
    if key.len() + value.len() + 2 > 128 * 1024 && !matches!(spec.kind, Kind::Url(_)) {
        return Err(format!(
            "has {} bytes, and a variable of a process has no more than 131072 with its name: put it into a secret or a file",
            value.len()
        ));
    }
    let value = value.trim();
    if value.is_empty() {
        return Ok(());
    }
    let fault = |remedy: &str| Err(format!("is `{value}`: {remedy}"));
    if key == MAX_INFLIGHT && max_inflight(&spec.environment).is_err() {
        return fault("write how many requests may be in flight, such as `10`; `0` stands for no limit");
    }
    // Something else reads the rest of the environment of what is there already.
    if matches!(spec.kind, Kind::Url(_)) {
        return Ok(());
    }
    // A flow has settings of the same names, whose faults are told with all others of its settings.
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
