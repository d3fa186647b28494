//! How the command line prints errors of the gateway that it runs. The gateway does not know the options.

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
        _ => {
            let problem = error.help().into_iter().fold(Problem::from_error(code, error), Problem::help);
            match error {
                GatewayError::Queue(queue) if queue.help().is_some() => {
                    problem.help("`--state-dir` chooses another folder")
                }
                _ => problem,
            }
        }
    }
}
