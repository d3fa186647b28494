use super::*;

fn request(json: &str) -> FlowRequest {
    serde_json::from_str(json).unwrap()
}

const RUNNING: &str = r#"{"version":1,"id":"order-17","flow":"upload","status":"running","generation":1,
    "started_ms":1000000,"moved_ms":1003000,"keys":["customer-5","ref 7\u001b"],"places":[
    {"place":"1","phase":1,"steps":["facedetect","a modifier"],"status":"done","began_ms":1000000,"done_ms":1001000,
     "attempts":1,"chosen":"large","members":{"all":3,"running":1,"done":2,"failed":0}},
    {"place":"1.0/2","path":["item-1"],"phase":2,"steps":["resize"],"status":"retrying","began_ms":1001000,"attempts":3,
     "reason":{"text":"it is away","code":"FF0306"}},
    {"place":"1.1/2","path":["item-2"],"phase":2,"steps":["tint"],"status":"running","began_ms":1001500,"attempts":1},
    {"place":"1.2/2","path":["item-3"],"phase":2,"steps":["tint"],"label":"portrait.jpg","status":"failed","began_ms":1001500,
     "done_ms":1002500,"attempts":1,"reason":{"text":"it answered 500"}},
    {"place":"2","phase":2,"steps":["a function with a name that is far too long"],"status":"running","attempts":0}]}"#;

#[test]
fn places_have_bars_on_a_common_axis() {
    let expected = "\
order-17 of upload: running for 4.0s, redriven once
  search keys: customer-5, ref 7\\u{1b}

PLACE         STEPS                     STATUS     0s ─────────────── 4.0s
1             facedetect, a modifier    done       ██████                   1.0s
              took the branch `large`
              3 items: 2 done, 1 running
1.0/2 item-1  resize                    retrying         ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  3.0s
              delivered 3 times: it is away (FF0306)
1.2/2 item-3  tint                      failed              █████           1.0s
              portrait.jpg
              it answered 500
2             a function with a name …  running
";
    assert_eq!(draw(&request(RUNNING), 1_004_000, 80, false), expected);
}

#[test]
fn the_end_of_a_request_ends_the_axis_and_its_reason_is_below_the_first_line() {
    let failed = r#"{"id":"a-1","flow":"upload","status":"failure","started_ms":1000,"moved_ms":1500,"ended_ms":1500,
        "reason":{"place":"2","step":2,"name":"compress","text":"it answered 500","code":"FF0310"},"places":[
        {"place":"1","steps":["s"],"status":"done","began_ms":1000,"done_ms":1100,"attempts":1},
        {"place":"2","steps":["compress"],"status":"failed","began_ms":1100,"done_ms":1500,"attempts":1}]}"#;
    let expected = "\
a-1 of upload: failure after 500ms
  place 2, step 2, compress: it answered 500 (FF0310)

PLACE  STEPS     STATUS     0s ──────────────────────────────────── 500ms
1      s         done       █████████                                      100ms
2      compress  failed              ████████████████████████████████████  400ms
";
    let drawn = draw(&request(failed), 9_000_000, 80, false);
    assert_eq!(drawn, expected);
    assert_eq!(drawn.lines().map(|line| line.chars().count()).max(), Some(80));
}

/// Ids and names come from callers and authors, and must not control the terminal.
#[test]
fn control_characters_are_escaped_and_colours_are_only_there_if_wanted() {
    let odd = r#"{"id":"a","flow":"f","status":"stopped","started_ms":5,"moved_ms":5,"reason":{"text":"\u001b[2J"},
        "places":[{"place":"1","path":["\u001b"],"steps":["\u001b[1m"],"status":"done","began_ms":5,"done_ms":5}]}"#;
    assert!(!draw(&request(odd), 5, 80, false).contains('\u{1b}'));
    let coloured = draw(&request(odd), 5, 80, true);
    assert!(
        coloured.contains("\u{1b}[31m\u{1b}[1mstopped\u{1b}[0m") && coloured.contains("\u{1b}[32m"),
        "{coloured:?}"
    );
    assert!(!coloured.contains("\u{1b}[2J"), "{coloured:?}");
}

#[test]
fn of_many_items_only_some_are_shown() {
    let mut many = request(r#"{"id":"a","flow":"f","status":"running","started_ms":1,"moved_ms":2}"#);
    many.places = (0..15)
        .map(|item| {
            let json = format!(
                r#"{{"place":"1.{item}/1","path":["item-{}"],"status":"failed","began_ms":1,"done_ms":2}}"#,
                item + 1
            );
            serde_json::from_str(&json).unwrap()
        })
        .collect();
    let drawn = draw(&many, 2, 80, false);
    assert_eq!(drawn.matches(" item-").count(), 10, "{drawn}");
    assert!(drawn.contains("  … and 5 items more that failed or are retried"), "{drawn}");
    // The flow lists only some of those that have failed.
    let fork = r#"{"place":"1","status":"done","members":{"all":100,"done":78,"failed":22}}"#;
    many.places.insert(0, serde_json::from_str(fork).unwrap());
    let drawn = draw(&many, 2, 80, false);
    assert!(drawn.contains("\n               100 items: 78 done, 22 failed\n"), "{drawn}");
    assert!(drawn.contains("  … and 12 items more that failed or are retried"), "{drawn}");
}

#[test]
fn a_for_each_in_progress_is_one_line() {
    let mut many = request(r#"{"id":"a","flow":"f","status":"running","started_ms":1,"moved_ms":2}"#);
    let item = |item: u32| {
        format!(r#"{{"place":"1.{item}/1","path":["item-{}"],"steps":["tint"],"status":"running"}}"#, item + 1)
    };
    let fork = r#"{"place":"1","status":"done","members":{"all":40,"running":40}}"#.to_owned();
    many.places =
        std::iter::once(fork).chain((0..40).map(item)).map(|json| serde_json::from_str(&json).unwrap()).collect();
    let drawn = draw(&many, 2, 80, false);
    assert!(drawn.contains("40 items: 40 running") && !drawn.contains("item-"), "{drawn}");
    assert_eq!(drawn.lines().count(), 5, "{drawn}");
}

#[test]
fn the_first_line_says_when_a_request_was_stopped_and_not_when_its_last_place_ended() {
    let stopped = r#"{"id":"a","flow":"f","status":"stopped","started_ms":1000,"moved_ms":6000,"ended_ms":2000,
        "places":[{"place":"1","status":"done","began_ms":1000,"done_ms":6000,"members":{"all":2,"done":1,"running":1}},
        {"place":"1.0/2","path":["thumb"],"status":"done"}]}"#;
    let drawn = draw(&request(stopped), 9000, 80, false);
    assert!(drawn.starts_with("a of f: stopped after 1.0s\n"), "{drawn}");
    assert!(drawn.contains("2 branches: 1 done, 1 running"), "{drawn}");
}

#[test]
fn a_request_without_places_or_times_is_drawn_too() {
    assert_eq!(draw(&request(r#"{"id":"a","flow":"f"}"#), 0, 80, false), "a of f: running for 0ms\n");
    let early =
        r#"{"id":"a","flow":"f","started_ms":9,"moved_ms":9,"places":[{"place":"1","began_ms":1,"done_ms":3}]}"#;
    draw(&request(early), 0, 20, false);
}

#[test]
fn times_have_about_three_digits() {
    let shown = [0, 999, 1_000, 59_999, 60_000, 754_321, 3_600_000, 90_061_000].map(time);
    assert_eq!(shown, ["0ms", "999ms", "1.0s", "59.9s", "1m", "12m34s", "1h", "25h1m"]);
}
