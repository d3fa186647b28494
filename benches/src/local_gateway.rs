//! The local gateway as a process, with functions that are already running.

use std::net::SocketAddr;
use std::path::Path;

use faasflow_gateway::{GatewayOptions, Stack};
use tokio::sync::mpsc::unbounded_channel;

use crate::Failure;
use crate::async_flow::token_file;

/// Serves functions at these ports under these names until the process ends.
pub(crate) async fn serve(listen: SocketAddr, folder: &Path, functions: &[(String, u16)]) -> Result<(), Failure> {
    let mut stack = "functions:\n".to_owned();
    for (name, port) in functions {
        stack.push_str(&format!("  {name}:\n    annotations: {{ faasflow.url: 'http://127.0.0.1:{port}' }}\n"));
    }
    std::fs::write(folder.join("stack.yml"), stack)?;
    let mut options = GatewayOptions::new(Stack::read(folder)?);
    options.listen = listen;
    options.watch = false;
    // Nobody reads its output.
    let (events, _) = unbounded_channel();
    let gateway = options.start(events).await?;
    for (name, _) in functions {
        std::fs::write(token_file(folder, name), format!("{}\n", gateway.state_token(name)))?;
    }
    gateway.ready().await?;
    std::future::pending().await
}
