//! A flow that calls another flow, which is a request of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use faasflow::Branches;
use faasflow_testkit::RecordedCall;

use super::*;

/// A function that is another flow.
fn flow_at(address: String) -> Fake {
    let ask = move |call: &RecordedCall| {
        let mut connection = TcpStream::connect(&address).unwrap();
        let mut head =
            format!("POST / HTTP/1.1\r\nhost: flow\r\nconnection: close\r\ncontent-length: {}\r\n", call.body.len());
        for name in ["x-faasflow-request-id", "idempotency-key"] {
            if let Some(value) = call.header(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        connection.write_all(format!("{head}\r\n{}", call.text()).as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let id = head.lines().find_map(|line| line.strip_prefix("x-faasflow-request-id: ")).unwrap();
        Reply::new(body.to_owned()).status(status).header("x-faasflow-request-id", id)
    };
    Fake::with(move |call: &RecordedCall| tokio::task::block_in_place(|| ask(call)))
}

/// Starts a flow that another one calls, and a flow that calls it as the function `child`.
async fn both(child: TestKit, parent: FlowBuilder) -> (Running, Running) {
    let child = child.start().await;
    let address = child.flow_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let parent = remembering(parent).function("child", flow_at(address)).start().await;
    (child, parent)
}

/// The id of the only request that a flow has.
async fn only(kit: &Running) -> String {
    let listed: Value = asked(kit, Method::GET, "/_/requests").await.json();
    assert_eq!(listed["requests"].as_array().unwrap().len(), 1, "{listed}");
    listed["requests"][0]["id"].as_str().unwrap().to_owned()
}

fn calling() -> FlowBuilder {
    Flow::builder().state(Memory::new()).apply(Call::new("child").sync()).apply("one")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flow_that_was_called_is_not_stopped_with_its_caller() {
    let (child, parent) = both(remembering(chain()), calling()).await;
    child.hold_function("two");
    parent.hold_queue();
    parent.request("x").header("x-faasflow-request-id", "outer").answer().await;
    assert_eq!(did(&parent, "/_/requests/outer/stop").await["status"], "stopped");
    let id = only(&child).await;
    let told = status(&parent, "outer").await;
    assert_eq!(told["places"][0]["called"], json!([{ "step": 1, "function": "child", "request": id }]), "{told}");
    assert_eq!(status(&child, &id).await["status"], "running");
    child.release_function("two");
    assert_eq!(waited(&child, &format!("/_/requests/{id}/result")).await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| child.calls(name).len()), [1, 1, 1]);
    assert!(parent.calls("one").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redrives_of_a_flow_and_of_the_one_that_it_called_do_not_reach_each_other() {
    let mends = Arc::new(AtomicUsize::new(0));
    let mended = mends.clone();
    let fails = Fake::with(move |call| match mended.load(SeqCst) {
        0 => Reply::new("").status(400),
        _ => Reply::new(call.text()),
    });
    let child = remembering(Flow::builder().state(Memory::new()).apply(Call::new("one").sync()));
    let (child, parent) = both(child.function("one", fails), calling()).await;
    let answer = parent.request("x").header("x-faasflow-request-id", "outer").answer().await;
    assert_eq!(answer.outcome(), Some(Outcome::Failure), "{}", answer.text());
    let inner = only(&child).await;
    mends.fetch_add(1, SeqCst);

    // The one that was called succeeds, which changes nothing for its caller.
    until(async || asked(&child, Method::POST, &format!("/_/requests/{inner}/redrive")).await.status == 200).await;
    assert_eq!(waited(&child, &format!("/_/requests/{inner}/result")).await.text(), "x");
    assert_eq!(status(&parent, "outer").await["status"], "failure");
    assert!(parent.calls("one").is_empty());

    // The caller calls it again, under another id.
    did(&parent, "/_/requests/outer/redrive").await;
    assert_eq!(waited(&parent, "/_/requests/outer/result").await.text(), "x");
    let listed: Value = asked(&child, Method::GET, "/_/requests?status=success").await.json();
    assert_eq!(listed["requests"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!((child.calls("one").len(), parent.calls("one").len()), (3, 1));
    let told = status(&parent, "outer").await;
    let called = told["places"][0]["called"][0]["request"].as_str().unwrap();
    assert_ne!(called, inner);
    assert_eq!(status(&child, called).await["status"], "success", "{told}");
}

/// Calls side by side within a phase, and calls for each item, of which nothing is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_requests_of_a_flow_that_was_called_within_a_phase_are_told() {
    let branch = |function| Flow::builder().apply(Call::new(function).sync());
    let graph = Graph::new().branch("a", branch("one")).branch("b", branch("child"));
    let graph = graph.join(async |_: Branches| "[1,2]");
    let flow = Flow::builder().state(Memory::new()).graph(graph);
    let flow = flow.for_each(ForEach::new(branch("two"))).apply("three");
    let (child, parent) = both(remembering(chain()), flow).await;
    parent.hold_queue();
    parent.request("x").header("x-faasflow-request-id", "outer").answer().await;
    let id = only(&child).await;
    let told = status(&parent, "outer").await;
    let called = told["places"][0]["called"].as_array().unwrap();
    assert_eq!(
        called.iter().map(|one| one["function"].as_str().unwrap()).collect::<Vec<_>>(),
        ["one", "child"],
        "{told}"
    );
    assert_eq!((&called[1]["request"], &called[1]["step"]), (&json!(id), &json!(2)), "{told}");
    assert_eq!(told["places"][1]["status"], "running", "{told}");
    did(&parent, "/_/requests/outer/pause").await;
    let told = status(&parent, "outer").await;
    assert_eq!((&told["places"][1]["status"], told["places"][1].get("called")), (&json!("waiting"), None), "{told}");
}
