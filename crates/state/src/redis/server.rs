//! A Redis server, with a connection that is made on first use.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faasflow_core::state::StateError;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{Client, FromRedisValue, Pipeline, RedisError};

use super::fault::state_error;

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    connection: Arc<OnceLock<ConnectionManager>>,
    time_to_live: Duration,
}

impl Server {
    pub(super) fn new(client: Client, time_to_live: Duration) -> Server {
        Server { client, connection: Arc::default(), time_to_live }
    }

    /// How long the data of a request is kept after its last write.
    pub(super) fn time_to_live(&self) -> Duration {
        self.time_to_live
    }

    fn connection(&self) -> Result<ConnectionManager, StateError> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            // The caller decides how long to wait and how often to try: the flow function retries within its deadline.
            .set_response_timeout(None)
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(self.client.clone(), config)
            .map_err(|error| state_error("cannot connect", error))?;
        Ok(self.connection.get_or_init(|| connection).clone())
    }

    /// Sends commands and returns their answers.
    pub(super) async fn ask<T: FromRedisValue>(&self, what: &str, commands: &Pipeline) -> Result<T, StateError> {
        let mut connection = self.connection()?;
        let fault = |error: RedisError| state_error(what, error);
        commands.query_async(&mut connection).await.map_err(fault)
    }

    /// Connects once more, to subscribe to channels.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<PubSub, StateError> {
        let fault = |error: RedisError| state_error("the ends of requests cannot be watched", error);
        let mut connection = self.client.get_async_pubsub().await.map_err(fault)?;
        connection.subscribe(channel).await.map_err(fault)?;
        Ok(connection)
    }

    /// The time to live in milliseconds.
    pub(super) fn millis(&self) -> u64 {
        millis(self.time_to_live)
    }
}

/// The longest time after which data can expire, in milliseconds: a hundred years. The server refuses a time that
/// overflows when the present is added.
const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1000;

/// A duration in milliseconds, as the server takes it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST)
}
