//! Writes the images without an engine: a layer with a program, and the settings of a Dockerfile.
//!
//! The template's `build.sh` builds the flow's program. The images have the same contents as those of the template's
//! Dockerfile and of `deploy/docker/Dockerfile`. Base images cannot be pulled here, and neither image needs one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::machine::write;
use crate::tools;

/// The program that holds the namespaces of a pod.
pub(super) const PAUSE: &str = "docker.io/example/pause:0.1.0";

/// The contents of an image.
struct Content<'a> {
    /// The name in manifests.
    name: &'a str,
    program: &'a Path,
    /// The path of the program in the image.
    place: &'a str,
    /// World-writable folders.
    writable: &'a [&'a str],
    config: Value,
}

/// Builds the programs, and writes all images of the manifests into a folder.
///
/// # Errors
///
/// If a program cannot be built.
pub(crate) async fn build(folder: &Path, pause: &Path) -> Result<(), String> {
    let (flow, gateway) = (flow().await?, gateway().await?);
    for program in [&flow, &gateway] {
        let size = std::fs::metadata(program).map_err(|error| format!("{}: {error}", program.display()))?.len();
        println!("  {}: {:.1} MB, static", program.file_name().unwrap_or_default().display(), size as f64 / 1e6);
    }
    let command = |words: &[&str], variables: &[&str]| json!({"Cmd": words, "Env": variables, "User": "1000:1000", "WorkingDir": "/app"});
    let flow = |name, variables: &[&str]| Content {
        name,
        program: &flow,
        place: "app/flow",
        writable: &["tmp"],
        config: command(&["/app/flow"], variables),
    };
    let gateway = Content {
        name: "example/faasflow:0.1.0",
        program: &gateway,
        place: "app/faasflow",
        writable: &[],
        config: json!({"Entrypoint": ["/app/faasflow"], "User": "1000:1000", "WorkingDir": "/app"}),
    };
    let pause = Content {
        name: PAUSE.trim_start_matches("docker.io/"),
        program: pause,
        place: "pause",
        writable: &[],
        config: json!({"Entrypoint": ["/pause"], "User": "65535:65535"}),
    };
    let contents = [
        flow("example/my-flow:0.1.0", &["E2E_FLOW=my-flow"]),
        // The next version, for a rolling update.
        flow("example/my-flow:0.2.0", &["E2E_FLOW=my-flow", "E2E_VERSION=0.2.0"]),
        flow("example/shout:0.1.0", &["E2E_FLOW=shout", "workflow_name=shout"]),
        gateway,
        pause,
    ];
    for content in &contents {
        archive(folder, content).await?;
    }
    Ok(())
}

/// A user's project, built as by the template.
async fn flow() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().map_err(|error| error.to_string())?;
    let project = tools::folder()?.join("kubernetes-flow");
    let _ = std::fs::remove_dir_all(&project);
    shell(&root, &format!("cp -R template/faasflow {}", quoted(&project))).await?;
    write(&project.join("function/src/lib.rs"), include_str!("flow.rs.txt"))?;
    let path = |name: &str| root.join("crates").join(name).display().to_string();
    let patch = format!(
        "[patch.crates-io]\nfaasflow = {{ path = {:?} }}\nfaasflow-testkit = {{ path = {:?} }}\n",
        path("faasflow"),
        path("testkit")
    );
    write(&project.join("function/.cargo/config.toml"), &patch)?;
    let manifest = project.join("function/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let own = "[dependencies]\ntokio = { version = \"1\", features = [\"time\"] }\n";
    write(&manifest, &text.replacen("[dependencies]\n", own, 1))?;
    let target = root.join("target/kubernetes-flow");
    for step in ["dependencies", "flow"] {
        // Linking is faster than for deployment, and the program larger.
        let variables = "CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16";
        let line = format!("CARGO_TARGET_DIR={} {variables} sh build.sh {step}", quoted(&target));
        shell(&project, &line).await?;
    }
    Ok(project.join("flow"))
}

/// `faasflow` as a static program.
async fn gateway() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().map_err(|error| error.to_string())?;
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    shell(&root, &format!("cargo build --quiet --release --locked --package faasflow-cli --target {target}")).await?;
    Ok(root.join("target").join(target).join("release/faasflow"))
}

/// Adds the target for static programs.
///
/// # Errors
///
/// If rustup cannot install it.
pub(crate) async fn install() -> Result<(), String> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    shell(Path::new("."), &format!("rustup --quiet target add {target}")).await.map(drop)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

async fn shell(folder: &Path, line: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("`{line}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = errors.lines().collect();
    Err(format!("`{line}` ended with {}: {}", output.status, lines[lines.len().saturating_sub(15)..].join("\n")))
}

/// Writes an OCI image: a layer, a configuration and a manifest.
async fn archive(folder: &Path, content: &Content<'_>) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{}: {error}", content.name);
    let building = tempfile::tempdir_in(folder).map_err(fault)?;
    let root = building.path().join("root");
    let place = root.join(content.place);
    std::fs::create_dir_all(place.parent().unwrap_or(&root)).map_err(fault)?;
    std::fs::copy(content.program, &place).map_err(fault)?;
    shell(&root, "chmod -R go=rX .").await?;
    for name in content.writable {
        shell(&root, &format!("mkdir -p {name} && chmod 1777 {name}")).await?;
    }
    let layout = building.path().join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(fault)?;
    let layer = building.path().join("layer");
    let pack = "tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner";
    shell(&root, &format!("{pack} --file {} .", quoted(&layer))).await?;
    let layer = blob(&blobs, &std::fs::read(&layer).map_err(fault)?, "application/vnd.oci.image.layer.v1.tar")?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": content.config,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(&blobs, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let mut manifest = blob(&blobs, manifest.to_string().as_bytes(), kind)?;
    let full = format!("docker.io/{}", content.name);
    manifest["annotations"] = json!({"io.containerd.image.name": full});
    write(&layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    write(&layout.join("index.json"), &json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())?;
    let archive = folder.join(format!("{}.tar", content.name.replace(['/', ':'], "-")));
    shell(&layout, &format!("tar --create --file {} .", quoted(&archive))).await.map(drop)
}

/// Adds a blob to an OCI layout. Returns its descriptor.
fn blob(folder: &Path, bytes: &[u8], kind: &str) -> Result<Value, String> {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.join(&digest), bytes).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
}
