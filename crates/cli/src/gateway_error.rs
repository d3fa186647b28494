//! Adds remedies to errors of the gateway that name options of the command line, which the gateway does not know.

use std::io::ErrorKind;

use faasflow_core::Problem;
use faasflow_gateway::GatewayError;

/// Turns an error of the gateway into a problem to print.
pub(crate) fn problem(error: &GatewayError) -> Problem {
    let code = error.code();
    match error {
        GatewayError::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse => Problem::new(code, error)
            .because_text("another program listens on this port, perhaps another `faasflow up`")
            .help("stop that program, or choose another port with `--port`; `--port 0` takes any free one"),
        GatewayError::Listen { .. } => {
            Problem::from_error(code, error).help("choose another port with `--port`; `--port 0` takes any free one")
        }
        GatewayError::Secrets { missing, folder } => {
            let shown = missing.iter().map(|secret| format!("`{}` (for `{}`)", secret.secret, secret.function));
            let file = match missing.as_slice() {
                [only] => format!("write its value to the file {}", folder.join(&only.secret).display()),
                _ => format!("write each into a file of its name in {}", folder.display()),
            };
            Problem::new(code, format!("secrets are missing: {}", shown.collect::<Vec<_>>().join(", ")))
                .because_text("the stack file gives these secrets to functions")
                .help(file)
        }
        GatewayError::StateFolder { .. } => {
            Problem::from_error(code, error).help("choose another folder with `--state-dir`")
        }
        _ => {
            let problem = error.problem();
            let is_file = match error {
                GatewayError::Queue(queue) => queue.help().is_some(),
                GatewayError::Store(store) => store.help().is_some(),
                _ => false,
            };
            if is_file { problem.help("choose another folder with `--state-dir`") } else { problem }
        }
    }
}
