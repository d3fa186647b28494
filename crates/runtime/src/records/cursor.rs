//! Cursors, which say where the next page of a list begins.

use faasflow_core::RequestId;
use faasflow_core::state::ListPosition;

/// What is wrong with a text that is no cursor.
pub(super) const NOT_A_CURSOR: &str = "`cursor` must be the `cursor` of an earlier answer";

/// A position as a cursor.
pub(super) fn cursor(position: &ListPosition) -> String {
    format!("{}~{}", position.started_ms, position.request)
}

/// The position of a cursor, and the second one that the cursor of a search may have. `None` if the text is no cursor.
pub(super) fn positions(text: &str) -> Option<(ListPosition, Option<ListPosition>)> {
    let parsed = |started_ms: &str, request: &str| {
        Some(ListPosition { started_ms: started_ms.parse().ok()?, request: RequestId::parse(request)?.to_string() })
    };
    let parts: Vec<&str> = text.split('~').collect();
    match parts[..] {
        [started_ms, request] => parsed(started_ms, request).map(|after| (after, None)),
        [started_ms, request, exact_ms, exact] => {
            parsed(started_ms, request).zip(parsed(exact_ms, exact)).map(|(after, exact_to)| (after, Some(exact_to)))
        }
        _ => None,
    }
}
