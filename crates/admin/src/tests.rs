//! The page of the reference has every route, every parameter and every field, and no other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::*;

mod requests;

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

/// A value of each type in which every field is there. Without a field, it would not compile.
fn samples() -> BTreeMap<&'static str, Value> {
    let text = || "text".to_owned();
    let map = || BTreeMap::from([(text(), text())]);
    let amounts = || BTreeMap::from([("memory".to_owned(), Some("128Mi".to_owned()))]);
    let version = || Version { commit_message: text(), release: text(), sha: text() };
    let limits = || Limits { async_body: Some(1), upstream_timeout: Some("60s".to_owned()) };
    let provider = || Provider { orchestration: text(), provider: text(), version: version() };
    let summary = || DeadLetterSummary {
        id: 1,
        call_id: text(),
        function: text(),
        callback: false,
        reason: text(),
        status: Some(500),
        attempts: 1,
        accepted_ms: 1,
        died_ms: 1,
        bytes: 1,
    };
    let reason =
        || RequestReason { place: Some(text()), step: Some(1), name: Some(text()), text: text(), code: Some(text()) };
    let attempt = || Attempt { began_ms: Some(1), given_up_ms: 1, text: text(), code: text() };
    let function_answer = || FunctionAnswer { status: 500, bytes: 1, content_type: Some(text()) };
    let members = || Members { all: 6, waiting: 2, running: 1, done: 1, failed: 1, stopped: 1 };
    let unlisted = || Unlisted { failed: 1, open: 1, retrying: 1 };
    let waits_for = || WaitsFor { what: Waits::Slot, places: vec![text()] };
    let earlier = || EarlierGeneration {
        generation: 1,
        status: PlaceStatus::Failed,
        began_ms: Some(1),
        done_ms: Some(1),
        attempts: 1,
        reason: Some(reason()),
    };
    let place = || Place {
        place: text(),
        path: vec![text()],
        label: Some(text()),
        phase: 1,
        steps: vec![text()],
        status: PlaceStatus::Retrying,
        call_id: Some(text()),
        queued_ms: Some(1),
        began_ms: Some(1),
        done_ms: Some(1),
        last_began_ms: Some(1),
        attempts: 1,
        given_up: vec![attempt()],
        reason: Some(reason()),
        answer: Some(function_answer()),
        output: Some(Output { bytes: 1, content_type: Some(text()) }),
        chosen: Some(text()),
        members: Some(members()),
        unlisted: Some(unlisted()),
        waits_for: Some(waits_for()),
        earlier: vec![earlier()],
    };
    let item = || RequestItem {
        number: 1,
        branch: Some(text()),
        label: Some(text()),
        status: PlaceStatus::Failed,
        place: text(),
        began_ms: Some(1),
        done_ms: Some(1),
        attempts: 1,
        reason: Some(text()),
        code: Some(text()),
    };
    let found = || Found { by: FoundBy::Key, text: text(), place: Some(text()) };
    let at = || RequestAt {
        place: text(),
        path: vec![text()],
        label: Some(text()),
        steps: vec![text()],
        status: PlaceStatus::Retrying,
        reason: Some(reason()),
        more: 1,
        members: Some(1),
        partial: true,
    };
    let listed = || RequestSummary {
        id: text(),
        status: RequestStatus::Running,
        started_ms: 1,
        found: Some(found()),
        moved_ms: Some(1),
        at: Some(at()),
        reason: Some(reason()),
    };
    let drawn_shape = || DrawnShape {
        kind: text(),
        x: 1,
        y: 1,
        width: 1,
        height: 1,
        lines: vec![text()],
        name: text(),
        phase: Some(1),
        step: Some(1),
        options: vec![text()],
    };
    let stats = || QueueStats {
        version: QUEUE_VERSION,
        depth: 1,
        functions: BTreeMap::from([(text(), 1)]),
        in_flight: 1,
        oldest_seconds: 0.5,
        dead_letters: 1,
        unreadable: 1,
        accepted: 1,
        duplicates: 1,
        delivered: 1,
        retried: 1,
        dead: 1,
        dead_letters_removed: 1,
    };
    let health = || FunctionHealth { name: text(), replicas: 1, available: 1 };
    let call_counts = || CallCounts { function: text(), calls: 1, failures: 1, in_progress: 1 };
    let request_counts = || RequestCounts { flow: text(), begun: 1, ended: 1, failed: 1 };
    let ended_call = || EndedCall {
        function: text(),
        flow: Some(text()),
        step: Some(1),
        request: Some(text()),
        status: 200,
        duration_ms: 0.5,
    };
    let changed = || ChangedRequest { flow: text(), id: text(), status: Some(RequestStatus::Success) };
    let measured = || Measured { calls: 1, failures: 1, in_progress: 1, p50_ms: Some(0.5), p95_ms: Some(0.5) };
    let function_activity = || FunctionActivity { name: text(), measured: measured() };
    let failed_call = || FailedCall { at_ms: 1, request: text(), status: 500, duration_ms: 0.5 };
    let step_activity =
        || StepActivity { step: 1, function: text(), measured: measured(), latest_failures: vec![failed_call()] };
    let drawn_edge = || DrawnEdge { points: vec![[1, 1]], queue: true, arrow: true };
    fn value(of: &impl Serialize) -> Value {
        serde_json::to_value(of).unwrap()
    }
    BTreeMap::from([
        (
            "FunctionStatus",
            value(&FunctionStatus {
                annotations: Some(map()),
                available_replicas: Some(1),
                constraints: Some(vec![text()]),
                created_at: Some(text()),
                env_process: Some(text()),
                env_vars: Some(map()),
                image: Some(text()),
                invocation_count: Some(1),
                labels: Some(map()),
                limits: Some(amounts()),
                name: text(),
                namespace: Some(text()),
                read_only_root_filesystem: Some(true),
                replicas: Some(1),
                requests: Some(amounts()),
                secrets: Some(vec![text()]),
                usage: Some(Usage { total_memory_bytes: 1 }),
            }),
        ),
        ("Usage", value(&Usage { total_memory_bytes: 1 })),
        (
            "Deployment",
            value(&Deployment {
                service: text(),
                image: text(),
                namespace: Some(text()),
                env_process: Some(text()),
                env_vars: Some(map()),
                secrets: Some(vec![text()]),
                labels: Some(map()),
                annotations: Some(map()),
                limits: Some(json!({ "memory": "128Mi" })),
                requests: Some(json!({ "cpu": "100m" })),
                constraints: Some(vec![text()]),
                read_only_root_filesystem: true,
            }),
        ),
        ("Removal", value(&Removal { function_name: text(), namespace: Some(text()) })),
        ("Scaling", value(&Scaling { replicas: 1 })),
        (
            "Info",
            value(&Info {
                arch: text(),
                limits: Some(limits()),
                provider: provider(),
                traces: Some(text()),
                version: version(),
            }),
        ),
        (
            "ProviderInfo",
            value(&ProviderInfo {
                limits: Some(limits()),
                orchestration: text(),
                provider: text(),
                version: version(),
            }),
        ),
        ("Provider", value(&provider())),
        ("Version", value(&version())),
        ("Limits", value(&limits())),
        (
            "Secret",
            value(&Secret { name: text(), namespace: Some(text()), value: Some(text()), raw_value: Some(text()) }),
        ),
        ("SecretName", value(&SecretName { name: text(), namespace: text() })),
        (
            "LogLine",
            value(&LogLine {
                instance: text(),
                name: text(),
                namespace: text(),
                request_id: Some(text()),
                text: text(),
                timestamp: text(),
            }),
        ),
        ("QueueStats", value(&stats())),
        (
            "QueuedCall",
            value(&QueuedCall {
                id: 1,
                call_id: text(),
                function: text(),
                callback: true,
                attempt: 1,
                in_flight: true,
                accepted_ms: 1,
                due_ms: 1,
                bytes: 1,
            }),
        ),
        ("DeadLetterSummary", value(&summary())),
        (
            "DeadLetter",
            value(&DeadLetter {
                version: QUEUE_VERSION,
                summary: summary(),
                target: text(),
                headers: vec![(text(), text())],
                body: text(),
                answer_headers: vec![(text(), text())],
                answer_body: Some(text()),
            }),
        ),
        ("Selection", value(&Selection { ids: Some(vec![1]), function: Some(text()) })),
        ("Redrive", value(&Redrive { ids: Some(vec![1]), function: Some(text()), per_second: Some(1) })),
        ("Redriven", value(&Redriven { version: QUEUE_VERSION, redriven: 1 })),
        ("Discarded", value(&Discarded { version: QUEUE_VERSION, discarded: 1 })),
        (
            "GatewayEvent",
            value(&GatewayEvent {
                version: EVENTS_VERSION,
                at_ms: 1,
                queue: Some(stats()),
                functions: Some(vec![health()]),
                calls: vec![call_counts()],
                requests: vec![request_counts()],
                ended: vec![ended_call()],
                changed: vec![changed()],
                left_out: 1,
            }),
        ),
        ("FunctionHealth", value(&health())),
        ("CallCounts", value(&call_counts())),
        ("RequestCounts", value(&request_counts())),
        ("EndedCall", value(&ended_call())),
        ("ChangedRequest", value(&changed())),
        (
            "Activity",
            value(&Activity {
                version: EVENTS_VERSION,
                at_ms: 1,
                calls: vec![1],
                failures: vec![1],
                begun: vec![1],
                failed: vec![1],
                queue: vec![1],
                functions: vec![function_activity()],
            }),
        ),
        ("FunctionActivity", value(&function_activity())),
        ("Measured", value(&measured())),
        (
            "FlowActivity",
            value(&FlowActivity {
                version: EVENTS_VERSION,
                at_ms: 1,
                begun: vec![1],
                failed: vec![1],
                queued: 1,
                steps: vec![step_activity()],
            }),
        ),
        ("StepActivity", value(&step_activity())),
        ("FailedCall", value(&failed_call())),
        ("PageToken", value(&PageToken { token: text() })),
        (
            "Drawing",
            value(&Drawing {
                fingerprint: text(),
                width: 1,
                height: 1,
                shapes: vec![drawn_shape()],
                edges: vec![drawn_edge()],
            }),
        ),
        ("DrawnShape", value(&drawn_shape())),
        ("DrawnEdge", value(&drawn_edge())),
        (
            "FlowRequest",
            value(&FlowRequest {
                version: REQUESTS_VERSION,
                id: text(),
                flow: text(),
                status: RequestStatus::Failure,
                generation: 1,
                started_ms: 1,
                moved_ms: 1,
                ended_ms: Some(1),
                keys: vec![text()],
                repeats: Some(text()),
                is_deployed: Some(true),
                reason: Some(reason()),
                trace_id: Some(text()),
                places: vec![place()],
                ahead: vec![place()],
            }),
        ),
        ("Attempt", value(&attempt())),
        ("FunctionAnswer", value(&function_answer())),
        ("Place", value(&place())),
        ("RequestReason", value(&reason())),
        ("Output", value(&Output { bytes: 1, content_type: Some(text()) })),
        ("Members", value(&members())),
        ("Unlisted", value(&unlisted())),
        ("WaitsFor", value(&waits_for())),
        ("EarlierGeneration", value(&earlier())),
        ("RequestItem", value(&item())),
        (
            "RequestItems",
            value(&RequestItems {
                version: REQUESTS_VERSION,
                place: text(),
                members: members(),
                items: vec![item()],
                cursor: Some(text()),
            }),
        ),
        ("RequestPlace", value(&RequestPlace { version: REQUESTS_VERSION, place: place() })),
        (
            "RequestList",
            value(&RequestList { version: REQUESTS_VERSION, requests: vec![listed()], cursor: Some(text()) }),
        ),
        ("RequestSummary", value(&listed())),
        ("Found", value(&found())),
        ("RequestAt", value(&at())),
        (
            "RequestChange",
            value(&RequestChange {
                version: REQUESTS_VERSION,
                id: text(),
                status: RequestStatus::Paused,
                generation: Some(1),
                repeats: Some(text()),
            }),
        ),
        (
            "Recovery",
            value(&Recovery {
                version: REQUESTS_VERSION,
                looked_at: 1,
                recovered: vec![RecoveredRequest { id: text(), tokens: 1 }],
                failed: vec![UnrecoveredRequest { id: text(), reason: text() }],
                removed: 1,
                older_ms: 1,
                cursor: Some(text()),
            }),
        ),
        ("RecoveredRequest", value(&RecoveredRequest { id: text(), tokens: 1 })),
        ("UnrecoveredRequest", value(&UnrecoveredRequest { id: text(), reason: text() })),
        (
            "RequestProblem",
            value(&RequestProblem {
                request_id: Some(text()),
                reason: text(),
                code: Some(text()),
                status: Some(RequestStatus::Success),
            }),
        ),
    ])
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
        include_str!("events.rs"),
        include_str!("functions.rs"),
        include_str!("info.rs"),
        include_str!("items.rs"),
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
