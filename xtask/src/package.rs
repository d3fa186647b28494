//! Packages what would be published, builds it from the packages, and builds a new project against them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

/// A crate that would be published.
struct Package {
    name: String,
    /// The folder into which cargo unpacks what it has packaged.
    unpacked: PathBuf,
}

/// Packages every crate that is published, as if those that it needs were on the registry already. Cargo builds each from
/// its package, unless this is to be quick. Then a project made by `faasflow new` is built and tested against the packages.
///
/// # Errors
///
/// If one cannot be packaged, or does not build from its package; or if the project does not.
pub(crate) fn run(root: &Path, quick: bool) -> Result<(), String> {
    let target = command::target_folder(root)?;
    let packages = packages(root, &target)?;
    let mut package = Command::new("cargo");
    package.current_dir(root).args(["package", "--locked", "--allow-dirty"]);
    if quick {
        package.arg("--no-verify");
    }
    for Package { name, .. } in &packages {
        package.args(["--package", name]);
    }
    command::run(&mut package)?;
    for Package { unpacked, .. } in &packages {
        unpack(unpacked)?;
    }
    project(root, &target, &packages)?;
    let built =
        if quick { "Not built from their packages: those that only the command line needs" } else { "All were built" };
    println!("{} crates are packaged, and a new project builds against them. {built}.", packages.len());
    Ok(())
}

fn packages(root: &Path, target: &Path) -> Result<Vec<Package>, String> {
    let metadata = command::metadata(root)?;
    let members = metadata["packages"].as_array().ok_or("cargo names no packages")?;
    // `publish = false` is an empty list of registries.
    let published = members.iter().filter(|member| member["publish"].is_null());
    let package = |member: &serde_json::Value| {
        let (name, version) = (member["name"].as_str()?, member["version"].as_str()?);
        let unpacked = target.join("package").join(format!("{name}-{version}"));
        Some(Package { name: name.to_owned(), unpacked })
    };
    let packages: Vec<Package> = published.filter_map(package).collect();
    if packages.is_empty() { Err("no crate of the workspace is published".to_owned()) } else { Ok(packages) }
}

/// Unpacks a package to where cargo would. Cargo does so with those that it builds, but with the times of the archive, which
/// are the same for every archive: what was built from an earlier one would count as fresh.
fn unpack(folder: &Path) -> Result<(), String> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(()) };
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let archive = parent.join(format!("{}.crate", name.to_string_lossy()));
    command::run(Command::new("tar").arg("-xmzf").arg(archive).arg("-C").arg(parent))
}

/// Builds and tests a project against the packages.
fn project(root: &Path, target: &Path, packages: &[Package]) -> Result<(), String> {
    let folder = target.join("packaged-project");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    command::run(Command::new("cargo").current_dir(root).args(["build", "--quiet", "--package", "faasflow-cli"]))?;
    command::run(Command::new(target.join("debug/faasflow")).current_dir(&folder).args(["new", "packaged"]))?;
    let project = folder.join("packaged");
    let config = project.join(".cargo/config.toml");
    let mut patches = "[patch.crates-io]\n".to_owned();
    for Package { name, unpacked } in packages {
        let _ = writeln!(patches, "{name} = {{ path = {unpacked:?} }}");
    }
    std::fs::write(&config, patches).map_err(|error| format!("{}: {error}", config.display()))?;
    let mut test = Command::new("cargo");
    // What the workspace has built already is the same here, as long as it is built in the same way.
    test.current_dir(&project).arg("test").args(["--config", "profile.dev.debug='line-tables-only'"]);
    test.args(["--config", "profile.dev.package.'*'.debug=false"]).env("CARGO_TARGET_DIR", target);
    command::run(&mut test)
}
