//! What passes is no failure: gateways, functions, callback URLs and stores that go away under a flow, and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{
    BoxFuture, Call, Callback, Context, Error, Failure, Flow, FlowBuilder, Memory, Outcome, Result, Retry, Scope,
    StateError, StateManager,
};
use faasflow_testkit::{Answer, Fake, Reply, Running, TestKit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

use super::support::until;

/// How often a flow's failure handler was asked, and how often it ended.
#[derive(Clone, Default)]
struct HandlerCounts(Arc<(AtomicUsize, AtomicUsize)>);

impl HandlerCounts {
    /// The flow with a handler and a finaliser that are counted. The handler recovers.
    fn observe(&self, flow: FlowBuilder) -> FlowBuilder {
        let (asked, ended) = (self.0.clone(), self.0.clone());
        flow.on_failure(move |_: Context, failure: Failure| {
            asked.0.fetch_add(1, SeqCst);
            std::future::ready(failure.recover("recovered"))
        })
        .finally(move |_: Context, _: Outcome| {
            ended.1.fetch_add(1, SeqCst);
            std::future::ready(())
        })
    }

    /// Waits for the finaliser: a report comes before it.
    async fn until_ended(&self) {
        until(async || self.0.1.load(SeqCst) > 0).await;
    }

    fn handled_and_ended(&self) -> (usize, usize) {
        (self.0.0.load(SeqCst), self.0.1.load(SeqCst))
    }
}

/// An address that nobody listens on. Nobody else can, as long as the socket is there.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn kit(flow: FlowBuilder) -> TestKit {
    TestKit::new(flow.build().unwrap()).function("f", Fake::echo()).function("g", Fake::echo())
}

fn reason(answer: &Answer) -> String {
    answer.json::<serde_json::Value>()["reason"].as_str().unwrap().to_owned()
}

/// Takes connections at this socket after so long, and hands each on to the other address.
fn proxy_after(delay: Duration, socket: TcpSocket, to: &str) -> tokio::task::JoinHandle<()> {
    let to = to.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let listener = socket.listen(1024).unwrap();
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            let to = to.clone();
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    })
}

/// A server that answers each connection with the next of these, byte for byte, and closes it; how many requests came.
async fn raw_server(answers: &'static [&'static str]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 10_000]).await;
            let index = counted.fetch_add(1, SeqCst);
            let _ = stream.write_all(answers[index.min(answers.len() - 1)].as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn r1_a_gateway_that_is_away_for_seconds_is_waited_for() {
    let (seen, (socket, address)) = (HandlerCounts::default(), nobody());
    let elsewhere = kit(Flow::builder().apply("f")).function("f", Fake::answer("back")).start().await;
    let kit = kit(seen.observe(Flow::builder().apply("f"))).setting("gateway", address.to_string()).start().await;
    // More than twice as long as calls once waited for a gateway.
    let proxy = proxy_after(Duration::from_secs(2), socket, &elsewhere.gateway_url());
    let answer = kit.request("x").answer().await;
    proxy.abort();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "back"));
    assert_eq!(seen.handled_and_ended(), (0, 1));
    assert_eq!(elsewhere.calls("f").len(), 1);
}

/// Nothing was executed, so nothing has failed: no handler decides anything, and `finally` does not run.
#[tokio::test]
async fn r1_a_gateway_that_stays_away_leaves_the_request_open() {
    for answers in [None, Some(&[""] as &[&str])] {
        let seen = HandlerCounts::default();
        let (_nobody, nobody) = nobody();
        let address = match answers {
            None => nobody,
            // It takes the request and breaks off.
            Some(answers) => raw_server(answers).await.0,
        };
        let flow = seen.observe(Flow::builder().apply("f"));
        let kit = kit(flow).setting("gateway", address.to_string()).setting("write_timeout", "1s").start().await;
        let answer = kit.request("x").answer().await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
        assert_eq!(answer.outcome(), None);
        assert_eq!(seen.handled_and_ended(), (0, 0));
    }
}

/// The gateway dies when half of an answer has gone through it.
#[tokio::test]
async fn r1_an_answer_that_breaks_off_is_asked_for_again() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole";
    for half in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwho",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nwho\r\n",
        "HTTP/1.1 200 OK\r\nconte",
    ] {
        let seen = HandlerCounts::default();
        let (address, asked) = raw_server(Box::leak(Box::new([half, whole]))).await;
        let kit = kit(seen.observe(Flow::builder().apply("f"))).setting("gateway", address.to_string()).start().await;
        let answer = kit.request("x").answer().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "whole"), "{half:?}");
        assert_eq!((asked.load(SeqCst), seen.handled_and_ended()), (2, (0, 1)), "{half:?}");
    }
}

/// Answers the first call so, and then echoes.
fn first(reply: Reply) -> Fake {
    let called = AtomicUsize::new(0);
    Fake::with(move |call| match called.fetch_add(1, SeqCst) {
        0 => reply.clone(),
        _ => Reply::new(call.body.clone()),
    })
}

/// What the local gateway says of a function that died, and what OpenFaaS's says of one that it cannot reach.
#[tokio::test]
async fn r1_a_function_that_dies_is_called_again_under_the_same_key() {
    let gone = "Can't reach service for: f.\n";
    for reply in [
        Reply::new("f died\n").status(502).header("x-faasflow-gateway-error", "function-died"),
        Reply::new(gone).status(500).header("x-faasflow-gateway-error", "function-unreachable"),
        Reply::new(gone).status(500).header("x-openfaas-internal", "proxy"),
        Reply::new("No endpoints available for: f.\n").status(503).header("x-openfaas-internal", "proxy"),
        // A flow that cannot go on, and anything else that asks to be called again.
        Reply::new("later").status(503).header("retry-after", "1"),
    ] {
        let seen = HandlerCounts::default();
        let flow = seen.observe(Flow::builder().apply("f").apply("g"));
        let kit = kit(flow).function("f", Fake::echo()).function("g", first(reply)).start().await;
        let end = kit.request("payload").send().await;
        assert_eq!((end.text().as_str(), end.outcome()), ("payload", Some(Outcome::Success)));
        let keys: Vec<_> = kit.calls("g").iter().map(|call| call.headers["idempotency-key"].clone()).collect();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1]);
        seen.until_ended().await;
        assert_eq!(seen.handled_and_ended(), (0, 1));
    }
}

#[tokio::test]
async fn r1_a_function_that_stays_away_is_left_to_the_queue() {
    let seen = HandlerCounts::default();
    let flow = seen.observe(Flow::builder().apply("f").apply("g"));
    let away = Reply::new("away").status(500).header("x-faasflow-gateway-error", "function-unreachable");
    let called = AtomicUsize::new(0);
    let away = Fake::with(move |call| match called.fetch_add(1, SeqCst) {
        // In each of two deliveries it is called twice at least.
        0..=7 => away.clone(),
        _ => Reply::new(call.body.clone()),
    });
    let kit = kit(flow).function("g", away).setting("write_timeout", "500ms").start().await;
    let end = kit.request("payload").send().await;
    assert_eq!((end.text().as_str(), end.outcome()), ("payload", Some(Outcome::Success)));
    assert_eq!(kit.until_delivered(1).await[0], 503);
    seen.until_ended().await;
    assert_eq!((kit.calls("f").len(), seen.handled_and_ended()), (1, (0, 1)));
}

#[tokio::test]
async fn r1_a_callback_url_that_is_away_is_waited_for_or_leaves_the_request_open() {
    let (seen, (socket, address)) = (HandlerCounts::default(), nobody());
    let flow = seen.observe(Flow::builder().callback(format!("{address}/callback/storage")));
    let kit = kit(flow).start().await;
    let proxy = proxy_after(Duration::from_secs(2), socket, &kit.gateway_url());
    assert_eq!(kit.request("photo").answer().await.text(), "photo");
    proxy.abort();
    assert_eq!((kit.calls("callback/storage").len(), seen.handled_and_ended()), (1, (0, 1)));

    let seen = HandlerCounts::default();
    let callback = |url: &str| Callback::new(format!("{url}/callback/storage"));
    let kit = TestKit::define(|url| seen.observe(Flow::builder().callback(callback(url))).build().unwrap());
    // A proxy in front of a server that is away.
    let kit = kit.callback("storage", Fake::failing(502)).setting("write_timeout", "500ms").start().await;
    let answer = kit.request("photo").answer().await;
    assert_eq!(answer.status, 503);
    assert!(reason(&answer).ends_with("answered 502 Bad Gateway"), "{}", reason(&answer));
    assert_eq!(seen.handled_and_ended(), (0, 0));
}

/// A queue delivers it again, also when it was the first delivery: there is nobody else who would.
#[tokio::test]
async fn r1_a_fresh_request_whose_end_cannot_be_reported_has_not_ended() {
    let seen = HandlerCounts::default();
    let kit = kit(seen.observe(Flow::builder().apply("f"))).setting("write_timeout", "500ms");
    let kit = kit.callback("end", Fake::echo().after_failing(8, 503)).start().await;
    let send = || {
        kit.request("x")
            .header("x-faasflow-request-id", "id")
            .header("x-faasflow-callback-url", kit.callback_url("end"))
    };
    let answer = send().answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome(), seen.handled_and_ended()), (503, None, (0, 0)));
    let expected = "the end of the request cannot be reported now: the caller's callback URL answered 503";
    assert!(reason(&answer).starts_with(expected), "{}", reason(&answer));
    until(async || send().answer().await.status == 200).await;
    assert_eq!(seen.handled_and_ended(), (0, 1));
}

/// A store that cannot be reached the first few times.
struct Away {
    memory: Memory,
    times: AtomicUsize,
}

impl StateManager for Away {
    fn name(&self) -> &str {
        "away"
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        match self.times.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Box::pin(async { Err(StateError::temporary("not now")) }),
            Err(_) => self.memory.get(scope, key),
        }
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

async fn read(context: Context) -> Result<String> {
    Ok(context.get("kept").await?.unwrap_or_default())
}

/// Wherever the flow's own code meets with it: a handler that cannot ask the store might decide otherwise if it could.
#[tokio::test]
async fn r1_a_store_that_is_away_decides_nothing() {
    let store = || Away { memory: Memory::new(), times: AtomicUsize::new(1000) };
    let ask = async |context: Context, failure: Failure| {
        let stored: Option<String> = context.get("kept").await?;
        Ok::<_, Error>(failure.recover(stored.unwrap_or_default()))
    };
    let broken = || Flow::builder().state(store());
    let flows = [
        broken().apply("broken").on_failure(ask),
        broken().apply(Call::new("broken").on_failure(ask)),
        broken().apply(Call::new("f").on_response(async |context: Context, _| read(context).await)),
        broken().modify(async |context: Context, _: ()| read(context).await),
    ];
    for (index, flow) in flows.into_iter().enumerate() {
        let ended = Arc::new(AtomicUsize::new(0));
        let count = ended.clone();
        let flow = flow.finally(move |_: Context, _: Outcome| {
            count.fetch_add(1, SeqCst);
            std::future::ready(())
        });
        let kit = kit(flow).function("broken", Fake::failing(500)).setting("write_timeout", "500ms").start().await;
        let answer = kit.request("").answer().await;
        assert_eq!((answer.status.as_u16(), answer.outcome()), (503, None), "flow {index}: {}", answer.text());
        assert_eq!(reason(&answer), "the state manager cannot be reached", "flow {index}");
        assert_eq!(ended.load(SeqCst), 0, "flow {index}");
    }
}

/// `finally` is owed its run: the queue delivers its phase again, and the report is known by its key.
#[tokio::test]
async fn r1_a_store_that_is_away_in_finally_leaves_the_request_open() {
    let finished = Arc::new(AtomicUsize::new(0));
    let count = finished.clone();
    let flow = Flow::builder()
        .state(Away { memory: Memory::new(), times: AtomicUsize::new(12) })
        .apply("f")
        .apply("g")
        .finally(move |context: Context, _: Outcome| {
            let count = count.clone();
            async move {
                read(context).await?;
                count.fetch_add(1, SeqCst);
                Ok::<_, Error>(())
            }
        });
    let kit = kit(flow).setting("write_timeout", "500ms").start().await;
    let end = kit.request("payload").send().await;
    assert_eq!((end.text().as_str(), end.outcome()), ("payload", Some(Outcome::Success)));
    assert_eq!(kit.until_delivered(1).await[0], 503);
    until(async || finished.load(SeqCst) > 0).await;
}

/// The outage took the time that the function would have had.
#[tokio::test]
async fn r1_time_that_an_outage_took_is_not_the_functions_fault() {
    let seen = HandlerCounts::default();
    let died = Reply::new("").status(502).header("x-faasflow-gateway-error", "function-died");
    let flow = seen.observe(Flow::builder().apply("f").apply(Call::new("slow").sync()));
    let kit = kit(flow).function("f", first(died)).function("slow", Fake::hanging()).setting("write_timeout", "500ms");
    let kit = kit.start().await;
    let answer = kit.request("").answer().await;
    assert_eq!((answer.status.as_u16(), seen.handled_and_ended()), (503, (0, 0)), "{}", answer.text());
    // Without an outage it is.
    let answer = kit.request("").answer().await;
    assert_eq!((answer.text().as_str(), seen.handled_and_ended()), ("recovered", (1, 1)));
}

/// An author can prefer a failure to waiting, and to calling twice.
#[tokio::test]
async fn a_step_that_does_not_wait_for_the_unreachable_fails_at_once() {
    let at_once = || Retry::never().on_unreachable(false);
    let (address, asked) = raw_server(&[""]).await;
    let (_nobody, nobody) = nobody();
    for (gateway, unreachable) in
        [(nobody, "it could not be reached"), (address, "it broke off before it had answered")]
    {
        let flow =
            Flow::builder().apply(Call::new("f").retry(at_once())).on_failure(async |_: Context, failure: Failure| {
                assert!(failure.is_unreachable());
                failure.reply(failure.reason())
            });
        let kit = kit(flow).setting("gateway", gateway.to_string()).start().await;
        let answer = kit.request("").answer().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (500, unreachable));
    }
    assert_eq!(asked.load(SeqCst), 1);
}

/// It answered, and would answer the same again: executing it again would help nobody.
#[tokio::test]
async fn r2_an_answer_that_is_not_http_is_final() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 999999 Odd\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a number\r\n",
    ] {
        let (address, asked) = raw_server(Box::leak(Box::new([answer]))).await;
        let kit = kit(Flow::builder().apply("f")).setting("gateway", address.to_string()).start().await;
        let answered = kit.request("").answer().await;
        assert_eq!(answered.status, 500, "{answer:?}: {}", answered.text());
        assert!(reason(&answered).starts_with("its answer cannot be used"), "{answer:?}: {}", reason(&answered));
        assert_eq!(asked.load(SeqCst), 1, "{answer:?}");
    }
    // The local gateway says so of a function's answer.
    let unusable = Reply::new("its answer has 3 MB of headers").status(502);
    let unusable =
        unusable.header("x-faasflow-gateway-error", "unusable-answer").header("x-openfaas-internal", "proxy");
    let kit: Running = kit(Flow::builder().apply("f")).function("f", Fake::answer(unusable)).start().await;
    assert_eq!(kit.request("").answer().await.status, 500);
    assert_eq!(kit.calls("f").len(), 1);
}
