//! What each state manager says if the server does not accept its password.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use faasflow_core::state::{Condition, ListQuery, Scope, StateError, StateManager, Status};
use faasflow_state::{GatewayStore, Redis, S3};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that gives this answer to every HTTP request.
async fn http(status: StatusCode, headers: [(&'static str, &'static str); 1], body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move || std::future::ready((status, headers, body)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A server that answers every Redis command with this error.
async fn redis(error: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:wrong@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = [0; 4096];
                while let Ok(length @ 1..) = connection.read(&mut read).await {
                    // A command begins with a line that has the number of its arguments. Scripts have no such line.
                    let lines = read[..length].split(|&byte| byte == b'\n');
                    let commands = lines.filter(|line| line.first() == Some(&b'*')).count();
                    let answer = format!("-{error}\r\n").repeat(commands);
                    if connection.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

/// The error of each operation that a flow needs.
async fn errors(manager: &dyn StateManager) -> Vec<(&'static str, StateError)> {
    let scope = Scope { flow: "f".into(), request: "r".into() };
    let value = || Bytes::from_static(b"x");
    vec![
        ("probe", manager.probe().await.unwrap_err()),
        ("get", manager.get(&scope, "k").await.unwrap_err()),
        ("get_many", manager.get_many(&scope, &["k", "l"]).await.unwrap_err()),
        ("set", manager.set(&scope, "k", value()).await.unwrap_err()),
        ("set_if", manager.set_if(&scope, "k", value(), Condition::Absent).await.unwrap_err()),
        ("remove_request", manager.remove_request(&scope).await.unwrap_err()),
        ("begin_request", manager.begin_request(&scope, 7, "k", value()).await.unwrap_err()),
        ("list_request", manager.list_request(&scope, 7, Status::Paused).await.unwrap_err()),
        ("list_requests", manager.list_requests("f", &ListQuery::newest(1)).await.unwrap_err()),
        ("get_across", manager.get_across(std::slice::from_ref(&scope), "k").await.unwrap_err()),
        ("end_request", manager.end_request(&scope, Duration::from_secs(9)).await.unwrap_err()),
    ]
}

/// All of them are permanent and say what to do, so that a flow does not start, and a request that waits says why.
#[tokio::test]
async fn a_wrong_password_is_a_permanent_error_that_says_what_to_do() {
    let s3 = http(
        StatusCode::FORBIDDEN,
        [("content-type", "application/xml")],
        "<Error><Code>SignatureDoesNotMatch</Code><Message>the signature does not match</Message></Error>",
    );
    let s3 = S3::builder("bucket").endpoint(s3.await).credentials("key", "wrong").build().unwrap();
    let wrong_password = "WRONGPASS invalid username-password pair or user is disabled.";
    let redis_wrong = Redis::builder(redis(wrong_password).await).build().unwrap();
    let redis_without = Redis::builder(redis("NOAUTH Authentication required.").await).build().unwrap();
    let gateway =
        http(StatusCode::UNAUTHORIZED, [("x-faasflow-error-code", "FF0746")], "the token is not one of this gateway");
    let gateway = GatewayStore::builder(gateway.await, "wrong").build().unwrap();
    let table: [(&str, Arc<dyn StateManager>, &str, &str); 4] = [
        ("s3", Arc::new(s3), "access is denied", "check the secrets `s3-access-key` and `s3-secret-key`"),
        ("redis", Arc::new(redis_wrong), "access is denied", "check user and password in the secret `redis-url`"),
        ("redis", Arc::new(redis_without), "access is denied", "check user and password in the secret `redis-url`"),
        ("gateway", Arc::new(gateway), "the gateway answered 401", "the token for the store does not fit"),
    ];
    for (name, manager, cause, help) in table {
        assert_eq!(manager.name(), name);
        for (operation, error) in errors(&*manager).await {
            let case = format!("{name}, {operation}: {:?}: {error}", error.code());
            assert!(!error.is_temporary() && error.code().as_str() == "FF0502", "{case}");
            assert!(error.to_string().contains(cause), "{case}");
            assert!(error.help().is_some_and(|text| text.starts_with(help)), "{case}: {:?}", error.help());
        }
    }
}
