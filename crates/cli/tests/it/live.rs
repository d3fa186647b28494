//! Commands against a gateway that runs.

use std::io::{BufRead as _, BufReader};
use std::process::Output;

use crate::support::{Recorder, Up, faasflow, repository, run, stack, until, url};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command that succeeds writes to standard output.
fn done(output: &Output) -> &[u8] {
    assert!(output.status.success(), "{output:?}");
    &output.stdout
}

/// The queue stays intact: the next start delivers the call that was cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_stops_at_once() {
    let folder = stack("slow:\n  fprocess: sh -c 'echo begun >&2; sleep 100'\n");
    let state = folder.path().join("state");
    let up = Up::start(folder.path(), &state);
    done(&up.run(&["invoke", "--async", "slow"], b""));
    until("it is called", async || up.printed().iter().any(|line| line.contains("begun")).then_some(())).await;
    let (code, printed) = up.stop_at_once("Press Ctrl-C again to stop at once");
    // The first Ctrl-C gives requests in flight ten seconds, and then ends with 0.
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("start the gateway again to deliver the queued calls"), "{printed}");
    let up = Up::start(folder.path(), &state);
    until("it is called again", async || up.printed().iter().any(|line| line.contains("begun")).then_some(())).await;
    up.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_stops_the_demo_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let slow = format!("upload-pipeline:\n  fprocess: sh -c 'touch {}; sleep 100'\n", begun.display());
    let example = stack(&slow);
    std::fs::create_dir(example.path().join("photos")).unwrap();
    std::fs::write(example.path().join("photos/portrait.jpg"), "not read by this function").unwrap();
    let mut command = faasflow();
    command.arg("demo").arg("--example").arg(example.path()).arg("--output").arg(folder.path().join("output"));
    command.args(["--port", "0"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut demo = command.spawn().unwrap();
    until("it calls the function", async || begun.exists().then_some(())).await;
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    crate::support::signal("-INT", demo.id());
    assert!(lines.any(|line| line.contains("Press Ctrl-C again to stop at once")));
    crate::support::signal("-INT", demo.id());
    let printed: Vec<String> = lines.collect();
    assert_eq!(demo.wait().unwrap().code(), Some(1), "{printed:?}");
    assert!(printed.iter().any(|line| line.contains("the demo was stopped at once")), "{printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_print_the_answer() {
    let folder = stack("cat:\n  fprocess: cat\nenv:\n  fprocess: env\nfails:\n  fprocess: sh -c 'exit 3'\n");
    let up = Up::start(folder.path(), &folder.path().join("state"));

    let bytes: Vec<u8> = (0..1_000_000u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let output = up.run(&["invoke", "cat"], &bytes);
    assert!(done(&output) == bytes && output.stderr.is_empty(), "the exact bytes, and nothing on standard error");
    assert_eq!(done(&up.run(&["invoke", "cat"], b"")), b"");

    let arguments = [
        "invoke",
        "env",
        "--query",
        "a=1 2",
        "--query",
        "a=&",
        "--header",
        "X-Own=it = that",
        "-H",
        "X-Curl: yes",
        "--content-type",
        "text/x",
        "--method",
        "PUT",
        "--sign",
        "X-Hub-Signature",
        "--key",
        "key",
    ];
    let output = up.run(&arguments, b"The quick brown fox jumps over the lazy dog");
    for line in [
        "Http_Query=a=1+2&a=%26",
        "Http_X_Own=it = that",
        "Http_X_Curl=yes",
        "Http_Content_Type=text/x",
        "Http_Method=PUT",
        // The well-known example of HMAC-SHA256.
        "Http_X_Hub_Signature=sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
    ] {
        assert!(text(done(&output)).lines().any(|found| found == line), "{line}\n{}", text(&output.stdout));
    }
    // A key from a file, which may end with a line break.
    let key = folder.path().join("key");
    std::fs::write(&key, "key\n").unwrap();
    let key = format!("@{}", key.display());
    let output =
        up.run(&["invoke", "env", "--sign", "X-Sum", "--key", &key], b"The quick brown fox jumps over the lazy dog");
    assert!(text(done(&output)).contains("Http_X_Sum=sha256=f7bc83f4"), "{}", text(&output.stdout));

    let output = up.run(&["invoke", "fails"], b"");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let printed = text(&output.stderr);
    let hint = printed.strip_prefix(
        "error[FF0909]: the function `fails` answered 500 Internal Server Error\n  cause: exit status 3\n  help: see what functions \
         logged with `faasflow logs ",
    );
    assert!(hint.is_some_and(|hint| hint.ends_with("`\n")), "{printed}");
    let output = up.run(&["invoke", "absent"], b"");
    assert_eq!(output.status.code(), Some(1));
    let says = format!("error[FF0712]: the function `absent` is not deployed at {}\n  cause: ", up.url);
    let printed = text(&output.stderr);
    assert!(printed.starts_with(&says) && printed.contains(": cat, env, fails\n  help: check the name"), "{printed}");
    let printed = up.printed().join("\n");
    assert!(!printed.contains('\u{1b}'), "no colours when standard error is not a terminal: {printed:?}");
    assert_eq!(up.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_dead_letters_are_listed_redriven_and_discarded() {
    let recorder = Recorder::listen().await;
    let folder = stack(&(url("f", recorder.address) + "bad:\n  fprocess: sh -c 'test -e mended && cat'\n"));
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let output = up.run(&["invoke", "f", "--async"], b"waits");
    let id = text(done(&output)).trim_end().to_owned();
    assert_eq!(id.len(), 36, "a UUID, on a line of its own: {id}");
    assert!(text(&output.stderr).starts_with("The call is queued; the line above is its ID."));
    until("it is called", async || (recorder.arrived("/f") == 1).then_some(())).await;
    let output = up.run(&["queue", "list"], b"");
    let listed: Vec<_> = text(done(&output)).lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(listed[0], ["ID", "FUNCTION", "STATE", "ATTEMPT", "BYTES", "CALL", "ID"]);
    assert_eq!(listed[1][1..], ["f", "in", "flight", "1", "5", &id]);
    assert_eq!(text(&output.stderr), "1 in the queue, 1 in flight, 0 dead letters\n");
    recorder.allow(1);

    for number in 0..5 {
        let output = up.run(&["invoke", "bad", "--async", "--header", &format!("x-call-id={number}")], b"body");
        assert_eq!(text(done(&output)), format!("{number}\n"));
    }
    let letters = async |count: usize| {
        until("dead letters", async || {
            let output = up.run(&["queue", "dead-letters"], b"");
            let lines: Vec<String> = text(done(&output)).lines().map(str::to_owned).collect();
            (lines.len() == count + 1 || lines.len() + count == 0).then_some(lines)
        })
        .await
    };
    let lines = letters(5).await;
    let reason = "it answered 500 Internal Server Error: exit status 1";
    assert!(lines[0].starts_with("ID") && lines[1].ends_with(reason), "{lines:?}");
    let number = lines[1].split_whitespace().next().unwrap().to_owned();
    let whole = up.run(&["queue", "dead-letters", &number], b"");
    let whole: serde_json::Value = serde_json::from_slice(done(&whole)).unwrap();
    assert_eq!((whole["body"].as_str(), whole["answer_body"].as_str()), (Some("body"), Some("exit status 1\n")));
    let absent = up.run(&["queue", "dead-letters", "9999"], b"");
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent.stderr).contains("error[FF0923]: there is no dead letter 9999"), "{absent:?}");

    let output = up.run(&["queue", "discard", &number], b"");
    assert_eq!(text(done(&output)), "Discarded 1 dead letter\n");
    let again = up.run(&["queue", "redrive", &number], b"");
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(1), ""));
    assert!(text(&again.stderr).contains(&format!("there is no dead letter {number}")), "{again:?}");
    std::fs::write(folder.path().join("mended"), "").unwrap();
    let begun = std::time::Instant::now();
    let output = up.run(&["queue", "redrive", "--all", "--rate", "10"], b"");
    assert_eq!(text(done(&output)), "Put 4 dead letters back into the queue\n");
    until("it is empty", async || {
        let output = up.run(&["queue", "list"], b"");
        (text(&output.stderr) == "0 in the queue, 0 in flight, 0 dead letters\n").then_some(())
    })
    .await;
    assert!(begun.elapsed().as_millis() >= 300, "the fourth is due 300 ms after the first");
    assert!(letters(0).await.is_empty(), "an empty list prints nothing");
    assert_eq!(up.stop(), Some(0));
}

/// A flow answers 500 with JSON; the gateway's own reason has only the status.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_dead_letters_shows_why_a_flow_failed() {
    let app = axum::Router::new().fallback(|| async {
        (http::StatusCode::INTERNAL_SERVER_ERROR, r#"{"request_id":"a-1","phase":1,"reason":"no price for `x`"}"#)
    });
    let (address, _serving) = crate::support::listen(app).await;
    let folder = stack(&url("flow", address));
    let up = Up::start(folder.path(), &folder.path().join("state"));
    done(&up.run(&["invoke", "flow", "--async"], b"body"));
    let line = until("a dead letter", async || {
        let output = up.run(&["queue", "dead-letters"], b"");
        text(done(&output)).lines().nth(1).map(str::to_owned)
    })
    .await;
    assert!(line.ends_with("it answered 500 Internal Server Error: no price for `x`"), "{line}");
    assert_eq!(up.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_request_are_printed() {
    let folder = stack("talk:\n  fprocess: sh -c 'cat >&2'\nfails:\n  fprocess: sh -c 'echo why >&2; exit 1'\n");
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let invoke = |function: &str, id: &str, input: &str| {
        up.run(&["invoke", function, "--header", &format!("X-Faasflow-Request-Id={id}")], input.as_bytes())
    };
    invoke("talk", "a-1", "one\n");
    let failed = invoke("fails", "a-1", "");
    assert!(
        text(&failed.stderr).ends_with("\n  help: see what functions logged with `faasflow logs a-1`\n"),
        "{failed:?}"
    );
    invoke("talk", "a-10", "ten\n");
    let output = up.run(&["logs", "a-1"], b"");
    assert_eq!(
        (text(done(&output)), text(&output.stderr)),
        ("talk | one\nfails | why\nfails | gateway: exit status 1\n", "")
    );
    assert_eq!(text(done(&up.run(&["logs", "a-1", "--tail", "1"], b""))), "fails | gateway: exit status 1\n");
    let output = up.run(&["logs", "a-1", "--timestamps"], b"");
    let line = text(done(&output)).lines().next().unwrap().to_owned();
    assert!(line.starts_with("20") && line.ends_with("Z talk | one"), "{line}");
    let json = up.run(&["logs", "a-1", "--json"], b"");
    let line: serde_json::Value = serde_json::from_str(text(done(&json)).lines().next().unwrap()).unwrap();
    assert_eq!((&line["text"], &line["request_id"]), (&"one".into(), &"a-1".into()));
    assert_eq!(text(done(&up.run(&["logs", "--function", "talk"], b""))), "talk | one\ntalk | ten\n");

    let absent = up.run(&["logs", "a-2"], b"");
    assert_eq!((absent.status.code(), text(&absent.stdout)), (Some(1), ""));
    let says = format!(
        "error[FF0922]: the gateway at {} has no log lines of the request `a-2`\n  cause: the ID is wrong, no function logged \
         anything, or the lines are too old: the gateway keeps the last 4 MiB of each function's output since its own \
         start\n  help: check the ID: it is the header X-Faasflow-Request-Id of the answer\n",
        up.url
    );
    assert_eq!(text(&absent.stderr), says);
    let absent = up.run(&["logs", "--function", "absent"], b"");
    assert_eq!(absent.status.code(), Some(1));
    let says = format!("error[FF0712]: the function `absent` is not deployed at {}\n  help: check the name", up.url);
    assert!(text(&absent.stderr).starts_with(&says), "{absent:?}");

    let mut command = faasflow();
    command.args(["logs", "a-1", "--follow", "--gateway", &up.url]).stdout(std::process::Stdio::piped());
    let mut following = command.spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    for line in ["talk | one", "fails | why", "fails | gateway: exit status 1"] {
        assert_eq!(lines.next().unwrap(), line);
    }
    invoke("talk", "a-1", "two\n");
    assert_eq!(lines.next().unwrap(), "talk | two");
    crate::support::signal("-TERM", following.id());
    following.wait().unwrap();

    for _ in 0..5 {
        invoke("talk", "much", &(("x".repeat(1000) + "\n").repeat(1000)));
    }
    let output = up.run(&["logs", "a-1"], b"");
    assert_eq!(text(done(&output)), "fails | why\nfails | gateway: exit status 1\n");
    let says = "Older lines of talk are missing: the gateway keeps the last 4 MiB of each function's output since its own \
                start.\n";
    assert_eq!(text(&output.stderr), says);
    assert_eq!(up.stop(), Some(0));
}

/// Neither `faasflow logs` nor `faasflow up` prints control characters.
#[tokio::test(flavor = "multi_thread")]
async fn control_characters_of_functions_are_escaped() {
    let folder = stack("talk:\n  fprocess: sh -c 'cat >&2'\n");
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let line = "\u{1b}]0;title\u{7}a\tb\rother | c\u{202e}d";
    up.run(&["invoke", "talk", "--header", "X-Faasflow-Request-Id=a-1"], format!("{line}\n").as_bytes());
    let shown = "talk | \\u{1b}]0;title\\u{7}a\tb\\rother | c\\u{202e}d";
    assert_eq!(text(done(&up.run(&["logs", "a-1"], b""))), format!("{shown}\n"));
    let json = up.run(&["logs", "a-1", "--json"], b"");
    let printed_line: serde_json::Value = serde_json::from_slice(done(&json)).unwrap();
    assert_eq!(printed_line["text"], line, "JSON is printed as the gateway sends it");
    until("the line", async || up.printed().iter().any(|printed| printed == shown).then_some(())).await;
    assert_eq!(up.stop(), Some(0));
}

/// OpenFaaS's gateways require the name of a function, and refuse requests without one in different ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_find_lines_by_request_is_named() {
    let line = r#"{"name":"f","text":"of another request"}"#;
    for (status, body) in [
        (500, "unknown log request error (422)\n".to_owned()),
        (501, String::new()),
        (200, String::new()),
        (200, format!("{line}\n")),
    ] {
        let status = http::StatusCode::from_u16(status).unwrap();
        let app = axum::Router::new().fallback(move || {
            let body = body.clone();
            async move { (status, body) }
        });
        let (address, _serving) = crate::support::listen(app).await;
        let mut command = faasflow();
        command.args(["logs", "a-1", "--gateway", &format!("http://{address}")]);
        let output = run(command, b"");
        let printed = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{printed}");
        let says = format!("error[FF0922]: the gateway at http://{address} cannot find log lines by request");
        assert!(printed.starts_with(&says) && printed.contains("`faasflow logs --function NAME`"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_at_the_gateway_is_drawn_like_its_project() {
    let folder = stack(&crate::support::makeuserid());
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let output = up.run(&["graph", "makeuserid"], b"");
    let drawn = text(done(&output)).to_owned();
    assert!(drawn.starts_with("makeuserid\n├─ phase 1\n"), "{drawn}");
    assert!(drawn.contains("└─ phase 3\n   └─ 5. format-xml\n"), "{drawn}");
    let json = up.run(&["graph", "makeuserid", "--format", "json"], b"");
    let mut command = faasflow();
    command.args(["graph", "-"]);
    assert_eq!(text(done(&run(command, done(&json)))), drawn, "the description may be handed on");
    let mut command = faasflow();
    command.arg("graph").arg(repository("examples/makeuserid/flow"));
    let project = run(command, b"");
    let drawing = |drawn: &str| {
        let (_name, rest) = drawn.split_once('\n').unwrap();
        let (drawing, state) = rest.split_once("state: ").unwrap();
        let (manager, fingerprint) = state.split_once(',').unwrap();
        ([drawing, fingerprint].concat(), manager.to_owned())
    };
    let (project, deployed) = (drawing(text(done(&project))), drawing(&drawn));
    assert_eq!(project.0, deployed.0, "the deployment sets only the name and the state manager");
    assert_eq!([project.1, deployed.1], ["envelope", "gateway"]);
    assert_eq!(up.stop(), Some(0));
}

/// `faasflow config | head`: a closed pipe is neither an error nor a panic.
#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/upload-pipeline");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_faasflow"))
        .args(["config", examples])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
