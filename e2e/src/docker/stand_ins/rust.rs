//! `rust:…-alpine`: Debian by debootstrap, with the Rust toolchain of this machine.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::process::Command;

use super::{default_of, import, is_there};
use crate::apart::Apart;
use crate::docker::Docker;
use crate::docker::engine::stable_hash;
use crate::tools;

const MIRROR: &str = "http://deb.debian.org/debian";
const RELEASE: &str = "bookworm";
/// The parts that Alpine's image has or `apk` adds: a compiler for musl and headers, git, and certificates.
const PACKAGES: [&str; 5] = ["ca-certificates", "gcc", "git", "libc6-dev", "musl-tools"];
/// The compiler of C for arm64. In Alpine's image, this is clang.
const CROSS: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
/// The certificate authorities of this machine, which may be more than Debian's.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `apk add`, which succeeds for packages that the image has and fails for others.
const APK: &str = r#"#!/bin/sh
# A stand-in for Alpine's apk. It installs nothing; what is asked for is here already, or cannot be had.
[ "${1:-}" = add ] || { echo "apk (a stand-in): only \`apk add\` is known here" >&2; exit 2; }
shift
for package in "$@"; do
    case "$package" in
        --no-cache | gcc | git | musl-dev | ca-certificates) ;;
        *) echo "apk (a stand-in): \`$package\` is not in this image" >&2; exit 1 ;;
    esac
done
"#;

/// Makes the image in which the template builds, unless the engine has it, and returns its name. `targets` are the
/// toolchain's targets besides this machine's own. For those of other processors, the image has a cross-compiler for C.
///
/// # Errors
///
/// If debootstrap fails, or the toolchain has no such target.
pub(crate) async fn rust(docker: &Docker, apart: &Apart, targets: &[&str]) -> Result<String, String> {
    let image = default_of("RUST_IMAGE")?;
    let cross = targets.iter().any(|target| !target.starts_with(std::env::consts::ARCH));
    // Each set of targets has its own image.
    let image = if cross { format!("{image}-cross") } else { image };
    let sysroot = PathBuf::from(printed("rustc", &["--print", "sysroot"]).await?);
    let mut packages = PACKAGES.to_vec();
    packages.extend(cross.then_some(CROSS).into_iter().flatten());
    let certificates = std::fs::read(CERTIFICATES).map_err(|error| format!("{CERTIFICATES}: {error}"))?;
    let made_of = format!(
        "2; {RELEASE} with {}; {} for {}; certificates {:x}; apk {:x}",
        packages.join(" "),
        printed("rustc", &["--version"]).await?,
        targets.join(" "),
        stable_hash(&certificates),
        stable_hash(APK.as_bytes()),
    );
    if is_there(docker, &image, &made_of).await {
        return Ok(image);
    }
    println!("Building a stand-in for {image}. This takes a minute; later runs reuse it.");
    let begun = Instant::now();
    let tools = tools::folder()?;
    let parent = tempfile::tempdir_in(&tools).map_err(|error| error.to_string())?;
    let root = parent.path().join("root");
    let cache = tools.join("debootstrap");
    std::fs::create_dir_all(&cache).map_err(|error| error.to_string())?;
    let output = apart
        .outside("debootstrap")
        .args(["--variant=minbase", &format!("--include={}", packages.join(","))])
        .arg(format!("--cache-dir={}", cache.display()))
        .arg(RELEASE)
        .arg(&root)
        .arg(MIRROR)
        .output()
        .await
        .map_err(|error| format!("debootstrap: {error}"))?;
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let tail: Vec<&str> = printed.lines().rev().take(5).collect();
        return Err(format!("debootstrap ended with {}: {}", output.status, tail.join(" | ")));
    }
    let toolchain = root.join("usr/local/rustup/toolchain");
    copy_toolchain(&sysroot, &toolchain, targets).await?;
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(CERTIFICATES, &certificates)?;
    write("sbin/apk", APK.as_bytes())?;
    run(Command::new("chmod").arg("755").arg(root.join("sbin/apk"))).await?;
    run(Command::new("rm").arg("-rf").arg(root.join("var/cache/apt")).arg(root.join("var/lib/apt/lists"))).await?;
    let changes = [
        "ENV CARGO_HOME=/usr/local/cargo",
        "ENV PATH=/usr/local/rustup/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "CMD [\"/bin/sh\"]",
    ];
    import(docker, &root, &image, &made_of, &changes).await?;
    println!("Built the stand-in for {image} in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(image)
}

/// The parts of rustup's minimal profile, as in Alpine's image: compiler, rustdoc, cargo, and the standard library for
/// these targets.
async fn copy_toolchain(sysroot: &Path, toolchain: &Path, targets: &[&str]) -> Result<(), String> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let libraries = toolchain.join("lib/rustlib");
    for folder in [&toolchain.join("bin"), &libraries] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let programs = ["cargo", "rustc", "rustdoc"].map(|program| sysroot.join("bin").join(program));
    run(Command::new("cp").arg("-a").args(programs).arg(toolchain.join("bin"))).await?;
    let entries = std::fs::read_dir(sysroot.join("lib")).map_err(|error| format!("{}: {error}", sysroot.display()))?;
    let shared = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    run(Command::new("cp").arg("-a").args(shared).arg(toolchain.join("lib"))).await?;
    for target in [host.as_str()].iter().chain(targets) {
        let from = sysroot.join("lib/rustlib").join(target);
        if !from.is_dir() {
            return Err(format!("the toolchain in {} has no target {target}: add it with rustup", sysroot.display()));
        }
        run(Command::new("cp").arg("-a").arg(from).arg(&libraries)).await?;
    }
    Ok(())
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().await.map_err(|error| format!("{command:?}: {error}"))?;
    let why =
        || format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(why()) }
}

/// The standard output of a program.
async fn printed(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().await.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("`{program} {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }
}
