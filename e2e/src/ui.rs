//! The dashboard in a browser: each page with real flows, in light and dark colours, wide and narrow.

mod again;
mod asked;
mod attempts;
mod browser;
mod calling;
mod checks;
mod crowd;
mod elsewhere;
mod find;
mod heads;
mod held;
mod hostile;
mod letters;
mod live;
mod members;
mod narrow;
mod paint;
mod photos;
mod stand;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use crate::suite::Suite;
use crate::tools;
use browser::Browser;
use stand::Stand;

/// Finds faults of accessibility in pages. It is used by this suite only.
const AXE: &str = "axe-core@4.14.1";

/// Installs the browser.
pub(crate) async fn install() -> Result<(), String> {
    tools::debian("chromium", "chromium").await.map(drop)
}

pub(crate) async fn run(suite: Suite) -> Result<(), String> {
    let chromium = tools::debian("chromium", "chromium").await?;
    let axe = match axe().await {
        Ok(axe) => Some(axe),
        Err(why) => {
            suite.not_done("accessibility of the pages", &why);
            None
        }
    };
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let pictures = pictures()?;
    let stand = Arc::new(Stand::start(folder.path()).await?);
    let browser = Arc::new(Browser::start(&chromium, folder.path()).await?);
    let tab = browser.tab().await?;
    let visit = checks::Visit { stand, browser, tab, pictures: pictures.clone(), axe: axe.map(Arc::new) };
    checks::run(&suite, visit.clone()).await;
    if let Err(why) = photos::run(&suite, &visit).await {
        suite.note("the demo's flows are built and started", Err(why), Duration::ZERO);
    }
    println!("\nThe pictures are in {}", pictures.display());
    Ok(())
}

/// An empty folder for the pictures of this run.
fn pictures() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/e2e/ui");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// The script of axe-core, from npm.
async fn axe() -> Result<String, String> {
    let folder = tools::folder()?.join(AXE.replace('@', "-"));
    let script = folder.join("package/axe.min.js");
    if !script.is_file() {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        command(&folder, "npm", &["pack", "--silent", AXE]).await?;
        command(&folder, "tar", &["xzf", &format!("{}.tgz", AXE.replace('@', "-"))]).await?;
    }
    std::fs::read_to_string(&script).map_err(|error| format!("{}: {error}", script.display()))
}

async fn command(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new(program).args(arguments).current_dir(folder).output().await;
    let output = ran.map_err(|error| format!("{program} cannot be run: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or_else(|| format!("{program} ended with {}: {errors}", output.status))
}
