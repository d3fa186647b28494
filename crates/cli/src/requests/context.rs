//! What all subcommands of `faasflow requests` need.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::api::{FlowApi, is_no_flow};
use crate::error::Failure;

/// The flows to ask, and the way to them.
pub(super) struct Context<'a> {
    pub(super) api: FlowApi<'a>,
    /// The stack file whose flows are asked if the command line names none.
    pub(super) stack: Option<&'a Path>,
    told: Mutex<BTreeSet<String>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(api: FlowApi<'a>, stack: Option<&'a Path>) -> Context<'a> {
        Context { api, stack, told: Mutex::default() }
    }

    /// Prints a remark to standard error, unless that was done before.
    pub(super) fn tell_once(&self, remark: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&remark) {
            eprintln!("{remark}");
            told.insert(remark);
        }
    }

    /// Says that a flow does not remember its requests.
    pub(super) fn tell_without_records(&self, flow: &str) {
        self.tell_once(format!("The flow `{flow}` does not remember its requests."));
    }

    /// Says so if a failure means that a function is no flow, or an old one. Functions that may read the key of the flows are taken
    /// for flows.
    pub(super) fn is_left_out(&self, function: &str, failure: &Failure) -> bool {
        let is_no_flow = is_no_flow(failure);
        if is_no_flow {
            self.tell_once(format!(
                "The function `{function}` is left out: it does not answer about requests, so it is no flow, or an old one."
            ));
        }
        is_no_flow
    }
    /// The flow that the command line names, or all flows.
    pub(super) async fn flows(&self, flow: Option<&str>) -> Result<Vec<String>, Failure> {
        match flow {
            Some(flow) => Ok(vec![flow.to_owned()]),
            None => self.api.flows(self.stack).await,
        }
    }
}
