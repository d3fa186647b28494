//! `faasflow graph`

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use bytes::Bytes;
use faasflow_core::code;
use faasflow_core::description::{ActionDescription, Description, StepDescription};
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

pub(crate) async fn run(graph: Graph) -> Result<(), Failure> {
    let json = find(&graph).await?;
    let description: Description = serde_json::from_slice(&json).map_err(|error| {
        let what = if graph.flow == "-" { "standard input".to_owned() } else { format!("`{}`", graph.flow) };
        let failure = Failure::unusable(code::NO_DESCRIPTION, format!("{what} does not describe a flow"));
        if json.is_empty() { failure.because_text(EMPTY) } else { failure.because(&error) }.help(NOT_A_FLOW)
    })?;
    let drawn = match graph.format {
        Format::Text => text(&description),
        Format::Mermaid => mermaid(&description),
        Format::Dot => dot(&description),
        Format::Json => serde_json::to_string_pretty(&description).expect("a description is plain data") + "\n",
    };
    std::io::Write::write_all(&mut std::io::stdout(), drawn.as_bytes())?;
    Ok(())
}

async fn find(graph: &Graph) -> Result<Bytes, Failure> {
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
    let client = Client::new(&graph.gateway)?;
    let path = format!("/function/{}/_/flow", graph.flow);
    let answer = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let text = String::from_utf8_lossy(&answer.body);
    if is_unknown_function(answer.status, &answer.headers) {
        return Err(client.not_deployed(&graph.flow, &text));
    }
    if is_own_answer(&answer.headers) {
        return Err(refused(answer.status, &answer.headers, &text));
    }
    let code = error_code(&answer.headers).unwrap_or(code::FUNCTION_FAILED);
    let failure = Failure::failed(code, format!("the function `{}` answered {}", graph.flow, answer.status));
    Err(if text.trim().is_empty() { failure } else { failure.because_text(text.trim()) })
}

/// Builds a project and returns the description that its program prints.
pub(crate) async fn describe(project: &Path) -> Result<Bytes, Failure> {
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
        Failure::unusable(code::NO_DESCRIPTION, format!("`{}` cannot be run", program.display())).because(&error)
    })?;
    std::io::Write::write_all(&mut std::io::stderr(), &output.stderr)?;
    if output.status.success() {
        return Ok(output.stdout.into());
    }
    Err(Failure::unusable(
        code::NO_DESCRIPTION,
        format!("the program of `{}` did not print the description of its flow", project.display()),
    )
    .because_text(format!("`{} describe` ended with {}", program.display(), output.status))
    .help(NOT_A_FLOW))
}

fn label(step: &StepDescription) -> String {
    match &step.action {
        ActionDescription::Call { function, sync, .. } => {
            format!("{function}{}", if *sync { " (sync)" } else { "" })
        }
        ActionDescription::Callback { url, .. } => format!("callback {url}"),
        _ => step.name.clone(),
    }
}

fn text(flow: &Description) -> String {
    let mut drawn = format!("{}\n", if flow.name.is_empty() { "flow" } else { &flow.name });
    for (index, phase) in flow.phases.iter().enumerate() {
        let last = index + 1 == flow.phases.len();
        let _ = writeln!(drawn, "{} phase {}", if last { "└─" } else { "├─" }, phase.number);
        let bar = if last { ' ' } else { '│' };
        for (index, step) in phase.steps.iter().enumerate() {
            let branch = if index + 1 == phase.steps.len() { "└─" } else { "├─" };
            let _ = writeln!(drawn, "{bar}  {branch} {}. {}", step.number, label(step));
        }
    }
    let handlers = [(flow.on_failure, "failure handler"), (flow.finally, "finally")];
    let handlers: Vec<&str> = handlers.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
    if !handlers.is_empty() {
        let _ = writeln!(drawn, "with {}", handlers.join(" and "));
    }
    let _ = writeln!(drawn, "state: {}, fingerprint: {}", flow.state, flow.fingerprint);
    drawn
}

fn mermaid(flow: &Description) -> String {
    let mut drawn = "flowchart LR\n    request([request])\n".to_owned();
    let mut edges = String::new();
    let mut before = "request".to_owned();
    for phase in &flow.phases {
        let _ = writeln!(drawn, "    subgraph phase{0}[phase {0}]", phase.number);
        for (index, step) in phase.steps.iter().enumerate() {
            let node = format!("step{}", step.number);
            let _ = writeln!(drawn, "        {node}[\"{}\"]", label(step).replace('"', "#quot;"));
            let arrow = if index == 0 && phase.number > 1 { "-. queue .->" } else { "-->" };
            let _ = writeln!(edges, "    {before} {arrow} {node}");
            before = node;
        }
        drawn.push_str("    end\n");
    }
    let _ = write!(drawn, "    response([response])\n{edges}    {before} --> response\n");
    drawn
}

fn dot(flow: &Description) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut drawn = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quote(&flow.name));
    drawn.push_str("  request [shape=oval];\n  response [shape=oval];\n");
    let mut edges = String::new();
    let mut before = "request".to_owned();
    for phase in &flow.phases {
        let _ = writeln!(drawn, "  subgraph cluster_{0} {{\n    label=\"phase {0}\";", phase.number);
        for (index, step) in phase.steps.iter().enumerate() {
            let node = format!("step{}", step.number);
            let _ = writeln!(drawn, "    {node} [label={}];", quote(&label(step)));
            let style = if index == 0 && phase.number > 1 { " [style=dashed, label=\"queue\"]" } else { "" };
            let _ = writeln!(edges, "  {before} -> {node}{style};");
            before = node;
        }
        drawn.push_str("  }\n");
    }
    let _ = write!(drawn, "{edges}  {before} -> response;\n}}\n");
    drawn
}
