//! Checks that dependencies between crates follow the arrows in ARCHITECTURE.md.

use serde_json::Value;

use super::Fault;

/// Every crate of the product, and the crates it may depend on. Other crates are not restricted.
const ARROWS: [(&str, &[&str]); 13] = [
    ("faasflow-admin", &[]),
    ("faasflow-core", &[]),
    ("faasflow-dashboard", &["faasflow-admin"]),
    ("faasflow-containers", &["faasflow-core"]),
    ("faasflow-drawing", &["faasflow-admin", "faasflow-core"]),
    ("faasflow-http", &["faasflow-core"]),
    ("faasflow-queue", &["faasflow-core", "faasflow-http"]),
    ("faasflow-runtime", &["faasflow-admin", "faasflow-core", "faasflow-http"]),
    ("faasflow-state", &["faasflow-admin", "faasflow-core", "faasflow-http"]),
    (
        "faasflow-gateway",
        &[
            "faasflow-admin",
            "faasflow-containers",
            "faasflow-core",
            "faasflow-dashboard",
            "faasflow-drawing",
            "faasflow-http",
            "faasflow-queue",
        ],
    ),
    ("faasflow-testkit", &["faasflow-core", "faasflow-http", "faasflow-queue", "faasflow-runtime", "faasflow-state"]),
    (
        "faasflow-cli",
        &[
            "faasflow-admin",
            "faasflow-core",
            "faasflow-dashboard",
            "faasflow-drawing",
            "faasflow-gateway",
            "faasflow-http",
            "faasflow-runtime",
            "faasflow-state",
        ],
    ),
    ("faasflow", &["faasflow-core", "faasflow-runtime", "faasflow-state"]),
];

/// Crates that the core must not depend on, because it does no I/O and has no async runtime.
const NOT_FOR_CORE: [&str; 7] = ["axum", "hyper", "hyper-util", "mio", "reqwest", "tokio", "tokio-util"];

pub(super) fn check(metadata: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |package: &str, what: String| {
        faults.push(Fault { rule: "dependencies point one way", place: format!("crate {package}"), what });
    };
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(of, _)| *of == name) else {
            if manifest.contains("/crates/") {
                fault(name, "list it in xtask/src/check/arrows.rs with the crates it may depend on".to_owned());
            }
            continue;
        };
        for dependency in package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let on = dependency["name"].as_str().unwrap_or_default();
            // Tests may depend on anything.
            if dependency["kind"] == "dev" {
                continue;
            }
            let ours = on == "faasflow" || on.starts_with("faasflow-");
            if ours && !allowed.contains(&on) {
                fault(name, format!("it depends on {on}, but may depend only on: {}", allowed.join(", ")));
            }
            if name == "faasflow-core" && NOT_FOR_CORE.contains(&on) {
                fault(name, format!("it depends on {on}, but the core does no I/O"));
            }
        }
    }
    for (name, _) in ARROWS {
        if !packages.iter().any(|package| package["name"] == name) {
            fault(name, "it is listed in xtask/src/check/arrows.rs, but is not in the workspace".to_owned());
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_arrow_the_other_way_is_found() {
        let package = |name: &str, on: &[(&str, &str)]| {
            let dependencies: Vec<Value> =
                on.iter().map(|(name, kind)| json!({ "name": name, "kind": if kind.is_empty() { Value::Null } else { json!(kind) } })).collect();
            json!({ "name": name, "manifest_path": "/x/crates/x/Cargo.toml", "dependencies": dependencies })
        };
        let mut packages: Vec<Value> = ARROWS.iter().map(|(name, _)| package(name, &[])).collect();
        assert_eq!(check(&json!({ "packages": packages })), []);
        packages[1] = package("faasflow-core", &[("faasflow-runtime", ""), ("tokio", ""), ("faasflow-testkit", "dev")]);
        let found = check(&json!({ "packages": packages }));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
