//! The deployed program.

use std::time::Duration;

use faasflow_core::description::Description;
use faasflow_core::{Flow, duration};
use tokio::sync::oneshot;

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
    let (stop, _running) = stop_signal(config.write_timeout).map_err(StartError::System)?;
    let served = runtime.block_on(async {
        let signing = config.enable_hmac;
        if config.enable_tracing {
            tracing::warn!("`enable_tracing` is set, and this version exports no traces yet");
        }
        let function = FlowFunction::new(flow, config)?;
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
    });
    // Code of the flow that blocks its thread has had its time; to wait for it could take for ever.
    runtime.shutdown_background();
    served
}

/// `describe` needs no more of the environment than the flow's name, and not even that.
fn describe(flow: &Flow) -> Result<(), StartError> {
    use std::io::Write as _;

    let name = Config::workflow_name_from_env().unwrap_or_default();
    let json = serde_json::to_string_pretty(&Description::of(flow, &name)).expect("a description is plain data");
    writeln!(std::io::stdout(), "{json}").map_err(StartError::System)
}

/// The first part resolves at SIGTERM or SIGINT; the handlers are in place when this returns. The second is to be
/// kept until the flow function has stopped: if that takes longer than `grace`, the process exits.
///
/// A thread of its own sees to both. Code of the flow that blocks may hold all threads of the runtime, and with them
/// what would see a signal and what would see time run out.
fn stop_signal(grace: Duration) -> std::io::Result<(impl Future<Output = ()>, oneshot::Sender<()>)> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let (stop, stopping) = oneshot::channel();
    let (running, ended) = oneshot::channel::<()>();
    let watching = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Stopping: finishing what is in flight");
        let _ = stop.send(());
        // In time it ends by itself, and says so; this is for when it cannot.
        if tokio::time::timeout(grace + Duration::from_secs(1), ended).await.is_err() {
            tracing::warn!("Code of the flow still blocks after {}; it is cut off", duration::format(grace));
            std::process::exit(0);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watching))?;
    let stopping = async {
        let _ = stopping.await;
    };
    Ok((stopping, running))
}
