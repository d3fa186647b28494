//! What errors of Redis mean: whether they are permanent or temporary, and what to do.

use faasflow_core::state::StateError;
use redis::{ErrorKind, RedisError};

pub(super) fn state_error(what: &str, error: RedisError) -> StateError {
    let code = code(&error);
    let (temporary, why) = match code.as_deref() {
        Some("OOM") => (true, "the server has no memory left (`maxmemory`)"),
        Some("MISCONF") => (true, "the server cannot write to its disk"),
        // This happens during a failover. A new connection finds the new server.
        Some("READONLY") => (true, "the server is a read-only replica"),
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN") => (true, "the server is not ready"),
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => (false, "access is denied"),
        _ => match error.kind() {
            ErrorKind::AuthenticationFailed => (false, "access is denied"),
            ErrorKind::Io => (true, "the server cannot be reached, or the connection was lost"),
            ErrorKind::InvalidClientConfig => (false, "the address cannot be used"),
            _ => (false, "the server answered with an error"),
        },
    };
    let text = format!("{what}: {why}");
    let state_error = if temporary { StateError::temporary(text) } else { StateError::permanent(text) };
    match why {
        "access is denied" => state_error.with_help("check user and password in the secret `redis-url`"),
        _ => state_error,
    }
    .with_source(error)
}

/// The server's code for the error. For a pipeline or a transaction, it is that of the first command that was refused.
fn code(error: &RedisError) -> Option<String> {
    match error.clone().into_server_errors() {
        Some(errors) => errors.first().map(|(_, error)| error.code().to_owned()),
        None => error.code().map(str::to_owned),
    }
}
