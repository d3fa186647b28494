//! Tests of processes that are replaced. The programs do not listen: the test does, on the port that they were given.

use std::os::unix::fs::PermissionsExt as _;

use faasflow_admin::Deployment;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::functions::container::Containers;
use crate::functions::deployment::{Runs, spec};
use crate::functions::logs::Journal;
use crate::functions::{FunctionContext, Functions};

fn function(folder: &Path, events: &Events) -> Arc<Function> {
    let context = FunctionContext {
        gateway: String::new(),
        store: "http://127.0.0.1:8080".to_owned(),
        tokens: crate::tokens::Tokens::from(&[0; 32]),
        secrets: PathBuf::new(),
        memory: 1 << 30,
        containers: Containers::none(),
        events: events.clone(),
        journal: Journal::new(events.clone()),
        stop: CancellationToken::new(),
    };
    let deployment = Deployment {
        service: "f".to_owned(),
        env_process: Some("./first".to_owned()),
        env_vars: Some([("mode".to_owned(), "http".to_owned())].into()),
        ..Deployment::default()
    };
    let spec = spec(&deployment, folder, Runs::Here).unwrap();
    let function = Function::deployed(spec, deployment, 0, &context, None);
    Functions::default().put(&function);
    function
}

/// A program that writes its port to a file, and ends when there is a file `NAME.end`.
fn program(folder: &Path, name: &str) -> Launch {
    let path = folder.join(name);
    let script = format!(
        "#!/bin/sh\necho $port > {name}.new && mv {name}.new {name}.port\nwhile [ ! -e {name}.end ]; do sleep 0.05; done\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Launch::new(path)
}

/// The port of a program, once it has started.
async fn port(folder: &Path, name: &str) -> u16 {
    let file = folder.join(format!("{name}.port"));
    loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            return text.trim().parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn next(events: &mut UnboundedReceiver<Event>, wanted: impl Fn(&Event) -> bool) {
    let found = async { while !wanted(&events.recv().await.expect("an event")) {} };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the event should come");
}

#[tokio::test]
async fn a_process_that_ends_before_its_replacement_is_ready_gets_no_more_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (events, mut happened) = unbounded_channel();
    let function = function(folder.path(), &events);
    let (order, orders) = unbounded_channel();
    let supervisor = tokio::spawn(supervise(function.clone(), orders, CancellationToken::new(), events));
    order.send(Order::Run(program(folder.path(), "first"))).unwrap();
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port(folder.path(), "first").await)).unwrap();
    next(&mut happened, |event| matches!(event, Event::Ready { .. })).await;
    assert!(function.upstream.borrow().takes_requests());

    // The second one starts, and does not listen yet.
    order.send(Order::Run(program(folder.path(), "second"))).unwrap();
    let second = port(folder.path(), "second").await;
    drop(first);
    std::fs::write(folder.path().join("first.end"), "").unwrap();
    next(&mut happened, |event| matches!(event, Event::Exited { how, .. } if how.contains("exit status: 0"))).await;
    assert!(!function.upstream.borrow().takes_requests());
    let _second = TcpListener::bind((Ipv4Addr::LOCALHOST, second)).unwrap();
    next(&mut happened, |event| matches!(event, Event::Ready { .. })).await;
    assert!(function.upstream.borrow().takes_requests());

    std::fs::write(folder.path().join("second.end"), "").unwrap();
    function.gone.cancel();
    supervisor.await.unwrap();
}
