//! Tests the answers that tell the ends of requests.

use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::state::MOST_WATCHES;
use faasflow_core::state::{News, Scope, StateManager as _, Status, Watch};
use faasflow_state::GatewayStore;

use crate::support::{self, Fixture, PATIENCE, until};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn start() -> Fixture {
    support::start(&support::url("f", support::nowhere())).await
}

fn manager(fixture: &Fixture, function: &str) -> GatewayStore {
    GatewayStore::builder(fixture.gateway.url(), fixture.gateway.state_token(function)).build().unwrap()
}

async fn watch(manager: &GatewayStore, flow: &str) -> Box<dyn Watch> {
    manager.watch(flow).await.unwrap().unwrap()
}

async fn end(manager: &GatewayStore, flow: &str, request: &str) {
    let scope = Scope { flow: flow.into(), request: request.into() };
    assert!(manager.begin_request(&scope, 7, "begun@0", Bytes::from("x")).await.unwrap());
    manager.retire_request(&scope, 7, Status::Success, DAY, DAY).await.unwrap();
}

async fn next(watch: &mut Box<dyn Watch>) -> News {
    tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap()
}

fn ended(request: &str) -> News {
    News::Ended(request.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_hears_only_of_its_own_requests() {
    let fixture = start().await;
    let (a, b) = (manager(&fixture, "a"), manager(&fixture, "b"));
    let (mut of_a, mut of_b) = (watch(&a, "flow").await, watch(&b, "flow").await);
    end(&a, "flow", "first").await;
    end(&a, "other", "second").await;
    end(&b, "flow", "third").await;
    end(&a, "flow", "fourth").await;
    assert_eq!((next(&mut of_a).await, next(&mut of_a).await), (ended("first"), ended("fourth")));
    assert_eq!(next(&mut of_b).await, ended("third"));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_has_a_limited_number_of_watches() {
    let fixture = start().await;
    let (a, b) = (manager(&fixture, "a"), manager(&fixture, "b"));
    let mut open = Vec::new();
    for _ in 0..MOST_WATCHES {
        open.push(watch(&a, "flow").await);
    }
    let refused = a.watch("flow").await.err().unwrap();
    assert!(refused.is_temporary() && refused.to_string().contains("503 (FF0321)"), "{refused}");
    drop(watch(&b, "flow").await);
    open.truncate(1);
    until("a watch that is closed makes room", async || a.watch("flow").await.is_ok().then_some(())).await;
    end(&a, "flow", "r").await;
    assert_eq!(next(&mut open[0]).await, ended("r"));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_gateway_and_does_not_delay_it() {
    let functions = support::url("f", support::nowhere());
    let fixture = support::start_with(&functions, |options| options.grace = 10 * PATIENCE).await;
    let manager = manager(&fixture, "f");
    let mut watch = watch(&manager, "flow").await;
    tokio::time::timeout(PATIENCE, fixture.gateway.stop()).await.expect("a watch delays nothing");
    assert!(watch.next().await.unwrap_err().is_temporary());
    assert!(manager.watch("flow").await.err().unwrap().is_temporary());
}

/// A reader that does not read is told that it has missed something, and the gateway keeps little for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_that_it_has_missed_something() {
    let fixture = start().await;
    let manager = manager(&fixture, "f");
    let mut watch = watch(&manager, "flow").await;
    // The ids are long, so that the buffers of the connection are full before all of them are sent.
    let retire = async |number: usize| {
        let scope = Scope { flow: "flow".into(), request: format!("{number}-{}", "x".repeat(4000)) };
        manager.retire_request(&scope, 7, Status::Success, Duration::ZERO, Duration::ZERO).await.unwrap();
    };
    for number in (0..8000).step_by(16) {
        futures_util::future::join_all((number..number + 16).map(&retire)).await;
    }
    let mut heard = 0;
    while next(&mut watch).await != News::Missed {
        heard += 1;
    }
    assert!(heard < 7000, "{heard} ends were kept for a reader that does not read");
    fixture.gateway.stop().await;
}
