//! `faasflow health`: whether a gateway answers.

use bytes::Bytes;
use faasflow_core::code;
use http::{HeaderMap, Method};

use crate::args::Gateway;
use crate::client::Client;
use crate::error::Failure;

/// Asks what needs no password, so that the health check of a container holds none.
pub(crate) async fn run(gateway: Gateway) -> Result<(), Failure> {
    let client = Client::new(&gateway)?;
    let answer = client.send(Method::GET, "/healthz", HeaderMap::new(), Bytes::new()).await?;
    if !answer.status.is_success() {
        let what = format!("the gateway at {} answered {}", client.base(), answer.status);
        return Err(Failure::failed(code::GATEWAY_REFUSES, what));
    }
    say!("the gateway at {} is up", client.base());
    Ok(())
}
