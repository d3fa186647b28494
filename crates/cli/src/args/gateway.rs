//! The address of the gateway.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Gateway {
    /// The URL of the gateway, with USER:PASSWORD@ before the host if it requires them [default: $OPENFAAS_URL, or
    /// http://127.0.0.1:8080]
    // The variable may hold a password, so the default is not shown as it is.
    #[arg(
        long,
        short,
        global = true,
        default_value_t = crate::environment::gateway(),
        hide_default_value = true,
        value_name = "URL"
    )]
    pub(crate) gateway: String,
}
