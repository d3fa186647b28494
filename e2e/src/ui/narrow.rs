//! Whether everything of a page can be read in a narrow window without scrolling sideways.

use serde_json::Value;

use super::browser::Tab;

/// From this width on, in pixels, a table may be wider than the window.
const WIDE: u32 = 1280;

/// What is wider than its frame: the page, or an element in it. Text that keeps its lines and drawings may be.
const TOO_WIDE: &str = "(() => { const isWider = (one) => one.scrollWidth > one.clientWidth; \
    const mayScroll = (one) => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX); \
    const found = [...document.body.querySelectorAll('*')].filter((one) => one.checkVisibility() \
        && !one.matches('.hex, .picture-of-flow, textarea') && (mayScroll(one) || one.matches('table')) && isWider(one)); \
    return [document.documentElement, ...found].filter((one, index) => index > 0 || isWider(one)) \
        .map((one) => `<${one.localName} class=\"${one.className}\" aria-label=\"${one.ariaLabel ?? ''}\"> by ${one.scrollWidth - one.clientWidth} pixels`); })()";

/// What of the page has to be scrolled sideways at this width. In a wide window, only the page itself counts.
pub(super) async fn too_wide(tab: &Tab, width: u32) -> Result<Option<String>, String> {
    let found = tab.eval(TOO_WIDE).await?;
    let found: Vec<&str> = found.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let counts = |one: &&&str| width < WIDE || one.starts_with("<html");
    let found: Vec<&str> = found.iter().filter(counts).copied().collect();
    Ok((!found.is_empty()).then(|| found.join(" and ")))
}
