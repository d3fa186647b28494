//! `faasflow up`

use std::net::SocketAddr;

use faasflow_gateway::{Event, GatewayOptions, RunningGateway, Stack};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use crate::args::Up;
use crate::error::Failure;
use crate::progress::Progress;

pub(crate) async fn run(up: Up) -> Result<(), Failure> {
    let stack = Stack::read(&up.stack)?;
    // Settings that no flow would start with are said before anything is built.
    crate::config::check(&stack)?;
    let names: Vec<String> = stack.functions.keys().cloned().collect();
    let mut options = GatewayOptions::new(stack);
    options.listen = SocketAddr::new(up.host, up.port);
    options.release = up.release;
    options.watch = !up.no_watch;
    options.upstream_timeout = up.upstream_timeout;
    options.queue.max_body = up.queue_limit;
    options.queue.workers = up.queue_workers;
    options.queue.max_attempts = up.queue_attempts;
    if let Some(folder) = up.state_dir {
        options.state_dir = folder;
    }
    // In place before anything is started, so that a stop is never missed.
    let stopped = StopSignal::new()?;
    let (events, mut happened) = unbounded_channel();
    let gateway = options.start(events).await?;
    eprintln!("The gateway is at {}", gateway.url());
    let showing = tokio::spawn(async move {
        let mut progress = Progress::new(true);
        while let Some(event) = happened.recv().await {
            progress.show(&event);
        }
    });
    let mut stopped = stopped;
    tokio::select! {
        () = stopped.wait() => {}
        ready = gateway.ready() => {
            match ready {
                Ok(()) => greet(&gateway, &names),
                // Sources may be mended while it runs.
                Err(error) => eprintln!("{error}"),
            }
            stopped.wait().await;
        }
    }
    eprintln!("Stopping: finishing what is in flight");
    gateway.stop().await;
    showing.abort();
    Ok(())
}

fn greet(gateway: &RunningGateway, names: &[String]) {
    eprintln!("All functions are ready. Try one of:");
    for name in names {
        let option =
            if gateway.address().port() == 8080 { String::new() } else { format!(" --gateway {}", gateway.url()) };
        eprintln!("  faasflow invoke{option} {name}");
    }
}

/// SIGTERM or SIGINT.
pub(crate) struct StopSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    pub(crate) fn new() -> std::io::Result<StopSignal> {
        Ok(StopSignal { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Whether an event is a log line, and whose.
pub(crate) fn log_line(event: &Event) -> Option<(&str, &str)> {
    match event {
        Event::Log { function, line } => Some((function, line)),
        _ => None,
    }
}
