//! Steps that failed, and what failure handlers decide about them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::code::{self, Code};
use crate::definition::{Branches, Items, MemberResult, masked_text};
use crate::duration;
use crate::error::{Error, Result};
use crate::graph::Place;
use crate::payload::{IntoPayload, NotText, NotTheJson, Payload};
use crate::response::CallResponse;
use crate::state::StateError;

/// Why a step failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// A handler returned an error.
    Handler(Arc<Error>),
    /// A handler panicked. The text is the panic message, for the log only.
    Panic(String),
    /// The function or callback could not be reached, and the step does not wait for it because
    /// [`Retry::on_unreachable`] is off. The error is for the log only.
    ///
    /// [`Retry::on_unreachable`]: crate::Retry::on_unreachable
    Unreachable(Arc<Error>),
    /// The connection was lost before the answer was complete, so it is unknown what the function or callback did. The
    /// step does not call again because [`Retry::on_unreachable`] is off. The error is for the log only.
    ///
    /// [`Retry::on_unreachable`]: crate::Retry::on_unreachable
    Interrupted(Arc<Error>),
    /// The function or callback answered, but the answer is malformed HTTP or its head is too large. Calling again
    /// would give the same result. The error is for the log only.
    Unusable(Arc<Error>),
    /// The function or callback did not answer within this time.
    Timeout(Duration),
    /// The function or callback answered with a status other than success.
    Response(Box<CallResponse>),
    /// The answer was larger than this many bytes.
    AnswerTooLarge(u64),
    /// The answer has a `Content-Encoding` and cannot be decoded: the encoding is unknown, the body does not match it,
    /// or the decoded body is larger than `max_body`. The error says which.
    Undecodable(Arc<Error>),
    /// The invocation took longer than `write_timeout`.
    Deadline(Duration),
    /// The next phase cannot be queued, and trying again will not help. The error is for the log only.
    Forward(Arc<Error>),
    /// The state manager cannot store the payload for the next phase, or cannot return the payload for this phase, and
    /// trying again will not help. The error is for the log only.
    Storage(Arc<Error>),
    /// The next phase cannot be queued because its envelope would be larger than the limit. All sizes are in bytes.
    EnvelopeTooLarge {
        /// The size that the envelope would have.
        size: u64,
        /// The part of it that is the payload; 0 if a state manager stores the payload.
        payload: u64,
        /// The part of it that is the request's state.
        state: u64,
        /// The limit, which is the setting `envelope_limit`.
        limit: u64,
    },
    /// Too many branches of a graph failed. These are the results of all of them.
    Branches(Arc<Branches>),
    /// Too many items of a for-each failed. These are the results of all of them.
    Items(Arc<Items>),
    /// The list of a for-each is too long. No item was begun.
    TooManyItems {
        /// The number of the for-each in the flow: see [`CompositeIndex::number`](crate::graph::CompositeIndex::number).
        for_each: usize,
        /// The number of items in the list.
        items: usize,
        /// The value of the setting `max_items`.
        limit: usize,
    },
    /// The function of a choice returned this name, which is not a branch.
    NoSuchBranch(String),
}

impl FailureKind {
    /// A short name of the kind for metrics and traces, such as `timeout`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            FailureKind::Handler(_) => "handler",
            FailureKind::Panic(_) => "panic",
            FailureKind::Unreachable(_) => "unreachable",
            FailureKind::Interrupted(_) => "interrupted",
            FailureKind::Unusable(_) => "unusable",
            FailureKind::Timeout(_) => "timeout",
            FailureKind::Response(_) => "response",
            FailureKind::AnswerTooLarge(_) => "answer_too_large",
            FailureKind::Undecodable(_) => "undecodable",
            FailureKind::Deadline(_) => "deadline",
            FailureKind::Forward(_) => "forward",
            FailureKind::Storage(_) => "storage",
            FailureKind::EnvelopeTooLarge { .. } => "envelope_too_large",
            FailureKind::Branches(_) => "branches",
            FailureKind::Items(_) => "items",
            FailureKind::TooManyItems { .. } => "too_many_items",
            FailureKind::NoSuchBranch(_) => "no_such_branch",
        }
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            FailureKind::Handler(error) if error.is_refusal() => code::REFUSED_BY_FLOW,
            FailureKind::Handler(error) if error.downcast_ref::<NotTheJson>().is_some() => code::NOT_JSON,
            FailureKind::Handler(error) if error.downcast_ref::<NotText>().is_some() => code::NOT_TEXT,
            FailureKind::Handler(error) => error.code().unwrap_or(code::HANDLER_FAILED),
            FailureKind::Panic(_) => code::PANICKED,
            FailureKind::Unreachable(_) => code::UNREACHABLE,
            FailureKind::Interrupted(_) => code::INTERRUPTED,
            FailureKind::Unusable(_) => code::UNUSABLE_ANSWER,
            FailureKind::Timeout(_) => code::TIMEOUT,
            FailureKind::Response(_) => code::ERROR_ANSWER,
            FailureKind::AnswerTooLarge(_) => code::ANSWER_TOO_LARGE,
            FailureKind::Undecodable(_) => code::UNDECODABLE_ANSWER,
            FailureKind::Deadline(_) => code::DEADLINE,
            FailureKind::Forward(_) => code::NOT_QUEUED,
            FailureKind::Storage(_) => code::PAYLOAD_NOT_KEPT,
            FailureKind::EnvelopeTooLarge { .. } => code::ENVELOPE_TOO_LARGE,
            FailureKind::Branches(_) | FailureKind::Items(_) => code::BRANCH_FAILED,
            FailureKind::TooManyItems { .. } => code::TOO_MANY_ITEMS,
            FailureKind::NoSuchBranch(_) => code::UNKNOWN_CHOICE,
        }
    }

    /// What to do about it, if that is known. It is safe to show to the caller.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            FailureKind::EnvelopeTooLarge { payload: 0, state: 0, .. } => Some(
                "send the request with a shorter query and fewer headers, or raise `envelope_limit` if the gateway's queue \
                 takes more",
            ),
            FailureKind::EnvelopeTooLarge { .. } => Some(
                "give the flow a state manager, which then keeps them, raise `envelope_limit` if the gateway's queue takes \
                 more, or remove state that is no longer needed",
            ),
            FailureKind::TooManyItems { .. } => Some("send a shorter list, or raise `max_items`"),
            _ => None,
        }
    }

    /// The underlying error, for the log only, or `None` if the kind has none.
    #[must_use]
    pub fn cause(&self) -> Option<&Error> {
        match self {
            FailureKind::Handler(error)
            | FailureKind::Unreachable(error)
            | FailureKind::Interrupted(error)
            | FailureKind::Unusable(error)
            | FailureKind::Undecodable(error)
            | FailureKind::Forward(error)
            | FailureKind::Storage(error) => Some(error),
            FailureKind::Panic(_)
            | FailureKind::Timeout(_)
            | FailureKind::Response(_)
            | FailureKind::AnswerTooLarge(_)
            | FailureKind::Deadline(_)
            | FailureKind::EnvelopeTooLarge { .. }
            | FailureKind::Branches(_)
            | FailureKind::Items(_)
            | FailureKind::TooManyItems { .. }
            | FailureKind::NoSuchBranch(_) => None,
        }
    }
}

/// A failed step: which step it is, why it failed, and its input.
///
/// ```
/// use faasflow_core::{Context, Failure, Flow, Json};
///
/// let flow = Flow::builder()
///     .apply("translate")
///     .on_failure(async |context: Context, failure: Failure| {
///         if failure.is_timeout() || failure.is_unreachable() {
///             return failure.recover(failure.payload().clone()); // better untranslated than late
///         }
///         failure.reply(Json([context.request_id().to_owned(), failure.step().to_owned(), failure.reason()]))
///     })
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    place: Place,
    step: usize,
    name: Arc<str>,
    kind: FailureKind,
    payload: Payload,
    /// Values that are replaced in its texts.
    secrets: Arc<[String]>,
}

impl Failure {
    /// Creates a failure of the step numbered `step` and named `name`, in the phase at `place`, with the input
    /// `payload`. A test can pass the number of the phase as the place.
    #[must_use]
    pub fn new(place: impl Into<Place>, step: usize, name: Arc<str>, kind: FailureKind, payload: Payload) -> Failure {
        Failure { place: place.into(), step, name, kind, payload, secrets: Arc::default() }
    }

    /// The same failure without these secret values in its texts.
    #[must_use]
    pub fn hiding(mut self, secrets: Arc<[String]>) -> Failure {
        self.secrets = secrets;
        self
    }

    /// The number of the phase, from 1.
    #[must_use]
    pub fn phase(&self) -> usize {
        self.place.phase()
    }

    /// The number of the step in the flow, from 1.
    #[must_use]
    pub fn step_number(&self) -> usize {
        self.step
    }

    /// The step as messages name it, such as ``function `facedetect` ``.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.name
    }

    /// Why the step failed.
    #[must_use]
    pub fn kind(&self) -> &FailureKind {
        &self.kind
    }

    /// The code of the error, such as `FF0309`. The answer to the caller contains it too, so it is not confidential.
    #[must_use]
    pub fn code(&self) -> Code {
        self.kind.code()
    }

    /// The input of the step.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The answer of the function or callback, if the step failed because of it.
    #[must_use]
    pub fn response(&self) -> Option<&CallResponse> {
        match &self.kind {
            FailureKind::Response(response) => Some(response),
            _ => None,
        }
    }

    /// The status of that answer, if the step failed because of it.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.response().map(CallResponse::status)
    }

    /// The error that a handler returned, if the step failed because of it.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match &self.kind {
            FailureKind::Handler(error) => Some(error),
            _ => None,
        }
    }

    /// The results of the branches of a graph, if too many of them failed.
    ///
    /// ```
    /// use faasflow_core::{Context, Failure, Flow};
    ///
    /// let flow = Flow::builder()
    ///     .parallel([("thumb", Flow::builder().apply("resize")), ("tags", Flow::builder().apply("classify"))])
    ///     .on_failure(async |_: Context, failure: Failure| match failure.branches() {
    ///         Some(branches) if branches.output("thumb").is_ok() => failure.recover("no tags"),
    ///         _ => failure.decline(),
    ///     })
    ///     .build();
    /// # assert!(flow.is_ok());
    /// ```
    #[must_use]
    pub fn branches(&self) -> Option<&Branches> {
        match &self.kind {
            FailureKind::Branches(branches) => Some(branches),
            _ => None,
        }
    }

    /// The results of the items of a for-each, if too many of them failed.
    #[must_use]
    pub fn items(&self) -> Option<&Items> {
        match &self.kind {
            FailureKind::Items(items) => Some(items),
            _ => None,
        }
    }

    /// Whether the step or the whole invocation ran out of time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, FailureKind::Timeout(_) | FailureKind::Deadline(_))
    }

    /// Whether the function or callback could not be reached, or the connection was lost before it had answered. A step
    /// fails for this reason only if [`Retry::on_unreachable`](crate::Retry::on_unreachable) is off. Otherwise the
    /// phase waits and is delivered again.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self.kind, FailureKind::Unreachable(_) | FailureKind::Interrupted(_))
    }

    /// Whether a handler refused the request on purpose, with [`Error::refused`].
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.error().is_some_and(Error::is_refusal)
    }

    /// Why the step failed, in a few words that are safe to show to the caller. They contain no internals, addresses or
    /// secrets.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use faasflow_core::failure::FailureKind;
    /// use faasflow_core::{Error, Failure, Payload};
    ///
    /// let because = |kind| Failure::new(1, 2, "modifier `check`".into(), kind, Payload::empty()).reason();
    /// let handler = |error| because(FailureKind::Handler(Arc::new(error)));
    ///
    /// assert_eq!(handler(Error::refused("not on a Sunday")), "not on a Sunday");
    /// assert_eq!(handler(Error::msg("host db1 is down")), "it returned an error");
    /// assert_eq!(because(FailureKind::Timeout(Duration::from_secs(30))), "no answer within 30s");
    /// ```
    #[must_use]
    pub fn reason(&self) -> String {
        masked_text(&self.kind.reason(), &self.secrets).into_owned()
    }
}

impl FailureKind {
    /// Why the step failed, in a few words that are safe to show to the caller. See [`Failure::reason`].
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            FailureKind::Handler(error) => match error.public_reason() {
                Some(reason) => reason.to_owned(),
                None if error.downcast_ref::<NotTheJson>().is_some() => {
                    "its input is not the JSON that it expects".to_owned()
                }
                None if error.downcast_ref::<NotText>().is_some() => "its input is not UTF-8 text".to_owned(),
                None if error.is_temporary() => "the state manager cannot be reached".to_owned(),
                None => "it returned an error".to_owned(),
            },
            FailureKind::Panic(_) => "it panicked".to_owned(),
            FailureKind::Unreachable(_) => "it could not be reached".to_owned(),
            FailureKind::Interrupted(_) => "it broke off before it had answered".to_owned(),
            FailureKind::Unusable(_) => {
                "its answer cannot be used: it is malformed, or its head is too large".to_owned()
            }
            FailureKind::Timeout(after) => format!("no answer within {}", duration::format(*after)),
            FailureKind::Response(response) => format!("it answered {}", response.status()),
            FailureKind::AnswerTooLarge(limit) => format!("its answer is larger than {limit} bytes"),
            FailureKind::Undecodable(why) => format!("its answer cannot be used: {why:#}"),
            FailureKind::Deadline(after) => format!("the invocation took longer than {}", duration::format(*after)),
            FailureKind::Forward(_) => "the queue refuses the next phase".to_owned(),
            FailureKind::Storage(error) => match error.downcast_ref().and_then(StateError::sizes) {
                Some((size, limit)) => {
                    format!("the state manager does not keep its payload: {size} bytes, over the limit of {limit}")
                }
                None => "the state manager does not keep its payload".to_owned(),
            },
            FailureKind::Branches(branches) => {
                let failed = branches.iter().map(|(name, result)| (format!("the branch `{name}`"), result));
                of_members(failed)
            }
            FailureKind::Items(items) => {
                let failed = (1..).zip(items.iter()).map(|(number, result)| (format!("item {number}"), result));
                of_members(failed)
            }
            FailureKind::TooManyItems { for_each, items, limit } => {
                format!("the list of for-each {for_each} has {items} items, and at most {limit} are allowed")
            }
            FailureKind::NoSuchBranch(name) => format!("there is no branch `{name}`"),
            FailureKind::EnvelopeTooLarge { size, payload: 0, state: 0, limit } => {
                format!("the envelope would be {size} bytes without payload and state, over the limit of {limit}")
            }
            FailureKind::EnvelopeTooLarge { size, payload, state, limit } => format!(
                "the envelope would be {size} bytes, {payload} of them payload and {state} state, over the limit of {limit}"
            ),
        }
    }
}

impl Failure {
    /// Recovers from the failure.
    ///
    /// In the failure handler of a flow, this ends the request with status 200 and the payload. In the failure handler
    /// of a step, the payload becomes the output of the step, and the flow continues.
    ///
    /// ```
    /// use faasflow_core::{Call, Context, Failure};
    ///
    /// let call = Call::new("thumbnail")
    ///     .on_failure(async |_: Context, failure: Failure| failure.recover(failure.payload().clone()));
    /// ```
    #[must_use]
    pub fn recover(&self, payload: impl IntoPayload) -> Resolution {
        Resolution::from_payload(payload, Resolution::Recovered)
    }

    /// Ends the request with status 500 and the payload. In the failure handler of a step, this skips the failure
    /// handler of the flow.
    ///
    /// ```
    /// use faasflow_core::{Context, Failure, Flow};
    ///
    /// let flow = Flow::builder()
    ///     .apply("thumbnail")
    ///     .on_failure(async |_: Context, failure: Failure| failure.reply(format!("sorry: {}", failure.reason())))
    ///     .build();
    /// # assert!(flow.is_ok());
    /// ```
    #[must_use]
    pub fn reply(&self, payload: impl IntoPayload) -> Resolution {
        Resolution::from_payload(payload, Resolution::Replied)
    }

    /// Decides nothing. The failure is handled as if there were no such handler.
    ///
    /// ```
    /// use faasflow_core::{Call, Context, Failure, StatusCode};
    ///
    /// let call = Call::new("lookup").on_failure(async |_: Context, failure: Failure| match failure.status() {
    ///     Some(StatusCode::NOT_FOUND) => failure.recover("nobody"),
    ///     _ => failure.decline(),
    /// });
    /// ```
    #[must_use]
    pub fn decline(&self) -> Resolution {
        Resolution::Declined
    }
}

/// The reasons of the first three members that failed, and the number of the others.
fn of_members<'a>(members: impl Iterator<Item = (String, &'a MemberResult)>) -> String {
    let failed = members.filter_map(|(name, result)| match result {
        MemberResult::Failed(reason) => Some(format!("{name} failed: {reason}")),
        _ => None,
    });
    let failed: Vec<String> = failed.collect();
    match failed.len() {
        0 => "too few members can succeed".to_owned(),
        1..=3 => failed.join("; "),
        count => format!("{}; and {} more failed", failed[..3].join("; "), count - 3),
    }
}

/// The failure for the log, on one line. It includes the internals that [`Failure::reason`] leaves out.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why: &dyn fmt::Display = match self.secrets.is_empty() {
            true => &self.kind,
            false => &masked_text(&self.kind.to_string(), &self.secrets).into_owned(),
        };
        match self.step {
            // It is not a step but a join, a split or a choice.
            0 => write!(f, "{} failed: {why}", self.name),
            step => write!(f, "step {step} ({}) failed: {why}", self.name),
        }
    }
}

/// Why the step failed, for the log, on one line. It includes the internals that [`FailureKind::reason`] leaves out.
impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Handler(error) => write!(f, "{error:#}"),
            FailureKind::Panic(text) => write!(f, "it panicked: {text}"),
            FailureKind::Unreachable(error)
            | FailureKind::Interrupted(error)
            | FailureKind::Unusable(error)
            | FailureKind::Forward(error)
            | FailureKind::Storage(error) => write!(f, "{}: {error:#}", self.reason()),
            // If the gateway itself answered, its text is not a payload, so the log may contain it.
            FailureKind::Response(response) if response.header("x-openfaas-internal").is_some() => {
                let text = String::from_utf8_lossy(response.payload().bytes());
                let text: String = text.trim().chars().take(300).collect();
                write!(f, "{}: {text}", self.reason())
            }
            _ => f.write_str(&self.reason()),
        }
    }
}

/// What a failure handler decided.
#[derive(Debug)]
#[non_exhaustive]
pub enum Resolution {
    /// See [`Failure::recover`].
    Recovered(Payload),
    /// See [`Failure::reply`].
    Replied(Payload),
    /// See [`Failure::decline`].
    Declined,
    /// The handler itself failed. Its error goes to the log, and the step's failure stands.
    Failed(Error),
}

impl Resolution {
    fn from_payload(payload: impl IntoPayload, resolve: fn(Payload) -> Resolution) -> Resolution {
        match payload.into_payload() {
            Ok(payload) => resolve(payload),
            Err(error) => Resolution::Failed(error),
        }
    }
}

/// What a failure handler may return: a [`Resolution`] or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "a failure handler cannot return `{Self}`",
    label = "not a resolution",
    note = "return `failure.recover(payload)`, `failure.reply(payload)` or `failure.decline()`, or a `Result` of one"
)]
pub trait IntoResolution {
    /// Converts the value into a resolution.
    ///
    /// # Errors
    ///
    /// The error that the handler returned.
    fn into_resolution(self) -> Result<Resolution>;
}

impl IntoResolution for Resolution {
    fn into_resolution(self) -> Result<Resolution> {
        match self {
            Resolution::Failed(error) => Err(error),
            resolution => Ok(resolution),
        }
    }
}

impl IntoResolution for Result<Resolution, Error> {
    fn into_resolution(self) -> Result<Resolution> {
        self.and_then(Resolution::into_resolution)
    }
}
