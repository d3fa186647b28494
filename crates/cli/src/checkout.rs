//! The checkout that this program was built from.

/// The root of the checkout, and `None` in a release. Users do not have the folder that a release was built in, and a
/// program should not contain its path.
///
/// `cargo xtask release` sets the variable `FAASFLOW_NO_CHECKOUT` when it compiles.
pub(crate) const BUILT_FROM: Option<&str> = match option_env!("FAASFLOW_NO_CHECKOUT") {
    Some(_) => None,
    None => Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")),
};
