//! The dashboard: pages in which people see functions, flows, requests and the queue.
//!
//! A page is an empty shell. Its scripts read the admin API of the server that serves the page, and show what they get as
//! text. The crate serves the shell and the scripts, and decides which web pages may use a server: [`OwnPages`]. It knows
//! nothing of the servers, which are the local gateway and `faasflow ui`. `docs/decisions/0033-the-dashboard.md` says why.

mod access;
mod assets;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

pub use access::{OwnPages, is_change_by_page, is_local, is_of_another_site};
use assets::{Asset, Keep};

/// The path of the first page.
pub const PATH: &str = "/ui/";

/// What a page may load: its own scripts, styles and pictures, and answers of its own gateway. `blob:` is for pictures among
/// payloads, which the page has fetched itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The routes of the pages, all of them under [`PATH`].
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/ui", get(async || Redirect::permanent(PATH)))
        .route(PATH, get(serve))
        .route("/ui/{*path}", get(serve))
}

async fn serve(request: Request) -> Response {
    let path = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let mut response = match assets::find(path) {
        Some((asset, keep)) => answer(asset, keep, request.headers()),
        None => (StatusCode::NOT_FOUND, format!("the dashboard has no page `/ui/{path}`: begin at {PATH}\n"))
            .into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The asset, or 304 if the browser has it. The browser asks for the shell each time, so that a new version of the program is seen at once.
fn answer(asset: &Asset, keep: Keep, asked: &HeaderMap) -> Response {
    let tag = asset.tag();
    let known = asked.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known =
        known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(asset.bytes)),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    let control = match keep {
        Keep::Ask => "no-cache",
        Keep::Forever => "private, max-age=31536000, immutable",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
    headers.insert(ETAG, HeaderValue::try_from(tag).expect("a tag is hexadecimal"));
    response
}

#[cfg(test)]
mod tests;
