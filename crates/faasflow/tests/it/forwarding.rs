//! A forwarder of the author's own, in place of the gateway's queue.

use std::sync::Mutex;
use std::time::Duration;

use faasflow::{BoxFuture, Flow, Forward, ForwardError, Forwarder, Uuid};
use faasflow_testkit::{Fake, TestKit};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Refuses the first envelope, and passes the others on.
struct Broker {
    refused: Mutex<Option<Uuid>>,
    envelopes: UnboundedSender<Forward>,
}

fn broker() -> (Broker, UnboundedReceiver<Forward>) {
    let (envelopes, taken) = unbounded_channel();
    (Broker { refused: Mutex::new(None), envelopes }, taken)
}

impl Forwarder for Broker {
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>> {
        Box::pin(async move {
            let mut refused = self.refused.lock().unwrap();
            match *refused {
                None => {
                    *refused = Some(forward.call_id);
                    Err(ForwardError::temporary("the broker is away", Some(Duration::from_millis(10))))
                }
                Some(first) => {
                    assert!(forward.place.phase() > 2 || forward.call_id == first, "it comes again under the same id");
                    self.envelopes.send(forward).map_err(|_| ForwardError::permanent("nobody takes it"))
                }
            }
        })
    }
}

#[tokio::test]
async fn envelopes_go_through_the_forwarder() {
    let (broker, mut envelopes) = broker();
    let flow = Flow::builder().apply("a").apply("b").apply("c").build().unwrap();
    let kit = TestKit::new(flow).forwarder(broker);
    let kit = kit.function("a", Fake::echo()).function("b", Fake::echo()).function("c", Fake::answer("c's"));
    let kit = kit.start().await;

    let answer = kit.request("photo").header("traceparent", TRACE).answer().await;
    assert_eq!(answer.status, 202);
    for (phase, function) in [(2, "b"), (3, "c")] {
        let forward = envelopes.recv().await.unwrap();
        assert_eq!((forward.flow.as_str(), forward.place.phase()), ("flow", phase));
        assert_eq!(forward.request.as_str(), answer.request_id());
        let head = forward.headers();
        assert_eq!(head["x-call-id"], forward.call_id.to_string());
        assert!(head.contains_key("traceparent"), "{head:?}");
        // It is signed, so only what was forwarded is executed.
        let unsigned =
            kit.request(forward.body.concat()).header("content-type", head["content-type"].to_str().unwrap());
        assert_eq!(unsigned.answer().await.status, 401);
        let status = kit.request(forward.body.concat()).headers(head).answer().await.status;
        assert_eq!((status.is_success(), kit.calls(function).len()), (true, 1), "{status}");
    }
    assert!(kit.queued().is_empty() && envelopes.is_empty());
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
