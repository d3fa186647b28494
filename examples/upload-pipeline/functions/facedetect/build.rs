//! Copies the model from the package of `rustface`, so that the program can include it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    let cargo = env::var("CARGO").expect("cargo sets CARGO");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .current_dir(env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let rustface = packages.iter().find(|package| package["name"] == "rustface").expect("rustface is a dependency");
    let manifest = PathBuf::from(rustface["manifest_path"].as_str().expect("a package has a manifest"));
    let model = manifest.parent().expect("a manifest is in a folder").join("model/seeta_fd_frontal_v1.0.bin");
    let copy = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("model.bin");
    fs::copy(&model, copy).unwrap_or_else(|error| panic!("{} cannot be copied: {error}", model.display()));
}
