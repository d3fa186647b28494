//! The flow function under test. It has its own runtime, which can be torn down as a crash ends a process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faasflow_core::Flow;
use faasflow_http::HttpClient;
use faasflow_runtime::{Config, FlowFunction, Forwarder};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::lock::lock;

pub(crate) struct FlowProcess {
    flow: Mutex<Flow>,
    config: Config,
    /// Replaces the gateway's queue, if set.
    forwarder: Option<Arc<dyn Forwarder>>,
    /// Open for as long as the flow process exists. If the port were released during a crash, another test could take
    /// it. And a client that connects at that moment would be refused, which the platform in front of a real function
    /// would hide.
    listener: TcpListener,
    address: SocketAddr,
    process: Mutex<Option<Process>>,
    client: Mutex<HttpClient>,
}

struct Process {
    runtime: Runtime,
    serving: JoinHandle<()>,
}

impl FlowProcess {
    /// Serves the flow on a free port.
    pub(crate) fn start(flow: Flow, mut config: Config, forwarder: Option<Arc<dyn Forwarder>>) -> FlowProcess {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the flow function should find a free port");
        listener.set_nonblocking(true).expect("the listener should support non-blocking mode");
        let address = listener.local_addr().expect("the listener should have an address");
        config.port = address.port();
        let (flow, process, client) = (Mutex::new(flow), Mutex::new(None), Mutex::new(new_client()));
        let flow = FlowProcess { flow, config, forwarder, listener, address, process, client };
        *lock(&flow.process) = Some(flow.serve());
        flow
    }

    fn serve(&self) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("the runtime of the flow function should start");
        let (flow, config) = (lock(&self.flow).clone(), self.config.clone());
        let function = match &self.forwarder {
            Some(forwarder) => FlowFunction::with_forwarder(flow, config, forwarder.clone()),
            None => FlowFunction::new(flow, config),
        };
        let function = function.unwrap_or_else(|error| panic!("{}", error.report()));
        let listener = self.listener.try_clone().expect("the listener should be cloneable");
        let serving = runtime.spawn(async move {
            let listener =
                tokio::net::TcpListener::from_std(listener).expect("the listener should be usable with tokio");
            let _ = function.serve(listener, std::future::pending()).await;
        });
        Process { runtime, serving }
    }

    /// A client for requests to the process. It keeps no connection to one that has crashed. Nothing tells a client in time
    /// that such a connection is closed, so a request could be lost on it.
    pub(crate) fn client(&self) -> HttpClient {
        lock(&self.client).clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves another definition from now on, with the same state manager if it has none of its own. Work in progress ends as
    /// in a crash.
    pub(crate) fn deploy(&self, next: Flow) {
        let mut flow = lock(&self.flow);
        let manager = flow.state_manager().filter(|_| next.state_manager().is_none()).cloned();
        *flow = match manager {
            Some(manager) => next.with_state_manager(manager),
            None => next,
        };
        drop(flow);
        self.crash();
    }

    /// Ends all work without notifying anyone, and starts again on the same port.
    pub(crate) fn crash(&self) {
        if let Some(Process { runtime, serving }) = lock(&self.process).take() {
            // Wait until it no longer accepts connections, before clients notice that theirs are cut off.
            serving.abort();
            while !serving.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        *lock(&self.client) = new_client();
        *lock(&self.process) = Some(self.serve());
    }
}

fn new_client() -> HttpClient {
    HttpClient::new(Duration::from_secs(5))
}

impl Drop for FlowProcess {
    fn drop(&mut self) {
        if let Some(Process { runtime, .. }) = lock(&self.process).take() {
            runtime.shutdown_background();
        }
    }
}
