//! `cargo xtask pictures`: makes the pictures in README.md and in the README of the photo report. It runs the demo, takes a
//! photo and a contact sheet that it has made, and draws both flows from their descriptions.

mod drawing;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{output, run as run_command, target_folder};

/// Where the pictures are committed.
const FOLDER: &str = "docs/pictures";

/// The pipeline in README.md. It runs in three phases.
const PIPELINE: &str = "upload-pipeline-async";

/// The flow with branches, in the README of its example.
const REPORT: &str = "photo-report";

/// The photo in the README. It shows one face, so the pipeline accepts it.
const PHOTO: &str = "portrait.jpg";

/// The largest size of a picture, in bytes. Everyone who clones the repository or opens the page downloads them.
const LARGEST: usize = 150_000;

/// Makes the pictures. With `check`, compares them with the committed ones and writes nothing.
///
/// # Errors
///
/// If the demo or the drawing fails, if a picture is too large, or, with `check`, if a picture differs.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let mut faults = Vec::new();
    let made = run_demo(root)?;
    let pictures = [
        ("portrait.jpg", picture(&made, &format!("{PIPELINE}-{PHOTO}"))?),
        ("flow.svg", drawing::draw(&description(root, PIPELINE)?)?.into_bytes()),
        ("contact-sheet.jpg", picture(&made, &format!("{REPORT}.jpg"))?),
        ("photo-report.svg", drawn_graph(root)?.into_bytes()),
    ];
    for (name, made) in pictures {
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

/// Runs the demo, and returns the folder of its pictures.
fn run_demo(root: &Path) -> Result<PathBuf, String> {
    let folder = target_folder(root)?.join("pictures");
    run_command(faasflow(root).arg("demo").arg("--output").arg(&folder))?;
    Ok(folder.join("pictures"))
}

/// A picture as the demo's functions return it.
fn picture(made: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = made.join(name);
    std::fs::read(&path).map_err(|error| format!("the demo made no {}: {error}", path.display()))
}

/// The description that the program of a flow prints. The demo has just built that program.
fn description(root: &Path, flow: &str) -> Result<serde_json::Value, String> {
    let program = target_folder(root)?.join("release").join(flow);
    let json = output(Command::new(program).arg("describe"))?;
    serde_json::from_str(&json).map_err(|error| format!("the description of {flow}: {error}"))
}

/// The flow with branches, as `faasflow graph` draws it.
fn drawn_graph(root: &Path) -> Result<String, String> {
    let described = target_folder(root)?.join("pictures").join("photo-report-flow.json");
    let mut description = description(root, REPORT)?;
    // Only a deployment gives a flow its name.
    description["name"] = REPORT.into();
    std::fs::write(&described, description.to_string()).map_err(|error| format!("{}: {error}", described.display()))?;
    output(faasflow(root).args(["graph", "--format", "svg"]).arg(&described))
}

/// The command line, built as CI builds it for the demo.
fn faasflow(root: &Path) -> Command {
    let mut command = crate::command::cargo();
    command.current_dir(root).args(["run", "--quiet", "--release", "--"]);
    command
}
