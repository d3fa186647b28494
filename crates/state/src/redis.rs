//! State in Redis.
//!
//! All data of a request is in one hash, `faasflow:<flow>:<request>`, so that it expires and is removed as a whole. Only
//! the few values that outlive the request are in a second one, `faasflow-ended:<flow>:<request>`: a request with
//! branches can have tens of thousands of fields, and removing all but two from one hash would block the server.
//!
//! For a value with the key `key`, a hash has these fields:
//!
//! | field | content |
//! |---|---|
//! | `d<key>` | the value, if it is small |
//! | `p<key>` | where the parts of a large value are: their id, their number, the size of the value in bytes |
//! | `c<id>:<n>` | one part |
//! | `v<key>` | how often the key has been written; it outlives the value, so that no version is used twice |
//!
//! A value exists if its `d` or `p` field exists. Both are written in one transaction.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{
    Condition, ListQuery, Listed, Scope, StateError, StateManager, Status, Version, Watch, outlives_request,
};

mod builder;
mod fault;
mod parts;
mod records;
mod server;
mod watch;

pub use builder::RedisBuilder;

use parts::{PART, Pointer};
use server::{Server, millis};

/// Writes `d` or `p` if the condition holds, and returns the version and the pointer to the parts of the old value, if there are
/// any. Returns nothing if the condition does not hold. The arguments are the key, `absent` or the version, `d` or `p`, the value or pointer, and the time to live in
/// milliseconds.
const SET_IF: &str = "\
local there = redis.call('HEXISTS', KEYS[1], 'd' .. ARGV[1]) + redis.call('HEXISTS', KEYS[1], 'p' .. ARGV[1])
if ARGV[2] == 'absent' then
  if there > 0 then return false end
elseif there == 0 or redis.call('HGET', KEYS[1], 'v' .. ARGV[1]) ~= ARGV[2] then
  return false
end
local parts = redis.call('HGET', KEYS[1], 'p' .. ARGV[1])
redis.call('HDEL', KEYS[1], 'd' .. ARGV[1], 'p' .. ARGV[1])
redis.call('HSET', KEYS[1], ARGV[3] .. ARGV[1], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return { tostring(redis.call('HINCRBY', KEYS[1], 'v' .. ARGV[1], 1)), parts }
";

/// Stores state in a Redis server, version 4 or later. It connects on first use, and reconnects when the connection is
/// lost. Conditional writes are atomic on the server.
///
/// The data of a request is removed when the request ends; what outlives it expires. If the request never ends, its data expires some time after
/// the last write: see [`RedisBuilder::time_to_live`].
///
/// Cloning is cheap, and a clone uses the same connection.
#[derive(Clone)]
pub struct Redis {
    server: Server,
}

/// A value as the hash stores it.
enum Contents {
    Whole(Vec<u8>),
    InParts(Pointer),
}

impl Redis {
    /// Reads the `d` or `p` field of a key, and its version.
    async fn find(&self, hash: &str, key: &str) -> Result<Option<(Contents, u64)>, StateError> {
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(hash).arg(format!("d{key}")).arg(format!("p{key}")).arg(format!("v{key}"));
        type Fields = (Option<Vec<u8>>, Option<String>, Option<u64>);
        let ((whole, pointer, version),): (Fields,) = self.server.ask("a value cannot be read", &commands).await?;
        let stored = match (whole, pointer) {
            (Some(whole), _) => Contents::Whole(whole),
            (None, Some(pointer)) => Contents::InParts(Pointer::parse(&pointer)?),
            (None, None) => return Ok(None),
        };
        Ok(Some((stored, version.unwrap_or_default())))
    }

    /// Reads the pointer of a key, if its value is large. The parts must be deleted once the key has another value.
    async fn old_parts(&self, hash: &str, key: &str) -> Result<Option<Pointer>, StateError> {
        let mut commands = redis::pipe();
        commands.cmd("HGET").arg(hash).arg(format!("p{key}"));
        let (pointer,): (Option<String>,) = self.server.ask("a value cannot be read", &commands).await?;
        pointer.map(|text| Pointer::parse(&text)).transpose()
    }

    /// Reads several values of any requests.
    async fn read(&self, wanted: Vec<(&Scope, &str)>) -> Result<Vec<Option<Bytes>>, StateError> {
        let mut values = Vec::with_capacity(wanted.len());
        for wanted in wanted.chunks(READ_AT_ONCE) {
            let mut commands = redis::pipe();
            for (scope, key) in wanted {
                let hash = hash_with(scope, key);
                commands.cmd("HMGET").arg(hash).arg(format!("d{key}")).arg(format!("p{key}"));
            }
            let found: Vec<Fields> = self.server.ask("values cannot be read", &commands).await?;
            for ((scope, key), fields) in wanted.iter().zip(found) {
                values.push(match fields {
                    (Some(whole), _) => Some(Bytes::from(whole)),
                    (None, Some(_)) => self.get(scope, key).await?,
                    (None, None) => None,
                });
            }
        }
        Ok(values)
    }
}

/// The name of the hash with the data of a request that is removed when it ends. Names of flows have no colon, so it is
/// unambiguous.
fn hash(scope: &Scope) -> String {
    format!("faasflow:{}:{}", scope.flow, scope.request)
}

/// The name of the hash with the values that outlive a request.
fn hash_of_ended(scope: &Scope) -> String {
    format!("faasflow-ended:{}:{}", scope.flow, scope.request)
}

/// The name of the hash with the value of a key.
fn hash_with(scope: &Scope, key: &str) -> String {
    if outlives_request(key) { hash_of_ended(scope) } else { hash(scope) }
}

/// How many values are read in one round trip. Each is at most [`PART`] long, since larger values are in parts.
const READ_AT_ONCE: usize = 64;

/// The fields of a key that say what its value is, as the server returns them.
type Fields = (Option<Vec<u8>>, Option<String>);

impl StateManager for Redis {
    fn name(&self) -> &str {
        "redis"
    }

    fn supports_branches(&self) -> bool {
        true
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async {
            let mut commands = redis::pipe();
            commands.cmd("PING").ignore();
            self.server.ask("the server does not answer a ping", &commands).await
        })
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move { Ok(self.get_versioned(scope, key).await?.map(|(value, _)| value)) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let hash = hash_with(scope, key);
            let old = self.old_parts(&hash, key).await?;
            let mut commands = redis::pipe();
            commands.atomic();
            if value.len() <= PART {
                commands.cmd("HSET").arg(&hash).arg(format!("d{key}")).arg(&value[..]).ignore();
                commands.cmd("HDEL").arg(&hash).arg(format!("p{key}")).ignore();
            } else {
                let pointer = self.server.put_parts(&hash, &value).await?;
                commands.cmd("HSET").arg(&hash).arg(format!("p{key}")).arg(pointer.to_string()).ignore();
                commands.cmd("HDEL").arg(&hash).arg(format!("d{key}")).ignore();
            }
            commands.cmd("HINCRBY").arg(&hash).arg(format!("v{key}")).arg(1).ignore();
            commands.cmd("PEXPIRE").arg(&hash).arg(self.server.millis()).ignore();
            self.server.ask::<()>("a value cannot be written", &commands).await?;
            self.server.drop_parts(&hash, old).await
        })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let hash = hash_with(scope, key);
            let old = self.old_parts(&hash, key).await?;
            let mut commands = redis::pipe();
            commands.cmd("HDEL").arg(&hash).arg(format!("d{key}")).arg(format!("p{key}")).ignore();
            self.server.ask::<()>("a value cannot be removed", &commands).await?;
            self.server.drop_parts(&hash, old).await
        })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let mut commands = redis::pipe();
            commands.atomic();
            commands.cmd("UNLINK").arg(hash(scope)).ignore();
            commands.cmd("UNLINK").arg(hash_of_ended(scope)).ignore();
            self.server.ask("what a request stored cannot be removed", &commands).await
        })
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            if keep_for.is_zero() {
                return self.remove_request(scope).await;
            }
            let mut commands = redis::pipe();
            commands.atomic();
            commands.cmd("UNLINK").arg(hash(scope)).ignore();
            commands.cmd("PEXPIRE").arg(hash_of_ended(scope)).arg(millis(keep_for)).ignore();
            self.server.ask("what a request stored cannot be removed", &commands).await
        })
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(async move { self.begin(scope, started_ms, key, &value).await })
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.list(scope, started_ms, status))
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.retire(scope, started_ms, status, keep_for, known_for))
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        Box::pin(self.lines(flow, query))
    }

    fn remove_expired<'a>(&'a self, flow: &'a str, limit: usize) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(self.prune(flow, limit))
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        let wanted = scopes.iter().map(|scope| (scope, key)).collect();
        Box::pin(self.read(wanted))
    }

    fn watch<'a>(&'a self, flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        Box::pin(watch::open(&self.server, flow))
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        let wanted = keys.iter().map(|key| (scope, *key)).collect();
        Box::pin(self.read(wanted))
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(async move {
            let hash = hash_with(scope, key);
            loop {
                let Some((stored, version)) = self.find(&hash, key).await? else { return Ok(None) };
                let value = match stored {
                    Contents::Whole(value) => Some(Bytes::from(value)),
                    Contents::InParts(pointer) => self.server.take_parts(&hash, &pointer).await?,
                };
                // If parts are missing, the value has been replaced in the meantime: read the new one.
                if let Some(value) = value {
                    return Ok(Some((value, Version::new(version.to_string()))));
                }
            }
        })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move {
            let hash = hash_with(scope, key);
            let expected = match &condition {
                Condition::Absent => "absent",
                Condition::Version(version) => version.as_str(),
            };
            let mut commands = redis::pipe();
            let command = commands.cmd("EVAL").arg(SET_IF).arg(1).arg(&hash).arg(key).arg(expected);
            let mut new = None;
            if value.len() <= PART {
                command.arg("d").arg(&value[..]);
            } else {
                let pointer = self.server.put_parts(&hash, &value).await?;
                command.arg("p").arg(pointer.to_string());
                new = Some(pointer);
            }
            command.arg(self.server.millis());
            type Written = Option<(String, Option<String>)>;
            let (written,): (Written,) = self.server.ask("a value cannot be written", &commands).await?;
            let Some((version, old)) = written else {
                self.server.drop_parts(&hash, new).await?;
                return Ok(None);
            };
            let old = old.map(|text| Pointer::parse(&text)).transpose()?;
            self.server.drop_parts(&hash, old).await?;
            Ok(Some(Version::new(version)))
        })
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("Redis").field("time_to_live", &self.server.time_to_live()).finish_non_exhaustive()
    }
}
