//! Images of servers, such as MinIO's: the program that a suite has built, on Debian, under the name that a registry has.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use super::{LABEL, is_there};
use crate::docker::Docker;

/// Makes the image of this name, unless the engine has it: `base` with the program, which its command's words are given to.
///
/// # Errors
///
/// If it is not built.
pub(crate) async fn server(docker: &Docker, base: &str, image: &str, program: &Path) -> Result<(), String> {
    let folder = program.parent().ok_or("the program lies nowhere")?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // The folder is named after the version.
    let made_of = format!("{} on {base}", name(folder));
    if is_there(docker, image, &made_of).await {
        return Ok(());
    }
    let name = name(program);
    let text = format!(
        "FROM {base}\nCOPY {name} /usr/local/bin/{name}\nLABEL {LABEL}=\"{made_of}\"\n\
         ENTRYPOINT [\"/usr/local/bin/{name}\"]\nCMD []\n"
    );
    let mut child = docker
        .command(&["build", "--quiet", "--tag", image, "--file", "-"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("docker: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    }
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    let why = || format!("{image} is not built: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(why()) }
}
