//! One delivery, from its admission to its answer.

mod admission;
mod drive;
mod ending;
mod forked;
mod receive;
mod remedy;
mod request;
mod respond;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use admission::decoding_too_slow;
pub(crate) use request::identify;
#[cfg(test)]
pub(crate) use respond::failure_payload;
pub(crate) use respond::respond;
