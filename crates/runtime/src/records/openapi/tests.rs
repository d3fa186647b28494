//! The document is valid, and has every route, every parameter and every field, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use faasflow_admin as api;
use faasflow_core::Flow;
use faasflow_core::code::Code;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use roas::v3_1::spec::Spec;
use roas::validation::{Options, Validate as _};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Value, json};
use tower_service::Service as _;

use super::super::parameters::{Listing, ListingItems, Recovering, Redriving, Repeating, ResultParameters, Showing};
use crate::function::FlowFunction;
use crate::testing::{Queue, Shelf, instance};

fn document() -> Value {
    serde_json::from_str(&super::document("upload")).unwrap()
}

fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// What a reference refers to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or_else(|| panic!("nothing is at {reference}")),
        None => value,
    }
}

/// The operations: the method, the path and the operation itself, which has the parameters of its path as well.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let mut operation = operation.clone();
            let shared = item["parameters"].as_array().into_iter().flatten();
            let own = operation["parameters"].as_array().into_iter().flatten();
            let parameters: Vec<_> = shared.chain(own).map(|parameter| resolved(document, parameter).clone()).collect();
            operation["parameters"] = Value::Array(parameters);
            operations.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    operations
}

/// Validates a value against a schema of the document.
fn validate(document: &Value, name: &str, value: &Value) {
    let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:?} in {value}");
}

#[test]
fn only_white_space_between_values_is_left_out() {
    let source: Value = serde_json::from_slice(super::SOURCE).unwrap();
    assert_eq!(serde_json::from_str::<Value>(super::TEMPLATE).unwrap(), source);
    assert!(super::TEMPLATE.len() < super::SOURCE.len());
}

#[test]
fn the_document_is_valid() {
    let document = document();
    let errors = |document: Value| match serde_json::from_value::<Spec>(document) {
        Ok(spec) => spec.validate(Options::new(), None).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    assert_eq!(errors(document.clone()), None);
    let mut broken = document.clone();
    broken["paths"]["/_/requests/{id}"]["parameters"] = json!([]);
    assert!(errors(broken).is_some(), "the validator accepts a path without its parameter");
    // It does not look into schemas.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
}

#[test]
fn every_reference_leads_to_something_and_everything_is_referred_to() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let mut there = BTreeSet::new();
    for kind in ["schemas", "parameters", "headers", "responses"] {
        there.extend(names(&document["components"][kind]).iter().map(|name| format!("#/components/{kind}/{name}")));
    }
    assert_eq!(found, there.iter().map(String::as_str).collect());
    let used: BTreeSet<_> = operations(&document)
        .iter()
        .flat_map(|(_, _, operation)| operation["security"].as_array().cloned().unwrap_or_default())
        .flat_map(|one| names(&one).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .collect();
    assert_eq!(used, names(&document["components"]["securitySchemes"]).iter().map(|name| (*name).to_owned()).collect());
}

/// Finds out the fields of a struct or the variants of an enum: what its `Deserialize` asks for.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = variants;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("only the names matter"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

fn names_of<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    let mut names: &[&str] = &[];
    let _ = T::deserialize(Names(&mut names));
    assert!(!names.is_empty());
    names.iter().copied().collect()
}

#[test]
fn every_type_and_field_is_in_the_document_and_no_other() {
    fn check<T: DeserializeOwned + Serialize + Default + fmt::Debug>(
        document: &Value,
        seen: &mut BTreeSet<&str>,
        name: &'static str,
    ) {
        let schema = &document["components"]["schemas"][name];
        assert_eq!(names(&schema["properties"]), names_of::<T>(), "{name}");
        let example = &schema["examples"][0];
        assert_eq!(names(example), names_of::<T>(), "the example of {name}");
        validate(document, name, example);
        let read: T = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *example, "{name}");
        // What is written without any optional field is what must be there.
        let least = serde_json::to_value(T::default()).unwrap();
        let required: BTreeSet<_> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(required, names(&least), "{name}");
        seen.insert(name);
    }
    let document = document();
    let mut seen = BTreeSet::from(["Problem", "RequestStatus", "PlaceStatus", "Waits", "Altered"]);
    check::<api::FlowRequest>(&document, &mut seen, "FlowRequest");
    check::<api::Place>(&document, &mut seen, "Place");
    check::<api::Unlisted>(&document, &mut seen, "Unlisted");
    check::<api::WaitsFor>(&document, &mut seen, "WaitsFor");
    check::<api::CalledRequest>(&document, &mut seen, "CalledRequest");
    check::<api::EarlierGeneration>(&document, &mut seen, "EarlierGeneration");
    check::<api::RequestItems>(&document, &mut seen, "RequestItems");
    check::<api::RequestItem>(&document, &mut seen, "RequestItem");
    check::<api::RequestPlace>(&document, &mut seen, "RequestPlace");
    check::<api::RequestReason>(&document, &mut seen, "RequestReason");
    check::<api::Attempt>(&document, &mut seen, "Attempt");
    check::<api::StepTimes>(&document, &mut seen, "StepTimes");
    check::<api::CallTimes>(&document, &mut seen, "CallTimes");
    check::<api::FunctionAnswer>(&document, &mut seen, "FunctionAnswer");
    check::<api::RequestHead>(&document, &mut seen, "RequestHead");
    check::<api::AnswerHead>(&document, &mut seen, "AnswerHead");
    check::<api::ShownHeader>(&document, &mut seen, "ShownHeader");
    check::<api::Output>(&document, &mut seen, "Output");
    check::<api::Members>(&document, &mut seen, "Members");
    check::<api::RequestList>(&document, &mut seen, "RequestList");
    check::<api::RequestSummary>(&document, &mut seen, "RequestSummary");
    check::<api::RequestAt>(&document, &mut seen, "RequestAt");
    check::<api::Found>(&document, &mut seen, "Found");
    check::<api::RequestChange>(&document, &mut seen, "RequestChange");
    check::<api::Recovery>(&document, &mut seen, "Recovery");
    check::<api::RecoveredRequest>(&document, &mut seen, "RecoveredRequest");
    check::<api::UnrecoveredRequest>(&document, &mut seen, "UnrecoveredRequest");
    check::<api::RequestProblem>(&document, &mut seen, "RequestProblem");
    assert_eq!(seen, names(&document["components"]["schemas"]));

    let listed = |name: &str| -> BTreeSet<String> {
        serde_json::from_value(document["components"]["schemas"][name]["enum"].clone()).unwrap()
    };
    let owned = |names: BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(listed("RequestStatus"), owned(names_of::<api::RequestStatus>()));
    assert_eq!(listed("PlaceStatus"), owned(names_of::<api::PlaceStatus>()));
    assert_eq!(listed("Waits"), owned(names_of::<api::Waits>()));
    assert_eq!(listed("Altered"), owned(names_of::<api::Altered>()));
}

#[test]
fn every_route_is_in_the_document_and_no_other() {
    let sources = [
        include_str!("../api.rs"),
        include_str!("../heads_api.rs"),
        include_str!("../items_api.rs"),
        include_str!("../listing.rs"),
        include_str!("../../function.rs"),
    ];
    let mut routes = BTreeSet::from([("POST".to_owned(), "/".to_owned())]);
    for route in sources.iter().flat_map(|source| source.split(".route(\"").skip(1)) {
        let (path, handler) = route.split_once("\", ").unwrap();
        let (method, _) = handler.split_once('(').unwrap();
        // Every other path is refused.
        if ["/_", "/_/", "/_/{*rest}"].contains(&path) {
            continue;
        }
        routes.insert((method.to_uppercase(), path.to_owned()));
    }
    let documented = operations(&document()).into_iter().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(routes, documented);
}

#[test]
fn every_parameter_is_in_the_document_and_no_other() {
    let document = document();
    let mut documented = BTreeMap::new();
    for (_, path, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().unwrap();
        let of_place = |place: &str| -> BTreeSet<String> {
            let there = parameters.iter().filter(|parameter| parameter["in"] == place);
            there.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
        };
        let in_path: BTreeSet<String> = path.split(['{', '}']).skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(of_place("path"), in_path, "{path}");
        let in_query = of_place("query");
        if !in_query.is_empty() {
            documented.insert(path, in_query);
        }
    }
    let owned = |names: BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let accepted = BTreeMap::from([
        ("/_/requests".to_owned(), owned(names_of::<Listing>())),
        ("/_/requests/{id}/items".to_owned(), owned(names_of::<ListingItems>())),
        ("/_/requests/{id}/place".to_owned(), owned(names_of::<Showing>())),
        ("/_/requests/{id}/input".to_owned(), owned(names_of::<Showing>())),
        ("/_/requests/{id}/output".to_owned(), owned(names_of::<Showing>())),
        ("/_/requests/{id}/answer".to_owned(), owned(names_of::<Showing>())),
        ("/_/requests/{id}/answer/head".to_owned(), owned(names_of::<Showing>())),
        ("/_/requests/{id}/redrive".to_owned(), owned(names_of::<Redriving>())),
        ("/_/requests/{id}/result".to_owned(), owned(names_of::<ResultParameters>())),
        ("/_/requests/{id}/again".to_owned(), owned(names_of::<Repeating>())),
        ("/_/recover".to_owned(), owned(names_of::<Recovering>())),
    ]);
    assert_eq!(documented, accepted);
}

#[test]
fn bounds_and_defaults_are_those_of_the_api() {
    use super::super::api::{LISTED, LOOKED_AT, MOST_LISTED, MOST_LOOKED_AT, OLDER};
    use super::super::items_api;
    let document = document();
    let schema = |path: &str, name: &str| {
        let (.., operation) = operations(&document).into_iter().find(|(_, documented, _)| documented == path).unwrap();
        let parameters = operation["parameters"].as_array().unwrap().clone();
        parameters.into_iter().find(|parameter| parameter["name"] == name).unwrap()["schema"].clone()
    };
    let limit = |default, most| json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default });
    assert_eq!(schema("/_/requests", "limit"), limit(LISTED, MOST_LISTED));
    assert_eq!(schema("/_/recover", "limit"), limit(LOOKED_AT, MOST_LOOKED_AT));
    assert_eq!(schema("/_/requests/{id}/items", "limit"), limit(items_api::LISTED, items_api::MOST_LISTED));
    let statuses = super::super::items::STATUSES.map(super::super::items::name_of);
    assert_eq!(schema("/_/requests/{id}/items", "status")["enum"], json!(statuses));
    let older = schema("/_/recover", "older");
    assert_eq!(faasflow_core::duration::parse(older["default"].as_str().unwrap()).unwrap(), OLDER);
    let statuses = schema("/_/requests", "status");
    for status in statuses["enum"].as_array().unwrap() {
        assert!(status.as_str().unwrap().parse::<faasflow_core::state::Status>().is_ok(), "{status}");
    }
}

#[test]
fn every_code_exists_and_those_of_the_api_are_all_there() {
    let mut named = BTreeSet::new();
    for text in super::TEMPLATE.split('`').filter(|text| text.starts_with("FF")) {
        assert!(Code::find(text).is_some(), "{text}");
        named.insert(text);
    }
    for code in Code::all().iter().map(|code| code.as_str()).filter(|code| ("FF0415"..="FF0425").contains(code)) {
        assert!(named.contains(code), "{code}");
    }
}

/// What a flow without records answers. The tests of records compare the answers of one that has them.
#[tokio::test]
async fn answers_are_what_the_document_says() {
    let flow = || Flow::builder().state(Shelf::default()).apply("one").build().unwrap();
    let function = FlowFunction(instance(flow(), &[("records", "off")], &std::sync::Arc::new(Queue::default())));
    let document = document();
    for (method, path, operation) in operations(&document).into_iter().filter(|(_, path, _)| path != "/") {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        let request = request.uri(path.replace("{id}", "order-17")).body(axum::body::Body::empty()).unwrap();
        let answer = function.router().call(request).await.unwrap();
        let (head, body) = answer.into_parts();
        assert_eq!(head.headers["x-content-type-options"], "nosniff", "{method} {path}");
        assert_eq!(head.headers["content-security-policy"], "sandbox; default-src 'none'", "{method} {path}");
        let body = body.collect().await.unwrap().to_bytes();
        let documented = resolved(&document, &operation["responses"][head.status.as_str()]);
        let content = names(&documented["content"]);
        let content_type = head.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        assert!(content.contains(content_type), "{method} {path}: {} {content_type}", head.status);
        if path.starts_with("/_/re") && path != "/_/ready" {
            assert_eq!(head.status, StatusCode::NOT_IMPLEMENTED, "{method} {path}");
            validate(&document, "RequestProblem", &serde_json::from_slice(&body).unwrap());
        } else {
            assert_eq!(head.status, StatusCode::OK, "{method} {path}");
        }
        if path == "/_/openapi.json" {
            let served: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(served["servers"][0]["url"], "/function/flow");
            assert_eq!(served["info"]["title"], "flow");
        }
    }
}
