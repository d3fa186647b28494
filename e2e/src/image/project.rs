//! A user's project, which faas-cli creates and builds.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::source::copy_as_repository;
use crate::docker::Docker;

/// The name of the function.
pub(super) const NAME: &str = "my-flow";
/// The path in which faas-cli finds programs. The engine's client comes first.
pub(super) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The checkout that this suite was built from.
pub(super) fn checkout() -> Result<PathBuf, String> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().map_err(|error| error.to_string())
}

/// The output of a build, and how long it took.
pub(super) struct BuildOutput {
    pub(super) printed: String,
    pub(super) took: Duration,
}

impl BuildOutput {
    /// The output of a step of the Dockerfile, found by the text of its instruction.
    pub(super) fn step(&self, instruction: &str) -> Result<&str, String> {
        let (_, rest) = self
            .printed
            .split_once(instruction)
            .ok_or_else(|| format!("no step `{instruction}`: {}", tail(&self.printed)))?;
        Ok(rest.split("\nStep ").next().unwrap_or(rest))
    }
}

/// Removes the colours of docker and faas-cli from a text.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

/// The last lines of a build's output, for messages.
pub(super) fn tail(printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A project in a temporary folder.
pub(super) struct Project {
    home: tempfile::TempDir,
    faas_cli: PathBuf,
    docker: Docker,
}

impl Project {
    /// Creates a project with `faas-cli template pull` and `faas-cli new`. The template is that of this checkout,
    /// including changes that are not committed.
    pub(super) async fn new(faas_cli: PathBuf, docker: &Docker) -> Result<Project, String> {
        let home = tempfile::Builder::new().prefix("faasflow-user-").tempdir().map_err(|error| error.to_string())?;
        let project = Project { home, faas_cli, docker: docker.clone() };
        let repository = project.home.path().join("faasflow");
        copy_as_repository(&repository, &["template"]).await?;
        project.faas_cli(&["template", "pull", &repository.to_string_lossy()]).await?;
        project.faas_cli(&["new", "--lang", "faasflow", NAME]).await?;
        Ok(project)
    }

    /// Runs faas-cli, and returns both outputs.
    async fn faas_cli(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.faas_cli)
            .args(arguments)
            .current_dir(self.home.path())
            .envs(self.docker.environment(PATH))
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", self.faas_cli.display()))?;
        let printed = plain(&[output.stdout, output.stderr].concat());
        if output.status.success() { Ok(printed) } else { Err(printed) }
    }

    /// Writes a file of the handler.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.home.path().join(NAME).join(file);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Changes the name of the image in the stack file that faas-cli wrote.
    fn stack(&self, image: &str) -> Result<PathBuf, String> {
        let names = ["stack.yaml", "stack.yml", &format!("{NAME}.yml")].map(|name| self.home.path().join(name));
        let made = names.iter().find(|path| path.is_file()).ok_or("faas-cli wrote no stack file")?;
        let text = std::fs::read_to_string(made).map_err(|error| error.to_string())?;
        let stack = self.home.path().join("build-stack.yml");
        std::fs::write(&stack, text.replace(&format!("image: {NAME}:latest"), &format!("image: {image}")))
            .map_err(|error| error.to_string())?;
        Ok(stack)
    }

    /// Builds an image of this name with `faas-cli build`. The error is the output of faas-cli.
    pub(super) async fn build(&self, image: &str, build_args: &[&str]) -> Result<BuildOutput, String> {
        let stack = self.stack(image)?;
        let stack = stack.to_string_lossy();
        let mut arguments = vec!["build", "--yaml", &stack];
        for argument in build_args {
            arguments.extend(["--build-arg", argument]);
        }
        let begun = Instant::now();
        let printed = self.faas_cli(&arguments).await?;
        Ok(BuildOutput { printed, took: begun.elapsed() })
    }

    /// Builds the output of `faas-cli build --shrinkwrap` with BuildKit. This faas-cli has no option for a platform.
    pub(super) async fn buildkit(&self, image: &str, options: &[&str]) -> Result<BuildOutput, String> {
        let stack = self.stack(image)?;
        self.faas_cli(&["build", "--shrinkwrap", "--yaml", &stack.to_string_lossy()]).await?;
        let context = self.home.path().join("build").join(NAME);
        let begun = Instant::now();
        let output = self
            .docker
            .command(&["build", "--tag", image])
            .args(options)
            .args(["--build-arg=http_proxy", "--build-arg=https_proxy", "--build-arg=no_proxy"])
            .arg(context)
            .envs(self.docker.environment(PATH))
            .env("DOCKER_BUILDKIT", "1")
            .output()
            .await
            .map_err(|error| format!("docker: {error}"))?;
        let printed = plain(&[output.stdout, output.stderr].concat());
        if output.status.success() { Ok(BuildOutput { printed, took: begun.elapsed() }) } else { Err(printed) }
    }
}
