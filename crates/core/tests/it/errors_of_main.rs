//! What a `main` that returns an error prints.

use faasflow_core::state::StateError;
use faasflow_core::{Error, Flow};

fn unusable() -> StateError {
    let source = std::io::Error::other("access is denied");
    StateError::permanent("the bucket cannot be read").with_source(source).with_help("check `s3-key`")
}

#[test]
fn a_state_managers_error_has_its_code_cause_and_help() {
    let printed = format!("{:?}", Error::from(unusable()));
    let begin = "error[FF0502]: the bucket cannot be read\n  cause: access is denied\n  help: check `s3-key`";
    assert!(printed.starts_with(begin), "{printed}");
    assert!(printed.ends_with("run `faasflow explain FF0502`."), "{printed}");
}

#[test]
fn a_context_is_the_summary_of_the_report() {
    let printed = format!("{:?}", Error::from(unusable()).context("photos have nowhere to go"));
    assert!(printed.starts_with("photos have nowhere to go\n\nerror[FF0502]: the bucket cannot be read"), "{printed}");
}

#[test]
fn an_error_without_a_code_is_one_line() {
    let error = Error::from(std::io::Error::other("disk full")).context("no photo was stored");
    assert_eq!(format!("{error:?}"), "no photo was stored: disk full");
    assert_eq!(format!("{error}"), "no photo was stored");
    assert_eq!(format!("{:?}", Error::refused("not today")), "not today");
}

#[test]
fn a_definitions_faults_say_why_in_a_log_too() {
    let error = Flow::builder().callback("http://[::1").build().unwrap_err();
    let shown = error.to_string();
    let cause = std::error::Error::source(&error.faults()[0]).expect("the URL says why").to_string();
    assert!(shown.contains(&cause), "{shown}");
    assert!(format!("{:?}", Error::from(error)).contains(&format!("cause: {cause}")));
}
