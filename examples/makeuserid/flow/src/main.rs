//! Serves the flow.

fn main() -> faasflow::Result<()> {
    faasflow::serve(makeuserid::define()?)
}
