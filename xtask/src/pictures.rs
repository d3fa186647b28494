//! `cargo xtask pictures`: makes the pictures in the README. It runs the demo, takes a photo that went through the
//! pipeline, and draws the flow from its own description.

mod drawing;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{output, run as run_command, target_folder};

/// Where the pictures are committed.
const FOLDER: &str = "docs/pictures";

/// The flow in the README. It runs in three phases.
const FLOW: &str = "upload-pipeline-async";

/// The photo in the README. It shows one face, so the pipeline accepts it.
const PHOTO: &str = "portrait.jpg";

/// The largest size of a picture, in bytes. Everyone who clones the repository or opens the page downloads them.
const LARGEST: usize = 100_000;

/// Makes the pictures. With `check`, compares them with the committed ones and writes nothing.
///
/// # Errors
///
/// If the demo or the drawing fails, if a picture is too large, or, with `check`, if a picture differs.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let mut faults = Vec::new();
    for (name, made) in [("portrait.jpg", processed_photo(root)?), ("flow.svg", drawn_flow(root)?.into_bytes())] {
        let path = Path::new(FOLDER).join(name);
        if made.len() > LARGEST {
            return Err(format!("{} has {} bytes; at most {LARGEST} are allowed", path.display(), made.len()));
        }
        if check {
            if std::fs::read(root.join(&path)).ok().as_deref() != Some(made.as_slice()) {
                faults.push(path.display().to_string());
            }
            continue;
        }
        std::fs::create_dir_all(root.join(FOLDER)).map_err(|error| format!("{FOLDER}: {error}"))?;
        std::fs::write(root.join(&path), &made).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}: {} bytes", path.display(), made.len());
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("not as the demo makes them: {}; run `cargo xtask pictures` and commit the result", faults.join(", ")))
}

/// The photo as the demo's functions return it.
fn processed_photo(root: &Path) -> Result<Vec<u8>, String> {
    let folder = target_folder(root)?.join("pictures");
    run_command(faasflow(root).arg("demo").arg("--output").arg(&folder))?;
    let path: PathBuf = folder.join("pictures").join(format!("{FLOW}-{PHOTO}"));
    std::fs::read(&path).map_err(|error| format!("the demo made no {}: {error}", path.display()))
}

/// The flow, drawn from the description that its program prints. The demo has just built that program.
fn drawn_flow(root: &Path) -> Result<String, String> {
    let program = target_folder(root)?.join("release").join(FLOW);
    let json = output(Command::new(program).arg("describe"))?;
    let description = serde_json::from_str(&json).map_err(|error| format!("the description of {FLOW}: {error}"))?;
    drawing::draw(&description)
}

/// The command line, built as CI builds it for the demo.
fn faasflow(root: &Path) -> Command {
    let mut command = crate::command::cargo();
    command.current_dir(root).args(["run", "--quiet", "--release", "--"]);
    command
}
