//! Packages the published crates, builds them from the packages, and builds a new project against them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

/// A published crate.
struct Package {
    name: String,
    /// The folder that cargo unpacks the package to.
    unpacked: PathBuf,
}

/// Packages every published crate, as if its dependencies were on the registry already. Cargo builds each from its
/// package, unless `quick` is set. Then a project created by `faasflow new` is built and tested against the packages.
///
/// # Errors
///
/// If a crate cannot be packaged or built from its package, or if the project cannot be built or tested.
pub(crate) fn run(root: &Path, quick: bool) -> Result<(), String> {
    let target = command::target_folder(root)?;
    let packages = packages(root, &target)?;
    let mut package = crate::command::cargo();
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
    let built = if quick {
        "Crates that only the command line needs were not built (--quick)"
    } else {
        "Each crate was built from its package"
    };
    println!("Packaged {} crates, and tested a new project against them. {built}.", packages.len());
    Ok(())
}

fn packages(root: &Path, target: &Path) -> Result<Vec<Package>, String> {
    let metadata = command::metadata(root)?;
    let members = metadata["packages"].as_array().ok_or("`cargo metadata` names no packages")?;
    // `publish = false` is an empty list of registries.
    let published = members.iter().filter(|member| member["publish"].is_null());
    let package = |member: &serde_json::Value| {
        let (name, version) = (member["name"].as_str()?, member["version"].as_str()?);
        let unpacked = target.join("package").join(format!("{name}-{version}"));
        Some(Package { name: name.to_owned(), unpacked })
    };
    let packages: Vec<Package> = published.filter_map(package).collect();
    if packages.is_empty() { Err("the workspace has no published crate".to_owned()) } else { Ok(packages) }
}

/// Unpacks a package to the folder that cargo uses. Cargo does this too when it builds a package, but it keeps the
/// times of the files in the archive. They are the same in every archive, so cargo would reuse the build of an earlier
/// package.
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
    // Without `--package`, its dependencies have the features that `faasflow up` gives them, so the tests have built them.
    command::run(crate::command::cargo().current_dir(root).args(["build", "--quiet", "--bin", "faasflow"]))?;
    command::run(Command::new(target.join("debug/faasflow")).current_dir(&folder).args(["new", "packaged"]))?;
    let project = folder.join("packaged");
    let config = project.join(".cargo/config.toml");
    let mut patches = "[patch.crates-io]\n".to_owned();
    for Package { name, unpacked } in packages {
        let _ = writeln!(patches, "{name} = {{ path = {unpacked:?} }}");
    }
    std::fs::write(&config, patches).map_err(|error| format!("{}: {error}", config.display()))?;
    let mut test = crate::command::cargo();
    // The same profile as in the workspace, so that its build results can be reused.
    test.current_dir(&project).arg("test").args(["--config", "profile.dev.debug='line-tables-only'"]);
    test.args(["--config", "profile.dev.package.'*'.debug=false"]).env("CARGO_TARGET_DIR", target);
    command::run(&mut test)
}
