//! One test program for the crate, because linking a second one would double the time.

mod idle_connections;
mod many_headers;
mod server_limits;
