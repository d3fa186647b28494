//! What the compiler says to definitions that are wrong: our words are to be among its own.
//!
//! The compiler's own words change from version to version, so they are compared on one version only, the one that CI
//! uses. To accept what a new version says: raise `PINNED`, run
//! `TRYBUILD=overwrite cargo test -p faasflow-core --test it compile_errors`, and read the difference.

/// The version whose messages are kept in `ui/*.stderr`.
const PINNED: &str = "rustc 1.95.";

#[test]
fn wrong_handlers_get_the_messages_that_were_designed() {
    let compiler = std::process::Command::new("rustc").arg("--version").output();
    let version = compiler.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if !version.starts_with(PINNED) {
        eprintln!("NOT COMPARED: the messages are those of {PINNED}x, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
