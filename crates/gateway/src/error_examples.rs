//! The examples in the reference of errors (`docs/reference/errors.md`) are what the gateway answers today.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::response::Response;
use faasflow_containers::{AddressError, EngineError, EngineMessage};
use faasflow_core::code::{self, Code};
use faasflow_core::headers::ERROR_CODE;
use http::StatusCode;

use crate::answer::refusal;
use crate::functions::{NoAnswer, RunError, Unavailable};
use crate::queue::{QueueError, QueueFileError};
use crate::stack::Replicas;
use crate::store::{StoreError, StoreFileError};
use crate::{BuildError, GatewayError};

#[path = "../../core/tests/support/errors_page.rs"]
pub(crate) mod errors_page;

use errors_page::{compare, example};

async fn text(answer: Response) -> (Code, String) {
    let (parts, body) = answer.into_parts();
    let code = Code::find(parts.headers[ERROR_CODE].to_str().unwrap()).unwrap();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    (code, format!("HTTP/1.1 {}\nx-faasflow-error-code: {code}\n\n{}", parts.status, body.trim_end()))
}

fn message(text: &str) -> EngineMessage {
    EngineMessage(text.to_owned())
}

#[tokio::test]
async fn examples_about_functions_that_do_not_run_are_real() {
    let socket = || "/var/run/docker.sock".to_owned();
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let no_such_program = r#"OCI runtime create failed: exec: "watchdog": executable file not found in $PATH"#;
    let killed = "it ended with status 137 because it used more memory than its limit";
    let invalid = io::Error::other("invalid HTTP version parsed");
    let errors = [
        RunError::NoEngine,
        EngineError::Denied { address: socket(), source: Arc::new(denied) }.into(),
        EngineError::Timeout { address: socket(), limit: Duration::from_secs(60) }.into(),
        EngineError::Unusable { address: "127.0.0.1:2375".to_owned(), source: Arc::new(invalid) }.into(),
        EngineError::Refused(message(no_such_program)).into(),
        EngineError::NotFound(message("No such container: 4f1d")).into(),
        AddressError::OtherMachine("tcp://10.0.0.7:2375".to_owned()).into(),
        RunError::Pull { image: "ghcr.io/ada/resize:1.2".to_owned(), source: EngineError::Refused(message("denied")) },
        RunError::NotReady { port: 8080, limit: Duration::from_secs(60) },
        RunError::ContainerEnded(killed.to_owned()),
    ];
    let full = io::Error::other("No space left on device");
    let others = [NoAnswer::Pending(Unavailable::Secrets(Arc::new(full))), NoAnswer::Broken(Unavailable::NotBuilt)];
    let pending = errors.map(|error| NoAnswer::Pending(Unavailable::Ended(error)));
    let mut shown = Vec::new();
    for none in pending.into_iter().chain(others) {
        shown.push(text(none.response("resize")).await);
    }
    let scale = Replicas { least: 1, most: 20 }.check(21).unwrap_err();
    shown.push(text(refusal(StatusCode::BAD_REQUEST, code::BAD_SCALE, format!("`resize`: {scale}"))).await);
    compare(shown);
}

#[tokio::test]
async fn answers_of_the_store() {
    let io = |number| io::Error::from_raw_os_error(number);
    let errors = [
        StoreError::TooLarge { size: Some(2 << 30), limit: 1 << 30 },
        StoreError::Full(Arc::new(io(28))),
        StoreError::Storage(Arc::new(io(5))),
        StoreError::Closed,
    ];
    let mut shown = Vec::new();
    for error in errors {
        shown.push(text(crate::disk::store_answer(&error)).await);
    }
    compare(shown);
}

#[cfg(unix)]
#[test]
fn examples_about_the_start_are_real() {
    use std::os::unix::process::ExitStatusExt as _;

    let status = std::process::ExitStatus::from_raw(1 << 8);
    let why = Unavailable::Ended(RunError::Exited(status)).describe();
    let error = GatewayError::Functions { reasons: BTreeMap::from([("resize".to_owned(), why)]) };
    let unreadable = GatewayError::Unreadable {
        path: ".faasflow/secrets/basic-auth-user".into(),
        source: io::Error::from(io::ErrorKind::PermissionDenied).into(),
    };
    let output = "error[E0425]: cannot find value `photo` in this scope".to_owned();
    let not_built =
        GatewayError::Build { what: "`resize`".to_owned(), source: BuildError::Cargo { output, help: None } };
    compare([error, unreadable, not_built].map(|error| (error.code(), error.problem().to_string())));

    let store = StoreError::Unusable { path: ".faasflow/state.redb".into(), source: StoreFileError::Damaged(None) };
    let queue = QueueError::Unusable { path: ".faasflow/queue.redb".into(), source: QueueFileError::CutShort };
    for error in [GatewayError::from(store), GatewayError::from(queue)] {
        let problem = error.problem().to_string();
        // The command line adds a line, which names one of its options.
        let shown = example(error.code());
        assert!(shown.starts_with(&format!("{problem}\n  help: ")), "{shown}\nbut it is\n{problem}");
    }
}
