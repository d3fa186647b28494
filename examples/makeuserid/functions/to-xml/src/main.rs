//! Converts a JSON object to XML. `POST` the object, and the answer is the XML.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Json, Router, routing::post};

fn xml(object: &BTreeMap<String, String>) -> Result<String, String> {
    quick_xml::se::to_string_with_root("user", object).map_err(|error| error.to_string())
}

async fn to_xml(Json(object): Json<BTreeMap<String, String>>) -> impl IntoResponse {
    match xml(&object) {
        Ok(xml) => (StatusCode::OK, [(CONTENT_TYPE, "application/xml")], xml),
        Err(reason) => (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "text/plain; charset=utf-8")], reason),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let variable = |name| std::env::var(name).ok();
    let host = variable("host").unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = variable("port").unwrap_or_else(|| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("{host}:{port}")).await?;
    axum::serve(listener, Router::new().route("/", post(to_xml))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        let user = BTreeMap::from([("name".to_owned(), "<A & B>".to_owned())]);
        assert_eq!(xml(&user).unwrap(), "<user><name>&lt;A &amp; B&gt;</name></user>");
    }
}
