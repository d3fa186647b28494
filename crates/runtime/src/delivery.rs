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
pub(crate) use ending::KNOWN_TO_BE_OVER;
pub(crate) use forked::{NotRepeated, list_item, restart_clocks};
pub(crate) use request::{Arrival, Refusal, called_request, delivery, identify};
#[cfg(test)]
pub(crate) use respond::failure_payload;
pub(crate) use respond::respond;
pub(crate) use respond::{internal_failure, reason_payload};
