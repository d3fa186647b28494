//! The flow function under test, on a runtime of its own, which can be torn down as a crash tears down a process.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use faasflow_core::Flow;
use faasflow_runtime::{Config, FlowFunction};
use tokio::runtime::Runtime;

use crate::gateway::lock;

pub(crate) struct FlowProcess {
    flow: Flow,
    config: Config,
    address: SocketAddr,
    runtime: Mutex<Option<Runtime>>,
}

impl FlowProcess {
    /// Serves the flow on a port of its own choice.
    pub(crate) fn start(flow: Flow, mut config: Config) -> FlowProcess {
        let (runtime, address) = serve(&flow, &config);
        config.port = address.port();
        FlowProcess { flow, config, address, runtime: Mutex::new(Some(runtime)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Ends everything that it is doing, without a word to anybody, and starts anew on the same port.
    pub(crate) fn crash(&self) {
        let runtime = lock(&self.runtime).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        let (runtime, _) = serve(&self.flow, &self.config);
        *lock(&self.runtime) = Some(runtime);
    }
}

impl Drop for FlowProcess {
    fn drop(&mut self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

fn serve(flow: &Flow, config: &Config) -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let function = FlowFunction::new(flow.clone(), config.clone()).unwrap_or_else(|error| panic!("{error}"));
    // The port of a crashed one may take a moment to be free.
    let deadline = Instant::now() + Duration::from_secs(10);
    let entered = runtime.handle().clone();
    let bound = std::thread::spawn({
        let function = function.clone();
        move || loop {
            match entered.block_on(function.bind()) {
                Ok(bound) => return bound,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    });
    let (listener, address) = bound.join().expect("the flow function listens");
    runtime.spawn(async move { function.serve(listener, std::future::pending()).await });
    (runtime, address)
}
