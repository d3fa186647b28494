//! The fan-out of the benchmarks: an invocation for each item, and one list of the results.
//!
//! Restate's guide does it like this: <https://docs.restate.dev/guides/parallelizing-work>. It also makes the split a
//! durable step, which a list does not need. The results are gathered as in the SDK's example `fan_out.rs`.

use bytes::Bytes;
use restate_sdk::context::DurableFuture;
use restate_sdk::prelude::*;

use crate::Function;

/// The fan-out on the SDK's own server.
pub(crate) struct ShippedFan(pub(crate) Function);

#[service(name = "ShippedFan")]
impl ShippedFan {
    #[handler]
    async fn fan(&self, context: Context<'_>, items: Json<Vec<u64>>) -> HandlerResult<Json<Vec<u64>>> {
        let client = context.service_client::<ShippedFanClient>();
        let started = items.into_inner().into_iter().map(|item| client.item(item).call());
        all(started.collect()).await
    }

    #[handler]
    async fn item(&self, context: Context<'_>, item: u64) -> HandlerResult<u64> {
        self.0.item(&context, item).await
    }
}

/// The same on connections without Nagle's algorithm.
pub(crate) struct PromptFan(pub(crate) Function);

#[service(name = "PromptFan")]
impl PromptFan {
    #[handler]
    async fn fan(&self, context: Context<'_>, items: Json<Vec<u64>>) -> HandlerResult<Json<Vec<u64>>> {
        let client = context.service_client::<PromptFanClient>();
        let started = items.into_inner().into_iter().map(|item| client.item(item).call());
        all(started.collect()).await
    }

    #[handler]
    async fn item(&self, context: Context<'_>, item: u64) -> HandlerResult<u64> {
        self.0.item(&context, item).await
    }
}

impl Function {
    /// Makes one call with the item as its payload. Restate keeps the result.
    async fn item(&self, context: &Context<'_>, item: u64) -> HandlerResult<u64> {
        let function = self.clone();
        let payload = Bytes::from(item.to_string());
        let result = context.run(move || function.call(payload)).name("call").await?;
        let number = std::str::from_utf8(&result).ok().and_then(|text| text.parse().ok());
        Ok(number.ok_or_else(|| TerminalError::new("the function did not answer with a number"))?)
    }
}

/// Waits for all results. The invocations run already, because the SDK sends a call when it is made.
async fn all(
    mut started: DurableFuturesUnordered<impl DurableFuture<Output = Result<u64, TerminalError>>>,
) -> HandlerResult<Json<Vec<u64>>> {
    let mut results = vec![0; started.len()];
    while let Some((index, result)) = started.next().await? {
        results[index] = result?;
    }
    Ok(results.into())
}
