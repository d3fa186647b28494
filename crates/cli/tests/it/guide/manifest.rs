//! Checks a CronJob for Kubernetes without a cluster: its fields are known, and what it names is there.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::page::Block;

/// The fields that manifests in the documentation have. Another one is misspelled, or is to be added here.
const FIELDS: [&str; 19] = [
    "apiVersion",
    "args",
    "concurrencyPolicy",
    "containers",
    "image",
    "jobTemplate",
    "kind",
    "metadata",
    "mountPath",
    "name",
    "readOnly",
    "restartPolicy",
    "schedule",
    "secret",
    "secretName",
    "spec",
    "template",
    "volumeMounts",
    "volumes",
];

/// Whether a block is a manifest, and not a file of Faasflow's.
pub(super) fn is_one(block: &Block) -> bool {
    block.text.starts_with("apiVersion:")
}

/// Panics unless the block is a job that can run in the cluster that `deploy/kubernetes` makes.
pub(super) fn check(root: &Path, block: &Block) {
    let place = &block.place;
    let job: Value = serde_saphyr::from_str(&block.text).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_fields(place, &job);
    assert_eq!((&job["apiVersion"], &job["kind"]), (&"batch/v1".into(), &"CronJob".into()), "{place}");
    assert_eq!(text(&job["spec"]["schedule"]).split(' ').count(), 5, "{place}");
    assert!(["Allow", "Forbid", "Replace"].contains(&text(&job["spec"]["concurrencyPolicy"])), "{place}");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert!(["Never", "OnFailure"].contains(&text(&pod["restartPolicy"])), "{place}");
    let secret = std::fs::read_to_string(root.join("deploy/kubernetes/secret.yaml")).expect("the secret");
    let secret: Value = serde_saphyr::from_str(&secret).expect("the secret is YAML");
    for container in list(&pod["containers"]) {
        let arguments: Vec<&str> = list(&container["args"]).iter().map(text).collect();
        let [mount] = &list(&container["volumeMounts"])[..] else { panic!("{place}: one volume is mounted") };
        let volume = list(&pod["volumes"]).iter().find(|volume| volume["name"] == mount["name"]).expect("the volume");
        assert_eq!(volume["secret"]["secretName"], secret["metadata"]["name"], "{place}");
        let folder = format!("@{}/", text(&mount["mountPath"]));
        let file = arguments.iter().find_map(|word| word.strip_prefix(&folder)).expect("the file of the secret");
        assert!(secret["stringData"][file].is_string(), "{place}: {file}");
        assert_command(place, &arguments);
    }
}

fn assert_fields(place: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                assert!(FIELDS.contains(&name.as_str()), "{place}: `{name}` is not known");
                assert_fields(place, value);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| assert_fields(place, value)),
        _ => {}
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// Panics unless `faasflow` understands these arguments. Nothing listens where it is sent.
pub(super) fn assert_command(place: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "key").expect("a file");
    let arguments = arguments.iter().map(|word| match word {
        word if word.starts_with("http://") => "http://127.0.0.1:9".to_owned(),
        word if word.starts_with('@') => format!("@{}", key.display()),
        word => (*word).to_owned(),
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_faasflow"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("faasflow runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error[FF0901]: the gateway at http://127.0.0.1:9 "), "{place}: {said}");
}
