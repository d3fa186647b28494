//! Serves the flow.

fn main() -> faasflow::Result<()> {
    faasflow::serve(flow::define()?)
}
