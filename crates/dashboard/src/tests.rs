use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tower_service::Service as _;

use super::*;

async fn ask(path: &str, known: Option<&str>) -> Response {
    let mut request = http::Request::builder().uri(path);
    if let Some(known) = known {
        request = request.header(IF_NONE_MATCH, known);
    }
    router::<()>().call(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn header(response: &Response, name: &HeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn each_page_gets_the_shell_and_nothing_else_does() {
    for path in ["", "requests?flow=a", "queue", "queue/dead-letters/7", "flows/a", "flows/a/requests/b%2Fc"] {
        let response = ask(&format!("/ui/{path}"), None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, &CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
    }
    for path in ["assets/main.js", "assets/pages/flow.js"] {
        let response = ask(&format!("/ui/{path}"), None).await;
        assert_eq!(header(&response, &CONTENT_TYPE), "text/javascript; charset=utf-8", "{path}");
    }
    for path in ["absent", "assets/", "assets/absent.js", "assets/../src/lib.rs", "flows", "flows/a/b", "//"] {
        assert_eq!(ask(&format!("/ui/{path}"), None).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let response = ask("/ui", None).await;
    assert_eq!((response.status().as_u16(), header(&response, &http::header::LOCATION).as_str()), (308, "/ui/"));
}

#[tokio::test]
async fn the_shell_names_each_script_once() {
    let response = ask("/ui/", None).await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let shell = String::from_utf8(bytes.to_vec()).unwrap();
    let scripts: Vec<_> = assets::ASSETS.iter().filter(|asset| asset.path.ends_with(".js")).collect();
    assert_eq!(shell.matches("rel=\"modulepreload\"").count(), scripts.len(), "{shell}");
    let (_, version) = shell.split_once("/ui/assets/").unwrap();
    let (version, _) = version.split_once('/').unwrap();
    for script in scripts {
        let path = format!("/ui/assets/{version}/{}", script.path);
        assert_eq!(
            shell.matches(&format!("<link rel=\"modulepreload\" href=\"{path}\">")).count(),
            1,
            "{path}: {shell}"
        );
        let kept = ask(&path, None).await;
        assert_eq!(
            (kept.status(), header(&kept, &CACHE_CONTROL).contains("immutable")),
            (StatusCode::OK, true),
            "{path}"
        );
        // Without the version, a browser asks each time, and another version is not there.
        let asked = ask(&format!("/ui/assets/{}", script.path), None).await;
        assert_eq!(header(&asked, &CACHE_CONTROL), "no-cache");
        assert_eq!(ask(&format!("/ui/assets/0{version}/{}", script.path), None).await.status(), StatusCode::NOT_FOUND);
    }
    // The styles are needed first.
    assert!(shell.find("style.css") < shell.find("modulepreload"), "{shell}");
}

#[tokio::test]
async fn every_answer_forbids_what_pages_do_not_need() {
    for path in ["", "assets/main.js", "assets/absent.js"] {
        let response = ask(&format!("/ui/{path}"), None).await;
        let policy = header(&response, &CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for rule in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert_eq!(header(&response, &X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(header(&response, &REFERRER_POLICY), "no-referrer", "{path}");
    }
}

#[tokio::test]
async fn a_browser_gets_each_file_once() {
    let first = ask("/ui/assets/main.js", None).await;
    let tag = header(&first, &ETAG);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let again = ask("/ui/assets/main.js", Some(&known)).await;
        assert_eq!((again.status(), header(&again, &ETAG)), (StatusCode::NOT_MODIFIED, tag.clone()), "{known}");
    }
    let other = ask("/ui/assets/api.js", Some(&tag)).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[test]
fn all_files_together_are_small() {
    let mut all = 0;
    for asset in assets::all() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(asset.bytes).unwrap();
        all += packed.finish().unwrap().len();
    }
    println!("{all} bytes compressed");
    assert!(all < 150_000, "{all} bytes compressed");
}

/// A file that is in the folder and not in the list would be missing in a browser.
#[test]
fn each_file_of_the_folder_is_served() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let mut served: Vec<String> = assets::all().map(|asset| asset.path.to_owned()).collect();
    let mut there = Vec::new();
    for (folder, before) in [(folder.clone(), ""), (folder.join("pages"), "pages/")] {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                there.push(format!("{before}{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    served.sort();
    there.sort();
    assert_eq!(served, there);
}
