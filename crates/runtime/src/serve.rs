//! The deployed program.

use faasflow_core::Flow;
use faasflow_core::description::Description;

use crate::config::Config;
use crate::error::StartError;
use crate::function::FlowFunction;

/// Serves a flow as a function until it is told to stop. This is the whole of a deployed program:
///
/// ```no_run
/// # use faasflow_core::{DefinitionError, Flow};
/// # use faasflow_runtime::serve;
/// # fn define() -> Result<Flow, DefinitionError> { Flow::builder().apply("facedetect").build() }
/// fn main() -> faasflow_core::Result<()> {
///     serve(define()?)
/// }
/// ```
///
/// With the argument `describe` it prints the definition as JSON and returns.
///
/// # Errors
///
/// If it cannot start: a setting that cannot be used, no key for signing, a port that is taken.
pub fn serve(flow: Flow) -> faasflow_core::Result<()> {
    Ok(run(flow)?)
}

fn run(flow: Flow) -> Result<(), StartError> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => {}
        Some("describe") => return describe(&flow),
        Some(other) => return Err(StartError::Argument(other.to_owned())),
    }
    let config = Config::from_env()?;
    crate::log::start(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::System)?;
    runtime.block_on(async {
        let signing = config.enable_hmac;
        let function = FlowFunction::new(flow, config)?;
        let stop = stop_signal().map_err(StartError::System)?;
        let (listener, address) = function.bind().await?;
        let description = function.description();
        tracing::info!(
            "Flow `{}` of {} phase(s) listens on {address}{}",
            description.name,
            description.phases.len(),
            if signing { "" } else { "; signing is off: whoever reaches it can forge its envelopes" }
        );
        function.serve(listener, stop).await.map_err(StartError::System)?;
        tracing::info!("Stopped");
        Ok(())
    })
}

/// `describe` needs no more of the environment than the flow's name, and not even that.
fn describe(flow: &Flow) -> Result<(), StartError> {
    use std::io::Write as _;

    let name = Config::from_env().map(|config| config.workflow_name).unwrap_or_default();
    let json = serde_json::to_string_pretty(&Description::of(flow, &name)).expect("a description is plain data");
    writeln!(std::io::stdout(), "{json}").map_err(StartError::System)
}

/// Resolves at SIGTERM or SIGINT. The handlers are in place when this returns.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Stopping: finishing what is in flight");
    })
}
