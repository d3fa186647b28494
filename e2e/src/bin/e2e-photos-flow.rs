//! The asynchronous photo pipeline with all state managers, which the example is built without.

fn main() -> faasflow::Result<()> {
    faasflow::serve(upload_pipeline_async::define()?)
}
