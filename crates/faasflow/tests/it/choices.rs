//! Choices of empty branches, wherever they stand.

use faasflow::{Call, Choice, Flow, FlowBuilder, ForEach, Outcome};
use faasflow_testkit::{Fake, Running, TestKit};

async fn start(flow: FlowBuilder) -> Running {
    let kit = TestKit::new(flow.build().unwrap()).function("bad", Fake::failing(404));
    ["a", "b", "c"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo())).start().await
}

/// The choice is the first step, the last, or one in between.
#[tokio::test]
async fn an_empty_branch_that_is_chosen_passes_the_payload_through() {
    for is_sync in [true, false] {
        let call = |function: &str| {
            let call = Call::new(function);
            Flow::builder().apply(if is_sync { call.sync() } else { call })
        };
        let choice = || {
            Choice::new(async |_: String| "small")
                .branch("small", Flow::builder())
                .branch("large", call("bad"))
                .otherwise(call("bad"))
        };
        let chosen = || Flow::builder().choose(choice());
        for (flow, input, output, calls) in [
            (chosen(), "1", "1", [0, 0]),
            (call("a").choose(choice()).flow("then", call("b")), "1", "1", [1, 1]),
            (Flow::builder().parallel([("x", chosen()), ("y", call("a"))]), "1", r#"{"x":1,"y":1}"#, [1, 0]),
            (
                Flow::builder().parallel([("x", call("a").choose(choice()).flow("then", call("b"))), ("y", chosen())]),
                "1",
                r#"{"x":1,"y":1}"#,
                [1, 1],
            ),
            (Flow::builder().for_each(ForEach::new(chosen())), "[1,2]", "[1,2]", [0, 0]),
            (
                Flow::builder().for_each(ForEach::new(call("a").choose(choice()).flow("then", call("b")))),
                "[1,2]",
                "[1,2]",
                [2, 2],
            ),
        ] {
            let case = format!("sync: {is_sync}, {}", flow.clone().build().unwrap().plan().shape());
            let kit = start(flow.flow("last", call("c"))).await;
            let end = kit.request(input).send().await;
            assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), output), "{case}");
            assert_eq!(["a", "b"].map(|name| kit.calls(name).len()), calls, "{case}");
            assert_eq!((kit.calls("c").len(), kit.calls("bad").len()), (1, 0), "{case}");
        }
    }
}
