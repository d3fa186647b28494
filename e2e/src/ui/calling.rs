//! What is checked of flows that call other flows.

use serde_json::json;

use super::checks::Visit;
use crate::suite::expect;

/// The first phase calls a flow, and the second one a function.
pub(super) async fn called(visit: &Visit) -> Result<(), String> {
    let (tab, stand) = (&visit.tab, &visit.stand);
    stand.post("/async-function/outer", &[("x-faasflow-request-id", "outer-1")], b"x").await?.expect(202)?;
    stand.until("outer", "outer-1", "success").await?;
    visit.go("/ui/flows/outer/requests/outer-1").await?;
    tab.click(".timeline summary", "function pass").await?;
    tab.shows("Place 2, phase 2.").await?;
    tab.click(".timeline summary", "function mirror").await?;
    tab.shows("It called the flow mirror: request").await?;
    visit.seen("request-called").await?;
    let links = tab.eval("document.querySelectorAll('.called a').length").await?;
    expect(links == json!(1), || format!("there are {links} links"))?;
    tab.click(".called a", "outer-1.").await?;
    tab.until(
        "it is a request of the other flow",
        "location.pathname.startsWith('/ui/flows/mirror/requests/outer-1.')",
    )
    .await?;
    tab.shows("It succeeded after").await
}
