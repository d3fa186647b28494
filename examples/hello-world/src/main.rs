//! Serves the flow.

fn main() -> faasflow::Result<()> {
    faasflow::serve(hello_world::define()?)
}
