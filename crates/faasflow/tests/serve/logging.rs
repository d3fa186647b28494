//! The log: no line is too long for its reader, and no request waits for the reader.

use std::time::Instant;

use crate::child::{PATIENCE, Program, Running};
use crate::tests;

tests![
    r3_no_line_is_longer_than_16_kib,
    r3_a_json_line_that_is_cut_is_json,
    r3_a_watchdog_that_ends_its_reader_at_a_long_line_delays_no_request,
    r3_a_log_that_nobody_reads_blocks_no_request,
    r3_dropped_lines_are_reported_once_when_the_log_is_read_again,
    r3_a_closed_log_blocks_no_request,
    r3_a_slow_reader_gets_every_line_of_a_flow_that_aborts,
];

const LONGEST: usize = 16 * 1024;

/// Flows whose lines have the text that they are sent: from `tracing`, from an error, from a panic.
const LOUD: [&str; 3] = ["loud", "loud-error", "loud-panic"];

fn r3_no_line_is_longer_than_16_kib() {
    for flow in LOUD {
        let program = Program::new(flow).start();
        // Characters of three bytes: the cut is not to fall into one.
        program.request("POST /\nx-faasflow-request-id: id", "漢".repeat(70_000 / 3));
        program.until_logged("Completed");
        let lines = program.lines();
        let longest = lines.iter().find(|line| line.contains("漢漢")).expect(flow);
        assert!(longest.len() < LONGEST && longest.len() > LONGEST - 200, "{flow}: {}", longest.len());
        let (shown, rest) = longest.split_once("… (").expect(flow);
        let left_out: usize = rest.split_once(" bytes left out) phase=1").expect(rest).0.parse().unwrap();
        let shown = 3 * shown.matches('漢').count();
        assert_eq!(shown + left_out, 70_000 / 3 * 3, "{flow}: what is kept and what is left out is all there was");
        assert!(longest.contains("[Request `id`] "), "{longest}");
        assert!(lines.iter().all(|line| line.len() < LONGEST && !line.contains('\u{fffd}')), "{flow}");
    }
}

fn r3_a_json_line_that_is_cut_is_json() {
    // Some take several times their room when they are escaped.
    for (flow, text) in LOUD.iter().flat_map(|flow| ["x", "\"", "\u{1b}", "\u{202e}", "🦀"].map(|text| (flow, text)))
    {
        let program = Program::new(flow).with("log_format", "json").start();
        program.request("POST /\nx-faasflow-request-id: id", text.repeat(70_000));
        program.until_logged("Completed");
        let mut cut = 0;
        for line in program.lines() {
            assert!(line.len() < LONGEST, "{flow}: {}", line.len());
            let read: serde_json::Value = serde_json::from_str(&line).expect(&line);
            cut += usize::from(read["message"].as_str().unwrap().ends_with(" bytes left out)"));
        }
        assert!(cut > 0, "{flow}");
    }
}

fn r3_a_watchdog_that_ends_its_reader_at_a_long_line_delays_no_request() {
    for flow in LOUD {
        let program = Program::new(flow).line_scanner(64 * 1024).start();
        for _ in 0..20 {
            let (head, _) = program.request("POST /", "x".repeat(70_000));
            assert!(head.starts_with("HTTP/1.1 "), "{flow}: it answers");
        }
        program.until_logged("bytes left out");
    }
}

/// Sends so many requests whose lines have 15 kB of text, and sees each of them answered.
fn shout(program: &Running, requests: usize) {
    for _ in 0..requests {
        let (head, _) = program.request("POST /", "x".repeat(15_000));
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    }
}

fn dropped(program: &Running) -> usize {
    let (_, text) = program.metrics("GET /metrics");
    let line = text.lines().find(|line| line.starts_with("faasflow_log_lines_dropped_total{")).expect(&text);
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn r3_a_log_that_nobody_reads_blocks_no_request() {
    let program = Program::new("loud").start();
    let reader = program.reader();
    let unread = reader.lock().unwrap();
    let begun = Instant::now();
    // 6 MB of lines, far more than is kept.
    shout(&program, 400);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(dropped(&program) > 100);
    assert_eq!(program.request("GET /_/health", "").1, "OK\n");
    drop(unread);
}

fn r3_dropped_lines_are_reported_once_when_the_log_is_read_again() {
    let program = Program::new("loud").start();
    let reader = program.reader();
    let unread = reader.lock().unwrap();
    shout(&program, 400);
    let missing = dropped(&program);
    drop(unread);
    let note = program.until_logged(" dropped here, because ");
    assert!(
        note.starts_with(&format!(
            "WARN {} dropped here, because ",
            faasflow_core::counted(missing as u64, "log line")
        )),
        "{note}"
    );
    program.request("POST /\nx-faasflow-request-id: afterwards", "x");
    program.until_logged("[Request `afterwards`] Completed");
    let lines = program.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("dropped here")).count(), 1);
    // What came before is whole and in order.
    let note = lines.iter().position(|line| line.contains("dropped here")).unwrap();
    assert!(lines[..note].iter().all(|line| line.contains("phase=1") || line.contains("listens on")));
}

fn r3_a_closed_log_blocks_no_request() {
    let program = Program::new("loud").line_scanner(0).start_silently(&["port"]);
    shout(&program, 50);
}

fn r3_a_slow_reader_gets_every_line_of_a_flow_that_aborts() {
    // Less than a pipe and what is read at once hold, so that it needs no luck.
    let mut program = Program::new("aborting-loudly").start();
    program.request("POST /", "x".repeat(10_000));
    assert_eq!(program.wait().code(), None);
    let lines = program.all_lines();
    let numbers = lines.iter().filter(|line| line.contains("line number ")).count();
    assert_eq!((numbers, lines.last().unwrap().as_str()), (20, "last words"), "{lines:#?}");
}
