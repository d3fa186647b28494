//! A complete flow, as it is deployed.

fn main() -> faasflow::Result<()> {
    faasflow::serve(faasflow_benches_deployed::flow(1, true)?)
}
