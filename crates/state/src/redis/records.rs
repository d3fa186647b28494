//! Requests that are remembered.
//!
//! The requests of a flow are in a few keys, whose members and fields are the request ids:
//!
//! | key | content |
//! |---|---|
//! | `faasflow-requests:<flow>` | a sorted set of all; the score is the time at which they started |
//! | `faasflow-requests:<flow>:<status>` | the same for those with this status |
//! | `faasflow-statuses:<flow>` | a hash with the status of each |
//! | `faasflow-expiry:<flow>` | a sorted set; the score is the time at which the line expires |
//!
//! All times are in milliseconds since the Unix epoch. A line expires when the values of its request do, and is then left out.
//! What has expired is removed from these keys a few requests at a time, whenever one of them is used.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{ListPosition, ListQuery, Listed, Scope, StateError, Status};

use super::parts::PART;
use super::server::millis;
use super::watch::channel;
use super::{Redis, hash, hash_of_ended, hash_with};

/// How many expired lines an operation removes, besides those that it comes across.
const PRUNED: usize = 100;
/// How many lines one script reads. The server does nothing else meanwhile.
const READ_AT_ONCE: usize = 500;

/// What all scripts begin with. The keys are those of the flow in the order of the table, without that of a status, and the first
/// argument is the flow.
const COMMON: &str = "\
if redis.replicate_commands then redis.replicate_commands() end
local all, statuses, expiry, flow = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function unlist(id)
  local status = redis.call('HGET', statuses, id)
  if status then redis.call('ZREM', all .. ':' .. status, id) end
  redis.call('ZREM', all, id)
  redis.call('HDEL', statuses, id)
  redis.call('ZREM', expiry, id)
end
local function list(id, started, status, expires)
  local before = redis.call('HGET', statuses, id)
  if before and before ~= status then redis.call('ZREM', all .. ':' .. before, id) end
  redis.call('ZADD', all, started, id)
  redis.call('ZADD', all .. ':' .. status, started, id)
  redis.call('HSET', statuses, id, status)
  redis.call('ZADD', expiry, expires, id)
end
local function expire(id)
  local left = redis.call('PTTL', 'faasflow:' .. flow .. ':' .. id)
  if left > 0 then
    redis.call('ZADD', expiry, now + left, id)
    return false
  end
  unlist(id)
  return true
end
local function prune(limit)
  local removed = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, limit)) do
    if expire(id) then removed = removed + 1 end
  end
  return removed
end
";

/// The arguments are the flow, the request, when it started, the key, `d` or `p`, the value or pointer, and the time to live in
/// milliseconds. The fourth key is the hash for the value.
const BEGIN: &str = "\
local id, started, key, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[7]
if redis.call('HEXISTS', KEYS[4], 'd' .. key) + redis.call('HEXISTS', KEYS[4], 'p' .. key) > 0 then return 0 end
redis.call('HSET', KEYS[4], ARGV[5] .. key, ARGV[6])
redis.call('HINCRBY', KEYS[4], 'v' .. key, 1)
redis.call('PEXPIRE', KEYS[4], ttl)
list(id, started, 'running', now + ttl)
return 1
";

/// The arguments are the flow, the request, when it started, the status, and the time to live in milliseconds. The other keys are
/// the hashes of the request.
const LIST: &str = "\
list(ARGV[2], ARGV[3], ARGV[4], now + ARGV[5])
redis.call('PEXPIRE', KEYS[4], ARGV[5])
redis.call('PEXPIRE', KEYS[5], ARGV[5])
";

/// The arguments are the flow, the request, when it started, the status, for how many milliseconds the values stay, and for how many
/// in all those that outlive the request, how many lines to prune, and the channel for those who watch. A user who may not publish can still
/// write the end of a request.
const RETIRE: &str = "\
local id, keep, known = ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
if keep > 0 then
  list(id, ARGV[3], ARGV[4], now + keep)
  redis.call('PEXPIRE', KEYS[4], keep)
else
  unlist(id)
  redis.call('UNLINK', KEYS[4])
end
if known > 0 then redis.call('PEXPIRE', KEYS[5], known) else redis.call('UNLINK', KEYS[5]) end
redis.pcall('PUBLISH', ARGV[8], id)
prune(ARGV[7])
";

/// The arguments are the flow, a status or nothing, the earliest time of start, the number of lines, how many to read at most, how many to
/// prune, and the position after which to begin, if there is one. Returns the position of the last line if there may be more after
/// it, and then the lines: request, time of start and status of each.
///
/// Members with the same score are in the order of their bytes. The place after a position is found by bisection, because its own
/// line may be gone.
const READ: &str = "\
local status, since, limit, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
prune(ARGV[6])
local key = all
if status ~= '' then key = all .. ':' .. status end
local function less(a, b)
  for at = 1, math.min(#a, #b) do
    local x, y = string.byte(a, at), string.byte(b, at)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local start = 0
if ARGV[7] then
  start = redis.call('ZCOUNT', key, '(' .. ARGV[7], '+inf')
  local stop = start + redis.call('ZCOUNT', key, ARGV[7], ARGV[7])
  while start < stop do
    local middle = math.floor((start + stop) / 2)
    if less(redis.call('ZREVRANGE', key, middle, middle)[1], ARGV[8]) then stop = middle else start = middle + 1 end
  end
end
local found, count, read = { '', '' }, 0, 0
while count < limit do
  local page = redis.call('ZREVRANGE', key, start, start + math.min(limit, most) - 1, 'WITHSCORES')
  if #page == 0 then break end
  for at = 1, #page, 2 do
    local id, started = page[at], page[at + 1]
    if tonumber(started) < since then return found end
    local expires = redis.call('ZSCORE', expiry, id)
    if not (expires and tonumber(expires) <= now and expire(id)) then
      start = start + 1
      found[#found + 1] = id
      found[#found + 1] = started
      found[#found + 1] = status ~= '' and status or redis.call('HGET', statuses, id)
      count = count + 1
      if count == limit then return found end
    end
    read = read + 1
    if read == most then
      found[1], found[2] = id, started
      return found
    end
  end
end
return found
";

/// A script of this module, with the keys of a flow and the flow as its first argument. Further keys come first.
fn script(body: &str, flow: &str, keys: &[String]) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(format!("{COMMON}{body}")).arg(3 + keys.len());
    for kind in ["requests", "statuses", "expiry"] {
        command.arg(format!("faasflow-{kind}:{flow}"));
    }
    command.arg(keys).arg(flow);
    command
}

/// The time until something expires, in milliseconds. Zero is for what is removed now.
fn expires(duration: Duration) -> u64 {
    if duration.is_zero() { 0 } else { millis(duration) }
}

impl Redis {
    async fn run<T: redis::FromRedisValue>(&self, what: &str, script: redis::Cmd) -> Result<T, StateError> {
        let mut commands = redis::pipe();
        commands.add_command(script);
        let (answer,): (T,) = self.server.ask(what, &commands).await?;
        Ok(answer)
    }

    pub(super) async fn begin(
        &self,
        scope: &Scope,
        started_ms: u64,
        key: &str,
        value: &Bytes,
    ) -> Result<bool, StateError> {
        let hash = hash_with(scope, key);
        let mut begin = script(BEGIN, &scope.flow, std::slice::from_ref(&hash));
        begin.arg(&scope.request).arg(started_ms).arg(key);
        let mut parts = None;
        if value.len() <= PART {
            begin.arg("d").arg(&value[..]);
        } else {
            let pointer = self.server.put_parts(&hash, value).await?;
            begin.arg("p").arg(pointer.to_string());
            parts = Some(pointer);
        }
        begin.arg(self.server.millis());
        let begun: bool = self.run("a request cannot begin", begin).await?;
        if !begun {
            self.server.drop_parts(&hash, parts).await?;
        }
        Ok(begun)
    }

    pub(super) async fn list(&self, scope: &Scope, started_ms: u64, status: Status) -> Result<(), StateError> {
        let mut list = script(LIST, &scope.flow, &[hash(scope), hash_of_ended(scope)]);
        list.arg(&scope.request).arg(started_ms).arg(status.as_str()).arg(self.server.millis());
        self.run("the status of a request cannot be written", list).await
    }

    pub(super) async fn retire(
        &self,
        scope: &Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> Result<(), StateError> {
        let mut retire = script(RETIRE, &scope.flow, &[hash(scope), hash_of_ended(scope)]);
        retire.arg(&scope.request).arg(started_ms).arg(status.as_str());
        retire.arg(expires(keep_for)).arg(expires(keep_for) + expires(known_for)).arg(PRUNED).arg(channel(&scope.flow));
        self.run("the end of a request cannot be written", retire).await
    }

    pub(super) async fn lines(&self, flow: &str, query: &ListQuery) -> Result<Vec<Listed>, StateError> {
        let (mut lines, mut after) = (Vec::new(), query.after.clone());
        while lines.len() < query.limit {
            let mut read = script(READ, flow, &[]);
            read.arg(query.status.map_or("", Status::as_str)).arg(query.since_ms);
            read.arg(query.limit - lines.len()).arg(READ_AT_ONCE).arg(PRUNED);
            if let Some(ListPosition { started_ms, request }) = &after {
                read.arg(started_ms).arg(request);
            }
            let answer: Vec<String> = self.run("requests cannot be listed", read).await?;
            let mut words = answer.into_iter();
            let mut word = || words.next().unwrap_or_default();
            let last = (word(), word());
            loop {
                let (request, started_ms, status) = (word(), word(), word());
                if request.is_empty() {
                    break;
                }
                lines.push(Listed { started_ms: number(&started_ms)?, status: parse(&status)?, request });
            }
            if last.0.is_empty() {
                break;
            }
            after = Some(ListPosition { started_ms: number(&last.1)?, request: last.0 });
        }
        Ok(lines)
    }

    pub(super) async fn prune(&self, flow: &str, limit: usize) -> Result<usize, StateError> {
        let mut prune = script("return prune(ARGV[2])\n", flow, &[]);
        prune.arg(limit.min(PRUNED));
        self.run("what has expired cannot be removed", prune).await
    }
}

fn number(text: &str) -> Result<u64, StateError> {
    text.parse().map_err(|_| StateError::permanent(format!("`{text}` is not the time at which a request started")))
}

fn parse(status: &str) -> Result<Status, StateError> {
    status.parse().map_err(|error| StateError::permanent("a request is listed with another status").with_source(error))
}
