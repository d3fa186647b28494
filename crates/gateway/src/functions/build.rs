//! Builds cargo projects, those of one workspace together.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::error::GatewayError;
use crate::event::{Event, Events};

/// What was built: the program of each folder.
pub(crate) type Programs = HashMap<PathBuf, PathBuf>;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    id: String,
    manifest_path: PathBuf,
    default_run: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<PathBuf>,
    /// It was built before.
    #[serde(default)]
    fresh: bool,
}

/// One project to build, as cargo knows it.
struct Project {
    folder: PathBuf,
    package: Package,
    binary: String,
}

/// What came of a build.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub(crate) programs: Programs,
    /// What could not be built; the text is cargo's.
    pub(crate) faults: Vec<GatewayError>,
}

/// Builds the projects in these folders, given with the names of their functions. One that cannot be built does
/// not keep the others from it.
pub(crate) async fn build(projects: &[(String, PathBuf)], release: bool, events: &Events) -> Built {
    let mut built = Built::default();
    let mut workspaces: BTreeMap<PathBuf, Vec<Project>> = BTreeMap::new();
    for (function, folder) in projects {
        match locate(function, folder).await {
            Ok((root, project)) => workspaces.entry(root).or_default().push(project),
            Err(fault) => built.faults.push(fault),
        }
    }
    let functions = projects.iter().map(|(function, _)| function.clone()).collect();
    let _ = events.send(Event::BuildStarted { functions });
    let begun = Instant::now();
    for (root, projects) in workspaces {
        if let Err(fault) = build_workspace(&root, &projects, release, events, &mut built.programs).await {
            built.faults.push(fault);
        }
    }
    if built.faults.is_empty() {
        let _ = events.send(Event::BuildFinished { took: begun.elapsed() });
    }
    built
}

async fn locate(function: &str, folder: &Path) -> Result<(PathBuf, Project), GatewayError> {
    let fault = |output: String| GatewayError::Build { what: format!("`{function}`"), output };
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| fault(format!("cargo cannot be run: {error}; is Rust installed, and cargo in PATH?")))?;
    if !output.status.success() {
        return Err(fault(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| fault(format!("cargo's metadata is strange: {error}")))?;
    let manifest = folder.join("Cargo.toml");
    let canonical = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let manifest = canonical(&manifest);
    let package = metadata.packages.into_iter().find(|package| canonical(&package.manifest_path) == manifest);
    let package = package.ok_or_else(|| fault(format!("{} is no package", folder.display())))?;
    let binary = binary(&package).map_err(fault)?;
    Ok((metadata.workspace_root, Project { folder: folder.to_owned(), package, binary }))
}

fn binary(package: &Package) -> Result<String, String> {
    if let Some(name) = &package.default_run {
        return Ok(name.clone());
    }
    let binaries: Vec<&String> =
        package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bin")).map(|t| &t.name).collect();
    match binaries.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(format!("the package `{}` has no program: add a src/main.rs", package.name)),
        _ => Err(format!("the package `{}` has several programs: name one with `default-run`", package.name)),
    }
}

async fn build_workspace(
    root: &Path,
    projects: &[Project],
    release: bool,
    events: &Events,
    programs: &mut Programs,
) -> Result<(), GatewayError> {
    let what = projects.iter().map(|project| format!("`{}`", project.package.name)).collect::<Vec<_>>().join(", ");
    let fault = |output: String| GatewayError::Build { what: what.clone(), output };
    let mut command = Command::new("cargo");
    command
        .args(["build", "--keep-going", "--message-format=json-render-diagnostics", "--color=never"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if release {
        command.arg("--release");
    }
    for project in projects {
        command.args(["--package", &project.package.name]);
    }
    for project in projects {
        command.args(["--bin", &project.binary]);
    }
    let mut child = command.spawn().map_err(|error| fault(format!("cargo cannot be run: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (executables, said, status) = tokio::join!(executables(stdout, events), listen(stderr, events), child.wait());
    let status = status.map_err(|error| fault(error.to_string()))?;
    for project in projects {
        let key = (project.package.id.clone(), project.binary.clone());
        match executables.get(&key) {
            Some(program) => {
                programs.insert(project.folder.clone(), program.clone());
            }
            None if status.success() => return Err(fault(format!("cargo built no `{}`", project.binary))),
            None => {}
        }
    }
    if status.success() { Ok(()) } else { Err(fault(said)) }
}

/// The programs that cargo says it made, by package and name.
async fn executables(stdout: Option<ChildStdout>, events: &Events) -> HashMap<(String, String), PathBuf> {
    let mut found = HashMap::new();
    let Some(stdout) = stdout else { return found };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
        if let (true, Some(package), Some(target), Some(executable)) =
            (message.reason == "compiler-artifact", message.package_id, message.target, message.executable)
        {
            if !message.fresh {
                let _ = events.send(Event::Built { program: target.name.clone() });
            }
            found.insert((package, target.name), executable);
        }
    }
    found
}

/// Reports what cargo compiles, and returns what else it said.
async fn listen(stderr: Option<impl AsyncRead + Unpin>, events: &Events) -> String {
    let mut said = String::new();
    let Some(stderr) = stderr else { return said };
    let mut lines = BufReader::new(stderr.take(16 << 20)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.trim_start().strip_prefix("Compiling ") {
            Some(krate) => {
                let krate = krate.split(" (").next().unwrap_or(krate).to_owned();
                let _ = events.send(Event::Compiling { krate });
            }
            None if line.trim_start().starts_with("Blocking ") => {
                let _ = events.send(Event::BuildWaits { what: line.trim().to_owned() });
            }
            None => {
                said.push_str(&line);
                said.push('\n');
            }
        }
    }
    said
}
