//! The flow function under test, on a runtime of its own, which can be torn down as a crash tears down a process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faasflow_core::Flow;
use faasflow_runtime::{Config, FlowFunction, Forwarder};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::lock::lock;

pub(crate) struct FlowProcess {
    flow: Flow,
    config: Config,
    /// In place of the gateway's queue.
    forwarder: Option<Arc<dyn Forwarder>>,
    /// Open as long as this is. A port that is given up for a moment in a crash is another test's a moment later, and
    /// who connects in between is refused, which the platform in front of a function would not let through.
    listener: TcpListener,
    address: SocketAddr,
    process: Mutex<Option<Process>>,
}

struct Process {
    runtime: Runtime,
    serving: JoinHandle<()>,
}

impl FlowProcess {
    /// Serves the flow on a port of its own choice.
    pub(crate) fn start(flow: Flow, mut config: Config, forwarder: Option<Arc<dyn Forwarder>>) -> FlowProcess {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a listener need not block");
        let address = listener.local_addr().expect("a listener has an address");
        config.port = address.port();
        let flow = FlowProcess { flow, config, forwarder, listener, address, process: Mutex::new(None) };
        *lock(&flow.process) = Some(flow.serve());
        flow
    }

    fn serve(&self) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let (flow, config) = (self.flow.clone(), self.config.clone());
        let function = match &self.forwarder {
            Some(forwarder) => FlowFunction::with_forwarder(flow, config, forwarder.clone()),
            None => FlowFunction::new(flow, config),
        };
        let function = function.unwrap_or_else(|error| panic!("{}", error.report()));
        let listener = self.listener.try_clone().expect("a listener can be shared");
        let serving = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
            let _ = function.serve(listener, std::future::pending()).await;
        });
        Process { runtime, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Ends everything that it is doing, without a word to anybody, and starts anew on the same port.
    pub(crate) fn crash(&self) {
        if let Some(Process { runtime, serving }) = lock(&self.process).take() {
            // It accepts nothing more before anybody notices that their connection is cut.
            serving.abort();
            while !serving.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        *lock(&self.process) = Some(self.serve());
    }
}

impl Drop for FlowProcess {
    fn drop(&mut self) {
        if let Some(Process { runtime, .. }) = lock(&self.process).take() {
            runtime.shutdown_background();
        }
    }
}
