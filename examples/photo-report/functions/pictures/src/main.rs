//! Five functions for pictures in one program: `thumbnail`, `palette`, `crop`, `tint` and `contact-sheet`. The environment
//! variable `function` names the function that a process serves.

mod contact_sheet;
mod crop;
mod files;
mod jpeg;
mod palette;
mod text;
mod thumbnail;
mod tint;

use axum::Router;
use axum::routing::post;

fn routes(function: &str) -> Option<Router> {
    let route = match function {
        "thumbnail" => post(thumbnail::thumbnail),
        "palette" => post(palette::palette),
        "crop" => post(crop::crop),
        "tint" => post(tint::tint),
        "contact-sheet" => post(contact_sheet::contact_sheet),
        _ => return None,
    };
    Some(Router::new().route("/", route))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let function = std::env::var("function").unwrap_or_default();
    let routes = routes(&function).ok_or_else(|| {
        std::io::Error::other(format!(
            "the variable `function` is `{function}`; set it to thumbnail, palette, crop, tint or contact-sheet"
        ))
    })?;
    function_server::serve(routes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one of the photos that the examples share.
    pub(crate) fn photo(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../upload-pipeline/photos/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    #[test]
    fn the_environment_names_one_of_the_functions() {
        for function in ["thumbnail", "palette", "crop", "tint", "contact-sheet"] {
            assert!(routes(function).is_some(), "{function}");
        }
        assert!(routes("").is_none());
    }
}
