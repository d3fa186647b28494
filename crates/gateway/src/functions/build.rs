//! Builds cargo projects. Those of one workspace are built together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::build_error::BuildError;
use crate::environment;
use crate::error::GatewayError;
use crate::event::{Event, Events};
use crate::unpublished;

/// The programs that were built, by the folder of the project.
pub(crate) type Programs = HashMap<PathBuf, PathBuf>;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
    #[serde(default)]
    workspace_default_members: Vec<String>,
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
    /// Whether it was built before.
    #[serde(default)]
    fresh: bool,
}

/// A project to build, with cargo's metadata.
struct Project {
    function: String,
    folder: PathBuf,
    root: PathBuf,
    /// The target folder that cargo uses by default.
    target: PathBuf,
    package: Package,
    binary: String,
}

/// The result of a build.
#[derive(Debug, Default)]
pub(crate) struct BuildOutcome {
    pub(crate) programs: Programs,
    /// What could not be built, with cargo's output.
    pub(crate) faults: Vec<GatewayError>,
}

/// Builds the projects in these folders, which come with the names of their functions. If one cannot be built, the others
/// still are. `all` are all projects of the gateway. Calls `done` with the programs so far after each workspace, so that no
/// function waits for another workspace.
pub(crate) async fn build(
    projects: &[(String, PathBuf)],
    all: &[(String, PathBuf)],
    release: bool,
    events: &Events,
    mut done: impl FnMut(&Programs),
) -> BuildOutcome {
    let mut built = BuildOutcome::default();
    let mut located = Vec::new();
    for (function, folder) in all {
        match locate(function, folder).await {
            Ok(project) => located.push(project),
            Err(fault) if projects.iter().any(|(wanted, _)| wanted == function) => built.faults.push(fault),
            Err(_) => {}
        }
    }
    let apart = clashing(&located);
    let selections = selections(&located, &apart).await;
    // The projects of one workspace are built together. Those that clash are built separately, each in its own folder.
    let mut builds: BTreeMap<(PathBuf, Option<PathBuf>), Vec<Project>> = BTreeMap::new();
    for project in located {
        if projects.iter().any(|(wanted, _)| *wanted == project.function) {
            let own = || project.root.join("target/of").join(&project.package.name);
            let target = apart.contains(&project.package.id).then(own);
            builds.entry((project.root.clone(), target)).or_default().push(project);
        }
    }
    let functions = projects.iter().map(|(function, _)| function.clone()).collect();
    let _ = events.send(Event::BuildStarted { functions });
    let begun = Instant::now();
    for ((root, target), projects) in builds {
        let own: Vec<String> = projects.iter().map(|project| project.package.id.clone()).collect();
        let selection = if target.is_none() { &selections[&root] } else { &own };
        let made =
            build_workspace(&root, &projects, selection, target.as_deref(), release, events, &mut built.programs);
        if let Err(fault) = made.await {
            built.faults.push(fault);
        }
        done(&built.programs);
    }
    if built.faults.is_empty() {
        let _ = events.send(Event::BuildFinished { took: begun.elapsed() });
    }
    built
}

/// Builds the cargo project in `folder` like a gateway does in the debug profile, and returns the path of its program. What
/// `faasflow up` has compiled is reused. Progress is sent to `events`.
///
/// # Errors
///
/// If cargo cannot be run, if the folder is not a package with one program, or if the package does not compile.
pub async fn build_project(folder: &Path, events: &Events) -> Result<PathBuf, GatewayError> {
    let folder = std::path::absolute(folder)
        .map_err(|error| GatewayError::Unreadable { path: folder.to_owned(), source: error.into() })?;
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    let projects = [(name, folder.clone())];
    let BuildOutcome { mut programs, faults } = build(&projects, &projects, false, events, |_| {}).await;
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(programs.remove(&folder).expect("a project without a fault was built")),
    }
}

/// The ids of packages whose programs would overwrite each other. `CARGO_TARGET_DIR` and cargo's settings can give several
/// workspaces the same target folder, and the programs of new flows all have the same name. Two packages of one workspace can
/// clash as well.
fn clashing(projects: &[Project]) -> HashSet<String> {
    let mut places: HashMap<(&Path, &str), HashSet<&String>> = HashMap::new();
    for project in projects {
        places.entry((&project.target, &project.binary)).or_default().insert(&project.package.id);
    }
    places.into_values().filter(|packages| packages.len() > 1).flatten().cloned().collect()
}

/// The ids of the packages that cargo selects in each workspace. Cargo unites the features of dependencies over all selected
/// packages, and compiles a dependency again if its features change. So the selection is always the same, whichever functions
/// are built. It includes the packages that `cargo build` selects, so that both commands reuse each other's results.
async fn selections(projects: &[Project], apart: &HashSet<String>) -> HashMap<PathBuf, Vec<String>> {
    let mut selections = HashMap::<PathBuf, Vec<String>>::new();
    let together: Vec<&Project> = projects.iter().filter(|project| !apart.contains(&project.package.id)).collect();
    let is_function = |package: &Package| projects.iter().any(|project| project.package.id == package.id);
    // A default package with a program of the same name would overwrite the function's program.
    let would_be_built =
        |package: &Package| binaries(package).any(|name| together.iter().any(|project| project.binary == *name));
    for project in &together {
        if !selections.contains_key(&project.root) {
            let mut selection = Vec::new();
            // This runs at the root, because in the folder of a member the default is that member. Failures are ignored, since
            // cargo has just succeeded for a member.
            if let Ok(Metadata { packages, workspace_default_members, .. }) = metadata(&project.root).await {
                let mut defaults = packages;
                defaults.retain(|package| workspace_default_members.contains(&package.id));
                defaults.retain(|package| !is_function(package) && !would_be_built(package));
                selection.extend(defaults.into_iter().map(|package| package.id));
            }
            selections.insert(project.root.clone(), selection);
        }
        selections.entry(project.root.clone()).or_default().push(project.package.id.clone());
    }
    selections
}

async fn locate(function: &str, folder: &Path) -> Result<Project, GatewayError> {
    let fault = |source: BuildError| GatewayError::Build { what: format!("`{function}`"), source };
    let metadata = metadata(folder).await.map_err(fault)?;
    let manifest = folder.join("Cargo.toml");
    let canonical = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let manifest = canonical(&manifest);
    let package = metadata.packages.into_iter().find(|package| canonical(&package.manifest_path) == manifest);
    let package = package.ok_or_else(|| fault(BuildError::NotAPackage(folder.to_owned())))?;
    let binary = binary(&package).map_err(fault)?;
    Ok(Project {
        function: function.to_owned(),
        folder: folder.to_owned(),
        root: metadata.workspace_root,
        target: metadata.target_directory,
        package,
        binary,
    })
}

async fn metadata(folder: &Path) -> Result<Metadata, BuildError> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(BuildError::NoCargo)?;
    if !output.status.success() {
        return Err(BuildError::Cargo { output: trimmed(&String::from_utf8_lossy(&output.stderr)), help: None });
    }
    serde_json::from_slice(&output.stdout).map_err(BuildError::Metadata)
}

fn binaries(package: &Package) -> impl Iterator<Item = &String> {
    package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bin")).map(|target| &target.name)
}

fn binary(package: &Package) -> Result<String, BuildError> {
    if let Some(name) = &package.default_run {
        return Ok(name.clone());
    }
    let binaries: Vec<&String> = binaries(package).collect();
    match binaries.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(BuildError::NoProgram(package.name.clone())),
        _ => Err(BuildError::SeveralPrograms(package.name.clone())),
    }
}

async fn build_workspace(
    root: &Path,
    projects: &[Project],
    selection: &[String],
    target: Option<&Path>,
    release: bool,
    events: &Events,
    programs: &mut Programs,
) -> Result<(), GatewayError> {
    let what = projects.iter().map(|project| format!("`{}`", project.function)).collect::<Vec<_>>().join(", ");
    let fault = |source: BuildError| GatewayError::Build { what: what.clone(), source };
    let mut command = Command::new("cargo");
    environment::set_by_cargo().iter().for_each(|name| {
        command.env_remove(name);
    });
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
    if let Some(target) = target {
        command.arg("--target-dir").arg(target);
    }
    for package in selection {
        command.args(["--package", package]);
    }
    for project in projects {
        command.args(["--bin", &project.binary]);
    }
    let mut child = command.spawn().map_err(|error| fault(BuildError::NoCargo(error)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (executables, output, status) =
        tokio::join!(executables(stdout, projects, events), read_output(stderr, events), child.wait());
    let status = status.map_err(|error| fault(BuildError::Lost(error)))?;
    for project in projects {
        let key = (project.package.id.clone(), project.binary.clone());
        match executables.get(&key) {
            Some(program) => {
                programs.insert(project.folder.clone(), program.clone());
            }
            None if status.success() => return Err(fault(BuildError::NotBuilt(project.binary.clone()))),
            None => {}
        }
    }
    if status.success() {
        return Ok(());
    }
    // unpublished: see RELEASE.md
    let help = unpublished::advice(&output, root);
    Err(fault(BuildError::Cargo { output: trimmed(&output), help }))
}

/// The output of cargo without the indentation of its first line, which aligns the words of its progress.
fn trimmed(output: &str) -> String {
    output.trim().to_owned()
}

/// Collects the programs that cargo reports, by package and name.
async fn executables(
    stdout: Option<ChildStdout>,
    projects: &[Project],
    events: &Events,
) -> HashMap<(String, String), PathBuf> {
    let mut found = HashMap::new();
    let Some(stdout) = stdout else { return found };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
        if let (true, Some(package), Some(target), Some(executable)) =
            (message.reason == "compiler-artifact", message.package_id, message.target, message.executable)
        {
            // The event has the function's name, because several programs may have the same name.
            let of = |project: &&Project| project.package.id == package && project.binary == target.name;
            if let (false, Some(project)) = (message.fresh, projects.iter().find(of)) {
                let _ = events.send(Event::Built { function: project.function.clone() });
            }
            found.insert((package, target.name), executable);
        }
    }
    found
}

/// Reports what cargo compiles, and returns the rest of its output.
async fn read_output(stderr: Option<impl AsyncRead + Unpin>, events: &Events) -> String {
    let mut output = String::new();
    let Some(stderr) = stderr else { return output };
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
                output.push_str(&line);
                output.push('\n');
            }
        }
    }
    output
}
