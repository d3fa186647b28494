//! The dashboard and the guide name metrics that there are: they are held to what a flow function and a gateway print.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::support::{PATIENCE, repository, stack};
use axum::body::Body;
use faasflow_core::{Context, Flow, Payload};
use faasflow_gateway::{GatewayOptions, Stack};
use faasflow_http::{HttpClient, ServerOptions, read_body, serve};
use faasflow_runtime::config::SettingValue;
use faasflow_runtime::{Config, FlowFunction};
use http::{Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// What the language of queries has itself, as far as it is used here.
const LANGUAGE: [&str; 8] = ["by", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum"];
/// Labels that Prometheus or a histogram adds.
const ADDED: [&str; 2] = ["le", "instance"];

async fn get(url: &str) -> String {
    let request = Request::get(url).body(Body::empty()).unwrap();
    let response = HttpClient::new(PATIENCE).send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = read_body(response.into_body(), 1 << 20, PATIENCE).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// What a flow function with a step of each kind, and a branch, shows.
async fn of_a_flow() -> String {
    let flow = Flow::builder()
        .modify(async |_: Context, payload: Payload| payload)
        .apply("resize")
        .apply("compress")
        .callback("http://storage.example/photos")
        .parallel([("thumb", Flow::builder().modify(async |_: Context, payload: Payload| payload))])
        .build()
        .unwrap();
    let config = Config::load(|name| {
        let value =
            [("workflow_name", "photos"), ("enable_hmac", "false")].into_iter().find(|(known, _)| *known == name)?;
        Some(SettingValue { value: value.1.to_owned(), origin: String::new() })
    });
    let function = FlowFunction::new(flow, config.unwrap()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = serve(listener, function.metrics_router(), ServerOptions::default(), std::future::pending());
    let _serving = AbortOnDropHandle::new(tokio::spawn(serving));
    get(&format!("http://{address}/metrics")).await
}

/// What the local gateway shows once a function was called.
async fn of_the_gateway() -> String {
    let folder = stack("f:\n  fprocess: cat");
    let mut options = GatewayOptions::new(Stack::read(folder.path()).unwrap());
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    options.grace = Duration::from_secs(1);
    let gateway = options.start(tokio::sync::mpsc::unbounded_channel().0).await.unwrap();
    get(&format!("{}/function/f", gateway.url())).await;
    let text = get(&format!("{}/metrics", gateway.url())).await;
    gateway.stop().await;
    text
}

/// The metrics in a text for Prometheus, each with its kind.
fn metrics(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

/// The names that series of those metrics have.
fn series(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, kind) in metrics(text) {
        match kind {
            "histogram" => names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}"))),
            _ => drop(names.insert(name.to_owned())),
        }
    }
    names
}

/// The labels that those series have: what stands before each value.
fn labels(text: &str) -> BTreeSet<String> {
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let before = series.flat_map(|line| line.rsplit("=\"").skip(1));
    before.filter_map(|before| Some(before.rsplit(['{', ',']).next()?.to_owned())).collect()
}

/// What a query names.
#[derive(Debug, Default)]
struct QueryNames {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

/// Names stand in queries beside functions, and labels in braces or after `by`; texts and ranges hold no names.
fn named(query: &str) -> QueryNames {
    let mut named = QueryNames::default();
    let (mut rest, mut in_braces, mut after_by, mut in_by) = (query, false, false, false);
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        match next {
            '"' => length = rest[1..].find('"').expect("a text ends") + 2,
            '[' => length = rest.find(']').expect("a range ends") + 1,
            '{' => in_braces = true,
            '}' => in_braces = false,
            '(' => in_by = std::mem::take(&mut after_by),
            ')' => in_by = false,
            _ if next.is_ascii_alphabetic() || next == '_' => {
                length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = rest[..length].to_owned();
                after_by = word == "by";
                if in_braces || in_by {
                    named.labels.insert(word);
                } else if !LANGUAGE.contains(&word.as_str()) {
                    named.metrics.insert(word);
                }
            }
            // The numbers of a quantile, which have no letters.
            _ => {}
        }
        rest = &rest[length..];
    }
    named
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(repository("deploy/grafana/faasflow.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The texts under this key, wherever it stands.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == key => found.push(text),
                    member => under(member, key, found),
                }
            }
        }
        Value::Array(members) => members.iter().for_each(|member| under(member, key, found)),
        _ => {}
    }
}

fn queries(dashboard: &Value) -> Vec<&str> {
    let mut queries = Vec::new();
    under(dashboard, "expr", &mut queries);
    queries
}

/// What a query names and nobody shows.
fn unknown(query: &str, names: &BTreeSet<String>, labels: &BTreeSet<String>) -> Vec<String> {
    let named = named(query);
    let metrics = named.metrics.into_iter().filter(|name| !names.contains(name));
    let unknown = |label: &String| !labels.contains(label) && !ADDED.contains(&label.as_str());
    metrics.chain(named.labels.into_iter().filter(unknown)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_and_label_of_the_dashboard_exists() {
    let shown = of_a_flow().await + &of_the_gateway().await;
    let (names, labels) = (series(&shown), labels(&shown));
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    assert!(queries.len() >= 25, "the queries are not found: {queries:?}");
    for query in queries {
        assert_eq!(unknown(query, &names, &labels), [""; 0], "{query}");
    }
    let mut variables = Vec::new();
    under(&dashboard["templating"], "query", &mut variables);
    assert!(variables.contains(&"label_values(faasflow_build_info, flow)"), "{variables:?}");
    assert!(names.contains("faasflow_build_info") && labels.contains("flow"));

    // It would be found if they did not.
    for (query, wrong) in [
        ("sum(rate(faasflow_request_ended_total[5m]))", "faasflow_request_ended_total"),
        ("faasflow_queue_seconds", "faasflow_queue_seconds"),
        ("fasflow_queue_depth", "fasflow_queue_depth"),
        ("sum by (le, status) (faasflow_queue_depth)", "status"),
        ("faasflow_queue_depth{outcom=\"le, failure\"}", "outcom"),
    ] {
        assert_eq!(unknown(query, &names, &labels), [wrong]);
    }
}

/// What nobody looks at need not be counted.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_a_flow_is_on_the_dashboard_and_in_the_guide() {
    let shown = of_a_flow().await;
    let dashboard = dashboard();
    let used: BTreeSet<String> = queries(&dashboard).into_iter().flat_map(|query| named(query).metrics).collect();
    let page = std::fs::read_to_string(repository("docs/guide/metrics.md")).unwrap();
    let table = page.split("| metric | labels | meaning |\n|---|---|---|\n").nth(1).expect("the table of metrics");
    let rows = table.lines().map_while(|line| line.strip_prefix("| `")?.split_once("` | "));
    let documented: Vec<(&str, &str)> = rows.collect();
    let metrics = metrics(&shown);
    let mut names: Vec<&str> = metrics.iter().map(|(name, _)| *name).collect();
    for name in &names {
        let series = |used: &String| {
            used.strip_prefix(name).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        assert!(used.iter().any(series), "{name} is not on the dashboard");
    }
    let mut written: Vec<&str> = documented.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, names);
    for (name, rest) in documented {
        let lines = shown.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        let own: BTreeSet<String> = lines.flat_map(labels).filter(|label| label != "flow" && label != "le").collect();
        let written = rest.split(" | ").next().expect("labels").split(", ").map(|label| label.trim_matches('`'));
        let written: BTreeSet<String> = written.filter(|label| *label != "none").map(str::to_owned).collect();
        assert_eq!(written, own, "the labels of {name}");
    }
}
