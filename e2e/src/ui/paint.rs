//! How long pages take until they show something.

use super::checks::Visit;
use super::stand::Stand;
use crate::suite::expect;

/// How often each page is opened. Medians are printed.
const TIMES: usize = 3;

/// A short text that the same server answers. The browser needs at least this long until it paints anything.
const FLOOR: &str = "/healthz";

/// What is measured, in milliseconds since the browser began to open the page: when the page, its styles and its last script were there (0 if it
/// has none), and when something was painted first.
const TIMES_OF_PAGE: &str = "(() => { const last = (part) => Math.max(0, ...performance.getEntriesByType('resource')\
                             .filter(({ name }) => name.includes(part)).map((one) => one.responseEnd)); \
                             const painted = performance.getEntriesByName('first-contentful-paint')[0]; \
                             return painted && [performance.getEntriesByType('navigation')[0].responseEnd, last('style.css'), \
                             last('.js'), painted.startTime]; })()";

/// Prints when the first paint of each page was, with files that the browser has kept (warm) and without (cold).
pub(super) async fn table(visit: &Visit) -> Result<(), String> {
    println!("          in ms, medians of {TIMES}: page, styles and scripts are there, first paint");
    println!("          {:<44} {:<24} warm", "", "cold");
    for page in pages(&visit.stand).await? {
        let (cold, warm) = (medians(visit, &page, false).await?, medians(visit, &page, true).await?);
        println!("          {page:<44} {cold:<24} {warm}");
    }
    visit.tab.cache(true).await
}

async fn pages(stand: &Stand) -> Result<Vec<String>, String> {
    let mut pages: Vec<String> =
        [FLOOR, "/ui/", "/ui/flows/orders", "/ui/requests", "/ui/flows/orders/requests/order-1", "/ui/queue"]
            .map(String::from)
            .into();
    let letters = stand.json("/system/queue/dead-letters?limit=1").await?;
    pages.extend(letters[0]["id"].as_u64().map(|id| format!("/ui/queue/dead-letters/{id}")));
    Ok(pages)
}

async fn medians(visit: &Visit, page: &str, is_warm: bool) -> Result<String, String> {
    let tab = &visit.tab;
    tab.cache(is_warm).await?;
    let mut times: [Vec<f64>; 4] = Default::default();
    // The first time fills the cache.
    for time in 0..=TIMES {
        // In between, the tab shows something else of the same server, as it does for a reader who comes from another page.
        visit.go("/ui/assets/icon.svg").await?;
        visit.go(page).await?;
        tab.until("something is painted", &format!("Array.isArray({TIMES_OF_PAGE})")).await?;
        let found = tab.eval(TIMES_OF_PAGE).await?;
        let found: Vec<f64> = found.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
        expect(found.len() == 4 && found[3] > 0.0, || format!("the browser says {found:?} of {page}"))?;
        if time > 0 {
            times.iter_mut().zip(found).for_each(|(times, found)| times.push(found));
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        format!("{:>4.0}", times[TIMES / 2])
    });
    Ok(medians.join(" "))
}
