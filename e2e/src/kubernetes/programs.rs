//! The programs of a cluster, at pinned versions.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::tools;

const KUBERNETES: &str = "v1.34.4";
const ETCD: &str = "v3.6.4";
const COREDNS: &str = "v1.14.7";
const KUBE_ROUTER: &str = "v2.1.0";
const PROMETHEUS_OPERATOR: &str = "v0.85.0";

/// The version of the Kubernetes module.
const PARTS: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"];

/// The paths of the programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    kubernetes: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) coredns: PathBuf,
    pub(crate) pause: PathBuf,
    /// Enforces network policies. `Err` is the reason why it is missing.
    pub(crate) kube_router: Result<PathBuf, String>,
    /// The definition of `ServiceMonitor`, of the Prometheus operator.
    pub(crate) service_monitors: PathBuf,
}

impl Programs {
    /// Installs what is missing: Debian's packages, and the rest from Go's module proxy.
    ///
    /// # Errors
    ///
    /// If a part that the cluster needs cannot be installed.
    pub(crate) async fn install() -> Result<Programs, String> {
        for (package, program) in [
            ("containerd", "containerd"),
            ("runc", "runc"),
            ("containernetworking-plugins", "ptp"),
            ("iproute2", "ip"),
            ("iptables", "iptables"),
            ("ipset", "ipset"),
            ("musl-tools", "musl-gcc"),
        ] {
            tools::debian(package, program).await?;
        }
        let kubernetes = kubernetes().await?;
        let etcd = required("etcd", "go.etcd.io/etcd/server/v3", ETCD, "go.etcd.io/etcd/server/v3").await?;
        let coredns = coredns().await?;
        let pause = pause().await?;
        let package = "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router";
        let module = "github.com/cloudnativelabs/kube-router/v2";
        let kube_router = required("kube-router", module, KUBE_ROUTER, package).await;
        let service_monitors = service_monitors().await?;
        Ok(Programs { kubernetes, etcd, coredns, pause, kube_router, service_monitors })
    }

    /// A program of Kubernetes itself.
    pub(crate) fn kubernetes(&self, name: &str) -> PathBuf {
        self.kubernetes.join(name)
    }
}

/// Kubernetes' module replaces the modules that are developed with it by neighbouring folders, which do not exist if
/// another module requires it. They are published with the same version, so `go.mod` names that.
async fn kubernetes() -> Result<PathBuf, String> {
    let place = place("kubernetes", KUBERNETES)?;
    if PARTS.iter().all(|part| place.join(part).is_file()) {
        return Ok(place);
    }
    let module = format!("k8s.io/kubernetes@{KUBERNETES}");
    let downloaded = download(&module).await?;
    let text = downloaded["GoMod"].as_str().unwrap_or_default();
    let text = std::fs::read_to_string(text).map_err(|error| format!("{module}: {error}"))?;
    let published = KUBERNETES.replacen("v1.", "v0.", 1);
    let mut replaced: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim().strip_suffix(" v0.0.0"))
        .filter(|name| name.starts_with("k8s.io/"))
        .map(|name| format!("replace {name} => {name} {published}\n"))
        .collect();
    replaced.sort();
    replaced.dedup();
    let imports: String = PARTS.iter().map(|part| format!("import _ \"k8s.io/kubernetes/cmd/{part}\"\n")).collect();
    let packages = PARTS.map(|part| format!("k8s.io/kubernetes/cmd/{part}"));
    let version = "k8s.io/component-base/version";
    let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
    let stamps =
        format!("-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor={minor}");
    let module = format!("require k8s.io/kubernetes {KUBERNETES}\n\n{}", replaced.concat());
    let source = Source { file: "tools.go", text: format!("package tools\n\n{imports}"), module: &module };
    build(&place, source, &stamps, "", &packages).await?;
    Ok(place)
}

/// With the plugins that a cluster needs, but not those for each cloud.
async fn coredns() -> Result<PathBuf, String> {
    let module = "github.com/coredns/coredns";
    let main = format!(
        "package main\n\nimport (\n\t\"{module}/coremain\"\n\t_ \"{module}/plugin/errors\"\n\t_ \"{module}/plugin/kubernetes\"\n)\n\n\
         func main() {{ coremain.Run() }}\n"
    );
    let place = place("coredns", COREDNS)?;
    let program = place.join("coredns");
    if !program.is_file() {
        let require = format!("require {module} {COREDNS}\n");
        let source = Source { file: "main.go", text: main, module: &require };
        build(&place, source, "-s -w", "coredns", &[".".to_owned()]).await?;
    }
    Ok(program)
}

/// Holds the namespaces of a pod, and waits for a signal to end.
async fn pause() -> Result<PathBuf, String> {
    let main = "package main\n\nimport (\n\t\"os\"\n\t\"os/signal\"\n\t\"syscall\"\n)\n\nfunc main() {\n\ttold := make(chan os.Signal, \
                1)\n\tsignal.Notify(told, syscall.SIGINT, syscall.SIGTERM)\n\t<-told\n}\n";
    let place = place("pause", "1")?;
    let program = place.join("pause");
    if !program.is_file() {
        let source = Source { file: "main.go", text: main.to_owned(), module: "" };
        build(&place, source, "-s -w", "pause", &[".".to_owned()]).await?;
    }
    Ok(program)
}

async fn required(name: &str, module: &str, version: &str, package: &str) -> Result<PathBuf, String> {
    let place = place(name, version)?;
    let program = place.join(name);
    if !program.is_file() {
        let text = format!("package tools\n\nimport _ \"{package}\"\n");
        let module = format!("require {module} {version}\n");
        let source = Source { file: "tools.go", text, module: &module };
        build(&place, source, "-s -w", name, &[package.to_owned()]).await?;
    }
    Ok(program)
}

/// The definition for the operator, which its module has as an example.
async fn service_monitors() -> Result<PathBuf, String> {
    let place = place("prometheus-operator", PROMETHEUS_OPERATOR)?;
    let file = place.join("servicemonitors.yaml");
    if !file.is_file() {
        let module = format!("github.com/prometheus-operator/prometheus-operator@{PROMETHEUS_OPERATOR}");
        let downloaded = download(&module).await?;
        let example = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml";
        let from = Path::new(downloaded["Dir"].as_str().unwrap_or_default()).join(example);
        std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        std::fs::copy(&from, &file).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(file)
}

fn place(name: &str, version: &str) -> Result<PathBuf, String> {
    Ok(tools::folder()?.join(format!("{name}-{version}")))
}

/// Fetches a module into Go's cache. Returns Go's description of it.
async fn download(module: &str) -> Result<serde_json::Value, String> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", module])
        .output()
        .await
        .map_err(|error| format!("Go cannot be run ({error}): install it, and have `go` in PATH"))?;
    if !output.status.success() {
        return Err(format!("{module} cannot be fetched: {}", String::from_utf8_lossy(&output.stdout)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{module}: {error}"))
}

/// A module for a build: its only file, and the lines of its `go.mod` after the name.
struct Source<'a> {
    file: &'a str,
    text: String,
    module: &'a str,
}

/// Builds Go programs into a folder: one under this name, or several under their own names. The folder appears when all
/// are complete.
async fn build(place: &Path, source: Source<'_>, flags: &str, name: &str, packages: &[String]) -> Result<(), String> {
    let shown = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    println!("Building {shown} with Go. The first time, this takes a few minutes.");
    let fault = |error: std::io::Error| format!("{}: {error}", place.display());
    std::fs::create_dir_all(place).map_err(fault)?;
    let building = tempfile::tempdir_in(place).map_err(fault)?;
    let text = format!("module e2e\n\ngo 1.25.0\n\n{}", source.module);
    std::fs::write(building.path().join("go.mod"), text).map_err(fault)?;
    std::fs::write(building.path().join(source.file), source.text).map_err(fault)?;
    let out = building.path().join("out");
    std::fs::create_dir(&out).map_err(fault)?;
    let target = out.join(name).to_string_lossy().into_owned();
    // With `-e`, because imports of the dependencies' tests may be missing.
    let tidy = ["mod", "tidy", "-e"].map(str::to_owned).to_vec();
    let compile = ["build", "-mod=mod", "-trimpath", "-ldflags", flags, "-o", &target].map(str::to_owned);
    let compile = compile.into_iter().chain(packages.iter().cloned()).collect();
    for arguments in [tidy, compile] {
        let output = Command::new("go")
            .args(&arguments)
            .current_dir(building.path())
            .env("CGO_ENABLED", "0")
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("Go cannot be run ({error}): install it, and have `go` in PATH"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let lines: Vec<&str> = errors.lines().collect();
            let end = lines[lines.len().saturating_sub(15)..].join("\n");
            return Err(format!("{shown}: `go {}` ended with {}: {end}", arguments[0], output.status));
        }
    }
    for entry in std::fs::read_dir(&out).map_err(fault)?.flatten() {
        std::fs::rename(entry.path(), place.join(entry.file_name())).map_err(fault)?;
    }
    Ok(())
}
