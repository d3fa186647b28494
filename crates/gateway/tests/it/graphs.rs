//! Flows with branches, on the gateway's own queue and store.

use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body;
use faasflow_core::{Flow, ForEach};
use faasflow_runtime::config::SettingValue;
use faasflow_runtime::{Config, FlowFunction};
use faasflow_state::GatewayStore;
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{self, Fixture, Recorder, until};

const REQUESTS: usize = 5;
const ITEMS: usize = 10;

/// Two branches, and then a for-each. Its functions are programs of the system.
const FUNCTIONS: &str = "upper:\n  fprocess: tr a-z A-Z\nsame:\n  fprocess: cat\n";

fn flow(store: GatewayStore) -> Flow {
    Flow::builder()
        .state(store)
        .parallel([("upper", Flow::builder().apply("upper")), ("same", Flow::builder().apply("same"))])
        .modify(async |faasflow_core::Json(both): faasflow_core::Json<Value>| {
            faasflow_core::Json(vec![json!([both["upper"], both["same"]]); ITEMS])
        })
        .for_each(ForEach::new(Flow::builder().apply("same").apply("upper")).at_most(4))
        .build()
        .unwrap()
}

/// A flow function in this process, at an address that the gateway knows already.
fn serve(fixture: &Fixture, listener: TcpListener) -> AbortOnDropHandle<()> {
    let address = fixture.gateway.address().to_string();
    let settings = move |name: &str| {
        let value = match name {
            "workflow_name" => "flow",
            "gateway" => &address,
            "enable_hmac" => "false",
            // The test looks at what is left in the store.
            "records" => "off",
            _ => return None,
        };
        Some(SettingValue { value: value.to_owned(), origin: "test".to_owned() })
    };
    let store = GatewayStore::builder(fixture.gateway.url(), fixture.gateway.state_token("flow")).build().unwrap();
    let function = FlowFunction::new(flow(store), Config::load(settings).unwrap()).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = function.serve(listener, std::future::pending()).await;
    }))
}

async fn keys(fixture: &Fixture, request: &str) -> Vec<String> {
    let bearer = format!("Bearer {}", fixture.gateway.state_token("flow"));
    let path = format!("/state/keys?flow=flow&request={request}");
    let listed = fixture.send(Method::GET, &path, &[("authorization", &bearer)], Body::empty()).await.json();
    listed["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_run_on_the_queue_and_the_store() {
    let reports = Recorder::default();
    let reported = reports.listen().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at: SocketAddr = listener.local_addr().unwrap();
    let fixture = support::start(&format!("{FUNCTIONS}{}", support::url("flow", at))).await;
    let _serving = serve(&fixture, listener);

    let callback = format!("http://{}/report", reported.address);
    for number in 0..REQUESTS {
        let headers = [("x-faasflow-callback-url", callback.as_str())];
        let got = fixture.send(Method::POST, "/async-function/flow", &headers, format!("\"word {number}\"")).await;
        assert_eq!(got.status, 202, "{got:?}");
    }
    let seen = reports.until(REQUESTS).await;
    let results: Vec<Value> = seen.iter().map(|report| serde_json::from_slice(&report.body).unwrap()).collect();
    for number in 0..REQUESTS {
        let expected = json!(vec![json!([format!("WORD {number}"), format!("WORD {number}")]); ITEMS]);
        assert!(results.contains(&expected), "{number}: {results:?}");
    }
    // The flow has made the ids. Of ids that callers choose, the store knows only a part and a hash.
    let mut ids: Vec<&str> = seen.iter().map(|report| report.header("x-faasflow-request-id").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), REQUESTS, "each is reported once: {ids:?}");
    for id in &ids {
        let is_only = async || (keys(&fixture, id).await == ["finished@0", "over@0"]).then_some(());
        until("only what outlives the request is left", is_only).await;
    }
    let stats = async || Some(fixture.get("/system/queue").await.json()).filter(|stats| stats["depth"] == 0);
    let stats = until("the queue is empty", stats).await;
    assert_eq!(stats["dead_letters"], 0, "{stats}");
    assert_eq!(reports.seen().len(), REQUESTS, "no request is reported again");
    fixture.gateway.stop().await;
}
