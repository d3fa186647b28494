//! Every spawned task is awaited at shutdown, and only a few files contain `unsafe`.

use super::Fault;
use super::source::Source;

/// The files that may spawn tasks and threads directly, and how these end.
const SPAWNS: [(&str, &str); 14] = [
    ("crates/cli/src/demo.rs", "shows progress; aborted at the end"),
    ("crates/cli/src/demo/reports.rs", "aborted when dropped"),
    ("crates/cli/src/screen.rs", "writes the output; waited for at the end, for up to a second"),
    ("crates/gateway/src/functions/process.rs", "copies a pipe, which closes with its process"),
    ("crates/gateway/src/gateway.rs", "awaited by `stop`"),
    ("crates/gateway/src/store/writer.rs", "joined by `close`"),
    ("crates/queue/src/redb/writer.rs", "joined by `close`"),
    ("crates/runtime/src/heartbeat.rs", "joined when dropped; its tasks do nothing"),
    (
        "crates/runtime/src/log/line_buffer.rs",
        "writes lines, and none after the end of `serve`, which writes what is left",
    ),
    ("crates/runtime/src/trace/exporter.rs", "sends spans; waited for at the stop, for seconds"),
    ("crates/runtime/src/serve.rs", "watches signals; ends with the process"),
    ("crates/testkit/src/", "a test's own; ends with its runtime"),
    ("crates/http/src/server.rs", "in a set that the server awaits"),
    ("crates/queue/src/queue/run.rs", "in a set that the queue awaits"),
];

/// The files that may contain `unsafe`.
const UNSAFE: [&str; 1] = ["crates/gateway/src/functions/group/"];

pub(super) fn check(source: &Source) -> Vec<Fault> {
    if source.is_beside_the_product() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for used in &source.uses {
        let spawns = ["tokio::spawn", "tokio::task::spawn", "std::thread::spawn", "std::thread::Builder::new"];
        if spawns.contains(&used.path.as_str()) && !SPAWNS.iter().any(|(place, _)| source.is_in(&[place])) {
            faults.push(Fault {
                rule: "every task is awaited",
                place: source.place(used.line),
                what: format!("`{}`: spawn it on a `TaskTracker` or `JoinSet` that is awaited at the end", used.path),
            });
        }
        if used.path == "allow(unsafe_code)" && !source.is_in(&UNSAFE) {
            faults.push(Fault {
                rule: "`unsafe` in few files",
                place: source.place(used.line),
                what: format!("move it to: {}", UNSAFE.join(", ")),
            });
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_left_alone_is_found() {
        let text = "fn f() { tokio::spawn(async {}); }";
        assert_eq!(check(&Source::parse("crates/runtime/src/step/execute.rs", text).unwrap()).len(), 1);
        assert!(check(&Source::parse("crates/testkit/src/kit.rs", text).unwrap()).is_empty());
    }

    #[test]
    fn a_task_spawned_within_a_macro_is_found() {
        let text = "async fn f() { tokio::select! { _ = a => { tokio::spawn(async {}); } } }";
        assert_eq!(check(&Source::parse("crates/runtime/src/step/execute.rs", text).unwrap()).len(), 1);
    }

    #[test]
    fn no_exception_is_stale() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (file, _) in SPAWNS.iter().filter(|(place, _)| place.ends_with(".rs")) {
            let text = std::fs::read_to_string(root.join(file)).expect(file);
            assert!(text.contains("spawn"), "{file} spawns nothing");
        }
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        let text = "#[allow(unsafe_code, reason = \"speed\")] fn f() {}";
        assert_eq!(check(&Source::parse("crates/core/src/x.rs", text).unwrap()).len(), 1);
    }
}
