//! The files of the pages, which are a part of the program.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

/// A file that browsers get.
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: &'static [u8],
}

impl Asset {
    /// Its `ETag`, which changes with its bytes.
    pub(crate) fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

macro_rules! assets {
    ($($path:literal: $content_type:expr),* $(,)?) => {
        &[$(Asset { path: $path, content_type: $content_type, bytes: include_bytes!(concat!("../assets/", $path)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The shell, which is the same for each page. Its script looks at the URL. It names every script, so that a browser asks for all of them
/// at once, and not for each after it has read the one that imports it.
static SHELL: LazyLock<Asset> = LazyLock::new(|| {
    let scripts = ASSETS.iter().filter(|asset| asset.content_type == SCRIPT);
    let link = |script: &Asset| format!("<link rel=\"modulepreload\" href=\"/ui/assets/{}\">\n", script.path);
    let links: String = scripts.map(link).collect();
    let html = include_str!("../assets/index.html").replace(SCRIPTS, &links);
    let html = html.replace("/ui/assets/", &format!("/ui/assets/{}/", *VERSION));
    Asset { path: "index.html", content_type: "text/html; charset=utf-8", bytes: html.into_bytes().leak() }
});

/// Names all files as they are now. It is a part of the paths in the shell, and scripts import each other from the same folder, so a browser
/// need not ask for these files again.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    ASSETS.iter().for_each(|asset| (asset.path, asset.bytes).hash(&mut hasher));
    format!("{:016x}", hasher.finish())
});

/// Where the shell names the scripts.
const SCRIPTS: &str = "<!-- scripts -->\n";

/// The files below `/ui/assets/`.
pub(crate) const ASSETS: &[Asset] = assets! {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "start.js": SCRIPT,
    "main.js": SCRIPT,
    "again.js": SCRIPT,
    "api.js": SCRIPT,
    "bars.js": SCRIPT,
    "bulk.js": SCRIPT,
    "charts.js": SCRIPT,
    "course.js": SCRIPT,
    "curl.js": SCRIPT,
    "dom.js": SCRIPT,
    "drawing.js": SCRIPT,
    "endings.js": SCRIPT,
    "events.js": SCRIPT,
    "figures.js": SCRIPT,
    "find.js": SCRIPT,
    "format.js": SCRIPT,
    "heads.js": SCRIPT,
    "letters.js": SCRIPT,
    "live.js": SCRIPT,
    "members.js": SCRIPT,
    "parts.js": SCRIPT,
    "place.js": SCRIPT,
    "payload.js": SCRIPT,
    "range.js": SCRIPT,
    "scale.js": SCRIPT,
    "steps.js": SCRIPT,
    "timeline.js": SCRIPT,
    "why.js": SCRIPT,
    "zoom.js": SCRIPT,
    "pages/overview.js": SCRIPT,
    "pages/flow.js": SCRIPT,
    "pages/requests.js": SCRIPT,
    "pages/request.js": SCRIPT,
    "pages/queue.js": SCRIPT,
    "pages/letter.js": SCRIPT,
};

/// How long a browser may keep a file without asking whether it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Not at all.
    Ask,
    /// For ever: the path changes with the file.
    Forever,
}

/// What is at this path below `/ui/`: a file, or the shell at the path of a page.
pub(crate) fn find(path: &str) -> Option<(&'static Asset, Keep)> {
    if let Some(file) = path.strip_prefix("assets/") {
        let versioned = file.strip_prefix(VERSION.as_str()).and_then(|file| file.strip_prefix('/'));
        let keep = if versioned.is_some() { Keep::Forever } else { Keep::Ask };
        let file = versioned.unwrap_or(file);
        return ASSETS.iter().find(|asset| asset.path == file).map(|asset| (asset, keep));
    }
    let words: Vec<&str> = path.split('/').collect();
    let is_page = matches!(
        words[..],
        [""] | ["requests"] | ["queue"] | ["queue", "dead-letters", _] | ["flows", _] | ["flows", _, "requests", _]
    );
    is_page.then(|| (&*SHELL, Keep::Ask))
}

/// Every file.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Asset> {
    ASSETS.iter().chain([&*SHELL])
}
