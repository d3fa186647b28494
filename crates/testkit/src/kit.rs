//! Sets up a test.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use faasflow_core::Flow;
use faasflow_http::{ServerOptions, serve};
use faasflow_runtime::config::{HMAC_SECRET, SINGLE_PROCESS, SettingValue};
use faasflow_runtime::{Config, Forwarder};
use faasflow_state::Memory;
use tokio::net::TcpListener;

use crate::fake::Fake;
use crate::flow_process::FlowProcess;
use crate::gateway::Gateway;
use crate::lock::lock;
use crate::running::{KEY, Running};

/// A flow to test, and its environment.
#[must_use = "a kit does nothing until `start`"]
pub struct TestKit {
    flow: Flow,
    gateway: Gateway,
    settings: HashMap<String, String>,
    forwarder: Option<Arc<dyn Forwarder>>,
    listener: std::net::TcpListener,
}

impl TestKit {
    /// Tests this flow under the name `flow`. If its branches need a state manager and it has none, it gets one in memory.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn new(flow: Flow) -> TestKit {
        TestKit::define(|_| flow)
    }

    /// Tests the flow that `define` builds. It receives the kit's URL, without a slash at the end. Callback URLs are
    /// `<url>/callback/<name>`.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn define(define: impl FnOnce(&str) -> Flow) -> TestKit {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the gateway of the test should find a free port");
        listener.set_nonblocking(true).expect("the listener should support non-blocking mode");
        let address = listener.local_addr().expect("an address");
        let flow = define(&format!("http://{address}"));
        TestKit { flow, gateway: Gateway::default(), settings: HashMap::new(), forwarder: None, listener }
    }

    /// Adds a function with this name.
    pub fn function(mut self, name: impl Into<String>, fake: Fake) -> TestKit {
        self.gateway.functions.insert(name.into(), fake);
        self
    }

    /// Makes the callback URL with this name answer like `fake`. By default, every callback URL answers 204.
    pub fn callback(mut self, name: impl Into<String>, fake: Fake) -> TestKit {
        self.gateway.callbacks.insert(name.into(), fake);
        self
    }

    /// Sets a setting of the flow function, such as `write_timeout`, as an environment variable would.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> TestKit {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Sends envelopes to this forwarder instead of the kit's queue. It has to POST them to
    /// [`flow_url`](Running::flow_url).
    pub fn forwarder(mut self, forwarder: impl Forwarder) -> TestKit {
        self.forwarder = Some(Arc::new(forwarder));
        self
    }

    /// Starts the gateway, the queue and the flow function.
    ///
    /// # Panics
    ///
    /// If a setting is not valid, or there is no free port.
    pub async fn start(self) -> Running {
        let TestKit { flow, gateway, settings, forwarder, listener } = self;
        // The values survive a crash of the flow function, as they would in a shared state manager.
        let flow = match flow.state_manager() {
            None if flow.plan().needs_store() => flow.with_state_manager(Arc::new(Memory::new())),
            _ => flow,
        };
        let gateway = Arc::new(gateway);
        let listener = TcpListener::from_std(listener).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let router = gateway.router();
        let serving = tokio::spawn(async move {
            let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
        });

        let secrets = tempfile::tempdir().expect("the test should be able to create a temporary folder");
        std::fs::write(secrets.path().join(HMAC_SECRET), KEY)
            .expect("the test should be able to write the signing key");
        let fixed = HashMap::from([
            ("workflow_name", "flow".to_owned()),
            ("gateway", address.to_string()),
            ("host", "127.0.0.1".to_owned()),
            ("port", "0".to_owned()),
            (SINGLE_PROCESS, "true".to_owned()),
            ("secret_mount_path", secrets.path().to_string_lossy().into_owned()),
        ]);
        let config = Config::load(|name| {
            let value = settings.get(name).or_else(|| fixed.get(name))?.clone();
            Some(SettingValue { value, origin: "the test".to_owned() })
        });
        let config = config.unwrap_or_else(|error| panic!("{}", error.report()));
        let starting = tokio::task::spawn_blocking(move || FlowProcess::start(flow, config, forwarder));
        let flow = starting.await.expect("the flow function should start");
        let flow = Arc::new(flow);
        *lock(&gateway.flow) = Some(flow.clone());
        let delivering = tokio::spawn(gateway.clone().deliver());
        Running::new(gateway, flow, address, secrets, [serving, delivering])
    }
}
