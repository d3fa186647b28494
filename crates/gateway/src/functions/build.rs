//! Builds cargo projects, those of one workspace together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::environment;
use crate::error::GatewayError;
use crate::event::{Event, Events};
use crate::unpublished;

/// What was built: the program of each folder.
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
    /// It was built before.
    #[serde(default)]
    fresh: bool,
}

/// One project to build, as cargo knows it.
struct Project {
    function: String,
    folder: PathBuf,
    root: PathBuf,
    /// Where cargo puts what it builds, unless it is told otherwise.
    target: PathBuf,
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
/// not keep the others from it. `all` are those that are ever built here. What is built so far is told after each
/// workspace, so that nobody waits for the others.
pub(crate) async fn build(
    projects: &[(String, PathBuf)],
    all: &[(String, PathBuf)],
    release: bool,
    events: &Events,
    mut done: impl FnMut(&Programs),
) -> Built {
    let mut built = Built::default();
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
    // Those of one workspace are built together, and those that clash each in a folder of its own.
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

/// Builds the cargo project in `folder` as a gateway does in its debug profile, and returns the path of its program. What
/// `faasflow up` has compiled is not compiled again. Progress is sent to `events`.
///
/// # Errors
///
/// If cargo cannot be run, if the folder is no package with one program, or if it does not compile.
pub async fn build_project(folder: &Path, events: &Events) -> Result<PathBuf, GatewayError> {
    let folder =
        std::path::absolute(folder).map_err(|source| GatewayError::Unreadable { path: folder.to_owned(), source })?;
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    let projects = [(name, folder.clone())];
    let Built { mut programs, faults } = build(&projects, &projects, false, events, |_| {}).await;
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(programs.remove(&folder).expect("what has no fault was built")),
    }
}

/// The packages whose programs would overwrite each other: `CARGO_TARGET_DIR` and cargo's own settings can give
/// several workspaces one target folder, and the programs of all new flows have the same name. So may two of one
/// workspace.
fn clashing(projects: &[Project]) -> HashSet<String> {
    let mut places: HashMap<(&Path, &str), HashSet<&String>> = HashMap::new();
    for project in projects {
        places.entry((&project.target, &project.binary)).or_default().insert(&project.package.id);
    }
    places.into_values().filter(|packages| packages.len() > 1).flatten().cloned().collect()
}

/// The packages that cargo is to select in each workspace, by id. Features of dependencies are united over all that are
/// selected, and a dependency with other features is compiled again. So these are always the same, whichever functions
/// are built, and they include what `cargo build` selects: what one of the two has compiled, the other uses.
async fn selections(projects: &[Project], apart: &HashSet<String>) -> HashMap<PathBuf, Vec<String>> {
    let mut selections = HashMap::<PathBuf, Vec<String>>::new();
    let together: Vec<&Project> = projects.iter().filter(|project| !apart.contains(&project.package.id)).collect();
    let is_function = |package: &Package| projects.iter().any(|project| project.package.id == package.id);
    // It would be built as well, in the place of the function's.
    let would_be_built =
        |package: &Package| binaries(package).any(|name| together.iter().any(|project| project.binary == *name));
    for project in &together {
        if !selections.contains_key(&project.root) {
            let mut selection = Vec::new();
            // Asked at the root: in the folder of a member, the default is that member. Cargo has just answered for one.
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
    let fault = |output: String| GatewayError::Build { what: format!("`{function}`"), output };
    let metadata = metadata(folder).await.map_err(fault)?;
    let manifest = folder.join("Cargo.toml");
    let canonical = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let manifest = canonical(&manifest);
    let package = metadata.packages.into_iter().find(|package| canonical(&package.manifest_path) == manifest);
    let package = package.ok_or_else(|| fault(format!("{} is no package", folder.display())))?;
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

async fn metadata(folder: &Path) -> Result<Metadata, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("cargo cannot be run: {error}; is Rust installed, and cargo in PATH?"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo's metadata is strange: {error}"))
}

fn binaries(package: &Package) -> impl Iterator<Item = &String> {
    package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bin")).map(|target| &target.name)
}

fn binary(package: &Package) -> Result<String, String> {
    if let Some(name) = &package.default_run {
        return Ok(name.clone());
    }
    let binaries: Vec<&String> = binaries(package).collect();
    match binaries.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(format!("the package `{}` has no program: add a src/main.rs", package.name)),
        _ => Err(format!("the package `{}` has several programs: name one with `default-run`", package.name)),
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
    let fault = |output: String| GatewayError::Build { what: what.clone(), output };
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
    let mut child = command.spawn().map_err(|error| fault(format!("cargo cannot be run: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (executables, said, status) =
        tokio::join!(executables(stdout, projects, events), listen(stderr, events), child.wait());
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
    if status.success() {
        return Ok(());
    }
    let advice = unpublished::advice(&said, root).map(|advice| format!("\n{advice}\n")).unwrap_or_default();
    Err(fault(said + &advice))
}

/// The programs that cargo says it made, by package and name.
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
            // By the function's name: programs of several may have one name.
            let of = |project: &&Project| project.package.id == package && project.binary == target.name;
            if let (false, Some(project)) = (message.fresh, projects.iter().find(of)) {
                let _ = events.send(Event::Built { function: project.function.clone() });
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
