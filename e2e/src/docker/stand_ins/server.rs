//! Images of servers, such as MinIO's. They have the program that a suite has built, on Debian, and the name that the
//! registry uses.

use std::path::Path;

use super::{build, is_there};
use crate::docker::Docker;

/// Makes the image of this name, unless the engine has it. It is `base` with the program, which gets the words of the
/// container's command.
///
/// # Errors
///
/// If the build fails.
pub(crate) async fn server(docker: &Docker, base: &str, image: &str, program: &Path) -> Result<(), String> {
    let folder = program.parent().ok_or("the program lies nowhere")?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // The folder is named after the version.
    let made_of = format!("{} on {base}", name(folder));
    if is_there(docker, image, &made_of).await {
        return Ok(());
    }
    let name = name(program);
    let place = format!("/usr/local/bin/{name}");
    let text = format!("FROM {base}\nCOPY {name} {place}\nENTRYPOINT [\"{place}\"]\nCMD []\n");
    build(docker, folder, image, &made_of, &text, &[]).await
}
