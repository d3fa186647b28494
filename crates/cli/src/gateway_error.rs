//! What the command line says of errors of the gateway that it runs: the gateway knows of no options.

use faasflow_core::Problem;
use faasflow_gateway::GatewayError;

/// An error of the gateway as a person reads it.
pub(crate) fn problem(error: &GatewayError) -> Problem {
    let code = error.code();
    match error {
        GatewayError::Listen { .. } => Problem::from_error(code, error)
            .help("choose another port with `--port`, or `--port 0` for any that is free"),
        GatewayError::StateFolder { .. } => {
            Problem::from_error(code, error).help("choose another folder with `--state-dir`")
        }
        GatewayError::Queue(queue) => match queue.help() {
            Some(help) => Problem::from_error(code, error).help(help).help("`--state-dir` chooses another folder"),
            None => Problem::from_error(code, error),
        },
        _ => Problem::from_error(code, error),
    }
}
