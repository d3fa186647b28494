//! `faasflow requests`

mod again;
pub(crate) mod api;
mod change;
mod context;
mod filter;
mod given_up;
mod list;
mod members;
mod recover;
mod redrive;
pub(crate) mod result;
mod show;
mod timeline;
pub(crate) mod wait;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use crate::args::{Arguments, ListRequests, Requests, RequestsCommand};
use crate::client::Client;
use crate::error::Failure;
use crate::signing_key::keys;
use api::FlowApi;
use context::Context;
use recover::Stalled;

pub(crate) async fn run(requests: Requests) -> Result<(), Failure> {
    if requests.command.is_some() && requests.list != ListRequests::default() {
        let text = "arguments of `list` stand before another subcommand: put the subcommand first, as in `faasflow requests show ID`";
        let mut command = Arguments::command();
        // The usage in the error is that of the subcommand.
        command.build();
        let requests = command.find_subcommand_mut("requests").expect("this is that subcommand");
        requests.error(ErrorKind::ArgumentConflict, text).exit();
    }
    let client = Client::new(&requests.gateway)?;
    let keys = requests.key.as_deref().map(keys).transpose()?;
    let context = Context::new(FlowApi::new(&client, keys), requests.stack.as_deref());
    match requests.command {
        None => list::run(&context, &requests.list).await,
        Some(RequestsCommand::List(list)) => list::run(&context, &list).await,
        Some(RequestsCommand::Show { request, json }) => show::run(&context, &request, json).await,
        Some(RequestsCommand::Result { request, output, json }) => {
            let form = if json { result::Form::Json } else { result::Form::Bytes(output.as_deref()) };
            result::run(&context, &request, form).await
        }
        Some(RequestsCommand::Wait { request, timeout, json }) => wait::run(&context, &request, timeout, json).await,
        Some(RequestsCommand::Pause(which)) => change::run(&context, &which, change::Change::Pause).await,
        Some(RequestsCommand::Resume(which)) => change::run(&context, &which, change::Change::Resume).await,
        Some(RequestsCommand::Stop(which)) => change::run(&context, &which, change::Change::Stop).await,
        Some(RequestsCommand::Redrive(redrive)) => redrive::run(&context, &redrive).await,
        Some(RequestsCommand::Again { request, new_id, wait, json }) => {
            again::run(&context, &request, new_id, wait, json).await
        }
        Some(RequestsCommand::Recover { flow, older, force, json }) => {
            recover::run(&context, flow.as_deref(), Stalled { older, force }, json).await
        }
    }
}
