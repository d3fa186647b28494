//! One delivery, from its admission to its answer.

mod admission;
mod drive;
mod ending;
mod receive;
mod request;
mod respond;

pub(crate) use request::identify;
pub(crate) use respond::respond;
