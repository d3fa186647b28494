//! The flow functions of the suite `openfaas`; the variable `E2E_FLOW` says which.

use std::path::Path;
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{Call, Context, DefinitionError, Error, Failure, Flow, FlowBuilder, Json, Redis, Result};

fn main() -> faasflow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a program chooses its flow here, which is no setting of Faasflow's")]
    let name = std::env::var("E2E_FLOW").unwrap_or_default();
    faasflow::serve(define(&name)?)
}

fn define(name: &str) -> Result<Flow> {
    let builder = Flow::builder();
    let flow: Result<Flow, DefinitionError> = match name {
        "relay" => relay(builder).build(),
        "relay-stored" => relay(builder.state(Redis::from_env().map_err(Error::from)?)).build(),
        "direct" => builder.apply(Call::new("one").sync()).apply(Call::new("two").sync()).build(),
        "gated" => builder
            .apply("one")
            .modify(gate)
            .apply("two")
            .on_failure(async |_: Context, failure: Failure| failure.reply(Json(failure.reason())))
            .build(),
        _ => return Err(Error::msg(format!("E2E_FLOW is `{name}`, which is none of the flows here"))),
    };
    Ok(flow?)
}

/// Three phases.
fn relay(builder: FlowBuilder) -> FlowBuilder {
    builder
        .apply(Call::new("one").header("x-step", "first").query("note", "a b&c"))
        .apply("two")
        .apply(Call::new("three").query_with("name", |context: &Context| context.query("name")))
}

/// Says in the folder that the query names that it is here, and goes on when it is told to.
async fn gate(context: Context, payload: Bytes) -> Result<Bytes> {
    if let Some(folder) = context.query("gate") {
        let folder = Path::new(&folder);
        std::fs::write(folder.join("reached"), "")?;
        while !folder.join("open").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(payload)
}
