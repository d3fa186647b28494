//! One test program for the crate, since linking a second takes as long as linking the first.

mod idle_connections;
mod many_headers;
mod server_limits;
