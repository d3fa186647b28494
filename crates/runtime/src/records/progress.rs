//! Reads from the store what has become of a request.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::RequestInfo;
use faasflow_core::envelope::Envelope;
use faasflow_core::graph::Fingerprint;
use faasflow_core::handler::BoxFuture;
use faasflow_core::machine::Caller;
use faasflow_core::machine::forked::{Begun, Control, Message, Progress, Survey, survey};
use faasflow_core::state::{Key, Scope, SearchTerms, StateError, StateManager as _};
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::definitions::BegunWith;
use crate::instance::Instance;
use crate::retrying_state::RetryingState;

/// A request that is remembered.
pub(super) struct Remembered {
    /// What its first envelope says about it.
    pub(super) info: Arc<RequestInfo>,
    /// The definition that its current generation began with.
    pub(super) begun: BegunWith,
    /// The shape of that definition, or the beginning of it.
    pub(super) shape: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub(super) began_ms: u64,
    /// Whether its caller waited for its end.
    pub(super) caller_waits: bool,
    /// The id of the request that it repeats.
    pub(super) repeats: Option<String>,
    pub(super) progress: Progress,
    /// Its search keys.
    pub(super) keys: Vec<String>,
    /// Its first token in its current generation.
    pub(super) first: Message,
}

/// How a request began.
pub(super) struct Opened {
    pub(super) info: Arc<RequestInfo>,
    /// The definition that its current generation began with.
    pub(super) begun: BegunWith,
    shape: String,
    pub(super) began_ms: u64,
    caller_waits: bool,
    /// The id of the request that it repeats.
    repeats: Option<String>,
    /// Its search keys.
    keys: Vec<String>,
    /// The value of what was decided about it.
    control: Option<Bytes>,
    /// Its first token in its current generation.
    pub(super) first: Message,
    /// Whether it was redriven with another definition than the one that it first began with.
    pub(super) has_changed: bool,
}

/// Why nothing is known about a request.
#[derive(Debug)]
pub(super) enum NotFound {
    /// The flow has never had it, or has forgotten it.
    Unknown,
    /// It has ended, and its record has expired.
    Expired,
    /// The value of this key is not one that this version writes.
    Unreadable(Key),
    /// The store fails.
    Store(StateError),
}

/// What the caller is told about a value that cannot be read.
pub(super) fn unreadable(key: &Key) -> String {
    format!(
        "the record of the request cannot be read: the value of `{key}` is damaged, or a later version of Faasflow has written it"
    )
}

impl From<StateError> for NotFound {
    fn from(error: StateError) -> NotFound {
        NotFound::Store(error)
    }
}

impl Remembered {
    pub(super) fn generation(&self) -> u32 {
        self.progress.control.generation()
    }

    /// When it last moved, in milliseconds since the Unix epoch.
    pub(super) fn moved_ms(&self) -> u64 {
        self.began_ms.max(self.progress.moved_ms)
    }
}

impl Opened {
    /// What was read that a survey needs. It is not read again, so the progress is that of this generation even if the request is
    /// started again meanwhile.
    pub(super) fn found(&self) -> HashMap<Key, Option<Bytes>> {
        HashMap::from([(Control::key(), self.control.clone())])
    }

    pub(super) fn remembered(self, progress: Progress) -> Remembered {
        let Opened { info, begun, shape, began_ms, caller_waits, repeats, keys, first, .. } = self;
        Remembered { info, begun, shape, began_ms, caller_waits, repeats, progress, keys, first }
    }
}

impl Instance {
    /// The scope of a request that is remembered.
    pub(super) fn scope_of(&self, id: &str) -> Scope {
        Scope { flow: self.name.to_string(), request: id.to_owned() }
    }

    /// The state manager, for what is done about records until this time.
    pub(super) fn records(&self, until: Instant) -> RetryingState {
        self.store(until).expect("a flow that remembers its requests has a state manager")
    }

    /// The time that one request to the API may take.
    pub(super) fn time_to_answer(&self) -> Deadline {
        Deadline::starting_now(self.config.write_timeout)
    }

    /// The definition with which the latest generation of a request began. `first` is the first envelope of the request.
    pub(crate) fn begun_with(&self, first: &Envelope, control: &Control) -> BegunWith {
        let (fingerprint, shape) = match &control.shape {
            Some(shape) => (Fingerprint::from_shape(shape), shape),
            None => (first.fingerprint, &first.shape),
        };
        self.definitions.find(&self.flow, fingerprint, shape)
    }

    /// Finds out what has become of a request. The future is boxed here, because the compiler cannot prove from the outside that
    /// it can move between threads.
    pub(super) fn remembered<'a>(
        &'a self,
        scope: &'a Scope,
        until: Instant,
    ) -> BoxFuture<'a, Result<Remembered, NotFound>> {
        Box::pin(self.look_up(scope, until))
    }

    async fn look_up(&self, scope: &Scope, until: Instant) -> Result<Remembered, NotFound> {
        let manager = self.records(until);
        let opened = self.opened(&manager, scope).await?;
        let route = opened.begun.route(&self.flow);
        let mut found = opened.found();
        loop {
            match survey(route, &opened.first, &found) {
                Survey::Progress(progress) => {
                    if progress.end.is_some() && manager.is_expired(scope).await? {
                        return Err(NotFound::Expired);
                    }
                    return Ok(opened.remembered(*progress));
                }
                Survey::Unreadable(key) => return Err(NotFound::Unreadable(key)),
                Survey::Needs(keys) => manager.read_into(&mut found, scope, keys).await?,
            }
        }
    }

    /// Like [`opened`](Instance::opened), for a request whose record has not expired.
    pub(super) async fn kept(&self, manager: &RetryingState, scope: &Scope) -> Result<Opened, NotFound> {
        let opened = self.opened(manager, scope).await?;
        match manager.is_expired(scope).await? {
            true => Err(NotFound::Expired),
            false => Ok(opened),
        }
    }

    /// Reads how a request began, and what was decided about it since.
    pub(super) async fn opened(&self, manager: &RetryingState, scope: &Scope) -> Result<Opened, NotFound> {
        let over = faasflow_core::machine::forked::over_key(0);
        let keys = [Begun::key(), Control::key(), over, SearchTerms::key()];
        let found = manager.get_many(scope, &keys.each_ref().map(Key::as_str)).await?;
        let [begun, control, over, terms] = <[Option<Bytes>; 4]>::try_from(found)
            .map_err(|_| StateError::permanent("it has returned another number of values than it was asked for"))?;
        let Some(begun) = begun else {
            return Err(if over.is_some() { NotFound::Expired } else { NotFound::Unknown });
        };
        let begun = Begun::decode(&begun).ok_or_else(|| NotFound::Unreadable(Begun::key()))?;
        if begun.is_given_up {
            return Err(NotFound::Unknown);
        }
        // Nothing depends on them.
        let search_keys = SearchTerms::decode(terms.as_ref()).unwrap_or_default().keys;
        let envelope = Envelope::decode(&begun.envelope).map_err(|_| NotFound::Unreadable(Begun::key()))?;
        let decided = Control::decode(control.as_ref()).ok_or_else(|| NotFound::Unreadable(Control::key()))?;
        let begun_with = self.begun_with(&envelope, &decided);
        let shape = decided.shape.clone().unwrap_or(envelope.shape);
        let start = begun_with.route(&self.flow).plan().start().in_generation(decided.generation());
        let first = Message { remembered: true, ..Message::fresh(start, envelope.payload, Caller::Left) };
        let (info, began_ms, caller_waits) = (envelope.request, begun.at_ms, begun.caller_waits);
        let has_changed = decided.shape.is_some();
        let (repeats, keys) = (begun.repeats, search_keys);
        Ok(Opened {
            info,
            begun: begun_with,
            shape,
            began_ms,
            caller_waits,
            repeats,
            keys,
            control,
            first,
            has_changed,
        })
    }
}
