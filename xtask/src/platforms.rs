//! Type-checks the crates that run on developers' machines for the platforms that CI does not have.

use std::path::Path;

use crate::command;

/// The crates that are checked. They bring all the others that are published.
const CRATES: [&str; 3] = ["faasflow", "faasflow-cli", "faasflow-testkit"];

/// The part of Apple's SDK that ring's C includes: what kind of system this is.
const TARGET_CONDITIONALS: &str = "\
#pragma once
#define TARGET_OS_MAC 1
#define TARGET_OS_OSX 1
#define TARGET_OS_IPHONE 0
";

/// A platform, and the C compiler that ring's build script needs for it.
struct Platform {
    target: &'static str,
    compiler: &'static str,
    /// The Debian package of the compiler.
    package: &'static str,
}

const PLATFORMS: [Platform; 2] = [
    Platform { target: "aarch64-apple-darwin", compiler: "clang", package: "clang" },
    Platform {
        target: "x86_64-pc-windows-gnu",
        compiler: "x86_64-w64-mingw32-gcc",
        package: "gcc-mingw-w64-x86-64-win32",
    },
];

/// Checks every platform whose tools are installed or can be installed, and prints which were left out.
///
/// # Errors
///
/// If a platform was checked and something does not compile for it, or has warnings.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut unchecked = Vec::new();
    for platform in &PLATFORMS {
        match prepare(root, platform) {
            Ok(()) => check(root, platform)?,
            Err(why) => unchecked.push(format!("NOT CHECKED: {}, because {why}", platform.target)),
        }
    }
    for line in unchecked {
        println!("{line}");
    }
    Ok(())
}

/// Installs what is missing.
fn prepare(root: &Path, platform: &Platform) -> Result<(), String> {
    command::rust_target(root, platform.target)?;
    command::debian(platform.package, platform.compiler)
}

fn check(root: &Path, platform: &Platform) -> Result<(), String> {
    let Platform { target, compiler, .. } = platform;
    let mut cargo = crate::command::cargo();
    cargo.current_dir(root).args(["check", "--quiet", "--locked", "--target", target]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    let variable = target.replace('-', "_");
    cargo.env("RUSTFLAGS", "-D warnings").env(format!("CC_{variable}"), compiler);
    if target.contains("apple") {
        let headers = command::target_folder(root)?.join("apple-headers");
        let file = headers.join("TargetConditionals.h");
        let written = std::fs::create_dir_all(&headers).and_then(|()| std::fs::write(&file, TARGET_CONDITIONALS));
        written.map_err(|error| format!("{}: {error}", file.display()))?;
        // Builds ring as for a system without a C library, because this machine's headers are not Apple's.
        let flags = format!("-ffreestanding -nostdlibinc -DRING_CORE_NOSTDLIBINC=1 -isystem {}", headers.display());
        cargo.env(format!("CFLAGS_{variable}"), flags);
    }
    command::run(&mut cargo)?;
    println!("Checked {target}: {}", CRATES.join(", "));
    Ok(())
}
