//! Compares answers with what a flow says about them in OpenAPI.

use faasflow_testkit::{Answer, Running};
use http::Method;
use serde_json::{Value, json};

/// Checks that the flow's OpenAPI document has this answer: its status, its headers, its content type, the code of its error,
/// and the schema of its body.
pub(crate) async fn check(kit: &Running, method: &str, target: &str, answer: &Answer) {
    let document: Value = kit.request("").method(Method::GET).path("/_/openapi.json").answer().await.json();
    let path = target.split('?').next().unwrap();
    let paths = document["paths"].as_object().unwrap();
    let (_, item) = paths.iter().find(|(template, _)| is_path_of(template, path)).unwrap();
    let what = format!("{method} {target}: {} {:?} {}", answer.status, answer.headers, answer.text());

    let response = &item[method.to_lowercase()]["responses"][answer.status.as_str()];
    let response = match response["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => response,
    };
    assert!(response.is_object(), "the status is not in the document: {what}");

    for name in document["components"]["headers"].as_object().unwrap().keys() {
        let is_there = answer.headers.contains_key(name.as_str());
        assert!(!is_there || response["headers"][name].is_object(), "`{name}` is not in the document: {what}");
    }
    let description = response["description"].as_str().unwrap();
    if let Some(code) = answer.header("x-faasflow-error-code")
        && description.contains("Codes:")
    {
        assert!(description.contains(&format!("`{code}`")), "the code is not in the document: {what}");
    }

    let content = &response["content"];
    let Some(content_type) = answer.header("content-type") else {
        assert!(answer.body.is_empty(), "the body has no content type: {what}");
        return;
    };
    match content[content_type].as_object().or(content["*/*"].as_object()) {
        None => panic!("the content type is not in the document: {what}"),
        Some(media) => {
            let Some(schema) = media.get("schema") else { return };
            let schema = json!({ "allOf": [schema], "components": document["components"] });
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            let errors: Vec<_> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}: {what}");
        }
    }
}

fn is_path_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let is_same = |(wanted, found): (&&str, &&str)| wanted == found || wanted.starts_with('{');
    template.len() == path.len() && template.iter().zip(&path).all(is_same)
}
