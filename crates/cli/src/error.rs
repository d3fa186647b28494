use std::process::ExitCode;

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

impl From<faasflow_gateway::GatewayError> for Failure {
    fn from(error: faasflow_gateway::GatewayError) -> Failure {
        Failure::Unusable(error.to_string())
    }
}

impl From<faasflow_gateway::stack::StackError> for Failure {
    fn from(error: faasflow_gateway::stack::StackError) -> Failure {
        Failure::Unusable(error.to_string())
    }
}
