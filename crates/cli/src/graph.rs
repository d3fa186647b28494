//! `faasflow graph`

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use bytes::Bytes;
use faasflow_core::code;
use faasflow_core::description::{Description, DescriptionError};
use faasflow_gateway::Event;
use http::{HeaderMap, Method};
use tokio::process::Command;

use crate::args::{Format, Graph};
use crate::client::{Client, error_code, is_own_answer, is_unknown_function, refused};
use crate::error::Failure;
use crate::progress::Progress;

/// Why an empty description cannot be used.
pub(crate) const EMPTY: &str = "its description is empty";
/// What to do about a function that is not a flow.
pub(crate) const NOT_A_FLOW: &str = "check that it is a flow: its `main` calls `faasflow::serve`";

/// What to do about a description in a later version of the format.
const UPDATE: &str = "update `faasflow`: the flow was built with a newer version of it";
/// The name of the program of every project that was made from the template.
const TEMPLATE_PROGRAM: &str = "flow";
/// The width of a drawing that does not go to a terminal.
const WIDTH: usize = 80;

pub(crate) async fn run(graph: Graph) -> Result<(), Failure> {
    let described = find(&graph).await?;
    let what = if graph.flow == "-" { "standard input".to_owned() } else { format!("`{}`", graph.flow) };
    let mut description = read(&described.json, &what, EMPTY)?;
    // Only a deployment gives a flow its name.
    if description.name.is_empty() {
        description.name = described.program.unwrap_or_default();
    }
    let drawn = match graph.format {
        Format::Text => faasflow_drawing::text(&description, width()),
        Format::Mermaid => faasflow_drawing::mermaid(&description),
        Format::Dot => faasflow_drawing::dot(&description),
        Format::Svg => faasflow_drawing::svg(&description),
        Format::Json => serde_json::to_string_pretty(&description).expect("a description is plain data") + "\n",
    };
    std::io::Write::write_all(&mut std::io::stdout(), drawn.as_bytes())?;
    Ok(())
}

/// How many columns a line may take: those of the terminal, so that no line wraps.
fn width() -> usize {
    let terminal = console::Term::stdout();
    if terminal.is_term() { usize::from(terminal.size().1) } else { WIDTH }
}

/// Reads the description of a flow. `what` names its source, and `empty` is the cause to state if it is empty.
pub(crate) fn read(json: &[u8], what: &str, empty: &str) -> Result<Description, Failure> {
    Description::from_json(json).map_err(|error| match &error {
        DescriptionError::Newer { .. } => {
            Failure::unusable(code::NO_DESCRIPTION, format!("the description from {what} is too new"))
                .because(&error)
                .help(UPDATE)
        }
        DescriptionError::Unreadable(source) => {
            let failure = Failure::unusable(code::NO_DESCRIPTION, format!("{what} does not describe a flow"));
            if json.is_empty() { failure.because_text(empty) } else { failure.because(source) }.help(NOT_A_FLOW)
        }
        _ => Failure::unusable(code::NO_DESCRIPTION, format!("{what} does not describe a flow")).because(&error),
    })
}

/// A description in JSON, and a name for its flow.
pub(crate) struct Described {
    pub(crate) json: Bytes,
    /// What to call the flow if the description has no name: see [`name_of`].
    program: Option<String>,
}

impl From<Vec<u8>> for Described {
    fn from(json: Vec<u8>) -> Described {
        Described { json: json.into(), program: None }
    }
}

async fn find(graph: &Graph) -> Result<Described, Failure> {
    let path = Path::new(&graph.flow);
    if graph.flow == "-" {
        let mut json = Vec::new();
        std::io::stdin().read_to_end(&mut json)?;
        return Ok(json.into());
    }
    if path.join("Cargo.toml").is_file() {
        return describe(path).await;
    }
    if path.is_file() {
        return Ok(std::fs::read(path)?.into());
    }
    if graph.flow == "." {
        return Err(Failure::unusable(code::NO_PROJECT, "this folder is not a flow's project")
            .because_text("it has no Cargo.toml")
            .help("name the folder of a project, as in `faasflow graph my-flow/`, or the name of a deployed flow"));
    }
    // A function cannot have such a name, so a file is meant.
    if graph.flow.contains('/') || graph.flow.ends_with(".json") {
        let what = format!("`{}` is neither a file nor the folder of a flow's project", path.display());
        return Err(Failure::unusable(code::NO_PROJECT, what)
            .help("name a folder with a Cargo.toml, or a JSON file that describes a flow"));
    }
    deployed(graph).await
}

/// Adds why a word was taken for the name of a deployed flow, and how to draw one that is not deployed.
fn with_reading(graph: &Graph, failure: Failure) -> Failure {
    let why = match Path::new(&graph.flow).is_dir() {
        true => format!("the folder `{}` has no Cargo.toml", graph.flow),
        false => format!("there is no file or folder `{}`", graph.flow),
    };
    failure
        .because_text(format!("{why}, so `{}` was taken for the name of a deployed flow", graph.flow))
        .help("to draw a flow that is not deployed, name the folder of its project, as in `faasflow graph my-flow/`")
}

/// The description of a deployed flow.
async fn deployed(graph: &Graph) -> Result<Described, Failure> {
    let client = Client::new(&graph.gateway)?;
    let path = format!("/function/{}/_/flow", graph.flow);
    let answer = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
    let answer = answer.map_err(|failure| with_reading(graph, failure))?;
    if answer.status.is_success() {
        return Ok(Described { json: answer.body, program: None });
    }
    let text = String::from_utf8_lossy(&answer.body);
    if is_unknown_function(answer.status, &answer.headers) {
        return Err(with_reading(graph, client.not_deployed(&graph.flow, &text)));
    }
    if is_own_answer(&answer.headers) {
        return Err(refused(answer.status, &answer.headers, &text));
    }
    let code = error_code(&answer.headers).unwrap_or(code::FUNCTION_FAILED);
    let failure = Failure::failed(code, format!("the function `{}` answered {}", graph.flow, answer.status));
    let failure = if text.trim().is_empty() { failure } else { failure.because_text(text.trim()) };
    Err(failure.help("find out more in the log of the function"))
}

/// The name of a project's flow: that of its program, or that of its folder if the program has the name that every project
/// from the template has.
fn name_of(program: &Path, project: &Path) -> Option<String> {
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    let program = program.file_stem().map(text)?;
    if program != TEMPLATE_PROGRAM {
        return Some(program);
    }
    Some(project.canonicalize().ok().and_then(|folder| folder.file_name().map(text)).unwrap_or(program))
}

/// Builds a project and returns the description that its program prints.
pub(crate) async fn describe(project: &Path) -> Result<Described, Failure> {
    let (events, mut happened) = tokio::sync::mpsc::unbounded_channel();
    let build = async move { faasflow_gateway::build_project(project, &events).await };
    let show = async move {
        let mut progress = Progress::new(false);
        // Only on a terminal, because programs read the output too; and only if cargo has to compile or to wait.
        let is_terminal = std::io::stderr().is_terminal();
        let (mut started, mut shown) = (None, false);
        while let Some(event) = happened.recv().await {
            match event {
                Event::BuildStarted { .. } => {
                    started = Some(event);
                    continue;
                }
                Event::Compiling { .. } | Event::BuildWaits { .. } => shown = is_terminal,
                _ => {}
            }
            if shown {
                if let Some(started) = started.take() {
                    progress.show(&started);
                }
                progress.show(&event);
            }
        }
    };
    let (program, ()) = tokio::join!(build, show);
    let program = program?;
    let output = Command::new(&program).arg("describe").current_dir(project).output().await.map_err(|error| {
        Failure::unusable(code::NO_DESCRIPTION, format!("`{}` cannot be run", program.display()))
            .because(&error)
            .help("build the project again, and run the program by hand with the argument `describe`")
    })?;
    std::io::Write::write_all(&mut std::io::stderr(), &output.stderr)?;
    if output.status.success() {
        return Ok(Described { json: output.stdout.into(), program: name_of(&program, project) });
    }
    Err(Failure::unusable(
        code::NO_DESCRIPTION,
        format!("the program of `{}` did not print the description of its flow", project.display()),
    )
    .because_text(format!("`{} describe` ended with {}", program.display(), output.status))
    .help(NOT_A_FLOW))
}
