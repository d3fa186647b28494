//! The examples in the reference of errors (`docs/reference/errors.md`) are what the command line prints today.

use std::io;
use std::path::Path;

use faasflow_core::code::Code;

use crate::error::Failure;

#[path = "../../core/tests/support/errors_page.rs"]
mod errors_page;

/// The only problem of a failure, as it is printed.
fn printed(failure: Failure) -> (Code, String) {
    match failure {
        Failure::Problems { problems, .. } if problems.len() == 1 => (problems[0].code(), problems[0].to_string()),
        other => panic!("{other:?} is not one problem"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn examples_about_the_command_line_are_real() {
    let denied = io::Error::from_raw_os_error(13);
    let occupied = faasflow_gateway::GatewayError::Listen {
        address: "127.0.0.1:8080".parse().unwrap(),
        source: io::ErrorKind::AddrInUse.into(),
    };
    errors_page::compare([
        printed(crate::signing_key::keys("@secret.txt").unwrap_err()),
        printed(crate::new::not_written(Path::new("stack.yml"), &denied)),
        printed(io::Error::from_raw_os_error(28).into()),
        printed(occupied.into()),
    ]);
}
