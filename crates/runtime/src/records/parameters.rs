//! The parameters of requests to the API. All are texts, so that errors can say what each of them must be.

use serde::Deserialize;

/// The parameters of a result.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultParameters {
    pub(super) masked: Option<String>,
}

/// The parameters of a payload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Showing {
    pub(super) place: Option<String>,
}

/// The parameters of the items of a place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListingItems {
    pub(super) place: Option<String>,
    pub(super) status: Option<String>,
    pub(super) search: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) cursor: Option<String>,
}

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    pub(super) status: Option<String>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) key: Option<String>,
    pub(super) search: Option<String>,
    pub(super) repeats: Option<String>,
    pub(super) ids: Option<String>,
    pub(super) at: Option<String>,
    pub(super) retrying: Option<String>,
    pub(super) idle: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) details: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) cursor: Option<String>,
}

/// The parameters of a redrive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redriving {
    pub(super) from: Option<String>,
}

/// The parameters of a request that is run again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeating {
    pub(super) id: Option<String>,
}

/// The parameters of a recovery.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recovering {
    pub(super) older: Option<String>,
    pub(super) force: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) cursor: Option<String>,
}

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}
