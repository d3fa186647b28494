//! Requests that are started again.

use std::sync::Mutex;
use std::time::Instant;

use faasflow_core::envelope::Envelope;

use super::*;

#[tokio::test]
async fn a_redrive_begins_a_branch_whose_envelope_was_lost() {
    let mends = Arc::new(AtomicUsize::new(0));
    let mended = mends.clone();
    let fails = Fake::with(move |call| match mended.load(SeqCst) {
        0 => Reply::new("").status(400),
        _ => Reply::new(call.text()),
    });
    let branches = [("fails", Flow::builder().apply("one")), ("lost", Flow::builder().apply("two").apply("three"))];
    let kit = remembering(Flow::builder().state(Memory::new()).parallel(branches)).function("one", fails);
    let kit = kit.start().await;
    kit.hold_queue();
    kit.request("1").header("x-faasflow-request-id", "k").answer().await;
    // Both are posted at the same time.
    let mut envelopes = kit.queued();
    envelopes.sort_by_key(|(_, body)| Envelope::decode(body).unwrap().place.fork().unwrap().1);
    assert_eq!(envelopes.len(), 2);
    // The second branch is in its last phase when the first one fails, and its envelope is lost.
    let (headers, body) = envelopes[1].clone();
    kit.request(body).headers(headers).answer().await;
    assert_eq!(kit.calls("two").len(), 1);
    let (headers, body) = envelopes[0].clone();
    kit.request(body).headers(headers).answer().await;
    assert_eq!(kit.calls("one").len(), 1);
    // What fails the request is the token of the join.
    for (headers, body) in kit.queued().into_iter().skip(3) {
        kit.request(body).headers(headers).answer().await;
    }
    assert_eq!(status(&kit, "k").await["status"], "failure");
    kit.lose_queue();
    kit.release_queue();

    mends.fetch_add(1, SeqCst);
    until(async || asked(&kit, Method::POST, "/_/requests/k/redrive").await.status == 200).await;
    let result = waited(&kit, "/_/requests/k/result").await;
    assert_eq!((result.status.as_u16(), result.text().as_str()), (200, r#"{"fails":1,"lost":1}"#));
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [2, 1, 1]);
}

/// The most calls that were in progress at once, if each took at least this long.
fn most_at_once(begun: &[Instant], took: Duration) -> usize {
    let at_once = |moment: Instant| begun.iter().filter(|begun| **begun <= moment && moment < **begun + took).count();
    begun.iter().map(|begun| at_once(*begun)).max().unwrap_or_default()
}

#[tokio::test]
async fn redrives_keep_to_the_limit_of_items_at_once() {
    const TOOK: Duration = Duration::from_millis(20);
    let (mends, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (mended, beginning) = (mends.clone(), begun.clone());
    let counting = Fake::with(move |call| {
        beginning.lock().unwrap().push(Instant::now());
        match call.text() == "3" && mended.load(SeqCst) == 0 {
            true => Reply::new("").status(400),
            false => Reply::new(call.text()),
        }
    });
    let items = ForEach::new(Flow::builder().apply("one")).at_most(2);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items));
    let kit = kit.function("one", counting.slow(TOOK)).start().await;
    let list = json!((1..=40).collect::<Vec<_>>()).to_string();
    kit.request(list.clone()).header("x-faasflow-request-id", "k").answer().await;
    assert_eq!(waited(&kit, "/_/requests/k/result").await.status, 500);
    until(async || is_listed(&kit, "k", "failure").await).await;
    let before = begun.lock().unwrap().len();
    assert!(before < 40, "all items had begun when the third one failed");

    mends.fetch_add(1, SeqCst);
    let redrives = (0..50).map(|_| asked(&kit, Method::POST, "/_/requests/k/redrive"));
    let answers = futures_util::future::join_all(redrives).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(waited(&kit, "/_/requests/k/result").await.text(), list);
    let begun = begun.lock().unwrap();
    assert_eq!(begun.len(), 41, "only the third item is called again");
    assert!(most_at_once(&begun[before..], TOOK) <= 2);
}

/// It was refused, because the request seemed to be in progress.
#[tokio::test]
async fn a_redrive_that_could_not_be_queued_can_be_repeated() {
    let fails = Arc::new(AtomicUsize::new(1));
    let left = fails.clone();
    let mended = Fake::with(move |call| match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Reply::new("").status(400),
        Err(_) => Reply::new(call.text()),
    });
    let kit = remembering(chain()).function("two", mended).setting("write_timeout", "2s").start().await;
    kit.request("x").header("x-faasflow-request-id", "k").answer().await;
    assert_eq!(waited(&kit, "/_/requests/k/result").await.status, 500);
    until(async || is_listed(&kit, "k", "failure").await).await;
    kit.stop_queue();
    for _ in 0..2 {
        let answer = asked(&kit, Method::POST, "/_/requests/k/redrive").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    let other = asked(&kit, Method::POST, "/_/requests/k/redrive?from=1").await;
    assert_eq!(other.status, 409, "{}", other.text());
    kit.start_queue();
    kit.hold_queue();
    assert_eq!(did(&kit, "/_/requests/k/redrive").await["generation"], 1);
    let again = asked(&kit, Method::POST, "/_/requests/k/redrive").await;
    assert_eq!(again.status, 409, "{}", again.text());
    kit.release_queue();
    assert_eq!(waited(&kit, "/_/requests/k/result").await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 2, 1]);
}

/// It was stopped first: `finally` ran twice, and the end was reported twice.
#[tokio::test]
async fn a_parked_request_that_is_started_again_ends_once() {
    let finals = Arc::new(Mutex::new(Vec::new()));
    let flow = |names: &[&str]| {
        let seen = finals.clone();
        phases(names).finally(move |_: Context, outcome: Outcome| {
            seen.lock().unwrap().push(outcome);
            async { faasflow::Result::Ok(()) }
        })
    };
    let kit = remembering(flow(&["one", "two"]).state(Memory::new())).callback("end", Fake::echo()).start().await;
    kit.hold_queue();
    let url = kit.callback_url("end");
    kit.request("x").header("x-faasflow-request-id", "m").header("x-faasflow-callback-url", url).answer().await;
    let old = kit.queued().remove(0);
    kit.deploy(flow(&["one", "three"]).build().unwrap()).await;
    kit.release_queue();
    until(async || status(&kit, "m").await["status"] == "parked").await;
    let failed = asked(&kit, Method::POST, "/_/requests/m/redrive").await;
    assert_eq!(failed.status, 409, "{}", failed.text());
    assert_eq!(did(&kit, "/_/requests/m/redrive?from=2").await["generation"], 1);
    let ended: Value = waited(&kit, "/_/requests/m").await.json();
    assert_eq!((ended["status"].as_str(), ended["generation"].as_u64()), (Some("success"), Some(1)), "{ended}");
    until(async || !finals.lock().unwrap().is_empty()).await;
    // The envelope of the former generation does nothing any more.
    kit.deploy(flow(&["one", "two"]).build().unwrap()).await;
    kit.request(old.1).headers(old.0).answer().await;
    assert_eq!(*finals.lock().unwrap(), [Outcome::Success]);
    let reports: Vec<_> =
        kit.calls("callback/end").iter().map(|call| call.header("x-faasflow-outcome").unwrap().to_owned()).collect();
    assert_eq!(reports, ["success"]);
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 0, 1]);
}

#[tokio::test]
async fn a_phase_that_the_flow_does_not_have_is_a_mistake_of_the_caller() {
    let kit = remembering(chain()).start().await;
    kit.request("x").header("x-faasflow-request-id", "k").answer().await;
    assert_eq!(waited(&kit, "/_/requests/k/result").await.text(), "x");
    until(async || is_listed(&kit, "k", "success").await).await;
    for phase in [0, 4] {
        let answer = asked(&kit, Method::POST, &format!("/_/requests/k/redrive?from={phase}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (400, Some("FF0418")), "{phase}");
        assert!(answer.text().contains(&format!("no phase {phase}; it has 3 phases")), "{}", answer.text());
    }
}
