//! One test program for the crate, since linking a second takes as long as linking the first.

mod flows;
mod guide;
mod languages;
mod picture;
mod text;
