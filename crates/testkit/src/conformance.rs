//! Checks what every state manager must do. Anyone can run them against their own.
//!
//! ```
//! use faasflow_core::state::StateManager;
//! use faasflow_testkit::conformance;
//! # use faasflow_core::handler::BoxFuture;
//! # use faasflow_core::state::{Scope, StateError};
//! # use bytes::Bytes;
//! # #[derive(Default)] struct Mine(std::sync::Mutex<std::collections::BTreeMap<(Scope, String), Bytes>>);
//! # impl StateManager for Mine {
//! #     fn name(&self) -> &str { "mine" }
//! #     fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
//! #         let value = self.0.lock().unwrap().get(&(scope.clone(), key.to_owned())).cloned();
//! #         Box::pin(async { Ok(value) })
//! #     }
//! #     fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
//! #         self.0.lock().unwrap().insert((scope.clone(), key.to_owned()), value);
//! #         Box::pin(async { Ok(()) })
//! #     }
//! #     fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
//! #         self.0.lock().unwrap().remove(&(scope.clone(), key.to_owned()));
//! #         Box::pin(async { Ok(()) })
//! #     }
//! #     fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
//! #         self.0.lock().unwrap().retain(|(of, _), _| of != scope);
//! #         Box::pin(async { Ok(()) })
//! #     }
//! # }
//!
//! # #[tokio::main(flavor = "multi_thread")] async fn main() {
//! let report = conformance::check(Mine::default()).await;
//! report.assert();
//! assert!(!report.supports_conditions() && !report.supports_end_request() && !report.supports_records());
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::handler::BoxFuture;
use faasflow_core::state::StateManager;
use tokio_util::task::AbortOnDropHandle;

mod conditions;
mod ending;
mod records;
mod retiring;
mod subject;
mod values;
mod watching;

use subject::Subject;

/// The longest time that one check may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The result of each check.
#[derive(Clone, Debug)]
pub struct Report {
    manager: String,
    checks: Vec<(&'static str, Result<(), String>)>,
    conditions: bool,
    ending: bool,
    records: bool,
    watches: bool,
}

impl Report {
    /// The checks in order, each with the reason if it failed.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, Result<(), &str>)> {
        self.checks.iter().map(|(name, result)| (*name, result.as_ref().copied().map_err(String::as_str)))
    }

    /// Whether the manager supports conditional writes. If it does, they were checked.
    #[must_use]
    pub fn supports_conditions(&self) -> bool {
        self.conditions
    }

    /// Whether the manager can end requests with branches (`end_request`). If so, this was checked. Flows that branch
    /// asynchronously need `end_request` and conditional writes.
    #[must_use]
    pub fn supports_end_request(&self) -> bool {
        self.ending
    }

    /// Whether the manager can remember requests (`begin_request`, `list_request`, `retire_request` and `list_requests`). If so,
    /// this was checked.
    #[must_use]
    pub fn supports_records(&self) -> bool {
        self.records
    }

    /// Whether the manager tells which requests have ended (`watch`). If so, this was checked.
    #[must_use]
    pub fn supports_watches(&self) -> bool {
        self.watches
    }

    /// Whether all checks passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|(_, result)| result.is_ok())
    }

    /// Does nothing if all checks passed.
    ///
    /// # Panics
    ///
    /// If one failed, with the whole report.
    pub fn assert(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state manager `{}`", self.manager)?;
        for (name, result) in &self.checks {
            match result {
                Ok(()) => write!(f, "\n  ok      {name}")?,
                Err(why) => write!(f, "\n  FAILED  {name}: {why}")?,
            }
        }
        if !self.conditions {
            write!(f, "\n  conditional writes are not supported, and were not checked")?;
        }
        if !self.ending {
            write!(f, "\n  `end_request` is not supported, and was not checked")?;
        }
        if !self.records {
            write!(f, "\n  remembering requests is not supported, and was not checked")?;
        }
        if !self.watches {
            write!(f, "\n  `watch` is not supported, and was not checked")?;
        }
        Ok(())
    }
}

type Check = (&'static str, fn(Subject) -> BoxFuture<'static, Result<(), String>>);

/// Turns async functions into checks.
macro_rules! checks {
    ($($name:literal => $check:path),* $(,)?) => {
        [$(($name, |subject| Box::pin($check(subject)))),*]
    };
}

/// Checks a state manager. It must be empty, or nobody else may use flows called `conformance-…` in it. The checks
/// remove what they write.
///
/// # Panics
///
/// Never. A check that panics counts as failed.
pub async fn check(manager: impl StateManager) -> Report {
    let manager: Arc<dyn StateManager> = Arc::new(manager);
    let name = manager.name().to_owned();
    let run = format!(
        "{:x}",
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
    );
    let subject = Subject::new(manager, run);
    let basic: [Check; 11] = checks![
        "a value is read as it was set" => values::set_and_get,
        "a missing key has no value, and can be removed" => values::absent,
        "a new value replaces the old one" => values::overwrite,
        "removing a value leaves its neighbours" => values::remove,
        "values of 0 bytes to 64 MiB are read as they were set" => values::sizes,
        "any UTF-8 text is a key, and different keys do not collide" => values::keys,
        "several values are read in the order of their keys" => values::get_many,
        "the value of one key is read across requests" => values::get_across,
        "requests and flows do not see each other's values" => values::isolation,
        "concurrent writers leave one complete value" => values::concurrent_writers,
        "removing a request removes all of its values and no others" => values::remove_request,
    ];
    let conditional: [Check; 5] = checks![
        "a value can only be created once" => conditions::create,
        "values are created in their order until a key exists" => conditions::create_in_order,
        "a value can only be replaced in the version that was read" => conditions::update,
        "one of several concurrent creators succeeds" => conditions::concurrent_creators,
        "concurrent counters with conditions lose no update" => conditions::concurrent_counters,
    ];
    let ending: [Check; 3] = checks![
        "a request that ends leaves only what outlives it" => ending::leaves,
        "what outlives a request can be created once, before and after the end" => ending::created_once,
        "a request that ends with nothing to keep leaves nothing" => ending::leaves_nothing,
    ];
    let remembering: [Check; 12] = checks![
        "a request begins once, and is listed as running" => records::begins_once,
        "one of 50 concurrent beginnings succeeds" => records::concurrent_beginnings,
        "the list shows the last status of a request" => records::statuses,
        "requests are listed from the newest to the oldest" => records::newest_first,
        "request ids of all kinds are listed in order" => records::ids,
        "pages of the list lose and repeat nothing" => records::pages,
        "flows do not see each other's lists" => records::isolation,
        "the requests with a search key are kept, changed and removed" => retiring::keeps_search_keys,
        "a retired request stays for its time, and then what outlives it" => retiring::retires,
        "expired lines are left out before they are removed" => retiring::leaves_out,
        "values that have expired are gone, or are said to have expired" => retiring::says,
        "a retired request can be removed at once, or listed again" => retiring::retires_again,
    ];
    let watched: [Check; 2] = checks![
        "a watch tells which requests of its flow have ended" => watching::tells,
        "a watch loses nothing while it is read now and then" => watching::tells_all,
    ];
    let mut checks = Vec::new();
    for check in basic {
        checks.push((check.0, run_one(check, &subject).await));
    }
    let conditions = conditions::supported(&subject).await;
    if conditions {
        for check in conditional {
            checks.push((check.0, run_one(check, &subject).await));
        }
    }
    let ends = ending::supported(&subject).await;
    let claim = claim(subject.manager.supports_branches(), conditions, ends);
    checks.push(("`supports_branches` says whether flows that branch can use the manager", claim));
    if ends {
        for check in ending {
            checks.push((check.0, run_one(check, &subject).await));
        }
    }
    let records = records::supported(&subject).await;
    let claim = records::claim(subject.manager.supports_records(), conditions && ends, &records);
    checks.push(("`supports_records` says whether flows can remember requests here", claim));
    let records = records.is_ok();
    if records {
        for check in remembering {
            checks.push((check.0, run_one(check, &subject).await));
        }
    }
    let watches = records && watching::supported(&subject).await;
    if watches {
        for check in watched {
            checks.push((check.0, run_one(check, &subject).await));
        }
    }
    Report { manager: name, checks, conditions, ending: ends, records, watches }
}

/// Checks whether `supports_branches` says what is true.
fn claim(claimed: bool, conditions: bool, ending: bool) -> Result<(), String> {
    match (claimed, conditions, ending) {
        (true, false, _) => Err("it is `true`, but conditional writes are not supported".to_owned()),
        (true, true, false) => Err("it is `true`, but `end_request` is not supported".to_owned()),
        (false, true, true) => Err("it is `false`, but conditional writes and `end_request` are supported".to_owned()),
        _ => Ok(()),
    }
}

async fn run_one((_, check): Check, subject: &Subject) -> Result<(), String> {
    // A separate task, so that a panic is caught.
    let running = AbortOnDropHandle::new(tokio::spawn(check(subject.clone())));
    match tokio::time::timeout(PATIENCE, running).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(panic.to_string()),
        Err(_) => Err(format!("it took longer than {PATIENCE:?}")),
    }
}
