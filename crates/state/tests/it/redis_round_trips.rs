//! How often the state manager for Redis asks the server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{Condition, ListQuery, Scope, StateManager as _, Status};
use faasflow_state::Redis;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A server that gives the same answer to every script.
#[derive(Clone, Default)]
struct Server {
    answer: Arc<Mutex<&'static str>>,
    /// The names of the commands that were asked.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(connection));
            }
        });
        url
    }

    async fn serve(self, connection: TcpStream) {
        let mut connection = BufReader::new(connection);
        while let Some(name) = command(&mut connection).await {
            let answer = if name == "EVAL" { *self.answer.lock().unwrap() } else { "+OK\r\n" };
            // The client introduces itself when it connects.
            if name != "CLIENT" {
                self.asked.lock().unwrap().push(name);
            }
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

/// Reads a command, and returns its name. `None` if the connection is closed.
async fn command(connection: &mut BufReader<TcpStream>) -> Option<String> {
    let count = number(connection, '*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(connection, '$').await? + 2];
        connection.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim().to_owned());
    }
    words.into_iter().next()
}

async fn number(connection: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
    let mut line = String::new();
    connection.read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(mark)?.parse().ok()
}

#[tokio::test]
async fn each_operation_on_records_asks_once() {
    let server = Server::default();
    let redis = Redis::builder(server.listen().await).build().unwrap();
    let scope = Scope { flow: "f".into(), request: "r".into() };
    let value = || Bytes::from_static(b"x");
    let keep_for = Duration::from_secs(9);
    let answer = |answer| *server.answer.lock().unwrap() = answer;
    let expect = |what: &str| {
        assert_eq!(std::mem::take(&mut *server.asked.lock().unwrap()), ["EVAL"], "{what}");
    };

    answer("*2\r\n$1\r\n1\r\n$-1\r\n");
    let written = redis.set_if(&scope, "k", value(), Condition::Absent).await.unwrap();
    assert_eq!(written.unwrap().as_str(), "1");
    expect("a value that is created");
    answer("$-1\r\n");
    assert_eq!(redis.set_if(&scope, "k", value(), Condition::Absent).await.unwrap(), None);
    expect("a value that exists");
    for (number, begins) in [(":1\r\n", true), (":0\r\n", false)] {
        answer(number);
        assert_eq!(redis.begin_request(&scope, 7, "k", value()).await.unwrap(), begins);
        expect("a request that begins");
    }
    answer("$-1\r\n");
    redis.list_request(&scope, 7, Status::Paused).await.unwrap();
    expect("a status that changes");
    redis.retire_request(&scope, 7, Status::Success, keep_for, keep_for).await.unwrap();
    expect("a request that ends");
    answer("*5\r\n$0\r\n\r\n$0\r\n\r\n$1\r\nr\r\n$1\r\n7\r\n$7\r\nsuccess\r\n");
    let lines = redis.list_requests("f", &ListQuery::newest(2)).await.unwrap();
    assert_eq!((lines.len(), lines[0].status), (1, Status::Success));
    expect("a list");
    answer(":3\r\n");
    assert_eq!(redis.remove_expired("f", 10).await.unwrap(), 3);
    expect("the removal of what has expired");
}
