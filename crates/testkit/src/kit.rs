//! Sets a test up.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::Flow;
use faasflow_http::{HttpClient, ServerOptions, serve};
use faasflow_runtime::config::{HMAC_SECRET, SINGLE_PROCESS, SettingValue};
use faasflow_runtime::{Config, Forwarder};
use tokio::net::TcpListener;

use crate::fake::Fake;
use crate::flow_process::FlowProcess;
use crate::gateway::Gateway;
use crate::lock::lock;
use crate::running::{KEY, Running};

/// A flow to test, and what it is surrounded with.
#[must_use = "a kit does nothing until `start`"]
pub struct TestKit {
    flow: Flow,
    gateway: Gateway,
    settings: HashMap<String, String>,
    forwarder: Option<Arc<dyn Forwarder>>,
    listener: std::net::TcpListener,
}

impl TestKit {
    /// Tests this flow, under the name `flow`.
    ///
    /// # Panics
    ///
    /// If the operating system has no port.
    pub fn new(flow: Flow) -> TestKit {
        TestKit::define(|_| flow)
    }

    /// Tests the flow that `define` makes of the kit's URL (without a slash at the end): its callback URLs are
    /// `<url>/callback/<name>`.
    ///
    /// # Panics
    ///
    /// If the operating system has no port.
    pub fn define(define: impl FnOnce(&str) -> Flow) -> TestKit {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the gateway");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let flow = define(&format!("http://{address}"));
        TestKit { flow, gateway: Gateway::default(), settings: HashMap::new(), forwarder: None, listener }
    }

    /// Surrounds it with a function of this name.
    pub fn function(mut self, name: impl Into<String>, fake: Fake) -> TestKit {
        self.gateway.functions.insert(name.into(), fake);
        self
    }

    /// Has the callback URL of this name answer so; without it, every one answers 204.
    pub fn callback(mut self, name: impl Into<String>, fake: Fake) -> TestKit {
        self.gateway.callbacks.insert(name.into(), fake);
        self
    }

    /// Changes a setting of the flow function, such as `write_timeout`, as its environment would.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> TestKit {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Forwards envelopes by this forwarder, and not through the kit's queue. Whoever takes them posts them to
    /// [`flow_url`](Running::flow_url).
    pub fn forwarder(mut self, forwarder: impl Forwarder) -> TestKit {
        self.forwarder = Some(Arc::new(forwarder));
        self
    }

    /// Starts gateway, queue and flow function.
    ///
    /// # Panics
    ///
    /// If a setting is wrong, or the operating system has no port.
    pub async fn start(self) -> Running {
        let TestKit { flow, gateway, settings, forwarder, listener } = self;
        let gateway = Arc::new(gateway);
        let listener = TcpListener::from_std(listener).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let router = gateway.router();
        let serving = tokio::spawn(async move {
            let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
        });

        let secrets = tempfile::tempdir().expect("a folder for secrets");
        std::fs::write(secrets.path().join(HMAC_SECRET), KEY).expect("the key can be written");
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
        let flow = starting.await.expect("the flow starts");
        let flow = Arc::new(flow);
        *lock(&gateway.flow) = Some(flow.clone());
        let client = HttpClient::new(Duration::from_secs(5));
        let delivering = tokio::spawn(gateway.clone().deliver(client.clone()));
        Running::new(gateway, flow, client, address, secrets, [serving, delivering])
    }
}
