//! Static programs of the command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Release;
use crate::command;

/// Builds the command line for a target. Returns the path of the program.
///
/// # Errors
///
/// If it cannot be built, or needs a loader or libraries of the system.
pub(super) fn program(release: &Release, target: &str) -> Result<PathBuf, String> {
    command::rust_target(release.root, target)?;
    let mut cargo = crate::command::cargo();
    cargo.current_dir(release.root).args(["build", "--locked", "--quiet", "--profile", "dist", "--target", target]);
    cargo.args(["--package", "faasflow-cli"]).env("FAASFLOW_COMMIT", release.commit);
    // The program offers no checkout, and does not contain the path of this one.
    cargo.env("FAASFLOW_NO_CHECKOUT", "1");
    compiler(target, &mut cargo)?;
    // Panic messages name source files. This shortens their paths, but not those that `env!` puts into a program.
    let mut flags = format!("--remap-path-prefix={}=/faasflow", release.root.display());
    // rustup sets it for every cargo.
    #[expect(clippy::disallowed_methods, reason = "this is no part of the product")]
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        flags = format!("{flags} --remap-path-prefix={}=/cargo", Path::new(&home).display());
    }
    command::run(cargo.env("RUSTFLAGS", flags))?;
    let program = command::target_folder(release.root)?.join(target).join("dist/faasflow");
    let segments = command::output(Command::new("readelf").args(["--program-headers", "--wide"]).arg(&program))?;
    if segments.contains("INTERP") {
        return Err(format!("{} is not static: it asks for a loader", program.display()));
    }
    Ok(program)
}

/// Whether a program contains a path.
///
/// # Errors
///
/// If the program cannot be read.
pub(super) fn contains(program: &Path, path: &Path) -> Result<bool, String> {
    let bytes = std::fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    let path = path.as_os_str().as_encoded_bytes();
    Ok(bytes.windows(path.len()).any(|window| window == path))
}

/// Sets the C compiler, and for another processor the linker, as `build.sh` of the template does.
fn compiler(target: &str, cargo: &mut Command) -> Result<(), String> {
    let processor = target.split('-').next().unwrap_or_default();
    let variable = target.replace('-', "_");
    if processor == std::env::consts::ARCH {
        command::debian("musl-tools", "musl-gcc")?;
        cargo.env(format!("CC_{variable}"), "musl-gcc");
        return Ok(());
    }
    let prefix = format!("{processor}-linux-gnu");
    let package = processor.replace('_', "-");
    command::debian(&format!("gcc-{package}-linux-gnu"), &format!("{prefix}-gcc"))?;
    let architecture = if processor == "aarch64" { "arm64" } else { "amd64" };
    if !Path::new("/usr").join(&prefix).join("include/stdio.h").is_file() {
        command::install(&format!("libc6-dev-{architecture}-cross"))?;
    }
    cargo.env(format!("CC_{variable}"), format!("{prefix}-gcc")).env(format!("AR_{variable}"), format!("{prefix}-ar"));
    cargo.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), "rust-lld");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_program_is_found() {
        let own = std::env::current_exe().unwrap();
        // This path is in the program of these tests.
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(contains(&own, package).unwrap());
        assert!(!contains(&own, &Path::new("/absent").join(std::process::id().to_string())).unwrap());
        assert!(contains(Path::new("/absent"), package).unwrap_err().starts_with("/absent: "));
    }
}
