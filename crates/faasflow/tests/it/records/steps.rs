//! What the status says about the steps of a place, and about their calls.

use faasflow::Retry;

use super::*;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// The names, the branches and the statuses of calls of these steps. Their times must be in order, from `from` on.
fn steps_in_order(steps: &Value, mut from: u64) -> Vec<(String, String, Vec<u64>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = steps.as_array().unwrap_or_else(|| panic!("no steps: {steps}")).iter().map(|step| {
        let (began, done) = (number(&step["began_ms"]), number(&step["done_ms"]));
        assert!(from <= began && began <= done, "{from}: {steps}");
        let (mut statuses, mut before) = (Vec::new(), began);
        for call in step["calls"].as_array().into_iter().flatten() {
            let (call_began, call_done) = (number(&call["began_ms"]), number(&call["done_ms"]));
            assert!(before <= call_began && call_began <= call_done && call_done <= done, "{before}: {steps}");
            before = call_done;
            statuses.push(number(&call["status"]));
        }
        from = done;
        (text(&step["name"]), text(&step["branch"]), statuses)
    });
    told.collect()
}

#[tokio::test]
async fn each_step_of_a_place_and_each_of_its_calls_has_times() {
    let retry = Retry::attempts(3).initial_delay(Duration::from_millis(20));
    let items = ForEach::new(Flow::builder().apply(Call::new("two").sync())).at_most(1);
    let flow = Flow::builder().apply(Call::new("one").sync().retry(retry)).for_each(items).apply("three");
    let failing = Fake::echo().after_failing(2, 503);
    let kit = remembering(flow.state(Memory::new())).function("one", failing).start().await;
    let request = kit.request("[1,2]").header("x-faasflow-request-id", "s");
    let answer = request.answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let told: Value = waited(&kit, "/_/requests/s").await.json();
    assert_eq!(told["status"], "success", "{told}");
    let first = &told["places"][0];
    let steps = steps_in_order(&first["step_times"], number(&first["last_began_ms"]));
    let expected = [
        ("function `one`", "", vec![503, 503, 200]),
        ("function `two`", "item-1", vec![200]),
        ("function `two`", "item-2", vec![200]),
    ];
    assert_eq!(steps, expected.map(|(name, branch, calls)| (name.to_owned(), branch.to_owned(), calls)), "{told}");
    // The function is not called again at once.
    let calls = &first["step_times"][0]["calls"];
    for (before, after) in [(0, 1), (1, 2)] {
        assert!(number(&calls[after]["began_ms"]) > number(&calls[before]["done_ms"]), "{told}");
    }
    let last = &first["step_times"][2];
    assert!(number(&last["done_ms"]) <= number(&first["done_ms"]) && last["failed"] == json!(false), "{told}");
    // The times of a place with a single call tell as much.
    assert_eq!(told["places"][1].get("step_times"), None, "{told}");
}

#[tokio::test]
async fn a_delivery_that_was_given_up_tells_its_calls() {
    let seen = Arc::new(AtomicUsize::new(0));
    let busy = Fake::with(move |call| match seen.fetch_add(1, SeqCst) {
        0 => Reply::new("busy").status(503).header("retry-after", "0"),
        // This pause is longer than a phase may wait, so the queue delivers it again.
        1 => Reply::new("busy").status(503).header("retry-after", "3600"),
        _ => Reply::new(call.text()),
    });
    let kit = remembering(chain()).function("two", busy).start().await;
    let request = kit.request("x").header("x-faasflow-request-id", "s");
    let answer = request.answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let told: Value = waited(&kit, "/_/requests/s").await.json();
    let given_up = &told["places"][1]["given_up"];
    assert_eq!(given_up.as_array().map(Vec::len), Some(1), "{told}");
    let steps = steps_in_order(&given_up[0]["step_times"], number(&given_up[0]["began_ms"]));
    assert_eq!(steps, [("function `two`".to_owned(), String::new(), vec![503, 503])], "{told}");
    assert_eq!(given_up[0]["step_times"][0]["failed"], json!(true), "{told}");
    assert_eq!(told["places"][1].get("step_times"), None, "{told}");
}

/// The path of the place is not repeated with each of its steps.
#[tokio::test]
async fn a_step_names_only_the_branches_inside_its_place() {
    let items = ForEach::new(Flow::builder().apply(Call::new("two").sync())).at_most(1);
    let graph = Graph::new().branch("a", Flow::builder().apply("one").for_each(items));
    let flow = Flow::builder().graph(graph.branch("b", Flow::builder().apply("three")));
    let kit = remembering(flow.state(Memory::new())).start().await;
    let request = kit.request("[1]").header("x-faasflow-request-id", "s");
    assert_eq!(request.answer().await.status, 202);
    let told: Value = waited(&kit, "/_/requests/s").await.json();
    let branch = told["places"].as_array().unwrap().iter().find(|place| place["path"] == json!(["a"]));
    let branch = branch.unwrap_or_else(|| panic!("no place of the branch: {told}"));
    let steps = steps_in_order(&branch["step_times"], number(&branch["last_began_ms"]));
    let expected = [("function `one`", ""), ("function `two`", "item-1")];
    assert_eq!(steps, expected.map(|(name, branch)| (name.to_owned(), branch.to_owned(), vec![200])), "{told}");
}
