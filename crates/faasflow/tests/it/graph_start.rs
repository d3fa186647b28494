//! Flows with asynchronous branches that are refused at the start.

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Flow, FlowBuilder, ForEach, Memory, Scope, StateError, StateManager};
use faasflow_runtime::config::{Config, SettingValue};
use faasflow_runtime::{FlowFunction, StartError};
use faasflow_testkit::conformance;

fn branches(flow: FlowBuilder) -> FlowBuilder {
    flow.parallel([("a", Flow::builder().apply("a")), ("b", Flow::builder().apply("b"))])
}

fn start(flow: FlowBuilder) -> Result<FlowFunction, StartError> {
    let lookup = |name: &str| {
        let settings = [("workflow_name", "f"), ("enable_hmac", "false")];
        let value = settings.iter().find(|(key, _)| *key == name)?.1.to_owned();
        Some(SettingValue { value, origin: "the test".to_owned() })
    };
    FlowFunction::new(flow.build().unwrap(), Config::load(lookup).unwrap())
}

#[track_caller]
fn refused(flow: FlowBuilder, parts: &[&str]) {
    let error = start(flow).err().expect("it should not start");
    assert_eq!(error.code().as_str(), "FF0228");
    let report = error.report().to_string();
    for part in parts {
        assert!(report.contains(part), "{part} is not in: {report}");
    }
}

#[test]
fn a_flow_whose_branches_need_a_store_does_not_start_without_a_shared_one() {
    let names = ["all instances", "`redis`", "`s3`", "`.sync()`"];
    refused(branches(Flow::builder()), &names);
    refused(branches(Flow::builder().state(Memory::new())), &names);
    refused(Flow::builder().for_each(ForEach::new(Flow::builder().apply("a"))), &names);
}

/// A state manager as it was before there were branches: without conditional writes and `end_request`.
#[derive(Default)]
struct Plain {
    memory: Memory,
    /// What it says about itself.
    claims: bool,
}

impl StateManager for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn supports_branches(&self) -> bool {
        self.claims
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.memory.get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.set(scope, key, value)
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.remove_request(scope)
    }
}

#[test]
fn a_flow_whose_branches_need_a_store_does_not_start_with_one_that_cannot_write_conditionally() {
    refused(
        branches(Flow::builder().state(Plain::default())),
        &["`plain`", "`redis`", "`s3`", "`gateway`", "`supports_branches`", "`.sync()`"],
    );
    // Other flows use it as before.
    assert!(start(Flow::builder().state(Plain::default()).apply("a").apply("b")).is_ok());
    assert!(start(branches(Flow::builder().state(Plain { claims: true, ..Plain::default() }))).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_finds_a_wrong_claim() {
    let report = conformance::check(Plain { claims: true, ..Plain::default() }).await;
    let failed: Vec<_> = report.checks().filter_map(|(name, result)| Some((name, result.err()?))).collect();
    let [(name, why)] = failed[..] else { panic!("{report}") };
    assert!(name.contains("`supports_branches`"), "{name}");
    assert_eq!(why, "it is `true`, but conditional writes are not supported");
    conformance::check(Plain::default()).await.assert();
}
