//! `faasflow health`: checks that a gateway is up.

use bytes::Bytes;
use faasflow_core::code;
use http::{HeaderMap, Method};

use crate::args::Gateway;
use crate::client::{Client, error_code};
use crate::error::Failure;

/// Uses a route that needs no password, so that the health check of a container needs none either.
pub(crate) async fn run(gateway: Gateway) -> Result<(), Failure> {
    let client = Client::new(&gateway)?;
    let answer = client.send(Method::GET, "/healthz", HeaderMap::new(), Bytes::new()).await?;
    if !answer.status.is_success() {
        let code = error_code(&answer.headers).unwrap_or(code::GATEWAY_REFUSES);
        let failure = Failure::failed(code, format!("the gateway at {} answered {}", client.base(), answer.status));
        let text = String::from_utf8_lossy(&answer.body);
        let failure = if text.trim().is_empty() { failure } else { failure.because_text(text.trim()) };
        return Err(failure
            .help("check that this is the address of a gateway; a gateway that starts or stops is not healthy yet"));
    }
    say!("The gateway at {} is up", client.base());
    Ok(())
}
