//! Values of all types of the API.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::*;

/// A value of each type in which every field is there. Without a field, it would not compile.
pub(super) fn samples() -> BTreeMap<&'static str, Value> {
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
        request: Some(text()),
        reason: text(),
        status: Some(500),
        attempts: 1,
        accepted_ms: 1,
        died_ms: 1,
        bytes: 1,
    };
    let reason =
        || RequestReason { place: Some(text()), step: Some(1), name: Some(text()), text: text(), code: Some(text()) };
    let call = || CallTimes { began_ms: 1, done_ms: 1, status: Some(1), text: Some(text()) };
    let step_times = || StepTimes {
        step: 1,
        name: text(),
        branch: Some(text()),
        began_ms: 1,
        done_ms: 1,
        failed: true,
        calls: vec![call()],
        earlier_calls: 1,
    };
    let attempt = || Attempt {
        began_ms: Some(1),
        given_up_ms: 1,
        text: text(),
        code: text(),
        step_times: vec![step_times()],
        unlisted_steps: 1,
    };
    let function_answer = || FunctionAnswer { status: 500, bytes: 1, content_type: Some(text()) };
    let header = || ShownHeader { name: text(), value: text(), altered: Some(Altered::Masked) };
    let request_head = || RequestHead {
        version: REQUESTS_VERSION,
        query: text(),
        query_altered: Some(Altered::Masked),
        headers: vec![header()],
        headers_left_out: 1,
    };
    let answer_head =
        || AnswerHead { version: REQUESTS_VERSION, status: 500, headers: Some(vec![header()]), headers_left_out: 1 };
    let members = || Members { all: 6, at_most: Some(2), waiting: 2, running: 1, done: 1, failed: 1, stopped: 1 };
    let called = || CalledRequest { step: 1, function: text(), request: text() };
    let unlisted = || Unlisted { failed: 1, open: 1, retrying: 1 };
    let waits_for = || WaitsFor { what: Waits::Slot, places: vec![text()] };
    let earlier = || EarlierGeneration {
        generation: 1,
        place: text(),
        status: PlaceStatus::Failed,
        began_ms: Some(1),
        done_ms: Some(1),
        last_began_ms: Some(1),
        attempts: 1,
        given_up: vec![attempt()],
        step_times: vec![step_times()],
        unlisted_steps: 1,
        reason: Some(reason()),
        answer: Some(function_answer()),
        details_left_out: true,
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
        step_times: vec![step_times()],
        unlisted_steps: 1,
        reason: Some(reason()),
        answer: Some(function_answer()),
        output: Some(Output { bytes: 1, content_type: Some(text()) }),
        chosen: Some(text()),
        called: vec![called()],
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
        call_id: Some(text()),
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
                masked: true,
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
        ("StepTimes", value(&step_times())),
        ("CallTimes", value(&call())),
        ("FunctionAnswer", value(&function_answer())),
        ("RequestHead", value(&request_head())),
        ("AnswerHead", value(&answer_head())),
        ("ShownHeader", value(&header())),
        ("Place", value(&place())),
        ("RequestReason", value(&reason())),
        ("Output", value(&Output { bytes: 1, content_type: Some(text()) })),
        ("CalledRequest", value(&called())),
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
