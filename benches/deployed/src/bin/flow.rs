//! A flow as it is deployed: this, and nothing else.

fn main() -> faasflow::Result<()> {
    faasflow::serve(faasflow_benches_deployed::flow(1, true)?)
}
