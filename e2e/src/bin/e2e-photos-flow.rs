//! The asynchronous photo pipeline with all state managers. The example is built without them.

fn main() -> faasflow::Result<()> {
    faasflow::serve(upload_pipeline_async::define()?)
}
