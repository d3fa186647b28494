//! What the program says before it serves: its definition, or why it cannot start and what to do.

use crate::child::Program;
use crate::tests;

tests![
    describe_prints_the_definition_as_json_and_exits_0,
    describe_needs_nothing_of_the_environment,
    describe_shows_no_secret_of_a_url,
    health_succeeds_if_the_flow_serves_under_the_same_settings,
    health_reports_the_cause_and_exits_1,
    flow_port_takes_precedence_over_port,
    flow_metrics_port_takes_precedence_over_metrics_port,
    a_flow_serves_although_the_port_for_metrics_is_taken,
    a_flow_gets_its_port_even_if_it_is_that_of_metrics,
    an_unknown_argument_is_refused_with_the_known_ones,
    a_flow_that_cannot_be_built_does_not_start,
    every_unusable_setting_is_named_with_its_value_and_what_is_accepted,
    a_flow_without_a_name_is_told_how_to_set_one,
    defect_04_there_is_no_default_key_and_the_error_says_how_to_create_one,
    i6_an_unreadable_key_has_the_common_reason,
    a_secret_without_a_key_in_it_is_refused,
    defect_05_verifying_requests_without_signing_is_refused,
    defect_18_intermediate_storage_without_a_place_for_it_is_refused,
    a_flow_of_one_phase_starts_without_a_key_and_says_so_when_signing_is_off,
    an_absent_trace_server_fails_no_request_and_delays_no_stop,
    a_wrong_setting_for_traces_is_named,
    opentelemetrys_own_switches_are_obeyed,
    the_address_of_the_trace_server_selects_the_protocol,
    a_port_that_is_taken_is_named,
    a_log_filter_that_cannot_be_read_is_named,
];

fn describe_prints_the_definition_as_json_and_exits_0() {
    let ended = Program::new("two-phases").with("port", "nonsense").argument("describe").run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let description: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(description["name"], "two-phases", "whatever is wrong with other settings");
    assert_eq!(description["phases"][0]["steps"][0]["function"], "facedetect");
    assert_eq!(description["phases"][1]["steps"][0]["number"], 3);
}

fn describe_needs_nothing_of_the_environment() {
    let ended = Program::new("hello").without("workflow_name").argument("describe").run();
    assert_eq!(ended.code, Some(0));
    let description: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&description["name"], &description["state"]), (&"".into(), &"envelope".into()));
}

fn describe_shows_no_secret_of_a_url() {
    let ended = Program::new("callback").argument("describe").run();
    assert!(ended.stdout.contains("http://example.com/x") && !ended.stdout.contains("secret"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\"state\": \"memory\""), "{}", ended.stdout);
}

fn health_succeeds_if_the_flow_serves_under_the_same_settings() {
    let mut serving = Program::new("hello").start();
    let port = serving.address.rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "0.0.0.0", "localhost"] {
        let asking = Program::new("hello").without("workflow_name").with("host", host).with("port", &port);
        let ended = asking.argument("health").run();
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""), "{host}");
    }
    // As in an image with the watchdog.
    let asking = Program::new("hello").with("port", "1").with("flow_port", &port);
    assert_eq!(asking.argument("health").run().code, Some(0));
    assert_eq!(serving.stop(), [""; 0], "it is no request to the flow");
}

fn health_reports_the_cause_and_exits_1() {
    // It is bound, so that nobody else takes it, and nobody listens.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = nobody.local_addr().unwrap().port().to_string();
    let printed = refused(&Program::new("hello").with("port", &port).argument("health"));
    let expected =
        format!("error[FF0226]: the flow function at 127.0.0.1:{port} is not healthy\n  cause: Connection refused");
    assert!(printed.contains(&expected), "{printed}");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let (mut stream, _) = other.accept().unwrap();
        let mut request = BufReader::new(&stream).lines().map_while(Result::ok);
        assert_eq!(request.next().as_deref(), Some("GET /_/health HTTP/1.1"));
        assert!(request.any(|line| line.is_empty()));
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let printed = refused(&Program::new("hello").with("port", &port).argument("health"));
    answering.join().unwrap();
    let expected = "is not healthy\n  cause: it answered `HTTP/1.1 503 Service Unavailable`\n";
    assert!(printed.contains(expected), "{printed}");
    let printed = refused(&Program::new("hello").with("port", "http").argument("health"));
    assert!(printed.contains("error[FF0208]: `port` is `http`, which is not a port"), "{printed}");
}

fn flow_port_takes_precedence_over_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let serving = Program::new("hello").with("port", port).with("flow_port", "0").start();
    assert_eq!(serving.request("POST /", "you").1, "Hello, you!");
}

fn flow_metrics_port_takes_precedence_over_metrics_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let program = Program::new("hello").with("metrics_port", port).with("flow_metrics_port", "0");
    // As in an image with the watchdog, where the flow itself is not to be reached from outside.
    let serving = program.with("metrics_host", "0.0.0.0").start();
    assert!(serving.metrics.as_ref().unwrap().starts_with("0.0.0.0:"), "{:?}", serving.lines());
    assert!(serving.metrics("GET /metrics").0.starts_with("HTTP/1.1 200 OK"));
}

fn a_flow_serves_although_the_port_for_metrics_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for setting in ["metrics_port", "flow_metrics_port"] {
        let serving = Program::new("hello").with(setting, address.port().to_string()).start();
        assert_eq!(serving.request("POST /", "you").1, "Hello, you!");
        let expected =
            format!("WARN The flow serves without metrics: cannot listen on {address}: Address already in use");
        let printed = serving.until_logged("without metrics");
        let remedy = format!("; choose another with `metrics_host` and `{setting}`, or stop what listens there");
        assert!(printed.starts_with(&expected) && printed.ends_with(&remedy), "{printed}");
        assert_eq!((serving.metrics.as_ref(), serving.lines()[0].contains("metrics")), (None, false));
    }
}

fn a_flow_gets_its_port_even_if_it_is_that_of_metrics() {
    let serving = Program::new("hello").start_silently(&["port", "metrics_port"]);
    assert_eq!(serving.request("POST /", "you").1, "Hello, you!");
    serving.until_logged("The flow serves without metrics");
}

/// Runs a program that must not start, and returns what it says.
fn refused(program: &Program) -> String {
    let ended = program.run();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    ended.stderr
}

fn an_unknown_argument_is_refused_with_the_known_ones() {
    let printed = refused(&Program::new("hello").argument("--help"));
    insta::assert_snapshot!(printed, @r"
    Error: the command line cannot be understood

    error[FF0225]: `--help` is not a command of a flow function
      help: start it without an argument to serve the flow, with `describe` to print its definition, or with `health` to check the flow that is being served

    For more about this error, run `faasflow explain FF0225`.
    ");
}

fn a_flow_that_cannot_be_built_does_not_start() {
    let printed = refused(&Program::new("empty"));
    insta::assert_snapshot!(printed, @r#"
    Error: the flow cannot be built

    error[FF0101]: the flow has no step
      help: add one with `apply`, `modify` or `callback`

    For more about this error, run `faasflow explain FF0101`.
    "#);
}

fn every_unusable_setting_is_named_with_its_value_and_what_is_accepted() {
    let program = Program::new("hello")
        .with("workflow_name", "my flow")
        .with("gateway", "ftp://gateway")
        .with("enable_hmac", "maybe")
        .with("read_timeout", "soon")
        .with("write_timeout", "0s")
        .with("default_method", "FETCH")
        .with("envelope_limit", "much")
        .with("max_body", "0")
        .with("port", "http")
        .with("metrics_port", "0x1f91")
        .with("flow_metrics_port", "65536");
    insta::assert_snapshot!(refused(&program), @r#"
    Error: the settings cannot be used

    error[FF0203]: `gateway` is `ftp://gateway`, which is not the address of a gateway
      help: write the address of the gateway, such as `gateway:8080` or `https://gateway.example.com`

    error[FF0204]: `enable_hmac` is `maybe`, which is neither `true` nor `false`
      help: write `true` or `false`

    error[FF0205]: `read_timeout` is `soon`, which is not a valid duration
      help: write a duration such as `10s`, `1m30s` or `250ms`, or a number of seconds

    error[FF0205]: `write_timeout` is `0s`, which is not a valid duration
      help: write a time above 0: with 0, every request would fail

    error[FF0209]: `default_method` is `FETCH`, which is not an HTTP method
      help: write an HTTP method such as `POST` or `PUT`

    error[FF0206]: `envelope_limit` is `much`, which is not a valid size
      help: write a size in bytes such as `256000`, or with a unit such as `64MiB` or `1MB`

    error[FF0206]: `max_body` is `0`, which is not a valid size
      help: write a size above 0: with 0, every body would be refused

    error[FF0208]: `port` is `http`, which is not a port
      help: write a port number from 0 to 65535; 0 picks a free one

    error[FF0208]: `metrics_port` is `0x1f91`, which is not a port
      help: write a port number from 0 to 65535; 0 picks a free one

    error[FF0208]: `flow_metrics_port` is `65536`, which is not a port
      help: write a port number from 0 to 65535; 0 picks a free one

    error[FF0202]: `workflow_name` is `my flow`, which is not the name of a function
      help: use only letters, digits, `-`, `_` and `.`

    For more about an error, run `faasflow explain` with its code, as in `faasflow explain FF0203`.
    "#);
}

fn a_flow_without_a_name_is_told_how_to_set_one() {
    let printed = refused(&Program::new("hello").without("workflow_name"));
    insta::assert_snapshot!(printed, @r#"
    Error: the settings cannot be used

    error[FF0201]: the flow does not know its own name
      help: set `workflow_name` to the name under which it is deployed, such as `workflow_name=my-flow`

    For more about this error, run `faasflow explain FF0201`.
    "#);
    let named = Program::new("hello").without("workflow_name").with("OPENFAAS_NAME", "by-the-platform").start();
    assert!(named.lines()[0].starts_with("Flow `by-the-platform` (1 phase) listens on "), "{:?}", named.lines());
}

fn defect_04_there_is_no_default_key_and_the_error_says_how_to_create_one() {
    let printed = refused(&Program::new("two-phases").with("secret_mount_path", "/nowhere"));
    insta::assert_snapshot!(printed, @r#"
    Error: the flow function cannot start

    error[FF0216]: signing is on, but its key cannot be read from /nowhere/faasflow-hmac-secret
      cause: there is no such file
      help: there is no default key. Create one and name the secret in stack.yml:
        openssl rand -hex 32 | faas-cli secret create faasflow-hmac-secret
        or, without a gateway: mkdir -p secrets && openssl rand -hex 32 > secrets/faasflow-hmac-secret, and set secret_mount_path=secrets.
        (Setting enable_hmac=false lets anyone who reaches the flow forge its envelopes.)

    For more about this error, run `faasflow explain FF0216`.
    "#);
    // A flow of one phase needs a key only to verify requests.
    let printed = refused(&Program::new("hello").with("secret_mount_path", "/nowhere").with("verify_request", "true"));
    assert!(printed.contains("there is no default key"), "{printed}");
}

fn i6_an_unreadable_key_has_the_common_reason() {
    let secrets = tempfile::tempdir().unwrap();
    let path = secrets.path().join("faasflow-hmac-secret");
    std::fs::create_dir(&path).unwrap();
    let mounted = secrets.path().to_str().unwrap();
    let printed = refused(&Program::new("two-phases").with("secret_mount_path", mounted));
    let expected = format!(
        "error[FF0216]: signing is on, but its key cannot be read from {}\n  cause: it is a folder, and a file was expected\n  help: check the path\n\n",
        path.display()
    );
    assert!(printed.contains(&expected), "to create a key is no advice where there is one: {printed}");
    let printed = refused(&Program::new("hello").with("SSL_CERT_FILE", mounted));
    let expected = format!(
        "error[FF0222]: {mounted}, which `SSL_CERT_FILE` names, cannot be read\n  cause: it is a folder, and a file was expected\n"
    );
    assert!(printed.contains(&expected), "{printed}");
}

fn a_secret_without_a_key_in_it_is_refused() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("faasflow-hmac-secret"), " \n\n").unwrap();
    let path = secrets.path().to_str().unwrap();
    let printed = refused(&Program::new("two-phases").with("secret_mount_path", path));
    let expected = format!(
        "error[FF0217]: signing is on, but there is no key in {path}/faasflow-hmac-secret\n  help: write the keys into it, one per line\n"
    );
    assert!(printed.contains(&expected), "{printed}");
}

fn defect_05_verifying_requests_without_signing_is_refused() {
    let printed = refused(&Program::new("hello").with("verify_request", "true").with("enable_hmac", "false"));
    insta::assert_snapshot!(printed, @r#"
    Error: the settings cannot be used

    error[FF0215]: `verify_request` is `true` while `enable_hmac` is `false`, so nothing could be verified
      help: set `enable_hmac=true`, or leave `verify_request` out

    For more about this error, run `faasflow explain FF0215`.
    "#);
}

fn defect_18_intermediate_storage_without_a_place_for_it_is_refused() {
    let printed = refused(&Program::new("two-phases").with("intermediate_storage", "true"));
    assert!(printed.contains("intermediate_storage"), "{printed}");
}

fn a_flow_of_one_phase_starts_without_a_key_and_says_so_when_signing_is_off() {
    let off = Program::new("hello").with("secret_mount_path", "/nowhere").with("enable_hmac", "false").start();
    let expected = "; signing is off, so anyone who can reach it can forge envelopes";
    assert!(off.lines()[0].ends_with(expected), "{:?}", off.lines());
    let on = Program::new("hello").with("secret_mount_path", "/nowhere").start();
    assert_eq!(on.request("POST /", "you").1, "Hello, you!");
}

fn an_absent_trace_server_fails_no_request_and_delays_no_stop() {
    let program = Program::new("hello").with("enable_tracing", "true").with("trace_server", "127.0.0.1:1");
    let mut program = program.start();
    assert_eq!(program.request("POST /", "you").1, "Hello, you!");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    let warnings = program.all_lines().iter().filter(|line| line.starts_with("WARN Cannot export traces")).count();
    assert_eq!(warnings, 1);
}

fn a_wrong_setting_for_traces_is_named() {
    for (name, value, says) in [
        (
            "trace_server",
            "ftp://x",
            "which is not the address of a trace server\n  cause: `ftp://` is not a scheme for traces\n  help: write `",
        ),
        ("OTEL_TRACES_SAMPLER", "mostly", "which is not valid\n  help: write `"),
        ("log_format", "xml", "which is not a log format\n  help: write `"),
    ] {
        let printed = refused(&Program::new("hello").with("enable_tracing", "true").with(name, value));
        assert!(printed.contains(&format!("]: `{name}` is `{value}`, {says}")), "{printed}");
    }
    let ratio = Program::new("hello").with("enable_tracing", "true").with("OTEL_TRACES_SAMPLER", "traceidratio");
    let printed = refused(&ratio.with("OTEL_TRACES_SAMPLER_ARG", "2"));
    assert!(printed.contains("error[FF0213]: `OTEL_TRACES_SAMPLER_ARG` is `2`, which is not valid\n  help: write the fraction of requests "), "{printed}");
    let printed = refused(&Program::new("hello").with("trace_server", "user:s3cret@jaeger:4317"));
    assert!(
        printed.contains(
            "error[FF0212]: `trace_server` is not the address of a trace server\n  cause: it has a user or a password\n  help: send "
        ),
        "{printed}"
    );
    assert!(!printed.contains("s3cret"), "{printed}");
    let headers = Program::new("hello").with("enable_tracing", "true").with("OTEL_EXPORTER_OTLP_HEADERS", "s3cret");
    let printed = refused(&headers);
    assert!(
        printed.contains("error[FF0214]: `OTEL_EXPORTER_OTLP_HEADERS` cannot be read\n  help: write `"),
        "{printed}"
    );
    assert!(!printed.contains("s3cret"), "{printed}");
    // What OpenTelemetry says to all programs of a cluster is no business of a flow that does not trace.
    Program::new("hello").with("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote").start();
}

fn opentelemetrys_own_switches_are_obeyed() {
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let program = Program::new("hello").with("enable_tracing", "true").with("trace_server", "127.0.0.1:1");
        let mut program = program.with(name, value).start();
        program.request("POST /", "you");
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0));
        assert!(!program.all_lines().iter().any(|line| line.contains("Cannot export traces")), "{name}");
    }
}

fn the_address_of_the_trace_server_selects_the_protocol() {
    let program = Program::new("hello").with("enable_tracing", "true").with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let program = program.with("trace_server", "http://127.0.0.1:1").start();
    assert_eq!(program.request("POST /", "you").1, "Hello, you!");
}

fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let printed = refused(&Program::new("hello").with("port", address.port().to_string()));
    let expected =
        format!("Error: the flow function cannot start\n\nerror[FF0218]: cannot listen on {address}\n  cause: ");
    assert!(printed.starts_with(&expected), "{printed}");
    assert!(
        printed.contains("\n  help: choose another address with `host` and `port`, or stop what listens there\n"),
        "{printed}"
    );
}

fn a_log_filter_that_cannot_be_read_is_named() {
    let printed = refused(&Program::new("hello").with("RUST_LOG", "warning"));
    insta::assert_snapshot!(printed, @r"
    Error: the settings cannot be used

    error[FF0211]: `RUST_LOG` is `warning`, which is not a log filter
      cause: `warning` is not a level
      help: write one of the levels `off`, `error`, `warn`, `info`, `debug` and `trace`, or targets such as `faasflow=debug,hyper=warn`

    For more about this error, run `faasflow explain FF0211`.
    ");
}
