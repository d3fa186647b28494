//! One branch for each item of a list.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::definition::draft::{At, ForEachDraft};
use crate::definition::fault::FaultKind;
use crate::definition::flow::FlowBuilder;
use crate::definition::handler::{HandlerOf, PayloadHandler, erase, erase_payload};
use crate::error::{Error, Result};
use crate::payload::{FromPayload, IntoPayload, Payload};

use super::complete::Complete;
use super::items::Items;
use super::label::{IntoLabel, shown_label};

/// How many items may be in flight at once, unless [`ForEach::at_most`] sets another number.
const DEFAULT_AT_MOST: u32 = 64;

/// One execution of a branch for each item of a list.
///
/// The list is the return value of [`split`](ForEach::split). Without it, the payload has to be a JSON array. Without
/// [`collect`](ForEach::collect), the output is a JSON array of the items' outputs, in the order of the items.
///
/// ```
/// use faasflow_core::{Flow, ForEach, Items};
///
/// let flow = Flow::builder()
///     .for_each(
///         ForEach::new(Flow::builder().apply("ocr"))
///             .split(async |text: String| text.split('\u{c}').map(str::to_owned).collect::<Vec<_>>())
///             .at_most(16)
///             .collect(async |items: Items| {
///                 let pages: Vec<String> = items.take_all()?;
///                 Ok(pages.join("\n"))
///             }),
///     )
///     .build();
/// # assert!(flow.is_ok());
/// ```
#[derive(Clone)]
#[must_use = "a for-each does nothing until it is given to a flow"]
pub struct ForEach {
    pub(in crate::definition) draft: ForEachDraft,
}

impl ForEach {
    /// Creates a for-each that runs this branch once for each item.
    pub fn new(body: impl Into<FlowBuilder>) -> ForEach {
        let draft = ForEachDraft {
            body: body.into().draft,
            split: None,
            label: None,
            collect: None,
            complete: Complete::All,
            at_most: DEFAULT_AT_MOST,
            within: None,
            faults: Vec::new(),
        };
        ForEach { draft }
    }

    /// Makes the list from the payload. The function takes any number of extractors and, last, the payload. If the list has
    /// been recorded, a phase that is delivered again uses the recorded items and does not run the function again.
    #[track_caller]
    pub fn split<M, H>(mut self, split: H) -> ForEach
    where
        M: 'static,
        H: PayloadHandler<M>,
        H::Payload: FromPayload + Send + 'static,
        H::Output: IntoItems,
    {
        self.once(self.draft.split.is_some(), "split", Location::caller());
        self.draft.split = Some(erase_payload(split, IntoItems::into_items));
        self
    }

    /// Gives each item a label, by which people recognise it: in the status of the request, in log lines and in spans. Requests
    /// can be found by the labels of their items. The function takes the payload of an item, as any type that a handler can take.
    /// It returns a text or a number, or an `Option` or `Result` of one; without a label, an item has only its number.
    ///
    /// A label has at most [`MAX_LABEL`](crate::MAX_LABEL) bytes; a longer one is cut off. Control characters become spaces. If the
    /// function fails or panics, the item has no label, and the log says so.
    ///
    /// The labels are stored with the list, before any item begins. Steps do not see them, and a deployment may change them while
    /// requests are in progress.
    ///
    /// ```
    /// use faasflow_core::{Flow, ForEach, Json};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Photo { name: String }
    ///
    /// let each = ForEach::new(Flow::builder().apply("resize")).label(|Json(photo): Json<Photo>| photo.name);
    /// assert!(Flow::builder().for_each(each).build().is_ok());
    /// ```
    #[track_caller]
    pub fn label<P, L, F>(mut self, label: F) -> ForEach
    where
        P: FromPayload,
        L: IntoLabel,
        F: Fn(P) -> L + Send + Sync + 'static,
    {
        self.once(self.draft.label.is_some(), "label", Location::caller());
        self.draft.label = Some(Arc::new(move |item| {
            let label = label(P::from_payload(item)?).into_label()?;
            Ok(label.and_then(|label| shown_label(&label)))
        }));
        self
    }

    /// Sets how many items may be in flight at once. The default is 64. If it is called again, the last call counts.
    ///
    /// ```
    /// use faasflow_core::{Flow, ForEach};
    ///
    /// let one_by_one = ForEach::new(Flow::builder().apply("charge")).at_most(1);
    /// assert!(Flow::builder().for_each(one_by_one).build().is_ok());
    /// ```
    #[track_caller]
    pub fn at_most(mut self, items: u32) -> ForEach {
        if items == 0 {
            self.draft.faults.push((FaultKind::ZeroAtMost, Location::caller()));
        }
        self.draft.at_most = items;
        self
    }

    /// Fails an item that has not ended within this time after its beginning. If it is called again, the last call counts.
    #[track_caller]
    pub fn within(mut self, time: Duration) -> ForEach {
        if time.is_zero() {
            self.draft.faults.push((FaultKind::ZeroTime, Location::caller()));
        }
        self.draft.within = Some(time);
        self
    }

    /// Sets when the for-each is complete. The default is [`Complete::All`]. If it is called again, the last call counts.
    pub fn complete(mut self, complete: Complete) -> ForEach {
        self.draft.complete = complete;
        self
    }

    /// Makes the output of the for-each from the outputs of its items. The handler takes any number of extractors and, last,
    /// the [`Items`].
    #[track_caller]
    pub fn collect<M: 'static, H>(mut self, handler: H) -> ForEach
    where
        H: HandlerOf<Items, M>,
        H::Output: IntoPayload,
    {
        self.once(self.draft.collect.is_some(), "collect", Location::caller());
        self.draft.collect = Some(erase(handler, IntoPayload::into_payload));
        self
    }

    fn once(&mut self, is_set: bool, what: &'static str, location: At) {
        if is_set {
            self.draft.faults.push((FaultKind::set_twice(what, location), location));
        }
    }
}

/// The return types of the function of [`ForEach::split`]: a list of payloads, or a `Result` with one.
#[diagnostic::on_unimplemented(
    message = "a payload cannot be split into `{Self}`",
    label = "not a list of payloads",
    note = "return a `Vec` of `Bytes`, `String`, `Json<T>` or `Payload`, or a `Result` of one with `faasflow::Error`"
)]
pub trait IntoItems {
    /// The items, in order.
    ///
    /// # Errors
    ///
    /// If an item cannot be converted into a payload, or the function returned an error.
    fn into_items(self) -> Result<Vec<Payload>>;
}

impl<T: IntoPayload> IntoItems for Vec<T> {
    fn into_items(self) -> Result<Vec<Payload>> {
        self.into_iter().map(T::into_payload).collect()
    }
}

impl<T: IntoItems> IntoItems for Result<T, Error> {
    fn into_items(self) -> Result<Vec<Payload>> {
        self.and_then(T::into_items)
    }
}
