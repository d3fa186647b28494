//! The key for signing on the command line.

use faasflow_core::signature::Keys;
use faasflow_core::{Unreadable, code};

use crate::error::Failure;

/// The keys that an option gives: itself, or after `@` the name of a file.
pub(crate) fn keys(key: &str) -> Result<Keys, Failure> {
    let text = match key.strip_prefix('@') {
        None => key.to_owned(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let failure =
                Failure::unusable(code::SIGNING_KEY_UNUSABLE, format!("the signing key cannot be read from `{path}`"));
            failure
                .because(&Unreadable::from(error))
                .help("name the file that holds the key, as in `--key @secrets/faasflow-hmac-secret`")
        })?,
    };
    Keys::parse(&text).map_err(|error| {
        Failure::unusable(code::SIGNING_KEY_UNUSABLE, "the value of `--key` contains no key").help(error.help())
    })
}
