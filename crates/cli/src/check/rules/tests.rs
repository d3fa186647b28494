//! Tests of every finding, with made-up facts.

use std::collections::BTreeMap;
use std::time::Duration;

use faasflow_core::Flow;
use faasflow_core::description::Description;
use faasflow_runtime::Config;
use faasflow_runtime::config::SettingValue;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::facts::{Deployed, FlowFacts, GatewayFacts, Limit, Origin, Reply, Running};
use super::super::finding::{Finding, Severity};
use super::judge;

fn step(number: usize, function: &str) -> Value {
    json!({ "number": number, "name": format!("function `{function}`"), "kind": "call", "function": function, "sync": false })
}

fn description(phases: &[Value]) -> Description {
    let phases: Vec<Value> =
        phases.iter().enumerate().map(|(index, steps)| json!({ "number": index + 1, "steps": steps })).collect();
    let flow = json!({ "name": "", "fingerprint": "0123456789", "phases": phases, "state": "envelope",
                       "on_failure": false, "finally": false });
    Description::from_json(flow.to_string().as_bytes()).unwrap()
}

/// A flow of two phases that would run at [`gateway`].
fn flow() -> FlowFacts {
    with(&[])
}

/// The flow with this environment.
fn with(environment: &[(&str, &str)]) -> FlowFacts {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let lookup = |name: &str| {
        let value = environment.get(name).cloned().or_else(|| (name == "OPENFAAS_NAME").then(|| "flow".to_owned()))?;
        Some(SettingValue { value, origin: String::new() })
    };
    FlowFacts {
        name: "flow".to_owned(),
        stack: ["flow", "beside"].map(str::to_owned).to_vec(),
        settings: Config::load(lookup).map_err(|error| error.faults().to_vec()),
        typos: Vec::new(),
        of_template: false,
        environment,
        secrets: vec!["faasflow-hmac-secret".to_owned()],
        description: description(&[json!([step(1, "resize")]), json!([step(2, "store")])]),
        queue: Some(Reply::Known(true)),
        deployed: None,
    }
}

fn one_phase() -> FlowFacts {
    FlowFacts { description: description(&[json!([step(1, "resize")])]), queue: None, secrets: Vec::new(), ..flow() }
}

fn deployed(name: &str, available: Option<u64>) -> Deployed {
    Deployed { name: name.to_owned(), available, environment: BTreeMap::new() }
}

/// The gateway with `resize` and `store`, where `resize` has this environment.
fn resize_with(environment: &[(&str, &str)]) -> GatewayFacts {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resize = Deployed { environment, ..deployed("resize", Some(1)) };
    GatewayFacts { functions: Reply::Known(vec![resize, deployed("store", None)]), ..gateway() }
}

fn gateway() -> GatewayFacts {
    GatewayFacts {
        url: "http://10.0.0.1:31112".to_owned(),
        credentials: false,
        local: false,
        functions: Reply::Known(vec![deployed("resize", Some(1)), deployed("store", None)]),
        elsewhere: BTreeMap::new(),
        secrets: Reply::Known(vec!["faasflow-hmac-secret".to_owned()]),
        timeout: Limit { value: Duration::from_secs(60), origin: Origin::Reported },
        queue_limit: Limit { value: 256_000, origin: Origin::Reported },
        ack_wait: Limit { value: Duration::from_secs(60), origin: Origin::Given },
    }
}

/// The findings of one rule.
fn about(about: &str, flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    judge(flow, gateway).into_iter().filter(|finding| finding.about == about).collect()
}

/// Fails unless a finding has this severity and contains all these texts.
#[track_caller]
fn found(findings: &[Finding], severity: Severity, says: &[&str]) {
    let fits = |finding: &&Finding| {
        let text = format!("{} {}", finding.what, finding.remedy.as_deref().unwrap_or_default());
        finding.severity == severity && says.iter().all(|part| text.contains(part))
    };
    assert!(findings.iter().any(|finding| fits(&finding)), "{severity:?} {says:?}\n{findings:#?}");
}

#[test]
fn a_correct_flow_has_no_findings() {
    for findings in [judge(&flow(), &gateway()), judge(&one_phase(), &gateway())] {
        let severe: Vec<_> = findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
        assert!(severe.is_empty(), "{severe:#?}");
        let about: Vec<&str> = findings.iter().map(|finding| finding.about).collect();
        for rule in ["settings", "functions", "secrets", "state", "timeouts", "queue", "envelopes"] {
            assert!(about.contains(&rule), "{rule}: {about:?}");
        }
    }
}

#[test]
fn every_finding_that_matters_has_a_remedy_or_is_one() {
    let mut broken = with(&[("write_timeout", "2m"), ("envelope_limit", "1MB"), ("exec_timeout", "5s")]);
    broken.secrets = vec!["absent".to_owned()];
    broken.queue = Some(Reply::Known(false));
    broken.description = description(&[json!([step(1, "resiz")]), json!([step(2, "beside")])]);
    for finding in judge(&broken, &gateway()) {
        let has = finding.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty());
        assert_eq!(has, finding.severity > Severity::Ok, "{finding:?}");
        assert!(!finding.what.contains('\n'), "{finding:?}");
    }
}

#[test]
fn settings() {
    let unreadable = with(&[("write_timeout", "soon"), ("max_body", "huge")]);
    let findings = about("settings", &unreadable, &gateway());
    assert_eq!(findings.len(), 2);
    found(&findings, Severity::Error, &["`write_timeout` is `soon`", "write a duration"]);
    // Rules that need no settings still judge the flow; the others do not say "ok".
    assert_eq!(about("functions", &unreadable, &gateway())[0].severity, Severity::Ok);
    assert!(about("secrets", &unreadable, &gateway()).is_empty(), "whether the flow needs a key is not known");
    let missing = FlowFacts { secrets: vec!["token".to_owned()], ..unreadable.clone() };
    found(&about("secrets", &missing, &gateway()), Severity::Error, &["`token` does not exist"]);
    let renamed = with(&[("workflow_name", "other")]);
    let says = ["`workflow_name` is `other`", "deployed as `flow`", "remove `workflow_name`, or set it to `flow`"];
    found(&about("settings", &renamed, &gateway()), Severity::Error, &says);
    assert_eq!(about("settings", &with(&[("workflow_name", "flow")]), &gateway())[0].severity, Severity::Ok);
    let typo = FlowFacts { typos: vec!["did you mean `x`?".to_owned()], ..flow() };
    found(&about("settings", &typo, &gateway()), Severity::Warning, &["did you mean `x`?"]);
}

#[test]
fn the_flow_must_call_the_gateway_that_is_checked() {
    for usual in ["gateway:8080", "http://gateway.openfaas:8080/", "gateway.openfaas.svc.cluster.local.:8080"] {
        found(&about("settings", &with(&[("gateway", usual)]), &gateway()), Severity::Ok, &[]);
    }
    found(&about("settings", &with(&[("gateway", "10.0.0.1:31112")]), &gateway()), Severity::Ok, &[]);
    for other in ["10.0.0.1:8080", "gateway", "gateway:8081", "127.0.0.1:31112", "https://gateway.example.com"] {
        let findings = about("settings", &with(&[("gateway", other)]), &gateway());
        found(
            &findings,
            Severity::Note,
            &[other, "the flow calls the gateway", "http://10.0.0.1:31112", "openfaas:8080"],
        );
        let local = GatewayFacts { local: true, ..gateway() };
        found(&about("settings", &with(&[("gateway", other)]), &local), Severity::Ok, &[]);
    }
    found(
        &about("settings", &with(&[("gateway", "ftp://x")]), &gateway()),
        Severity::Error,
        &["`gateway` is `ftp://x`"],
    );
}

#[test]
fn wrong_credentials_are_an_error() {
    let refused = GatewayFacts {
        credentials: true,
        functions: Reply::Forbidden(StatusCode::UNAUTHORIZED),
        secrets: Reply::Forbidden(StatusCode::FORBIDDEN),
        ..gateway()
    };
    let says =
        ["401 Unauthorized to GET /system/functions with this user and password", "`resize`", "correct the user"];
    found(&about("functions", &flow(), &refused), Severity::Error, &says);
    found(&about("secrets", &flow(), &refused), Severity::Error, &["403 Forbidden", "`faasflow-hmac-secret`"]);
    // Even if the flow needs nothing that they would allow.
    let none = FlowFacts { description: description(&[json!([])]), secrets: Vec::new(), ..one_phase() };
    found(&about("functions", &none, &refused), Severity::Error, &["401", "not known which functions are deployed"]);
    let unasked = GatewayFacts { credentials: false, ..refused };
    found(&about("functions", &none, &unasked), Severity::Ok, &["calls no functions"]);
}

#[test]
fn functions() {
    let calling = |functions: &[&str]| {
        let steps: Vec<Value> = functions.iter().enumerate().map(|(index, name)| step(index + 1, name)).collect();
        FlowFacts { description: description(&[json!(steps)]), ..flow() }
    };
    let findings = about("functions", &calling(&["resize", "resise", "beside", "elsewhere"]), &gateway());
    found(&findings, Severity::Ok, &["deployed: `resize`"]);
    found(
        &findings,
        Severity::Error,
        &["neither deployed nor in this stack", "did you mean `resize`? If not, deploy it"],
    );
    let typo = findings.iter().find(|finding| finding.step == Some((2, "function `resise`".to_owned()))).unwrap();
    assert_eq!(typo.function.as_deref(), Some("resise"));
    found(&findings, Severity::Note, &["not deployed yet", "this stack deploys it"]);
    let far = findings.iter().find(|finding| finding.function.as_deref() == Some("elsewhere")).unwrap();
    assert_eq!((far.severity, far.remedy.as_deref()), (Severity::Error, Some("deploy it or add it to stack.yml")));
    // The similar name may be one in the stack.
    found(&about("functions", &calling(&["besides"]), &gateway()), Severity::Error, &["did you mean `beside`?"]);

    let asleep = GatewayFacts { functions: Reply::Known(vec![deployed("resize", Some(0))]), ..gateway() };
    found(
        &about("functions", &calling(&["resize"]), &asleep),
        Severity::Warning,
        &["no available replica", "faas-cli logs resize"],
    );
    found(&about("functions", &calling(&[]), &gateway()), Severity::Ok, &["calls no functions"]);

    let forbidden = GatewayFacts { functions: Reply::Forbidden(StatusCode::UNAUTHORIZED), ..gateway() };
    let findings = about("functions", &flow(), &forbidden);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let says = [
        "401 Unauthorized to GET /system/functions",
        "not known whether `resize`, `store` can be called",
        "USER:PASSWORD",
    ];
    found(&findings, Severity::Warning, &says);
    let odd = GatewayFacts { functions: Reply::Unclear("GET /x answered 500".to_owned()), ..gateway() };
    found(&about("functions", &flow(), &odd), Severity::Warning, &["GET /x answered 500", "--gateway"]);
}

#[test]
fn functions_of_other_namespaces_are_looked_up_there() {
    let flow = FlowFacts {
        description: description(&[json!([
            step(1, "resize.openfaas-fn"),
            step(2, "there.staging"),
            step(3, "beside.staging")
        ])]),
        ..flow()
    };
    let staging = ("staging".to_owned(), Reply::Known(vec![deployed("there", Some(1))]));
    let gateway = GatewayFacts { elsewhere: [staging].into(), ..gateway() };
    let findings = about("functions", &flow, &gateway);
    found(&findings, Severity::Ok, &["`resize.openfaas-fn`, `there.staging`"]);
    let says =
        ["the function is not deployed in the namespace `staging`", "or call `beside` in the namespace that has it"];
    found(&findings, Severity::Error, &says);
    assert_eq!(findings.len(), 2, "what this stack deploys is in the default namespace: {findings:#?}");
}

#[test]
fn the_key_for_signing() {
    let unnamed = FlowFacts { secrets: Vec::new(), ..flow() };
    let says = ["2 phases", "`faasflow-hmac-secret`", "would not start", "secrets: [faasflow-hmac-secret]"];
    found(&about("secrets", &unnamed, &gateway()), Severity::Error, &says);
    let local = GatewayFacts { local: true, ..gateway() };
    found(&about("secrets", &unnamed, &local), Severity::Warning, &says);

    let nothing = GatewayFacts { secrets: Reply::Known(Vec::new()), ..gateway() };
    let says = ["does not exist", "openssl rand -hex 32 | faas-cli secret create faasflow-hmac-secret"];
    found(&about("secrets", &flow(), &nothing), Severity::Error, &says);
    let fresh = GatewayFacts { local: true, ..nothing.clone() };
    let says = [
        "which does not have this one",
        "faas-cli secret create faasflow-hmac-secret",
        "or start `faasflow up` with this stack",
    ];
    found(&about("secrets", &flow(), &fresh), Severity::Warning, &says);
    let own = GatewayFacts { functions: Reply::Known(vec![deployed("flow", Some(1))]), ..fresh };
    found(&about("secrets", &flow(), &own), Severity::Note, &["`faasflow up` generates it"]);

    found(&about("secrets", &one_phase(), &nothing), Severity::Ok, &["the flow needs none"]);
    let off = FlowFacts { secrets: Vec::new(), ..with(&[("enable_hmac", "false")]) };
    found(&about("secrets", &off, &nothing), Severity::Ok, &["the flow needs none"]);
    let verifying = with(&[("verify_request", "true")]);
    let verifying = FlowFacts { settings: verifying.settings, ..one_phase() };
    found(&about("secrets", &verifying, &gateway()), Severity::Error, &["verifies requests"]);
    let baked = FlowFacts { secrets: Vec::new(), ..with(&[("secret_mount_path", "/etc/keys")]) };
    found(&about("secrets", &baked, &gateway()), Severity::Note, &["/etc/keys", "cannot be checked from here"]);
}

#[test]
fn other_secrets() {
    let flow = FlowFacts { secrets: vec!["token".to_owned()], ..one_phase() };
    let says = ["`token` does not exist", "faas-cli secret create token"];
    found(&about("secrets", &flow, &gateway()), Severity::Error, &says);
    let local = GatewayFacts { local: true, ..gateway() };
    found(&about("secrets", &flow, &local), Severity::Error, &["write it to the file `secrets/token`"]);
    let forbidden = GatewayFacts { secrets: Reply::Forbidden(StatusCode::FORBIDDEN), ..gateway() };
    let says = ["403 Forbidden to GET /system/secrets", "not known whether `token` exist", "USER:PASSWORD"];
    found(&about("secrets", &flow, &forbidden), Severity::Warning, &says);
    found(&about("secrets", &one_phase(), &forbidden), Severity::Ok, &["the flow needs none"]);
}

#[test]
fn state() {
    let s3 = with(&[("state_manager", "s3")]);
    found(&about("state", &s3, &gateway()), Severity::Note, &["names no credentials", "s3-access-key"]);
    let half = FlowFacts { secrets: vec!["s3-secret-key".to_owned()], ..s3.clone() };
    found(&about("state", &half, &gateway()), Severity::Error, &["name `s3-secret-key`, but not `s3-access-key`"]);
    let whole = FlowFacts { secrets: ["s3-access-key", "s3-secret-key"].map(str::to_owned).to_vec(), ..s3.clone() };
    found(&about("state", &whole, &gateway()), Severity::Ok, &["it is kept in `s3`"]);

    found(&about("state", &with(&[("state_manager", "redis")]), &gateway()), Severity::Note, &["redis://redis:6379"]);
    let redis = with(&[("state_manager", "redis"), ("redis_url", "redis://r")]);
    found(&about("state", &redis, &gateway()), Severity::Ok, &["it is kept in `redis`"]);

    let nowhere = with(&[("intermediate_storage", "true")]);
    found(&about("state", &nowhere, &gateway()), Severity::Error, &["no state manager to store payloads in"]);
    let memory = with(&[("state_manager", "memory")]);
    found(&about("state", &memory, &gateway()), Severity::Error, &["`memory` lives in one process"]);
    let local = GatewayFacts { local: true, ..gateway() };
    found(&about("state", &memory, &local), Severity::Ok, &[]);
    let store = with(&[("state_manager", "gateway")]);
    found(&about("state", &store, &gateway()), Severity::Error, &["is not a local gateway, so it has no store"]);
    found(&about("state", &store, &local), Severity::Ok, &["it is kept in `gateway`"]);
    let elsewhere = with(&[("state_manager", "gateway"), ("state_gateway_url", "http://g:8080")]);
    found(&about("state", &elsewhere, &gateway()), Severity::Ok, &["it is kept in `gateway`"]);
    found(
        &about("state", &with(&[("state_manager", "s4")]), &gateway()),
        Severity::Error,
        &["`s4`, which does not exist"],
    );

    let branch = || Flow::builder().apply("resize");
    let forks = Flow::builder().parallel([("a", branch()), ("b", branch())]).build().unwrap();
    let forks = Description::new(&forks, "flow");
    let nowhere = FlowFacts { description: forks.clone(), ..flow() };
    found(
        &about("state", &nowhere, &gateway()),
        Severity::Error,
        &["branches have asynchronous calls", "would not start", "`redis` or `s3`, or to `gateway`"],
    );
    found(&about("state", &nowhere, &local), Severity::Ok, &["in the store of the local gateway"]);
    let somewhere = FlowFacts { description: forks, ..redis };
    found(&about("state", &somewhere, &gateway()), Severity::Ok, &["it is kept in `redis`"]);

    // Set in the definition.
    let mut own = flow();
    own.description.state = "postgres".to_owned();
    found(&about("state", &own, &gateway()), Severity::Ok, &["it is kept in `postgres`"]);
    let mut both = s3;
    both.description.state = "redis".to_owned();
    found(
        &about("state", &both, &gateway()),
        Severity::Error,
        &["the definition uses `redis`", "in one of the two places"],
    );
}

#[test]
fn a_phase_must_not_outlast_the_gateway() {
    let timeout = |origin| GatewayFacts { timeout: Limit { value: Duration::from_secs(60), origin }, ..gateway() };
    let long = with(&[("write_timeout", "2m")]);
    let says = ["may take 2m", "waits 1m", "502", "lower `write_timeout`, or raise the gateway's"];
    found(&about("timeouts", &long, &timeout(Origin::Reported)), Severity::Error, &says);
    found(&about("timeouts", &long, &timeout(Origin::Given)), Severity::Error, &["(set by `--gateway-timeout`)"]);
    found(
        &about("timeouts", &long, &timeout(Origin::Assumed)),
        Severity::Warning,
        &["(assumed, because the gateway does not report it"],
    );
    let local = GatewayFacts { local: true, ..gateway() };
    found(&about("timeouts", &long, &local), Severity::Error, &["`faasflow up` with `--upstream-timeout`"]);
    // An equal time is long enough.
    found(&about("timeouts", &flow(), &timeout(Origin::Assumed)), Severity::Ok, &["waits 1m (assumed"]);
}

#[test]
fn a_phase_must_not_outlast_the_watchdog() {
    let short = with(&[("exec_timeout", "30s")]);
    let says = ["after 30s (`exec_timeout`)", "may take 1m", "raise `exec_timeout` to 1m"];
    found(&about("timeouts", &short, &gateway()), Severity::Error, &says);
    found(
        &about("timeouts", &with(&[("exec_timeout", "soon")]), &gateway()),
        Severity::Warning,
        &["is not a duration"],
    );
    let unset = with(&[("exec_timeout", "0")]);
    found(
        &about("timeouts", &unset, &gateway()),
        Severity::Warning,
        &["`write_timeout` is not set", "`write_timeout: 1m`"],
    );
    let unset = with(&[("mode", "http"), ("write_timeout", "60s")]);
    found(&about("timeouts", &unset, &gateway()), Severity::Warning, &["`mode` is set", "`exec_timeout` is not set"]);
    let agreed = with(&[("exec_timeout", "60s"), ("write_timeout", "60s")]);
    found(&about("timeouts", &agreed, &gateway()), Severity::Ok, &[]);

    // The image of the template sets what its watchdog reads.
    for environment in
        [&[("exec_timeout", "0")][..], &[("mode", "http"), ("write_timeout", "50s")], &[("mode", "http")]]
    {
        let own = FlowFacts { of_template: true, ..with(environment) };
        found(&about("timeouts", &own, &gateway()), Severity::Ok, &[]);
    }
    let short = FlowFacts { of_template: true, ..short };
    found(&about("timeouts", &short, &gateway()), Severity::Error, &["after 30s (`exec_timeout`)"]);
}

#[test]
fn a_call_must_not_outlast_the_watchdog_of_its_function() {
    let both = resize_with(&[("exec_timeout", "20s"), ("write_timeout", "15s")]);
    let findings = about("timeouts", &flow(), &both);
    let says = ["ends a request after 15s (its `write_timeout`)", "1m (`write_timeout` of the flow)", "of at most 15s"];
    found(&findings, Severity::Warning, &says);
    assert_eq!((findings.len(), findings[0].function.as_deref()), (1, Some("resize")));
    // `faasflow up` obeys only one of them.
    let local = GatewayFacts { local: true, ..both.clone() };
    found(&about("timeouts", &flow(), &local), Severity::Warning, &["after 20s (its `exec_timeout`)"]);
    let http = resize_with(&[("exec_timeout", "20s"), ("mode", "http")]);
    found(&about("timeouts", &flow(), &GatewayFacts { local: true, ..http.clone() }), Severity::Ok, &[]);
    found(&about("timeouts", &flow(), &http), Severity::Warning, &["after 20s (its `exec_timeout`)"]);
    let calling = |timeout: &str| {
        let mut step = step(1, "resize.openfaas-fn");
        step["timeout"] = json!(timeout);
        FlowFacts { description: description(&[json!([step])]), ..flow() }
    };
    found(&about("timeouts", &calling("16s"), &both), Severity::Warning, &["may take 16s (the step's `timeout`)"]);
    found(&about("timeouts", &calling("15s"), &both), Severity::Ok, &[]);
    for enough in [&[("exec_timeout", "0"), ("write_timeout", "60s")][..], &[("exec_timeout", "soon")], &[("x", "1s")]]
    {
        found(&about("timeouts", &flow(), &resize_with(enough)), Severity::Ok, &[]);
    }
}

#[test]
fn a_call_must_end_before_its_phase_and_the_gateway_do() {
    let with_timeout = |text: &str, environment: &[(&str, &str)]| {
        let mut step = step(1, "resize");
        step["timeout"] = json!(text);
        FlowFacts { description: description(&[json!([step])]), ..with(environment) }
    };
    let findings = about("timeouts", &with_timeout("1m30s", &[]), &gateway());
    found(&findings, Severity::Warning, &["timeout of 1m30s is never reached", "ends after 1m (`write_timeout`)"]);
    assert_eq!(findings[0].function.as_deref(), Some("resize"));
    let slow = GatewayFacts { timeout: Limit { value: Duration::from_secs(10), origin: Origin::Assumed }, ..gateway() };
    let findings = about("timeouts", &with_timeout("20s", &[]), &slow);
    found(&findings, Severity::Warning, &["never reached", "gives up after 10s (assumed"]);
    found(&about("timeouts", &with_timeout("20s", &[]), &gateway()), Severity::Ok, &[]);
    let callback = json!({ "number": 1, "name": "callback", "kind": "callback", "url": "http://x", "timeout": "2m" });
    let flow = FlowFacts { description: description(&[json!([callback])]), ..flow() };
    let findings = about("timeouts", &flow, &gateway());
    found(&findings, Severity::Warning, &["timeout of 2m is never reached"]);
    assert_eq!((findings[0].step.as_ref().map(|step| step.0), findings[0].function.as_deref()), (Some(1), None));
}

#[test]
fn the_queue() {
    let queue = |queue| FlowFacts { queue: Some(queue), ..flow() };
    found(&about("queue", &queue(Reply::Known(true)), &gateway()), Severity::Ok, &["the gateway has one"]);
    let says = ["no route /async-function/flow", "2 phases", "async=true"];
    found(&about("queue", &queue(Reply::Known(false)), &gateway()), Severity::Error, &says);
    let forbidden = queue(Reply::Forbidden(StatusCode::UNAUTHORIZED));
    let says = ["401", "/async-function/flow", "the flow, which sends no password"];
    found(&about("queue", &forbidden, &gateway()), Severity::Warning, &says);
    let odd = queue(Reply::Unclear("GET /x answered 502".to_owned()));
    found(&about("queue", &odd, &gateway()), Severity::Warning, &["502", "it is not known"]);
    found(&about("queue", &one_phase(), &gateway()), Severity::Ok, &["one phase"]);
}

#[test]
fn a_phase_must_not_outlast_the_patience_of_the_queue() {
    let wait =
        |seconds, origin| GatewayFacts { ack_wait: Limit { value: Duration::from_secs(seconds), origin }, ..gateway() };
    let says = ["may take 1m", "delivers it again after 30s (assumed", "set it with `--ack-wait`", "raise `ack_wait`"];
    found(&about("queue", &flow(), &wait(30, Origin::Assumed)), Severity::Warning, &says);
    found(&about("queue", &flow(), &wait(59, Origin::Given)), Severity::Warning, &["59s (set by `--ack-wait`)"]);
    let local = GatewayFacts { local: true, ..wait(30, Origin::Assumed) };
    let absent = FlowFacts { queue: Some(Reply::Known(false)), ..flow() };
    for (flow, gateway) in [
        (flow(), wait(60, Origin::Given)),
        (with(&[("write_timeout", "30s")]), wait(30, Origin::Assumed)),
        (one_phase(), wait(30, Origin::Assumed)),
        (absent, wait(30, Origin::Assumed)),
        (flow(), local),
    ] {
        let findings = about("queue", &flow, &gateway);
        assert!(findings.iter().all(|finding| finding.severity != Severity::Warning), "{findings:#?}");
    }
}

#[test]
fn envelopes() {
    let limit = |value, origin| GatewayFacts { queue_limit: Limit { value, origin }, ..gateway() };
    let says = ["256000 bytes (`envelope_limit`)", "accepts 1000", "lower `envelope_limit` to 1000"];
    found(&about("envelopes", &flow(), &limit(1000, Origin::Reported)), Severity::Error, &says);
    found(
        &about("envelopes", &flow(), &limit(1000, Origin::Assumed)),
        Severity::Warning,
        &["(assumed", "--queue-limit"],
    );
    let local = GatewayFacts { local: true, ..limit(1000, Origin::Reported) };
    found(&about("envelopes", &flow(), &local), Severity::Error, &["`faasflow up` with `--queue-limit`"]);
    found(&about("envelopes", &one_phase(), &limit(1000, Origin::Reported)), Severity::Ok, &["one phase"]);

    found(
        &about("envelopes", &flow(), &gateway()),
        Severity::Note,
        &["67108864 bytes (`max_body`)", "`state_manager`"],
    );
    for elsewhere in [with(&[("state_manager", "s3")]), with(&[("max_body", "200000")])] {
        let findings = about("envelopes", &elsewhere, &gateway());
        assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:#?}");
    }
}

#[test]
fn a_deployed_definition_is_compared() {
    let running = |deployed| FlowFacts { deployed: Some(deployed), ..flow() };
    let mut other = flow().description;
    found(
        &about("definition", &running(Reply::Known(Running::Flow(other.clone()))), &gateway()),
        Severity::Ok,
        &["is the same"],
    );
    other.fingerprint = "abcdefghij".to_owned();
    let says = ["abcdefgh", "01234567", "409 if what is ahead of it has changed", "until the queue is empty"];
    found(
        &about("definition", &running(Reply::Known(Running::Flow(other.clone()))), &gateway()),
        Severity::Note,
        &says,
    );
    other.body.elements.pop();
    let findings = about("definition", &running(Reply::Known(Running::Flow(other))), &gateway());
    found(&findings, Severity::Ok, &["it has one phase"]);
    found(
        &about("definition", &running(Reply::Known(Running::Other)), &gateway()),
        Severity::Warning,
        &["is not a flow"],
    );
    let unclear = running(Reply::Unclear("GET /x answered 502".to_owned()));
    found(
        &about("definition", &unclear, &gateway()),
        Severity::Note,
        &["502", "409 if what is ahead of it has changed"],
    );
    assert!(about("definition", &flow(), &gateway()).is_empty(), "nothing is deployed");
}
