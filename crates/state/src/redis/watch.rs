//! Watches of requests: messages of a channel for each flow, which the script publishes that writes the end of a request.

use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{News, StateError, Watch};
use futures_util::StreamExt as _;
use redis::aio::PubSub;

use super::server::Server;

/// The channel with the ids of a flow's requests that end.
pub(super) fn channel(flow: &str) -> String {
    format!("faasflow-retired:{flow}")
}

struct RedisWatch(PubSub);

/// Opens a watch, with a connection of its own.
pub(super) async fn open(server: &Server, flow: &str) -> Result<Option<Box<dyn Watch>>, StateError> {
    Ok(Some(Box::new(RedisWatch(server.subscribe(&channel(flow)).await?))))
}

impl Watch for RedisWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<News, StateError>> {
        Box::pin(async {
            let message = self.0.on_message().next().await;
            let message = message.ok_or_else(|| StateError::temporary("the connection of a watch was lost"))?;
            Ok(message.get_payload().map_or(News::Missed, News::Ended))
        })
    }
}
