//! A choice between branches.

use std::panic::Location;

use crate::definition::draft::{BranchDraft, ChoiceDraft};
use crate::definition::fault::FaultKind;
use crate::definition::flow::FlowBuilder;
use crate::definition::handler::{PayloadHandler, erase_payload};
use crate::error::{Error, Result};
use crate::payload::FromPayload;

/// Exactly one of several branches, chosen by a function of the payload.
///
/// The function returns the name of a branch. If there is no such branch, the request continues in
/// [`otherwise`](Choice::otherwise), or fails without it. The branch gets the same payload as the function. An empty branch
/// passes the payload through.
///
/// If the choice has been recorded, a phase that is delivered again takes the recorded branch and does not run the function
/// again.
///
/// ```
/// use faasflow_core::{Choice, Flow, Json};
///
/// #[derive(serde::Deserialize)]
/// struct Photo { width: u32 }
///
/// let flow = Flow::builder()
///     .choose(
///         Choice::new(async |Json(photo): Json<Photo>| if photo.width > 2000 { "large" } else { "small" })
///             .branch("large", Flow::builder().apply("shrink"))
///             .branch("small", Flow::builder())
///             .otherwise(Flow::builder().apply("inspect")),
///     )
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone)]
#[must_use = "a choice does nothing until it is given to a flow"]
pub struct Choice {
    pub(in crate::definition) draft: ChoiceDraft,
}

impl Choice {
    /// Creates a choice. The function takes any number of extractors and, last, the payload. It returns the name of a branch.
    pub fn new<M, H>(decide: H) -> Choice
    where
        M: 'static,
        H: PayloadHandler<M>,
        H::Payload: FromPayload + Send + 'static,
        H::Output: IntoBranchName,
    {
        let decide = erase_payload(decide, IntoBranchName::into_branch_name);
        Choice { draft: ChoiceDraft { decide, branches: Vec::new(), otherwise: None, faults: Vec::new() } }
    }

    /// Adds a branch.
    #[track_caller]
    pub fn branch(mut self, name: impl Into<String>, body: impl Into<FlowBuilder>) -> Choice {
        self.draft.branches.push(BranchDraft::new(name.into(), body.into().draft, Location::caller()));
        self
    }

    /// Sets the branch for all names that are not branches.
    #[track_caller]
    pub fn otherwise(mut self, body: impl Into<FlowBuilder>) -> Choice {
        let at = Location::caller();
        if self.draft.otherwise.is_some() {
            self.draft.faults.push((FaultKind::set_twice("otherwise", at), at));
        }
        self.draft.otherwise = Some(BranchDraft::new("otherwise".to_owned(), body.into().draft, at));
        self
    }
}

/// The return types of the function of a [`Choice`]: the name of a branch, or a `Result` with one.
#[diagnostic::on_unimplemented(
    message = "a choice cannot be made by `{Self}`",
    label = "not the name of a branch",
    note = "return a `String` or a `&'static str`, or a `Result` of one with `faasflow::Error`"
)]
pub trait IntoBranchName {
    /// The name of the branch.
    ///
    /// # Errors
    ///
    /// The error that the function returned.
    fn into_branch_name(self) -> Result<String>;
}

impl IntoBranchName for String {
    fn into_branch_name(self) -> Result<String> {
        Ok(self)
    }
}

impl IntoBranchName for &'static str {
    fn into_branch_name(self) -> Result<String> {
        Ok(self.to_owned())
    }
}

impl<T: IntoBranchName> IntoBranchName for Result<T, Error> {
    fn into_branch_name(self) -> Result<String> {
        self.and_then(T::into_branch_name)
    }
}
