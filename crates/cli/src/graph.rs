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
use crate::client::Client;
use crate::error::Failure;
use crate::progress::Progress;

pub(crate) async fn run(graph: Graph) -> Result<(), Failure> {
    let json = find(&graph).await?;
    let description: Description = serde_json::from_slice(&json).map_err(|error| {
        let what = if graph.flow == "-" { "standard input" } else { &graph.flow };
        Failure::unusable(code::NO_DESCRIPTION, format!("{what} is not the description of a flow")).because(&error)
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
        return Err(Failure::unusable(code::NO_PROJECT, "this folder is not the project of a flow")
            .help("name the folder of a flow, or a flow at the gateway"));
    }
    // No function has such a name: a file is meant.
    if graph.flow.contains('/') || graph.flow.ends_with(".json") {
        let what = format!("{} is neither a file nor the project of a flow", path.display());
        return Err(
            Failure::unusable(code::NO_PROJECT, what).help("name a folder with a Cargo.toml, or a file in JSON")
        );
    }
    let client = Client::new(&graph.gateway)?;
    let path = format!("/function/{}/_/flow", graph.flow);
    let answer = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let what = format!("`{}` answered {}", graph.flow, answer.status);
    Err(Failure::failed(code::FUNCTION_FAILED, what).because_text(text.trim()))
}

/// Builds the project and asks it.
pub(crate) async fn describe(project: &Path) -> Result<Bytes, Failure> {
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    let build = async move { faasflow_gateway::build_project(project, &events).await };
    let show = async move {
        let mut progress = Progress::new(false);
        // Programs read the output too, so progress is shown on a terminal only, and only if something is compiled.
        let mut shown = false;
        while let Some(event) = told.recv().await {
            shown |= matches!(event, Event::Compiling { .. }) && std::io::stderr().is_terminal();
            if shown {
                progress.show(&event);
            }
        }
    };
    let (program, ()) = tokio::join!(build, show);
    let program = program?;
    let output = Command::new(&program).arg("describe").current_dir(project).output().await.map_err(|error| {
        Failure::unusable(code::NO_DESCRIPTION, format!("{} cannot be run", program.display())).because(&error)
    })?;
    std::io::Write::write_all(&mut std::io::stderr(), &output.stderr)?;
    if output.status.success() {
        return Ok(output.stdout.into());
    }
    Err(Failure::unusable(
        code::NO_DESCRIPTION,
        format!("the program of {} does not describe a flow", project.display()),
    ))
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
