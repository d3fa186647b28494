use std::process::ExitCode;

use faasflow_core::chain;
use faasflow_gateway::GatewayError;
use faasflow_gateway::stack::StackError;

/// Why a command failed. Each kind has an exit code of its own, which `faasflow --help` lists.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Exit code 1: what was asked for was done, and failed.
    #[error("{0}")]
    Failed(String),
    /// Exit code 0: whoever reads the output has seen enough.
    #[error("standard output is closed")]
    Closed,
    /// Exit code 3: the gateway cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// Exit code 4: a file, a setting or a definition cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl Failure {
    /// Says what went wrong on standard error, and yields the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !matches!(self, Failure::Closed) {
            eprintln!("faasflow: {self}");
        }
        ExitCode::from(match self {
            Failure::Closed => 0,
            Failure::Failed(_) => 1,
            Failure::Unreachable(_) => 3,
            Failure::Unusable(_) => 4,
        })
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Failed(error.to_string()),
        }
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Failure {
        let why = chain(&error);
        Failure::Unusable(match hint(&error) {
            Some(hint) => format!("{why}; {hint}"),
            None => why,
        })
    }
}

/// The flag that helps. The gateway, which other programs may run too, knows of none.
fn hint(error: &GatewayError) -> Option<&'static str> {
    match error {
        GatewayError::Listen { .. } => Some("choose another port with `--port`, or `--port 0` for any that is free"),
        GatewayError::StateFolder { .. } => Some("choose another folder with `--state-dir`"),
        _ => None,
    }
}

impl From<StackError> for Failure {
    fn from(error: StackError) -> Failure {
        Failure::Unusable(chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_cannot_start_says_why_and_which_flag_helps() {
        let address = ([127, 0, 0, 1], 8080).into();
        let source = || std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let listen = GatewayError::Listen { address, source: source() };
        assert_eq!(
            Failure::from(listen).to_string(),
            "cannot listen on 127.0.0.1:8080: address in use; choose another port with `--port`, or `--port 0` for any \
             that is free"
        );
        let folder = GatewayError::StateFolder { path: "/state".into(), source: source() };
        let says = "cannot write /state: address in use; choose another folder with `--state-dir`";
        assert_eq!(Failure::from(folder).to_string(), says);
    }
}
