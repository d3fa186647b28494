//! Serves the flow. The environment variable `calls` makes its calls `synchronous` (the default) or `asynchronous`.

use photo_report::Calls;

fn main() -> faasflow::Result<()> {
    let calls = match std::env::var("calls").as_deref() {
        Err(_) | Ok("synchronous") => Calls::Synchronous,
        Ok("asynchronous") => Calls::Asynchronous,
        Ok(other) => {
            let reason = format!("the variable `calls` is `{other}`; set it to `synchronous` or `asynchronous`");
            return Err(faasflow::Error::msg(reason));
        }
    };
    faasflow::serve(photo_report::define(calls)?)
}
