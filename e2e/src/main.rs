//! Test suites on real servers. Each suite installs what is missing, starts its servers on free loopback ports, and stops
//! them. `cargo xtask e2e NAME` runs one.

mod apart;
mod chaos;
mod client;
mod docker;
mod gateway_store;
mod image;
mod kubernetes;
mod openfaas;
mod photos;
mod recorder;
mod server;
mod severed;
mod state;
mod suite;
mod tools;
mod tracing;
mod ui;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::apart::Apart;
use crate::suite::Suite;

/// How long building the servers of one suite may take on a busy machine.
const BUILDS: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["openfaas"] => run("openfaas", openfaas::run),
        ["state"] => run("state", state::run),
        ["tracing"] => run("tracing", tracing::run),
        ["ui"] => run("ui", ui::run),
        ["image"] => run_apart("image", image::install(image::Extent::Long), image::run_long),
        ["image", "--short"] => run_apart("image, short", image::install(image::Extent::Short), image::run_short),
        ["image", "--functions"] => {
            run_apart("image, functions", image::install(image::Extent::Provider), image::run_provider)
        }
        ["image", "--podman"] => run_apart("image, Podman", image::install(image::Extent::Podman), image::run_podman),
        ["install"] => run("install", install),
        ["kubernetes"] => exit("kubernetes", block_on(kubernetes::run)),
        // `kubernetes` starts this in its own namespaces.
        ["kubernetes", "inside", folder] => run("kubernetes", |suite| kubernetes::inside(suite, folder.into())),
        ["chaos", words @ ..] => match chaos::Arguments::parse(words, seed()) {
            Ok(arguments) => exit("chaos", block_on(|| chaos::run(arguments)).map(|()| ExitCode::SUCCESS)),
            Err(why) => {
                eprintln!("{why}");
                ExitCode::from(2)
            }
        },
        _ => {
            eprintln!(
                "name a suite: image [--short | --functions | --podman], kubernetes, openfaas, state, tracing, ui; or use `install`"
            );
            ExitCode::from(2)
        }
    }
}

/// A different seed each time.
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos())
}

/// The exit code of a command that is not a suite.
fn exit(name: &str, ran: Result<ExitCode, String>) -> ExitCode {
    ran.unwrap_or_else(|why| {
        eprintln!("{name}: {why}");
        ExitCode::FAILURE
    })
}

/// Installs everything the suites need. If one tool cannot be installed, the others still are.
async fn install(suite: Suite) -> Result<(), String> {
    suite.check_within(BUILDS, "the parts of OpenFaaS, Redis and Prometheus", openfaas::install()).await;
    suite.check_within(BUILDS, "MinIO and Redis", state::install()).await;
    suite.check_within(BUILDS, "Jaeger", tracing::install()).await;
    suite.check_within(BUILDS, "Chromium", ui::install()).await;
    match apart::impossible() {
        Some(why) => suite.not_done("the Docker engine", &why),
        None => suite.check_within(BUILDS, "the Docker engine", image::install(image::Extent::Short)).await,
    }
    Ok(())
}

fn run<F: Future<Output = Result<(), String>>>(name: &'static str, suite: impl FnOnce(Suite) -> F) -> ExitCode {
    let book = Suite::new(name);
    let ran = block_on(|| suite(book.clone()));
    book.close(ran)
}

/// Runs a suite in its own network namespace, after installing what it needs.
fn run_apart<F: Future<Output = Result<(), String>>>(
    name: &'static str,
    install: impl Future<Output = Result<(), String>>,
    suite: impl FnOnce(Suite, Apart) -> F,
) -> ExitCode {
    let book = Suite::new(name);
    if let Some(why) = apart::impossible() {
        book.skip(&why);
        return book.close(Ok(()));
    }
    let installed = block_on(|| install);
    if let (Ok(()), Some(why)) = (&installed, apart::unsupported()) {
        book.skip(&why);
        return book.close(Ok(()));
    }
    let ran = installed.and_then(|()| Apart::enter()).and_then(|apart| block_on(|| suite(book.clone(), apart)));
    book.close(ran)
}

/// Runs a future to its end, or until a signal arrives.
fn block_on<T, F: Future<Output = Result<T, String>>>(work: impl FnOnce() -> F) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let ran = runtime.block_on(async {
        // Handle signals, so that servers are dropped, which kills them.
        tokio::select! {
            ran = work() => ran,
            () = stopped() => Err("interrupted by a signal".to_owned()),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    ran
}

/// SIGTERM or SIGINT.
async fn stopped() {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
