//! Lists, single requests, and results.

use axum::body::Body;
use faasflow_core::signature::{Keys, api_request};
use http::Response;
use serde_json::json;

use super::{FakeGateway, Ran, answer, json as json_answer, problem, status, unknown};
use crate::support::{Up, listen, stack, url};

const UPLOAD: &str = r#"{"version":1,"requests":[{"id":"u2","status":"failure","started_ms":4000},
    {"id":"u1","status":"success","started_ms":1000}]}"#;
const REPORT: &str = r#"{"version":1,"requests":[{"id":"r1","status":"running","started_ms":3000}]}"#;

async fn lists() -> FakeGateway {
    FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["report","upload"]"#),
        _ if what.starts_with("GET /system/flows/upload/requests?") => json_answer(UPLOAD),
        _ if what.starts_with("GET /system/flows/report/requests?") => json_answer(REPORT),
        _ => unknown(),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_of_all_flows_are_listed_newest_first() {
    let gateway = lists().await;
    let ran = gateway.run(&["requests"]);
    let rows: Vec<Vec<&str>> = ran.stdout().lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    let expected = [
        ["ID", "FLOW", "STATUS"],
        ["u2", "upload", "failure"],
        ["r1", "report", "running"],
        ["u1", "upload", "success"],
    ];
    assert_eq!((ran.code(), rows), (0, expected.map(|row| row.to_vec()).to_vec()), "{ran:?}");
    assert_eq!(ran.stderr(), "3 requests. Show one with `faasflow requests show ID`.\n");

    let ran = gateway.run(&["requests", "list", "--json", "--limit", "2"]);
    let expected = json!({ "version": 1, "requests": [
        { "flow": "upload", "id": "u2", "status": "failure", "started_ms": 4000 },
        { "flow": "report", "id": "r1", "status": "running", "started_ms": 3000 },
    ]});
    assert_eq!((ran.code(), ran.json(), ran.stderr()), (0, expected, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_can_be_narrowed() {
    let gateway = lists().await;
    let ran = gateway.run(&["requests", "upload", "--status", "failure", "--since", "90m", "--limit", "7"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(gateway.sent("GET"), ["GET /system/flows/upload/requests?status=failure&since=1h30m&limit=7"]);
    let ran = gateway.run(&["requests", "--status", "failure", "show", "u1"]);
    assert_eq!((ran.code(), gateway.asked().len()), (2, 1), "{ran:?}");
}

/// A list with details says where requests are, and why.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_found_by_where_they_are_and_why() {
    let gateway = FakeGateway::listen(|what, _| match what {
        _ if what.starts_with("GET /system/flows/upload/requests?") => json_answer(
            r#"{"requests":[{"id":"a","status":"running","started_ms":3,"at":{"place":"1.6/2","path":["item-7"],"label":"a.jpg",
            "steps":["function `compress`"],"status":"retrying","reason":{"text":"it answered 503","code":"FF0405"},"more":2,
            "partial":true}},
            {"id":"b","status":"failure","started_ms":2,"reason":{"place":"2","name":"function `tag`","text":"no \u001b[31mred"}}],
            "cursor":"1~a"}"#,
        ),
        _ if what.starts_with("GET /system/queue/dead-letters?") => json_answer("[]"),
        _ => unknown(),
    })
    .await;
    let filters = ["--at", "a.jpg", "--retrying", "--idle", "10m", "--reason", "FF0405"];
    let ran = gateway.run(&[&["requests", "upload"][..], &filters].concat());
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(
        gateway.sent("GET"),
        [
            "GET /system/flows/upload/requests?at=a.jpg&retrying=true&idle=10m&reason=FF0405&details=true&limit=50",
            "GET /system/queue/dead-letters?limit=10000&function=upload"
        ]
    );
    let rows: Vec<&str> = ran.stdout().lines().collect();
    assert!(rows[0].ends_with("NOW AT, OR WHY"), "{ran:?}");
    let at = "item-7/function `compress` (a.jpg), being retried: it answered 503 (FF0405), and at least 2 more places";
    assert!(rows[1].starts_with("a ") && rows[1].ends_with(at), "{ran:?}");
    assert!(rows[2].ends_with("function `tag`: no \\u{1b}[31mred"), "{ran:?}");
    assert_eq!(ran.stderr(), "Older requests may match as well: `--all` searches all of them.\n");
}

/// The queue knows which requests it has given up, and the flows know where those are.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_found_of_which_the_queue_has_given_up_a_delivery() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["off","report","upload"]"#),
        "GET /system/queue/dead-letters?limit=10000" => json_answer(
            r#"[{"id":9,"function":"upload","request":"a","call_id":"9","died_ms":5000},
            {"id":8,"function":"upload.openfaas-fn","request":"a","call_id":"8","died_ms":4000},
            {"id":7,"function":"upload","request":"b","call_id":"7","died_ms":4000},
            {"id":6,"function":"upload","request":"c","call_id":"6","died_ms":4000},
            {"id":5,"function":"upload","request":"d","call_id":"5","died_ms":9000},
            {"id":4,"function":"upload","request":"e","call_id":"4","died_ms":9000},
            {"id":10,"function":"upload","request":"g","call_id":"10","died_ms":4000},
            {"id":14,"function":"upload","request":"h","call_id":"14","died_ms":9500,"status":409},
            {"id":11,"function":"upload","request":"h","call_id":"11","died_ms":4000},
            {"id":12,"function":"upload","request":"i","call_id":"12","died_ms":9000},
            {"id":13,"function":"upload.dev","request":"j","call_id":"13","died_ms":9000},
            {"id":3,"function":"upload","request":"f","call_id":"3","died_ms":9,"callback":true},
            {"id":2,"function":"off","request":"a","call_id":"2","died_ms":9},
            {"id":1,"function":"resize","request":"a","call_id":"1","died_ms":9}]"#,
        ),
        "GET /system/flows/upload/requests?details=true&ids=a%2Cb%2Cc%2Cd%2Ce%2Cg%2Ch%2Ci&limit=100" => json_answer(
            r#"{"requests":[{"id":"a","status":"running","started_ms":1,"moved_ms":6000,"at":{"place":"1","steps":["function `one`"],
            "status":"retrying","reason":{"text":"it answered 503"}}},
            {"id":"b","status":"running","started_ms":2,"moved_ms":9000,"at":{"place":"2","call_id":"7","steps":["function `two`"]}}],
            "cursor":"x"}"#,
        ),
        "GET /system/flows/upload/requests?details=true&ids=a%2Cb%2Cc%2Cd%2Ce%2Cg%2Ch%2Ci&limit=100&cursor=x" => json_answer(
            r#"{"requests":[{"id":"c","status":"running","started_ms":3,"moved_ms":9000},
            {"id":"d","status":"paused","started_ms":4,"moved_ms":6000},
            {"id":"e","status":"failure","started_ms":5,"moved_ms":6000},
            {"id":"h","status":"running","started_ms":6,"moved_ms":9000,"at":{"place":"3","steps":["function `three`"],
            "status":"retrying","reason":{"text":"it answered 503"}}},
            {"id":"i","status":"running","started_ms":7,"moved_ms":5000,"at":{"place":"4","call_id":"40","steps":["function `four`"],
            "status":"retrying","reason":{"text":"it answered 503"}}}]}"#,
        ),
        _ if what.contains("/off/") => answer(501, &[], r#"{"reason":"records are off"}"#),
        _ => unknown(),
    })
    .await;
    let ran = gateway.run(&["requests", "--given-up"]);
    let rows: Vec<&str> = ran.stdout().lines().skip(1).collect();
    assert_eq!((ran.code(), rows.len()), (0, 6), "{ran:?}");
    for (row, [id, says]) in rows.iter().zip([
        // Another branch is given up.
        ["i ", "  given up: dead letter 12; function `four`, being retried: it answered 503"],
        // Somebody else has sent the same id, and was refused.
        ["h ", "  dead letter 14 and 1 more; function `three`, being retried: it answered 503"],
        ["d ", "  dead letter 5"],
        ["c ", "  dead letter 6"],
        ["b ", "  given up: dead letter 7; function `two`"],
        ["a ", "  given up: dead letter 9 and 1 more; function `one`, given up: it answered 503"],
    ]) {
        assert!(row.starts_with(id) && row.ends_with(says), "{row} should end with {says}");
    }
    for says in [
        "6 requests. To let one go on, run `faasflow queue redrive ID` with its dead letter. Those without `given up` may go on by \
         themselves.\n",
        "1 other request with dead letters has not begun, because its first delivery was given up, or is no longer remembered:",
    ] {
        assert!(ran.stderr().contains(says), "{ran:?}");
    }
    let ran = gateway.run(&["requests", "--given-up", "--limit", "1", "--json"]);
    assert_eq!((ran.code(), &ran.json()["requests"][0]["dead_letters"]), (0, &json!([12])), "{ran:?}");

    // OpenFaaS does not say what its queue has given up.
    let gateway = FakeGateway::listen(|_, _| answer(404, &[], "404 page not found")).await;
    let ran = gateway.run(&["requests", "--given-up"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.stderr().contains("the dead letters of the queue cannot be listed"), "{ran:?}");
    assert_eq!(gateway.run(&["requests", "--given-up", "--search", "a"]).code(), 2);
}

/// The list is printed in any case.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_were_not_all_read_are_no_secret() {
    const LIST: &str = r#"{"requests":[{"id":"a","status":"running","started_ms":1}]}"#;
    let list = |letters: fn() -> Response<Body>| {
        FakeGateway::listen(move |what, _| match what {
            _ if what.starts_with("GET /system/flows/upload/requests?") => json_answer(LIST),
            _ if what.starts_with("GET /system/queue/dead-letters?") => letters(),
            _ => unknown(),
        })
    };
    let run = async |letters: fn() -> Response<Body>| {
        let ran = list(letters).await.run(&["requests", "upload", "--retrying"]);
        assert!(ran.stdout().lines().last().is_some_and(|row| row.starts_with("a ")), "{ran:?}");
        ran
    };
    let openfaas = run(|| answer(404, &[], "404 page not found")).await;
    assert_eq!((openfaas.code(), openfaas.stderr()), (0, "1 request. Show one with `faasflow requests show ID`.\n"));
    let failing = run(|| answer(503, &[("x-faasflow-error-code", "FF0722")], "the disk is full\n")).await;
    let says = "The list does not show dead letters, because they cannot be read.\n";
    assert!(failing.code() == 1 && failing.stderr().starts_with(says), "{failing:?}");
    let says = "error[FF0722]: the gateway answered 503 Service Unavailable\n  cause: the disk is full\n";
    assert!(failing.stderr().contains(says), "{failing:?}");
    let says = "Only the newest 10000 dead letters were read. What older ones say is left out.\n";
    let cut = run(|| json_answer(&format!("[{}]", vec!["{}"; 10_000].join(",")))).await;
    assert!(cut.code() == 0 && cut.stderr().starts_with(says), "{cut:?}");
    let whole = run(|| json_answer(&format!("[{}]", vec!["{}"; 9_999].join(",")))).await;
    assert!(whole.code() == 0 && !whole.stderr().contains("newest"), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_fetched_if_wanted() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows/upload/requests?limit=1000" => {
            json_answer(r#"{"requests":[{"id":"a","started_ms":2}],"cursor":"x/y"}"#)
        }
        "GET /system/flows/upload/requests?limit=1000&cursor=x%2Fy" => {
            json_answer(r#"{"requests":[{"id":"b","started_ms":1}]}"#)
        }
        "GET /system/flows/upload/requests?limit=1" => {
            json_answer(r#"{"requests":[{"id":"a","started_ms":2}],"cursor":"x/y"}"#)
        }
        _ => unknown(),
    })
    .await;
    let ran = gateway.run(&["requests", "upload", "--all"]);
    assert_eq!((ran.code(), ran.stdout().lines().count()), (0, 3), "{ran:?}");
    let ran = gateway.run(&["requests", "upload", "--limit", "1"]);
    assert_eq!(ran.stderr(), "There are more: `--limit N` lists more of them, and `--all` lists all.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_cannot_be_asked_does_not_hide_the_others() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["away","off","upload"]"#),
        _ if what.contains("/off/") => answer(501, &[], r#"{"reason":"records are off"}"#),
        _ if what.contains("/upload/") => json_answer(UPLOAD),
        _ => problem(503, "its store is away"),
    })
    .await;
    let ran = gateway.run(&["requests"]);
    assert_eq!((ran.code(), ran.stdout().lines().count()), (1, 3), "{ran:?}");
    assert!(ran.stderr().contains("The flow `off` does not remember its requests.\n"), "{ran:?}");
    let says = "error[FF0328]: the flow `away` cannot list its requests\n  cause: its store is away\n  help: try again later\n";
    assert!(ran.stderr().ends_with(says), "{ran:?}");
    let ran = gateway.run(&["requests", "off"]);
    let says = "error[FF0909]: the flow `off` cannot list its requests\n  cause: records are off\n  help: ";
    assert!(ran.code() == 1 && ran.stderr().starts_with(says), "{ran:?}");
}

/// Functions that may read the key of the flows are taken for flows.
#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_no_flows_are_left_out_of_what_is_asked_of_all() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["echo","notify","old","script","upload","tint"]"#),
        _ if what.contains("/echo/") => answer(200, &[], "echo"),
        _ if what.contains("/notify/") => answer(400, &[], "expected a message"),
        _ if what.contains("/old/") => answer(404, &[("x-faasflow-error-code", "FF0737")], "`old` is not a flow\n"),
        _ if what.contains("/script/") => answer(500, &[], "exit status 1"),
        _ if what.contains("/tint/") => {
            answer(501, &[("x-faasflow-error-code", "FF0420")], r#"{"reason":"it remembers none","code":"FF0420"}"#)
        }
        "POST /system/flows/upload/recover" => json_answer(r#"{"version":1,"looked_at":3}"#),
        _ => json_answer(r#"{"version":1,"requests":[{"id":"a","status":"running","started_ms":1000}]}"#),
    })
    .await;
    let left_out = |name| {
        format!(
            "The function `{name}` is left out: it does not answer about requests, so it is no flow, or an old one.\n"
        )
    };
    let left_out = ["echo", "notify", "old", "script"].map(left_out).concat();
    let remembers_none = "The flow `tint` does not remember its requests.\n";
    let ran = gateway.run(&["requests"]);
    let says = format!("{left_out}{remembers_none}1 request. Show one with `faasflow requests show ID`.\n");
    assert_eq!((ran.code(), ran.stdout().lines().count(), ran.stderr()), (0, 2, says.as_str()), "{ran:?}");
    let ran = gateway.run(&["requests", "recover"]);
    let printed = "upload: looked at 3 requests; 0 made to go on, 0 expired and removed\n";
    assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (0, printed, (left_out + remembers_none).as_str()), "{ran:?}");
    let ran = gateway.run(&["requests", "notify"]);
    let says = "error[FF0737]: the function `notify` does not answer about requests\n  cause: expected a message\n";
    assert!(ran.code() == 1 && ran.stderr().starts_with(says), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_among_the_flows_and_drawn() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["report","upload"]"#),
        "GET /system/flows/upload/requests/a" => json_answer(&status("a", "failure")),
        _ => unknown(),
    })
    .await;
    let ran = gateway.run(&["requests", "show", "a"]);
    assert_eq!((ran.code(), ran.stderr()), (0, ""));
    let lines: Vec<&str> = ran.stdout().lines().collect();
    assert_eq!((lines[0], lines[1]), ("a of upload: failure after 2.0s", ""));
    assert!(lines[3].starts_with("1      facedetect  done       █") && lines[3].ends_with("1.0s"), "{ran:?}");
    assert_eq!(lines[5], "       delivered 2 times: it answered 500 (FF0310)");
    assert!(lines.iter().all(|line| line.chars().count() <= 80) && !ran.stdout().contains('\u{1b}'), "{ran:?}");

    let ran = gateway.run(&["requests", "show", "a", "--json"]);
    assert_eq!((ran.json()["status"].as_str(), ran.json()["later"].as_bool()), (Some("failure"), Some(true)));

    let ran = gateway.run(&["requests", "show", "b"]);
    let says = "error[FF0927]: no flow knows the request `b`\n  help: check the ID: it is the header X-Faasflow-Request-Id of the answer\n";
    assert_eq!((ran.code(), ran.stderr()), (1, says));
    let ran = gateway.run(&["requests", "show", "b", "--flow", "upload"]);
    let says = "error[FF0328]: the flow `upload` cannot show the request `b`\n  cause: there is no request of this id\n  help: check the ID: `faasflow requests` lists the requests\n";
    assert_eq!((ran.code(), ran.stderr()), (1, says));
}

/// A flow passes the id of its request to the flows that it calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_two_flows_know_needs_the_name_of_one() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["report","upload"]"#),
        _ => json_answer(&status("a", "success")),
    })
    .await;
    let ran = gateway.run(&["requests", "show", "a"]);
    let says = "error[FF0927]: several flows know the request `a`: `report`, `upload`\n  help: name one of them with `--flow`\n";
    assert_eq!((ran.code(), ran.stderr()), (4, says));
    assert_eq!(gateway.run(&["requests", "show", "a", "--flow", "upload"]).code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_has_a_request_counts_more_than_one_that_has_forgotten_it() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["report","upload","tint"]"#),
        "GET /system/flows/upload/requests/a" => json_answer(&status("a", "failure")),
        _ if what.contains("/report/") => problem(410, "its record has expired"),
        _ => unknown(),
    })
    .await;
    assert_eq!(gateway.run(&["requests", "show", "a"]).code(), 0);
    let ran = gateway.run(&["requests", "show", "b"]);
    assert!(ran.code() == 1 && ran.stderr().contains("cause: its record has expired\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_that_cannot_know_a_request_are_no_cause_and_those_that_are_away_are_one() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["echo","off","report","upload"]"#),
        _ if what.contains("/echo/") => answer(200, &[], "echo"),
        _ if what.contains("/off/") => answer(501, &[], r#"{"reason":"records are off"}"#),
        _ if what.ends_with("/report/requests/b") => problem(503, "its store is away"),
        _ => unknown(),
    })
    .await;
    let help = "  help: check the ID: it is the header X-Faasflow-Request-Id of the answer\n";
    let ran = gateway.run(&["requests", "show", "a"]);
    assert_eq!(ran.stderr(), format!("error[FF0927]: no flow knows the request `a`\n{help}"));
    let ran = gateway.run(&["requests", "show", "b"]);
    let says = "error[FF0927]: no flow knows the request `b`, but 1 flow could not be asked\n  \
                cause: the flow `report` cannot show the request `b`: its store is away\n";
    assert_eq!(ran.stderr(), format!("{says}{help}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_refusal_of_several_flows_is_printed_once() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["a","b","c"]"#),
        _ => problem(401, "the signature does not match"),
    })
    .await;
    let ran = gateway.run(&["requests"]);
    assert_eq!(ran.stderr().matches("error[").count(), 1, "{ran:?}");
    assert!(ran.stderr().contains("  cause: it is the same for the flows `b`, `c`\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_in_the_wrong_place_show_the_usage_of_the_subcommand() {
    let ran = lists().await.run(&["requests", "upload", "show", "a"]);
    assert!(ran.code() == 2 && ran.stderr().contains("\nUsage: faasflow requests "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_requests_go_to_the_flow_and_are_signed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "secret\n").unwrap();
    let gateway = FakeGateway::listen(|what, _| match what {
        // OpenFaaS has no list of flows.
        "GET /system/functions" => json_answer(
            r#"[{"name":"upload","secrets":["faasflow-hmac-secret"]},{"name":"resize","secrets":["other"]},{"name":"tint"}]"#,
        ),
        _ if what.starts_with("GET /function/upload/_/requests?") => json_answer(UPLOAD),
        _ => answer(404, &[], "404 page not found"),
    })
    .await;
    let key = format!("@{}", file.display());
    let ran = gateway.run(&["requests", "--limit", "2", "--key", &key]);
    assert_eq!((ran.code(), ran.stdout().lines().count()), (0, 3), "{ran:?}");
    let asked = gateway.asked().pop().unwrap();
    assert_eq!(asked.what, "GET /function/upload/_/requests?limit=2");
    let signed_at = asked.header("x-faasflow-signed-at").unwrap().parse().unwrap();
    let signed = api_request("upload", "GET", "/_/requests?limit=2", signed_at);
    let signature = asked.header("x-hub-signature").map(str::as_bytes);
    assert_eq!(Keys::parse("secret").unwrap().verify(signature, signed.as_bytes()), Ok(()));

    let ran = gateway.run(&["requests", "upload"]);
    assert_eq!(ran.code(), 1);
    let says = format!(
        "error[FF0902]: the gateway at {} does not pass on requests about requests\n  help: only the gateway of `faasflow up` signs",
        gateway.url
    );
    assert!(ran.stderr().starts_with(&says), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_flows_of_a_stack_are_asked_if_it_is_named() {
    let folder = stack("upload:\n  lang: faasflow\n  fprocess: ./flow\ntint:\n  fprocess: cat\n");
    let gateway = lists().await;
    let ran = gateway.run(&["requests", "--stack", folder.path().to_str().unwrap()]);
    assert_eq!((ran.code(), gateway.sent("GET").len()), (0, 1), "{ran:?}");
    assert!(gateway.sent("GET")[0].starts_with("GET /system/flows/upload/requests?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_no_flow_is_a_clear_error() {
    let gateway = FakeGateway::listen(|what, _| match what {
        _ if what.contains("/resize/") => {
            answer(404, &[("x-faasflow-error-code", "FF0737")], "the function `resize` is not a flow: it has no key\n")
        }
        _ if what.contains("/echo/") => answer(200, &[], "echo"),
        _ => answer(404, &[("x-faasflow-error-code", "FF0712")], "the function `absent` is not deployed\n"),
    })
    .await;
    let ran = gateway.run(&["requests", "resize"]);
    let says = "error[FF0737]: the function `resize` is not a flow: it has no key\n  help: check that it is a flow: ";
    assert!(ran.code() == 1 && ran.stderr().starts_with(says), "{ran:?}");
    let ran = gateway.run(&["requests", "echo"]);
    assert!(
        ran.stderr().starts_with("error[FF0904]: the answer of the function `echo` is not about requests\n"),
        "{ran:?}"
    );
    let ran = gateway.run(&["requests", "absent"]);
    assert!(ran.stderr().starts_with("error[FF0712]: the function `absent` is not deployed at "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_printed_or_written_to_a_file() {
    let gateway = FakeGateway::listen(|what, _| {
        let outcome = |outcome| [("x-faasflow-outcome", outcome), ("content-type", "image/jpeg")];
        match what.rsplit_once("/requests/").unwrap().1 {
            "good/result" => answer(200, &outcome("success"), vec![0, 255, 10]),
            "bad/result" => answer(
                500,
                &outcome("failure"),
                r#"{"request_id":"bad","phase":2,"step":"function `compress`","reason":"it is away","code":"FF0306"}"#,
            ),
            "stopped/result" => answer(409, &outcome("stopped"), ""),
            "number/result" => answer(200, &[("x-faasflow-outcome", "success")], "[1.10, 12345678901234567890123]"),
            "runs/result" => answer(202, &[("location", "/function/upload/_/requests/runs")], status("runs", "paused")),
            "broken/result" => problem(500, "the store is broken"),
            _ => problem(410, "its records have expired"),
        }
    })
    .await;
    let result = |id: &str| gateway.run(&["requests", "result", id, "--flow", "upload"]);
    let ran = result("good");
    assert_eq!((ran.code(), ran.0.stdout.as_slice(), ran.stderr()), (0, &[0, 255, 10][..], ""));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.jpg");
    let ran = gateway.run(&["requests", "result", "good", "--flow", "upload", "-o", file.to_str().unwrap()]);
    assert_eq!((ran.code(), ran.stdout(), std::fs::read(&file).unwrap()), (0, "", vec![0, 255, 10]));
    let told = |id: &str| gateway.run(&["requests", "result", id, "--flow", "upload", "--json"]);
    let (good, bad, number) = (told("good"), told("bad"), told("number"));
    let expected = json!({ "version": 1, "id": "good", "flow": "upload", "status": "success",
        "content_type": "image/jpeg", "base64": "AP8K" });
    assert_eq!((good.code(), good.json(), good.stderr()), (0, expected, ""));
    let told: serde_json::Value = bad.json();
    assert_eq!(
        (bad.code(), &told["status"], &told["json"]["code"]),
        (1, &json!("failure"), &json!("FF0306")),
        "{bad:?}"
    );
    assert!(bad.stderr().starts_with("error[FF0932]: the request `bad` of `upload` has failed"), "{bad:?}");
    assert!(number.stdout().contains(r#""json": [1.10, 12345678901234567890123]"#), "{number:?}");
    let nowhere = folder.path().join("no/folder");
    let ran = gateway.run(&["requests", "result", "good", "--flow", "upload", "-o", nowhere.to_str().unwrap()]);
    assert!(ran.code() == 1 && ran.stderr().starts_with("error[FF0917]: the result cannot be written to "), "{ran:?}");
    for (id, code, says) in [
        (
            "bad",
            1,
            "error[FF0932]: the request `bad` of `upload` has failed\n  cause: phase 2, function `compress`: it is away\n",
        ),
        ("stopped", 1, "error[FF0932]: the request `stopped` of `upload` was stopped\n  help: "),
        (
            "runs",
            5,
            "error[FF0928]: the request `runs` of `upload` has no result yet\n  cause: it is paused\n  help: make it go on ",
        ),
        (
            "broken",
            1,
            "error[FF0328]: the flow `upload` cannot give the result of the request `broken`\n  cause: the store is broken\n",
        ),
        (
            "old",
            1,
            "error[FF0328]: the flow `upload` cannot give the result of the request `old`\n  cause: its records have expired\n",
        ),
    ] {
        let ran = result(id);
        assert_eq!((ran.code(), ran.stdout()), (code, ""), "{ran:?}");
        assert!(ran.stderr().starts_with(says), "{ran:?}");
    }
}

/// The command, the gateway of `faasflow up`, and a function that verifies the signature as a flow does.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_of_faasflow_up_signs_for_the_command() {
    let state = tempfile::tempdir().unwrap();
    let key = state.path().join("secrets/faasflow-hmac-secret");
    let flow = axum::Router::new().fallback(move |request: http::Request<axum::body::Body>| async move {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        let target = request.uri().path_and_query().unwrap().as_str().strip_prefix("/upload").unwrap();
        let signed_at = header("x-faasflow-signed-at").unwrap().parse().unwrap();
        let signed = api_request("upload", request.method().as_str(), target, signed_at);
        let keys = Keys::parse(&std::fs::read_to_string(key).unwrap()).unwrap();
        match keys.verify(header("x-hub-signature").map(str::as_bytes), signed.as_bytes()) {
            Ok(()) if target == "/_/requests?limit=50" => json_answer(UPLOAD),
            Ok(()) => unknown(),
            Err(_) => problem(401, "the signature does not match"),
        }
    });
    let (address, _serving) = listen(flow).await;
    let folder =
        stack(&format!("{}  secrets: [faasflow-hmac-secret]\ntint:\n  fprocess: cat\n", url("upload", address)));
    let up = Up::start(folder.path(), state.path());
    let ran = Ran(up.run(&["requests"], b""));
    assert_eq!((ran.code(), ran.stdout().lines().count()), (0, 3), "{ran:?}");
    let ran = Ran(up.run(&["requests", "show", "gone"], b""));
    assert!(
        ran.code() == 1 && ran.stderr().starts_with("error[FF0927]: no flow knows the request `gone`\n"),
        "{ran:?}"
    );
    let ran = Ran(up.run(&["requests", "tint"], b""));
    assert!(
        ran.code() == 1 && ran.stderr().starts_with("error[FF0737]: the function `tint` is not a flow: "),
        "{ran:?}"
    );
    assert_eq!(up.stop(), Some(0));
}
