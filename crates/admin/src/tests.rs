//! The page of the reference has every route, every parameter and every field, and no other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;

mod requests;
mod samples;

use samples::samples;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/admin-api.md");

/// The sections of the page under headings of this kind, by heading. A section ends at the next heading of any kind.
fn sections(kind: &str) -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut sections = BTreeMap::new();
    let mut heading = None;
    for line in page.lines() {
        if line.starts_with('#') {
            heading = line.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')).map(str::to_owned);
            if let Some(heading) = &heading {
                let before = sections.insert(heading.clone(), String::new());
                assert!(before.is_none(), "`{heading}` is there twice");
            }
        } else if let Some(heading) = &heading {
            let section = sections.get_mut(heading).unwrap();
            section.push_str(line);
            section.push('\n');
        }
    }
    sections
}

/// What the first column of the section's table names, in backticks.
fn rows(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let names = rows.flat_map(|(first, _)| first.split(", ").collect::<Vec<_>>());
    names.map(|name| name.trim_matches(['`', '*']).to_owned()).collect()
}

#[test]
fn the_page_has_every_route_with_its_parameters() {
    let sections = sections("###");
    let mut expected = BTreeSet::new();
    for Route { method, path, query } in ROUTES {
        let heading = format!("{method} {path}");
        let section = sections.get(&heading).unwrap_or_else(|| panic!("`### {heading}` is missing on {PAGE}"));
        let query = query.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(rows(section), query, "the parameters of {heading}");
        assert!(section.contains("Answer: "), "what {heading} answers");
        assert!(expected.insert(heading), "{method} {path} is listed twice");
    }
    assert_eq!(sections.into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_page_has_every_type_with_its_fields() {
    let (sections, samples) = (sections("####"), samples());
    let names = |of: &BTreeMap<&str, Value>| of.keys().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(sections.keys().cloned().collect::<BTreeSet<_>>(), names(&samples));
    for (name, sample) in &samples {
        let fields = sample.as_object().unwrap().keys().cloned().collect();
        assert_eq!(rows(&sections[*name]), fields, "the fields of {name}");
    }
}

/// A type that is public and has no sample would be on no page.
#[test]
fn every_type_has_a_sample() {
    let modules = [
        include_str!("attempts.rs"),
        include_str!("events.rs"),
        include_str!("functions.rs"),
        include_str!("heads.rs"),
        include_str!("info.rs"),
        include_str!("items.rs"),
        include_str!("lists.rs"),
        include_str!("logs.rs"),
        include_str!("pages.rs"),
        include_str!("queue.rs"),
        include_str!("requests.rs"),
        include_str!("secrets.rs"),
    ];
    let defined = modules.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("pub struct "));
    let defined: BTreeSet<&str> = defined.map(|rest| rest.trim_end_matches(" {")).collect();
    assert_eq!(defined, samples().keys().copied().collect());
}

#[test]
fn every_answer_is_read_as_it_is_written_and_skips_what_it_does_not_know() {
    let again = |name: &str, mut value: Value| -> Value {
        value["of a later version"] = json!(1);
        let again = match name {
            "FunctionStatus" => serde_json::to_value(serde_json::from_value::<FunctionStatus>(value).unwrap()),
            "Info" => serde_json::to_value(serde_json::from_value::<Info>(value).unwrap()),
            "LogLine" => serde_json::to_value(serde_json::from_value::<LogLine>(value).unwrap()),
            "QueueStats" => serde_json::to_value(serde_json::from_value::<QueueStats>(value).unwrap()),
            "QueuedCall" => serde_json::to_value(serde_json::from_value::<QueuedCall>(value).unwrap()),
            "DeadLetter" => serde_json::to_value(serde_json::from_value::<DeadLetter>(value).unwrap()),
            "Drawing" => serde_json::to_value(serde_json::from_value::<Drawing>(value).unwrap()),
            "GatewayEvent" => serde_json::to_value(serde_json::from_value::<GatewayEvent>(value).unwrap()),
            "Activity" => serde_json::to_value(serde_json::from_value::<Activity>(value).unwrap()),
            "FlowActivity" => serde_json::to_value(serde_json::from_value::<FlowActivity>(value).unwrap()),
            "PageToken" => serde_json::to_value(serde_json::from_value::<PageToken>(value).unwrap()),
            "FlowRequest" => serde_json::to_value(serde_json::from_value::<FlowRequest>(value).unwrap()),
            "RequestHead" => serde_json::to_value(serde_json::from_value::<RequestHead>(value).unwrap()),
            "AnswerHead" => serde_json::to_value(serde_json::from_value::<AnswerHead>(value).unwrap()),
            "RequestList" => serde_json::to_value(serde_json::from_value::<RequestList>(value).unwrap()),
            "RequestChange" => serde_json::to_value(serde_json::from_value::<RequestChange>(value).unwrap()),
            "Recovery" => serde_json::to_value(serde_json::from_value::<Recovery>(value).unwrap()),
            "RequestProblem" => serde_json::to_value(serde_json::from_value::<RequestProblem>(value).unwrap()),
            _ => return Value::Null,
        };
        again.unwrap()
    };
    for (name, sample) in samples() {
        let read = again(name, sample.clone());
        assert!(read.is_null() || read == sample, "{name}: {read}");
    }
}

#[test]
fn answers_of_openfaas_can_be_read_although_they_leave_much_out() {
    let info: Info = serde_json::from_value(json!({
        "provider": { "provider": "faas-netes", "orchestration": "kubernetes", "version": null },
        "version": null,
        "arch": "x86_64",
    }))
    .unwrap();
    assert_eq!((info.provider.provider.as_str(), info.limits), ("faas-netes", None));
    let function: FunctionStatus =
        serde_json::from_value(json!({ "name": "f", "labels": null, "usage": null, "envVars": { "a": "1", "n": 1 } }))
            .unwrap();
    assert_eq!((function.name.as_str(), function.available_replicas, function.labels), ("f", None, None));
    assert_eq!(function.env_vars, Some(BTreeMap::from([("a".to_owned(), "1".to_owned())])));
}

/// A gateway of another version may leave out any field of an answer.
#[test]
fn answers_may_leave_out_any_field() {
    fn read<T: serde::de::DeserializeOwned + Default + PartialEq + std::fmt::Debug>() {
        assert_eq!(serde_json::from_value::<T>(json!({ "of a later version": 1 })).unwrap(), T::default());
    }
    read::<FunctionStatus>();
    read::<Usage>();
    read::<Info>();
    read::<ProviderInfo>();
    read::<SecretName>();
    read::<LogLine>();
    read::<QueueStats>();
    read::<QueuedCall>();
    read::<DeadLetterSummary>();
    read::<DeadLetter>();
    read::<Redriven>();
    read::<Discarded>();
    read::<GatewayEvent>();
    read::<FunctionHealth>();
    read::<CallCounts>();
    read::<RequestCounts>();
    read::<EndedCall>();
    read::<ChangedRequest>();
    read::<Activity>();
    read::<FunctionActivity>();
    read::<FlowActivity>();
    read::<StepActivity>();
    read::<FailedCall>();
    read::<FlowRequest>();
    read::<Place>();
    read::<RequestReason>();
    read::<Output>();
    read::<Members>();
    read::<Unlisted>();
    read::<WaitsFor>();
    read::<EarlierGeneration>();
    read::<CalledRequest>();
    read::<RequestItems>();
    read::<RequestItem>();
    read::<RequestPlace>();
    read::<RequestList>();
    read::<RequestSummary>();
    read::<RequestChange>();
    read::<Recovery>();
    read::<RecoveredRequest>();
    read::<UnrecoveredRequest>();
    read::<RequestProblem>();
}

/// Go writes a field that is not set as null.
#[test]
fn null_in_a_deployment_is_the_same_as_an_absent_field() {
    let mut all = samples().remove("Deployment").unwrap();
    for (name, field) in all.as_object_mut().unwrap() {
        if name != "service" {
            *field = Value::Null;
        }
    }
    let deployment: Deployment = serde_json::from_value(all).unwrap();
    assert_eq!(deployment, Deployment { service: "text".to_owned(), ..Deployment::default() });
}

#[test]
fn debug_output_shows_no_secrets() {
    let text = || Some("hidden".to_owned());
    let secret = Secret { name: "key".to_owned(), value: text(), raw_value: text(), ..Secret::default() };
    let variables = Some(BTreeMap::from([("KEY".to_owned(), "hidden".to_owned())]));
    let deployment = Deployment { env_vars: variables.clone(), env_process: text(), ..Deployment::default() };
    let status = FunctionStatus { env_vars: variables, env_process: text(), ..FunctionStatus::default() };
    let shown = format!("{secret:?} {deployment:?} {status:?}");
    assert!(shown.contains("key") && !shown.contains("hidden"), "{shown}");
}
