//! A gateway that runs in a container, and starts other containers beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::stand::Stand;
use crate::client::{Answer, Client};
use crate::docker::stand_ins::functions::{PLAIN, WATCHDOG};
use crate::docker::{Container, Docker, stand_ins};
use crate::suite::{Suite, expect};

const IMAGE: &str = "faasflow-e2e/gateway:1";
const NETWORK: &str = "faasflow-inside";
const VOLUME: &str = "faasflow-inside";
/// The published port.
const URL: &str = "http://127.0.0.1:8092";

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("a gateway in a container runs functions in containers beside it", inside(stand.docker.clone())).await;
}

/// Makes an image of `faasflow` and the libraries that it needs.
async fn image(docker: &Docker) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let program = std::env::current_exe().map_err(text)?.with_file_name("faasflow");
    let listed = Command::new("ldd").arg(&program).output().await.map_err(|error| format!("ldd: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let root = tempfile::tempdir().map_err(text)?;
    let copy = |from: &Path, to: &str| {
        let to = root.path().join(to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap_or(&to)).map_err(text)?;
        std::fs::copy(from, &to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
    };
    copy(&program, "bin/faasflow")?;
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), library)?;
    }
    stand_ins::import(docker, root.path(), IMAGE, "faasflow", &[r#"ENTRYPOINT ["/bin/faasflow"]"#]).await
}

async fn inside(docker: Docker) -> Result<(), String> {
    image(&docker).await?;
    for kind in ["network", "volume"] {
        // The engine still has those of an interrupted suite.
        let _ = docker.run(&[kind, "rm", NETWORK]).await;
        docker.run(&[kind, "create", NETWORK]).await?;
    }
    let socket = format!("{}:/var/run/docker.sock", docker.socket().display());
    let state = format!("{VOLUME}:/state");
    let mut arguments = vec!["--network", NETWORK, "--publish", "127.0.0.1:8092:8080", "--hostname", "gateway"];
    arguments.extend(["--volume", &socket, "--volume", &state, IMAGE]);
    arguments.extend(["up", "--no-stack", "/state", "--state-dir", "/state/.faasflow", "--host", "0.0.0.0"]);
    let container = Container::run(&docker, &arguments).await?;
    let ran = functions(&docker).await;
    let stopped = container.stop().await;
    let log = container.log().await.unwrap_or_default();
    ran.map_err(|why| format!("{why}; the gateway said: {log}"))?;
    let (code, _) = stopped?;
    expect(code == 0, || format!("the gateway ended with {code}: {log}"))?;
    let left = docker.run(&["ps", "--quiet", "--filter", "label=faasflow.state-folder=/state/.faasflow"]).await?;
    expect(left.is_empty(), || format!("left are {left}"))?;
    container.remove().await?;
    docker.run(&["network", "rm", NETWORK]).await?;
    docker.run(&["volume", "rm", VOLUME]).await.map(drop)
}

async fn functions(docker: &Docker) -> Result<(), String> {
    let client = Client::new();
    let post = async |path: &str, body: String| -> Result<Answer, String> {
        client.send(Method::POST, &format!("{URL}{path}"), &[], body).await
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.get(&format!("{URL}/healthz")).await.is_err() {
        expect(Instant::now() < deadline, || "it does not listen".to_owned())?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let deploy = async |deployment: Value| post("/system/functions", deployment.to_string()).await?.expect(202);
    post("/system/secrets", json!({ "name": "key", "value": "secret" }).to_string()).await?.expect(202)?;
    let process = "cat /var/openfaas/secrets/key";
    deploy(json!({ "service": "reads", "image": WATCHDOG, "envProcess": process, "secrets": ["key"] })).await?;
    deploy(json!({ "service": "asks", "image": PLAIN })).await?;
    let read = post("/function/reads", String::new()).await?.expect(200)?.text();
    expect(read == "secret", || format!("its secret is {read}"))?;
    let asked = post("/function/asks/gateway?path=/function/reads", String::new()).await?.expect(200)?.text();
    expect(asked == "secret", || format!("through the gateway: {asked}"))?;
    let networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
    let ids = docker.run(&["ps", "--quiet", "--filter", "label=faasflow.function=asks"]).await?;
    let network = docker.run(&["inspect", "--format", networks, &ids]).await?;
    expect(network == NETWORK, || format!("it is in {network}"))
}
