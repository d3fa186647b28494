//! Watches of requests: an answer that goes on, with a line for each request that ends.

use axum::body::Body;
use bytes::BytesMut;
use faasflow_admin::state as api;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{News, StateError, Watch};
use http_body_util::BodyExt as _;

use super::client::{Client, query_of};

/// The longest line, in bytes. In JSON, a byte becomes at most six.
const LONGEST_LINE: usize = 6 * api::LONGEST_KEY + 2;

struct GatewayWatch {
    body: Body,
    /// What was received after the last line.
    rest: BytesMut,
}

pub(super) async fn open(client: &Client, flow: &str) -> Result<Option<Box<dyn Watch>>, StateError> {
    let target = format!("{}?{}", api::WATCH, query_of([(api::FLOW_PARAMETER, flow)]));
    let body = client.read("the ends of requests cannot be watched", target).await?;
    Ok(Some(Box::new(GatewayWatch { body, rest: BytesMut::new() })))
}

impl Watch for GatewayWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<News, StateError>> {
        Box::pin(async {
            loop {
                if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                    let line = self.rest.split_to(end + 1);
                    let request: Option<String> = serde_json::from_slice(&line).map_err(|error| {
                        StateError::temporary("the gateway tells the end of a request in an unknown form")
                            .with_source(error)
                    })?;
                    return Ok(request.map_or(News::Missed, News::Ended));
                }
                if self.rest.len() > LONGEST_LINE {
                    return Err(StateError::temporary(
                        "the gateway tells the end of a request in a line that is too long",
                    ));
                }
                let lost = || StateError::temporary("the connection of a watch was lost");
                match self.body.frame().await {
                    Some(Ok(frame)) => self.rest.extend(frame.into_data()),
                    Some(Err(error)) => return Err(lost().with_source(error)),
                    None => return Err(lost()),
                }
            }
        })
    }
}
