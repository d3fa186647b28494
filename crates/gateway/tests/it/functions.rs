//! How functions run: commands, cargo projects, secrets, logs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::server::is_running;
use crate::support::{Fixture, folder, start, start_in, until};
use faasflow_core::Problem;
use faasflow_gateway::Event;
use http::{Method, StatusCode};

/// Problems as the command line prints them.
fn printed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_the_request_like_under_the_classic_watchdog() {
    let fixture = start("show:\n  environment:\n    OWN: value\n  fprocess: sh -c 'env; echo BODY=$(cat)'\n").await;
    let headers = [("x-some-header", "a b"), ("content-type", "text/x"), ("host", "h:1")];
    let got = fixture.send(Method::PUT, "/function/show/a%20b/c?x=1&y", &headers, "the body").await;
    assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, Some("text/x")));
    assert!(got.header("x-duration-seconds").unwrap().parse::<f64>().is_ok());
    for line in [
        "Http_X_Some_Header=a b",
        "Http_Content_Type=text/x",
        "Http_Method=PUT",
        "Http_ContentLength=8",
        "Http_Path=/a b/c",
        "Http_Query=x=1&y",
        "Http_Host=h:1",
        "OWN=value",
        "OPENFAAS_NAME=show",
        "BODY=the body",
    ] {
        assert!(got.text().lines().any(|found| found == line), "{line}\n{}", got.text());
    }
    assert!(got.text().contains("\nHttp_X_Call_Id="), "{}", got.text());
    assert!(!got.text().contains("CARGO"), "the gateway's own environment is not the function's: {}", got.text());
    let bare = fixture.post("/function/show", "").await;
    assert!(bare.text().contains("\nHttp_Path=/\n") && !bare.text().contains("Http_Query"), "{}", bare.text());
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_answers_with_what_it_writes() {
    let fixture = start(
        "cat:\n  fprocess: cat\n\
         typed:\n  fprocess: cat\n  environment:\n    content_type: text/typed\n\
         fails:\n  fprocess: sh -c 'echo lost; echo why >&2; exit 3'\n\
         killed:\n  fprocess: sh -c 'kill -9 $$$$'\n\
         both:\n  fprocess: sh -c 'echo out; echo err >&2'\n  environment:\n    combine_output: true\n\
         one:\n  fprocess: sh -c 'echo out; echo err >&2'\n\
         late:\n  fprocess: sh -c 'sleep 600 & sleep 600'\n  environment:\n    exec_timeout: 100ms\n\
         absent:\n  fprocess: /no/such/program\n\
         deaf:\n  fprocess: echo done\n",
    )
    .await;
    let bytes: Vec<u8> = (0..200_000u32).map(|byte| (byte % 256) as u8).collect();
    let got = fixture.post("/function/cat", bytes.clone()).await;
    assert!(got.body == bytes && got.header("content-type").is_none());
    let got = fixture.send(Method::POST, "/function/typed", &[("content-type", "text/x")], "").await;
    assert_eq!(got.header("content-type"), Some("text/typed"));
    let post = async |name: &str| {
        let got = fixture.post(&format!("/function/{name}"), vec![1; 100_000]).await;
        (got.status.as_u16(), got.text().to_owned())
    };
    assert_eq!(post("fails").await, (500, "exit status 3\nwhy\nlost\n".into()));
    assert_eq!(post("killed").await, (502, "signal: 9 (SIGKILL)\n".into()));
    assert_eq!(post("both").await, (200, "err\nout\n".into()));
    assert_eq!(post("one").await, (200, "out\n".into()));
    assert_eq!(post("late").await, (408, "killed: the function took longer than exec_timeout, 100ms\n".into()));
    assert_eq!(post("absent").await.0, 500);
    assert_eq!(post("deaf").await, (200, "done\n".into()), "it need not read its input");
    let logs = fixture.get("/system/logs?name=fails").await;
    assert!(logs.text().contains("\"text\":\"why\""), "{}", logs.text());
    fixture.gateway.stop().await;
}

/// A cargo project without dependencies that serves HTTP. It answers `version`, and exits on a request for `/die`.
const SERVER: &str = r#"
use std::io::{Read, Write};
fn main() {
    println!("VERSION starts");
    eprintln!("and complains");
    let port = std::env::var("port").unwrap();
    let listener = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 { return; }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            if head.contains(" /die ") { std::process::exit(7); }
            if head.contains(" /slow ") { std::thread::sleep(std::time::Duration::from_millis(300)); }
            let body = if head.contains(" /pid ") { std::process::id().to_string() } else { "VERSION".to_string() };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        });
    }
}
"#;

fn project(folder: &Path, source: &str) {
    project_in(&folder.join("server"), source);
}

fn project_in(project: &Path, source: &str) {
    std::fs::create_dir_all(project.join("src")).unwrap();
    let manifest = "[package]\nname = \"server\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    std::fs::write(project.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(project.join("src/main.rs"), source).unwrap();
}

async fn server() -> Fixture {
    let folder = folder("server:\n  handler: ./server\n");
    project(folder.path(), &SERVER.replace("VERSION", "one"));
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_built_started_restarted_and_stopped() {
    let fixture = server().await;
    assert_eq!(fixture.post("/function/server", "x").await.text(), "one");
    let logs = fixture.get("/system/logs?name=server").await.text().to_owned();
    assert!(logs.contains("one starts") && logs.contains("and complains"), "{logs}");

    let first = fixture.get("/function/server/pid").await.text().to_owned();
    let died = fixture.get("/function/server/die").await;
    assert!(died.text().starts_with("`server` died before it had answered: "), "{}", died.text());
    // Requests wait until the next process is ready.
    let second = until("it is there again", async || {
        let got = fixture.get("/function/server/pid").await;
        (got.status == StatusCode::OK).then(|| got.text().to_owned())
    })
    .await;
    assert_ne!(first, second);
    let exited = fixture.events.lock().unwrap().iter().any(|event| {
        matches!(event, Event::Exited { how, .. } if how.contains("exit status: 7") && how.contains("and complains"))
    });
    assert!(exited, "its end is told with its last lines: {:?}", fixture.events.lock().unwrap());
    assert!(is_running(&second) && !is_running(&first));
    fixture.gateway.stop().await;
    assert!(!is_running(&second), "nothing outlives the gateway");
}

/// New flows all have the same name, and cargo can be configured to build everything in one folder.
#[tokio::test(flavor = "multi_thread")]
async fn programs_with_the_same_name_are_kept_apart_in_a_shared_target_folder() {
    let folder = folder("one:\n  handler: ./one\ntwo:\n  handler: ./two\n");
    for name in ["one", "two"] {
        project_in(&folder.path().join(name), &SERVER.replace("VERSION", name));
    }
    std::fs::create_dir(folder.path().join(".cargo")).unwrap();
    std::fs::write(folder.path().join(".cargo/config.toml"), "[build]\ntarget-dir = \"shared\"\n").unwrap();
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    for name in ["one", "two"] {
        assert_eq!(fixture.post(&format!("/function/{name}"), "x").await.text(), name);
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_with_the_same_name_in_one_workspace_are_kept_apart() {
    let folder = folder("one:\n  handler: ./one\ntwo:\n  handler: ./two\n");
    std::fs::write(folder.path().join("Cargo.toml"), "[workspace]\nmembers = [\"one\", \"two\"]\n").unwrap();
    for name in ["one", "two"] {
        let project = folder.path().join(name);
        project_in(&project, &SERVER.replace("VERSION", name));
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[[bin]]\nname = \"flow\"\npath = \
             \"src/main.rs\"\n"
        );
        std::fs::write(project.join("Cargo.toml"), manifest).unwrap();
    }
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    for name in ["one", "two"] {
        assert_eq!(fixture.post(&format!("/function/{name}"), "x").await.text(), name);
    }
    fixture.gateway.stop().await;
}

/// Cargo unites the features of packages that it builds together, and compiles a crate again if its features change.
#[tokio::test(flavor = "multi_thread")]
async fn results_of_cargo_build_are_reused() {
    let folder = folder("one:\n  handler: ./one\n");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[workspace]\nmembers = [\"one\", \"tool\", \"rival\", \"shared\"]\nresolver = \"3\"\n");
    let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    write("one/Cargo.toml", &(package("one") + "[dependencies]\nshared = { path = \"../shared\" }\n"));
    write("one/src/main.rs", &SERVER.replace("VERSION", "one"));
    let with_more = "[dependencies]\nshared = { path = \"../shared\", features = [\"more\"] }\n";
    write("tool/Cargo.toml", &(package("tool") + with_more));
    write("tool/src/main.rs", "fn main() {}");
    // Its program would overwrite the function's.
    write("rival/Cargo.toml", &(package("rival") + "[[bin]]\nname = \"one\"\npath = \"src/main.rs\"\n"));
    write("rival/src/main.rs", "fn main() { std::process::exit(9) }");
    write("shared/Cargo.toml", &(package("shared") + "[features]\nmore = []\n"));
    write("shared/src/lib.rs", "");
    write("shared/build.rs", "fn main() { println!(\"cargo:rerun-if-env-changed=CARGO_PKG_NAME\"); }");
    let mut cargo = std::process::Command::new("cargo");
    // As in a shell. cargo has set the variable for this test.
    cargo.args(["build", "--bin", "tool"]).current_dir(folder.path()).env_remove("CARGO_PKG_NAME");
    assert!(cargo.status().unwrap().success());

    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    assert_eq!(fixture.post("/function/one", "x").await.text(), "one");
    let compiled: Vec<String> = fixture
        .events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            Event::Compiling { krate } => Some(krate.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(compiled, ["one v0.1.0"]);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_replaces_the_process_and_loses_no_request() {
    let fixture = Arc::new(server().await);
    let source = fixture.folder.path().join("server/src/main.rs");
    let old = fixture.get("/function/server/pid").await.text().to_owned();

    // Requests arrive all the time. Each takes longer than stopping a process.
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (fixture, done) = (fixture.clone(), done.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let got = fixture.get("/function/server/slow").await;
                    answers.push((got.status.as_u16(), got.text().to_owned()));
                }
                answers
            })
        })
        .collect();
    std::fs::write(&source, SERVER.replace("VERSION", "two")).unwrap();
    until("the new one answers", async || (fixture.get("/function/server").await.text() == "two").then_some(())).await;
    until("the old one is gone", async || (!is_running(&old)).then_some(())).await;
    done.store(true, Ordering::SeqCst);
    for caller in callers {
        for (status, text) in caller.await.unwrap() {
            assert!(status == 200 && (text == "one" || text == "two"), "{status} {text}");
        }
    }

    // A failed build is reported, and the previous process goes on.
    std::fs::write(&source, "fn main() { nonsense }").unwrap();
    let failure = until("the failure is reported", async || {
        fixture.events.lock().unwrap().iter().find_map(|event| match event {
            Event::BuildFailed { problems } => Some(printed(problems)),
            _ => None,
        })
    })
    .await;
    assert!(failure.contains("cannot find value `nonsense`"), "{failure}");
    assert_eq!(fixture.get("/function/server").await.text(), "two");
    Arc::into_inner(fixture).unwrap().gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_process_end_with_it() {
    let folder = folder("server:\n  handler: ./server\n");
    // A child that ignores SIGTERM.
    let child = r#"std::process::Command::new("sh")
        .args(["-c", "trap '' TERM; echo $$ > child.$PPID.new; mv child.$PPID.new child.$PPID; exec sleep 600"])
        .stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let port = std::env"#;
    project(folder.path(), &SERVER.replace("VERSION", "one").replace("let port = std::env", child));
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    let child = async |but: &str| {
        until("it has a child", async || {
            let pid = fixture.get("/function/server/pid").await.text().to_owned();
            let child = std::fs::read_to_string(fixture.folder.path().join(format!("child.{pid}"))).ok()?;
            (child.trim() != but).then(|| child.trim().to_owned())
        })
        .await
    };
    let first = child("").await;
    assert!(is_running(&first));
    fixture.get("/function/server/die").await;
    until("the child of the dead is gone", async || (!is_running(&first)).then_some(())).await;
    let second = child(&first).await;
    assert!(is_running(&second));
    fixture.gateway.stop().await;
    until("the child of the stopped is gone", async || (!is_running(&second)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_be_built_does_not_stop_the_others() {
    let folder = folder("server:\n  handler: ./server\nbroken:\n  handler: ./broken\nempty:\n  handler: ./empty\n");
    project(folder.path(), &SERVER.replace("VERSION", "one"));
    let path = |name: &str| folder.path().join(name);
    // One in the same workspace as the good project, and one outside it.
    std::fs::write(path("server/Cargo.toml"), "[package]\nname = \"server\"\nversion = \"0.1.0\"\n").unwrap();
    std::fs::write(path("Cargo.toml"), "[workspace]\nmembers = [\"server\", \"broken\"]\nresolver = \"2\"\n").unwrap();
    std::fs::create_dir_all(path("broken/src")).unwrap();
    std::fs::write(path("broken/Cargo.toml"), "[package]\nname = \"broken\"\nversion = \"0.1.0\"\n").unwrap();
    std::fs::write(path("broken/src/main.rs"), "fn main() { nonsense }").unwrap();
    std::fs::create_dir_all(path("empty")).unwrap();
    std::fs::write(path("empty/Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    let fixture = start_in(folder, |_| {}).await.unwrap();
    let error = fixture.gateway.ready().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "not all functions run:\n  - `broken`: it could not be built\n  - `empty`: it could not be built"
    );
    assert_eq!(fixture.get("/function/server").await.text(), "one");
    let failures = until("the failures are reported", async || {
        fixture.events.lock().unwrap().iter().find_map(|event| match event {
            Event::BuildFailed { problems } => Some(printed(problems)),
            _ => None,
        })
    })
    .await;
    assert!(failures.contains("cannot find value `nonsense`"), "{failures}");
    assert!(failures.contains("help: correct what cargo reports"), "{failures}");
    let empty = "error[FF0709]: cargo could not build `empty`\n  cause: ";
    assert!(failures.contains(empty) && failures.contains("empty is not a package\n  help: "), "{failures}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_leaves_the_program_the_same_replaces_no_process() {
    let fixture = server().await;
    let pid = fixture.get("/function/server/pid").await.text().to_owned();
    let built = async |count: usize| {
        let events = fixture.events.lock().unwrap();
        let finished = events.iter().filter(|event| matches!(event, Event::BuildFinished { .. })).count();
        (finished > count).then_some(finished)
    };
    let before = built(0).await.unwrap();
    std::fs::write(fixture.folder.path().join("server/notes.txt"), "nothing to build").unwrap();
    let mut finished = until("it is built again", async || built(before).await).await;
    // A second build, so that the order of the first was certainly carried out.
    std::fs::write(fixture.folder.path().join("server/notes.txt"), "nothing at all").unwrap();
    finished = until("and again", async || built(finished).await).await;
    assert!(finished > before);
    assert_eq!(fixture.get("/function/server/pid").await.text(), pid);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_for_signing_is_made_once_and_kept() {
    let stack = "f:\n  fprocess: cat\n  secrets: [faasflow-hmac-secret]\n";
    let fixture = start(stack).await;
    let key = fixture.folder.path().join(".faasflow/secrets/faasflow-hmac-secret");
    let first = std::fs::read_to_string(&key).unwrap();
    assert!(first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(key.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    fixture.gateway.stop().await;
    let fixture = start_in(fixture.folder, |_| {}).await.unwrap();
    assert_eq!(std::fs::read_to_string(&key).unwrap(), first);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_key_is_refused() {
    let folder = folder("f:\n  fprocess: cat\n  secrets: [faasflow-hmac-secret]\n");
    let secrets = folder.path().join(".faasflow/secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("faasflow-hmac-secret"), "").unwrap();
    let refused = start_in(folder, |_| {}).await.err().expect("an empty key is no key").to_string();
    assert!(refused.contains("faasflow-hmac-secret") && refused.contains("is empty"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_named() {
    let folder = folder("f:\n  fprocess: cat\n  secrets: [one, two]\n");
    let path = folder.path().to_owned();
    let refused = start_in(folder, |_| {}).await.err().expect("it does not start");
    let secrets = path.join(".faasflow/secrets");
    assert_eq!(refused.to_string(), "secrets are missing: `one` (for `f`), `two` (for `f`)");
    let help = format!("write each secret into a file of its name in {}", secrets.display());
    assert_eq!(refused.help(), Some(help));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_for_an_image_s_watchdog_are_ignored_by_processes() {
    let folder = folder(
        "one:\n  fprocess: sh -c 'echo $metrics_host $flow_metrics_port $flow_port.'\n  environment: {flow_metrics_port: \
         8083, metrics_host: 0.0.0.0, flow_port: 8082}\n",
    );
    let fixture = start_in(folder, |_| {}).await.unwrap();
    assert_eq!(fixture.post("/function/one", "").await.text(), ".\n");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_never_starts_is_reported_and_delays_no_other() {
    let folder = folder(
        "dying:\n  fprocess: sh -c 'exit 3'\n  environment: {mode: http}\nwell:\n  fprocess: cat\nport:\n  fprocess: sh -c \
         'echo $flow_port'\n  environment: {flow_port: 18000}\n",
    );
    let fixture = start_in(folder, |_| {}).await.unwrap();
    let fault = fixture.gateway.ready().await.unwrap_err().to_string();
    assert!(fault.contains("`dying`: it ended with exit status: 3"), "{fault}");
    assert_eq!(fixture.post("/function/well", "x").await.text(), "x");
    assert_eq!(fixture.post("/function/port", "").await.text(), "\n", "only the gateway sets the port of a function");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_an_unreadable_secret_or_key_has_the_common_reason() {
    for secret in ["faasflow-hmac-secret", "api-key"] {
        let folder = folder(&format!("f:\n  fprocess: cat\n  secrets: [{secret}]\n"));
        let secrets = folder.path().join(".faasflow/secrets");
        // Root may read a file of any mode, but cannot follow a link to itself.
        std::fs::create_dir_all(&secrets).unwrap();
        std::os::unix::fs::symlink(secrets.join(secret), secrets.join(secret)).unwrap();
        let error = faasflow_core::chain(&start_in(folder, |_| {}).await.err().unwrap());
        let begin = format!("{} cannot be read: ", secrets.join(secret).display());
        assert!(error.starts_with(&begin), "{error}");
        assert!(!error.contains("missing") && !error.contains("state-dir") && !error.contains("Create"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn y1_a_function_sees_its_variables_as_written() {
    let fixture = start(
        "show:\n  fprocess: env\n  environment:\n    A: 1.10\n    B: 012345678901\n    C: 12345e7\n    D: 0644\n    \
         E: 98765432109876543210\n    F: yes\n    G: 2020-01-02\n    H: ~\n    I: 1_000\n  labels:\n    l: 1.10\n  \
         annotations:\n    a: 0644\n",
    )
    .await;
    let shown = fixture.post("/function/show", "").await.text().to_owned();
    for line in [
        "A=1.10",
        "B=012345678901",
        "C=12345e7",
        "D=0644",
        "E=98765432109876543210",
        "F=yes",
        "G=2020-01-02",
        "H=",
        "I=1_000",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
    }
    let status = fixture.get("/system/function/show").await.json();
    assert_eq!((&status["labels"]["l"], &status["annotations"]["a"]), (&"1.10".into(), &"0644".into()));
    fixture.gateway.stop().await;
}
