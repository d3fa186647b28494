//! What the command line says of errors of the gateway that it runs: the gateway knows of no options.

use faasflow_core::{Problem, code};
use faasflow_gateway::GatewayError;

/// An error of the gateway as a person reads it.
pub(crate) fn problem(error: &GatewayError) -> Problem {
    let code = match error {
        GatewayError::Stack(_) => code::BAD_STACK_FILE,
        GatewayError::Queue(error) => error.code(),
        GatewayError::Listen { .. } => code::GATEWAY_CANNOT_LISTEN,
        GatewayError::StateFolder { .. } => code::STATE_FOLDER,
        GatewayError::Unreadable { .. } => code::GATEWAY_FILE_UNREADABLE,
        GatewayError::Secrets { .. } => code::SECRETS_MISSING,
        GatewayError::EmptyKey { .. } => code::SIGNING_KEY_EMPTY,
        GatewayError::EmptyCredential { .. } => code::CREDENTIAL_EMPTY,
        GatewayError::UserWithColon { .. } => code::USER_WITH_COLON,
        GatewayError::Deployed { .. } => code::DEPLOYED_FUNCTION_UNREADABLE,
        GatewayError::Build { .. } => code::BUILD_FAILED,
        _ => code::FUNCTIONS_DO_NOT_RUN,
    };
    Problem::from_error(code, error)
}
