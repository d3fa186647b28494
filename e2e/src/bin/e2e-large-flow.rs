//! The flow function for large payloads: five phases that call `echo`.

use faasflow::Flow;

fn main() -> faasflow::Result<()> {
    let builder = (0..5).fold(Flow::builder(), |builder, _| builder.apply("echo"));
    faasflow::serve(builder.build()?)
}
