//! Serves the flow.

fn main() -> faasflow::Result<()> {
    faasflow::serve(upload_pipeline_async::define()?)
}
