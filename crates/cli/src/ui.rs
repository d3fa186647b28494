//! `faasflow ui`: serves the dashboard for the flows behind any gateway.

mod answer;
mod remote;
mod server;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use faasflow_dashboard::{OwnPages, PATH};
use faasflow_gateway::GatewayError;
use faasflow_http::ServerOptions;
use faasflow_runtime::StopSignals;
use tokio::net::TcpListener;

use crate::args::Ui;
use crate::client::Client;
use crate::error::Failure;
use crate::signing_key::keys;
use remote::{Remote, Sight};
use server::Pages;

/// The port if the command line names none.
const PORT: u16 = 8090;
/// How long requests in flight may go on after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) async fn run(ui: Ui) -> Result<(), Failure> {
    faasflow_http::raise_file_limit();
    let keys = ui.key.as_deref().map(keys).transpose()?;
    let remote = Remote::new(Client::new(&ui.gateway)?, keys);
    // Installed before anything starts, so that no signal is missed.
    let mut stopped = StopSignals::new()?;
    let sight = tokio::select! {
        sight = remote.look() => sight?,
        _ = stopped.recv() => return Ok(()),
    };
    let listener = listen(ui.port).await?;
    eprintln!("The dashboard is at http://{}{PATH}, for the gateway at {}", listener.local_addr()?, remote.base());
    match sight {
        Sight::Whole => {}
        Sight::NoKey => eprintln!(
            "Warning: there is no key to sign with, so requests cannot be listed or changed. Give the key of the flows, as \
             in `--key @secrets/faasflow-hmac-secret`."
        ),
        Sight::Away(failure) => eprintln!("Warning: {failure}. The pages show when it answers."),
    }
    let options = ServerOptions { grace: GRACE, ..ServerOptions::default() };
    let app = server::router(Pages { remote: Arc::new(remote), own: Arc::new(OwnPages::new(false)) });
    let stop = async move {
        stopped.recv().await;
    };
    faasflow_http::serve(listener, app, options, stop).await?;
    Ok(())
}

/// Listens on this machine only, because the pages have the rights of the user who started them.
async fn listen(port: Option<u16>) -> Result<TcpListener, Failure> {
    let bind = async |port| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        TcpListener::bind(address).await.map_err(|source| (address, source))
    };
    let bound = match bind(port.unwrap_or(PORT)).await {
        Err((_, source)) if port.is_none() && source.kind() == ErrorKind::AddrInUse => bind(0).await,
        bound => bound,
    };
    bound.map_err(|(address, source)| GatewayError::Listen { address, source }.into())
}
