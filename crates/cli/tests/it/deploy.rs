//! The manifests in `deploy/` and the image in `template/` are consistent with each other and with the settings of flows.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use faasflow_runtime::Config;
use faasflow_runtime::config::SettingValue;
use serde_json::Value;

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).expect(path)
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn duration(value: &Value) -> Duration {
    faasflow_core::duration::parse(value.as_str().expect("a duration is text")).expect("a duration")
}

/// Loads the environment as the flow would, and checks that everything in front of the flow waits longer than the flow.
fn in_order(stack: &str, gateway: [Duration; 3], ack_wait: Duration) {
    let file = yaml(stack);
    let functions = file["functions"].as_object().expect("functions");
    for (name, function) in functions {
        assert!(function["image"].as_str().is_some_and(|image| image.contains(':')), "{stack}: {name}");
        let own = duration(&function["environment"]["write_timeout"]);
        let [upstream, read, write] = gateway;
        assert!(own < upstream && upstream < read && upstream < write && write < ack_wait, "{stack}: {name}");
    }
    let flow = &functions["upload-pipeline-async"];
    assert_eq!(flow["lang"], "faasflow");
    let config = Config::load(|name| {
        let value = flow["environment"].get(name)?.as_str().expect("text").to_owned();
        Some(SettingValue { value, origin: String::new() })
    });
    let config = config.unwrap_or_else(|error| panic!("{stack}: {error}"));
    assert_eq!(config.workflow_name, "upload-pipeline-async");
    for (name, function) in functions {
        let own = duration(&function["environment"]["write_timeout"]);
        assert!(name == "upload-pipeline-async" || own < config.write_timeout, "{stack}: a call outlasts its phase");
    }
}

#[test]
fn timeouts_on_kubernetes_are_in_order() {
    let values = yaml("deploy/kubernetes/values.yaml");
    let gateway = ["upstreamTimeout", "readTimeout", "writeTimeout"].map(|name| duration(&values["gateway"][name]));
    in_order("deploy/kubernetes/stack.yml", gateway, duration(&values["queueWorker"]["ackWait"]));
    assert_eq!(yaml("deploy/kubernetes/secret.yaml")["metadata"]["name"], faasflow_runtime::config::HMAC_SECRET);
}

#[test]
fn timeouts_on_faasd_are_in_order() {
    let settings = yaml("deploy/faasd/docker-compose.settings.yaml");
    let of = |service: &str, name: &str| {
        let lines = settings["services"][service]["environment"].as_array().expect("a list");
        let found = lines.iter().find_map(|line| line.as_str()?.strip_prefix(&format!("{name}=")));
        duration(&found.unwrap_or_else(|| panic!("{service} has no {name}")).into())
    };
    let gateway = ["upstream_timeout", "read_timeout", "write_timeout"].map(|name| of("gateway", name));
    in_order("deploy/faasd/stack.yml", gateway, of("queue-worker", "ack_wait"));
}

/// The gateway finds each function at the service of the same name, each service is built from an existing stage, and the
/// settings of the flows are valid.
#[test]
fn compose_fits_its_stack_file_and_its_dockerfile() {
    let compose = yaml("deploy/compose.yaml");
    let services = compose["services"].as_object().expect("services");
    let stages = text("deploy/docker/Dockerfile");
    for (name, service) in services.iter().filter(|(_, service)| !service["build"].is_null()) {
        assert_eq!(service["build"]["target"], name.as_str());
        assert!(stages.contains(&format!("FROM base AS {name}\n")), "no stage for {name}");
    }
    let stack = yaml("deploy/docker/stack.yml");
    let functions = stack["functions"].as_object().expect("functions");
    assert_eq!(functions.len(), 6);
    for (name, function) in functions {
        assert!(!services[name]["build"].is_null(), "{name} is no service");
        assert_eq!(function["annotations"]["faasflow.url"], format!("http://{name}:8080"));
    }
    for name in ["upload-pipeline", "upload-pipeline-async"] {
        let config = Config::load(|variable| {
            let own = services[name]["environment"].get(variable);
            let value = own.or_else(|| compose["x-settings"].get(variable))?.as_str().expect("text").to_owned();
            Some(SettingValue { value, origin: String::new() })
        });
        assert_eq!(config.unwrap_or_else(|error| panic!("{name}: {error}")).workflow_name, name);
    }
}

fn defaults() -> HashMap<&'static str, String> {
    Config::settings(|_| None).into_iter().map(|setting| (setting.name, setting.value)).collect()
}

/// The watchdog's defaults are shorter, and would end requests that the flow still works on.
#[test]
fn the_image_gives_the_watchdog_the_flows_timeouts() {
    let dockerfile = text("template/faasflow/Dockerfile");
    for name in ["read_timeout", "write_timeout"] {
        let set = format!("{name}=\"{}\"", defaults()[name]);
        assert!(dockerfile.contains(&set), "{set}");
    }
    let own = |name: &str| {
        let set = dockerfile.split(&format!(" {name}=\"")).nth(1).expect(name);
        set.split('"').next().expect("a value").to_owned()
    };
    let upstream = format!("http://{}:{}", own("host"), own("flow_port"));
    assert_eq!(own("upstream_url"), upstream, "the watchdog asks where the flow listens");
    let metrics = own("flow_metrics_port");
    let stack = yaml("deploy/kubernetes/stack.yml");
    assert_eq!(stack["functions"]["upload-pipeline-async"]["annotations"]["prometheus.io.port"], metrics.as_str());
    let watchdog = [defaults()["port"].clone(), defaults()["metrics_port"].clone(), own("flow_port")];
    assert!(!watchdog.contains(&metrics), "that port is taken");
    assert_eq!(own("metrics_host"), "0.0.0.0", "Prometheus asks from outside");
    let template = yaml("template/faasflow/template.yml");
    assert_eq!(template["language"], "faasflow");
    assert_eq!(template["fprocess"], own("fprocess").as_str());
}

#[test]
fn the_flow_yml_of_the_template_shows_defaults() {
    let file = text("template/faasflow/function/flow.yml");
    assert_eq!(yaml("template/faasflow/function/flow.yml")["environment"]["gateway"], "gateway.openfaas:8080");
    let defaults = defaults();
    let mut shown = 0;
    for line in file.lines() {
        let Some((name, value)) = line.strip_prefix("  # ").and_then(|line| line.split_once(": ")) else { continue };
        if name.contains(' ') || name == "workflow_name" {
            continue;
        }
        assert_eq!(defaults.get(name).map(String::as_str), Some(value), "{name}");
        shown += 1;
    }
    assert!(shown >= 16, "only {shown} settings were found");
    let (_, state) = file.split_once("# Where state is stored").expect("it explains `state_manager`");
    let (state, _) = state.split_once("# state_manager:").expect("it shows the default");
    for name in ["envelope", "s3", "redis", "gateway"] {
        assert!(state.contains(name), "`{name}` is missing: {state}");
    }
}

/// The one container of a Deployment or StatefulSet.
fn container(workload: &Value) -> &Value {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1);
    &containers[0]
}

#[test]
fn a_flow_without_openfaas_has_consistent_timeouts() {
    let workload = yaml("deploy/kubernetes/base/my-flow/deployment.yaml");
    let flow = container(&workload);
    let variables = flow["env"].as_array().expect("variables");
    let config = Config::load(|name| {
        let found = variables.iter().find(|variable| variable["name"] == name)?;
        Some(SettingValue { value: found["value"].as_str().expect("text").to_owned(), origin: String::new() })
    });
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a number");
    let grace = Duration::from_secs(grace);
    assert!(config.drain_time + config.write_timeout < grace, "Kubernetes would kill it before it is done");
    // Our client keeps unused connections for this long. During the drain, it gives up those that are unused, and the flow
    // closes the others.
    assert!(config.drain_time > Duration::from_secs(4), "a kept connection could be closed as a request is sent");
    let gateway = yaml("deploy/kubernetes/base/gateway/stateful-set.yaml");
    let arguments = container(&gateway)["args"].as_array().expect("arguments");
    let upstream = arguments.iter().find_map(|argument| argument.as_str()?.strip_prefix("--upstream-timeout="));
    assert!(config.write_timeout < duration(&upstream.expect("a timeout").into()), "the gateway is less patient");
    assert_eq!(gateway["spec"]["replicas"], 1, "the queue is for one process");

    let ports =
        |name: &str| flow["ports"].as_array()?.iter().find(|port| port["name"] == name)?["containerPort"].as_u64();
    let default = |name: &str| defaults()[name].parse().ok();
    assert_eq!((ports("http"), ports("metrics")), (default("port"), default("metrics_port")));
    let mounts = flow["volumeMounts"].as_array().expect("mounts");
    assert_eq!(mounts[0]["mountPath"], defaults()["secret_mount_path"].as_str());
    let volumes = workload["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes");
    assert_eq!(volumes[0]["secret"]["secretName"], faasflow_runtime::config::HMAC_SECRET);
    assert_eq!(config.gateway.to_string().trim_end_matches('/'), "http://gateway:8080");
}

#[test]
fn the_stack_of_the_gateway_names_existing_services() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes/base/gateway");
    let stack = faasflow_gateway::Stack::read(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stack.functions.keys().collect::<Vec<_>>(), ["my-flow", "shout"]);
    for (name, function) in &stack.functions {
        let service = yaml(&format!("deploy/kubernetes/base/{name}/service.yaml"));
        let port = service["spec"]["ports"][0]["port"].as_u64().expect("a port");
        let url = function.annotations.get("faasflow.url").expect("an address");
        assert_eq!(*url, format!("http://{}:{port}", service["metadata"]["name"].as_str().expect("a name")));
        let workload = yaml(&format!("deploy/kubernetes/base/{name}/deployment.yaml"));
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        for selector in [&service["spec"]["selector"], &workload["spec"]["selector"]["matchLabels"]] {
            for (label, value) in selector.as_object().expect("labels") {
                assert_eq!(&labels[label], value, "{name}: {label}");
            }
        }
    }
}
