//! Chromium, driven over its debugging pipe (the Chrome DevTools Protocol). The pipe needs no port and no WebSocket.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether a page is loaded. The scripts of the dashboard are executed after its first paint.
const IS_LOADED: &str = "document.readyState === 'complete' && location.href !== 'about:blank' && \
                         document.querySelector('main[aria-busy]') === null";

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// A running browser. It is killed when this is dropped.
pub(super) struct Browser {
    _child: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    ids: AtomicU64,
    /// Scripts that failed, and what the policy of a page forbade.
    problems: Arc<Mutex<Vec<String>>>,
    _reading: AbortOnDropHandle<()>,
}

impl Browser {
    pub(super) async fn start(program: &Path, folder: &Path) -> Result<Browser, String> {
        // The browser reads commands from file 3 and writes to file 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"])
            .arg(program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars"])
            // Its sandbox does not work for root, and it sees only pages of this suite.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--lang=en"])
            .arg(format!("--user-data-dir={}", folder.join("browser").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("browser.log")).map_err(|error| error.to_string())?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let input = child.stdin.take().ok_or("no pipe")?.into();
        let output = child.stdout.take().ok_or("no pipe")?;
        let (waiting, problems) = (Waiting::default(), Arc::default());
        let reading = AbortOnDropHandle::new(tokio::spawn(read(output, waiting.clone(), Arc::clone(&problems))));
        Ok(Browser { _child: child, input, waiting, ids: AtomicU64::new(1), problems, _reading: reading })
    }

    async fn send(&self, session: Option<&str>, method: &str, parameters: Value) -> Result<Value, String> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.lock().await.write_all(&bytes).await.map_err(|error| format!("the browser has ended: {error}"))?;
        let answer = tokio::time::timeout(PATIENCE, receiver).await;
        let answer = answer.map_err(|_| format!("{method} took longer than {PATIENCE:?}"))?;
        let answer = answer.map_err(|_| "the browser has ended".to_owned())?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}")),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Opens a tab.
    pub(super) async fn tab(self: &Arc<Self>) -> Result<Tab, String> {
        let target = self.send(None, "Target.createTarget", json!({ "url": "about:blank" })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.send(None, "Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().ok_or("the tab has no session")?.to_owned();
        let tab = Tab { browser: self.clone(), session };
        for domain in ["Page", "Runtime", "Log"] {
            tab.send(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(tab)
    }

    /// What went wrong in pages since the last call.
    pub(super) fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut *self.problems.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads what the browser says: answers, and events about problems.
async fn read(output: ChildStdout, waiting: Waiting, problems: Arc<Mutex<Vec<String>>>) {
    let mut output = BufReader::new(output);
    let mut message = Vec::new();
    while output.read_until(0, &mut message).await.is_ok_and(|length| length > 0) {
        message.pop();
        let value: Value = serde_json::from_slice(&message).unwrap_or_default();
        message.clear();
        if let Some(id) = value["id"].as_u64() {
            if let Some(sender) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
                let _ = sender.send(value);
            }
            continue;
        }
        let problem = match value["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(&value["params"]["exceptionDetails"]),
            Some("Log.entryAdded") => {
                let entry = &value["params"]["entry"];
                // An answer that is not 2xx is an entry too, of `network`.
                let matters = ["security", "javascript", "violation"].contains(&entry["source"].as_str().unwrap_or(""));
                (matters && entry["level"] == "error").then_some(entry)
            }
            _ => None,
        };
        if let Some(problem) = problem {
            problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem.to_string());
        }
    }
    // All that wait learn that nothing will come.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// One tab of the browser.
#[derive(Clone)]
pub(super) struct Tab {
    browser: Arc<Browser>,
    session: String,
}

impl Tab {
    async fn send(&self, method: &str, parameters: Value) -> Result<Value, String> {
        self.browser.send(Some(&self.session), method, parameters).await
    }

    pub(super) async fn go(&self, url: &str) -> Result<(), String> {
        let answer = self.send("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = answer["errorText"].as_str() {
            return Err(format!("{url}: {error}"));
        }
        self.until("the page is loaded", IS_LOADED).await
    }

    /// Loads the page again.
    pub(super) async fn reload(&self) -> Result<(), String> {
        self.eval("window.isFromBefore = true").await?;
        self.send("Page.reload", json!({})).await?;
        self.until("the page is loaded again", &format!("window.isFromBefore === undefined && {IS_LOADED}")).await
    }

    /// The value of an expression in the page. A promise is awaited.
    pub(super) async fn eval(&self, expression: &str) -> Result<Value, String> {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.send("Runtime.evaluate", parameters).await?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(format!("`{expression:.200}`: {}", details["exception"]["description"])),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&self, what: &str, expression: &str) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(expression).await? != Value::Bool(true) {
            if Instant::now() > deadline {
                let text = self.eval("document.body.innerText.slice(0, 2000)").await?;
                return Err(format!("{what}: not within {PATIENCE:?}; the page shows: {text}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until the page shows a text.
    pub(super) async fn shows(&self, text: &str) -> Result<(), String> {
        self.until(&format!("it shows `{text}`"), &format!("document.body.innerText.includes({})", json!(text))).await
    }

    /// Clicks the first visible element of this kind with this text.
    pub(super) async fn click(&self, selector: &str, text: &str) -> Result<(), String> {
        let find = format!(
            "[...document.querySelectorAll({})].find((one) => one.textContent.includes({}) && one.checkVisibility() && !one.disabled)",
            json!(selector),
            json!(text)
        );
        self.until(&format!("`{selector}` with `{text}` is there"), &format!("{find} !== undefined")).await?;
        self.eval(&format!("{find}.click()")).await.map(drop)
    }

    /// Sets the value of a field, as if somebody had typed it.
    pub(super) async fn fill(&self, selector: &str, value: &str) -> Result<(), String> {
        let script = format!(
            "(() => {{ const field = document.querySelector({}); field.value = {}; \
             for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {{ bubbles: true }})); }})()",
            json!(selector),
            json!(value)
        );
        self.eval(&script).await.map(drop)
    }

    /// Chooses a file in a field for files, as if somebody had chosen it.
    pub(super) async fn choose_file(&self, selector: &str, file: &Path) -> Result<(), String> {
        let find = json!({ "expression": format!("document.querySelector({})", json!(selector)) });
        let field = self.send("Runtime.evaluate", find).await?;
        let field = field["result"]["objectId"].as_str().ok_or_else(|| format!("there is no `{selector}`"))?;
        let chosen = json!({ "files": [file], "objectId": field });
        self.send("DOM.setFileInputFiles", chosen).await.map(drop)
    }

    /// Whether files are kept from one page to the next.
    pub(super) async fn cache(&self, is_used: bool) -> Result<(), String> {
        self.send("Network.enable", json!({})).await?;
        self.send("Network.setCacheDisabled", json!({ "cacheDisabled": !is_used })).await.map(drop)
    }

    /// Lets requests whose URLs match a pattern wait for ever, until this is called again.
    pub(super) async fn hang(&self, pattern: Option<&str>) -> Result<(), String> {
        match pattern {
            Some(pattern) => self.send("Fetch.enable", json!({ "patterns": [{ "urlPattern": pattern }] })).await,
            None => self.send("Fetch.disable", json!({})).await,
        }
        .map(drop)
    }

    /// Sets the width of the window and the colours that the reader prefers, and waits until the page is drawn in this way.
    pub(super) async fn look(&self, width: u32, colours: &str) -> Result<(), String> {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.send("Emulation.setDeviceMetricsOverride", size).await?;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": colours }] });
        self.send("Emulation.setEmulatedMedia", features).await?;
        let looks = format!("innerWidth === {width} && matchMedia('(prefers-color-scheme: {colours})').matches");
        self.until("the page has the width and the colours", &looks).await?;
        // Transitions begin in the next frame.
        self.eval("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))").await?;
        let moves = "getComputedTiming().endTime !== Infinity && one.playState === 'running'";
        self.until("no transition runs", &format!("!document.getAnimations().some((one) => one.effect.{moves})")).await
    }

    /// Takes a picture of the whole page, or of the window while a dialog covers it.
    pub(super) async fn picture(&self, path: &Path) -> Result<(), String> {
        let height =
            "document.querySelector('dialog') ? innerHeight : Math.min(document.documentElement.scrollHeight, 4000)";
        self.save(path, json!({ "format": "png" }), height).await
    }

    /// Takes a small picture of what the window shows, for the documentation.
    pub(super) async fn small_picture(&self, path: &Path) -> Result<(), String> {
        self.save(path, json!({ "format": "webp", "quality": 85 }), "innerHeight").await
    }

    async fn save(&self, path: &Path, mut options: Value, height: &str) -> Result<(), String> {
        let size = self.eval(&format!("[innerWidth, {height}]")).await?;
        options["clip"] = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        options["captureBeyondViewport"] = json!(true);
        let taken = self.send("Page.captureScreenshot", options).await?;
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    }
}
