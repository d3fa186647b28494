//! What happens at the gateway: counts and figures of the last hour, and events for clients that are connected.
//!
//! Each call is counted where it ends, by its function and, if a flow made it, by its step. Events are made from these counts a few
//! times a second, and only while somebody reads them. So their number does not depend on the number of calls.

mod durations;
mod feed;
mod flow;
mod minutes;
mod running;
mod samples;
mod subject;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use faasflow_admin::{
    Activity, CHANGE_EVENT, CallCounts, EVENTS_VERSION, EndedCall, FailedCall, FlowActivity, FunctionActivity,
    FunctionHealth, GatewayEvent, MINUTES, QueueStats, RequestCounts, RequestStatus,
};
use faasflow_core::RequestId;
use faasflow_core::state::Status;
use faasflow_http::now_ms;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::functions::Functions;
use crate::metrics::{GONE, InvocationInProgress, Metrics};
use crate::queue::Queue;
use crate::stack::FunctionSpec;
use crate::{queue_stats, request_id};
use durations::rounded_millis;
pub(crate) use feed::{Feed, Open, Since};
use flow::Flow;
use minutes::{Minutes, minute};
use running::Running;
use samples::Samples;
use subject::Subject;

/// How often an event is made at most.
const TICK: Duration = Duration::from_millis(250);
/// How often the depth of the queue is read while nobody reads events.
const IDLE: Duration = Duration::from_secs(5);

/// Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Monitor(Arc<Shared>);

struct Shared {
    functions: Functions,
    queue: Queue,
    metrics: Arc<Metrics>,
    /// The calls of each function.
    subjects: RwLock<HashMap<Arc<str>, Arc<Subject>>>,
    flows: RwLock<HashMap<Arc<str>, Arc<Flow>>>,
    running: Running,
    /// The greatest depth of the queue.
    depth: Mutex<Minutes<u64>>,
    samples: Samples,
    feed: Feed,
}

/// A call in progress. It ends when this is dropped.
pub(crate) struct CallInProgress {
    monitor: Monitor,
    counted: Option<InvocationInProgress>,
    function: Arc<str>,
    subject: Arc<Subject>,
    /// The request that it belongs to.
    request: Option<RequestId>,
    /// The step that it is made for.
    step: Option<StepCall>,
    is_flow: bool,
    begun: Instant,
    status: u16,
}

struct StepCall {
    flow: Arc<str>,
    number: usize,
    subject: Arc<Subject>,
}

impl CallInProgress {
    pub(crate) fn end(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    fn ended(&self, took: Duration) -> EndedCall {
        let mut call = EndedCall::default();
        call.function = self.function.to_string();
        call.flow = self.step.as_ref().map(|step| step.flow.to_string());
        call.step = self.step.as_ref().map(|step| step.number);
        call.request = self.request.as_ref().map(|id| id.as_str().to_owned());
        (call.status, call.duration_ms) = (self.status, rounded_millis(took));
        call
    }
}

impl Drop for CallInProgress {
    fn drop(&mut self) {
        let (took, now_ms) = (self.begun.elapsed(), now_ms());
        if let (Some(counted), Ok(status)) = (self.counted.take(), StatusCode::from_u16(self.status)) {
            counted.end(status);
        }
        let is_failure = self.status >= 400 && self.status != GONE;
        self.subject.end(minute(now_ms), took, is_failure, None);
        if let Some(step) = &self.step {
            let failed = is_failure.then(|| {
                let mut failed = FailedCall::default();
                (failed.at_ms, failed.status, failed.duration_ms) = (now_ms, self.status, rounded_millis(took));
                failed.request = self.request.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default();
                failed
            });
            step.subject.end(minute(now_ms), took, is_failure, failed);
        }
        let own_request = self.request.as_ref().filter(|_| self.is_flow);
        let shared = &self.monitor.0;
        if let Some(id) = own_request {
            shared.running.end(id, &self.function);
        }
        if shared.feed.is_watched() {
            shared.samples.ended(is_failure, || self.ended(took));
            if let Some(id) = own_request {
                shared.samples.changed(&self.function, id.as_str(), None);
            }
        }
    }
}

/// What the latest event told.
#[derive(Default)]
struct Told {
    queue: Option<QueueStats>,
    functions: Vec<FunctionHealth>,
    calls: HashMap<String, CallCounts>,
    requests: HashMap<String, RequestCounts>,
}

impl Monitor {
    pub(crate) fn new(functions: Functions, queue: Queue, metrics: Arc<Metrics>) -> Monitor {
        Monitor(Arc::new(Shared {
            functions,
            queue,
            metrics,
            subjects: RwLock::default(),
            flows: RwLock::default(),
            running: Running::default(),
            depth: Mutex::default(),
            samples: Samples::default(),
            feed: Feed::new(),
        }))
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Counts a call as begun. It is counted as ended by [`CallInProgress::end`], or when it is dropped.
    pub(crate) fn begin(&self, spec: &FunctionSpec, headers: &HeaderMap) -> CallInProgress {
        let (function, subject) = of(&self.0.subjects, &spec.name);
        subject.begin();
        let is_flow = spec.has_key();
        let request = if is_flow { request_id::from_headers(headers) } else { request_id::given(headers) };
        let step = request.as_ref().and_then(|id| self.step(id, &spec.name, headers));
        if let Some(id) = request.as_ref().filter(|_| is_flow) {
            self.0.running.begin(id.clone(), function.clone());
        }
        CallInProgress {
            monitor: self.clone(),
            counted: Some(self.0.metrics.start(&spec.name)),
            function,
            subject,
            request,
            step,
            is_flow,
            begun: Instant::now(),
            status: GONE,
        }
    }

    /// The step that makes a call, if a flow does.
    fn step(&self, id: &RequestId, function: &str, headers: &HeaderMap) -> Option<StepCall> {
        let number = running::step(id, headers)?;
        let (flow, steps) = of(&self.0.flows, &self.0.running.flow(id)?);
        let subject = steps.step(number, function)?;
        subject.begin();
        Some(StepCall { flow, number, subject })
    }

    /// Counts a request of a flow that has begun, as the store has recorded.
    pub(crate) fn request_began(&self, flow: &str, id: &str) {
        of(&self.0.flows, flow).1.began(minute(now_ms()));
        self.request_changed(flow, id, Some(Status::Running));
    }

    /// Counts a request of a flow that has ended.
    pub(crate) fn request_ended(&self, flow: &str, id: &str, status: Status) {
        of(&self.0.flows, flow).1.ended(minute(now_ms()), status == Status::Failure);
        self.request_changed(flow, id, Some(status));
    }

    /// Tells that a request of a flow has changed. Its status is not known if another store remembers it.
    pub(crate) fn request_changed(&self, flow: &str, id: &str, status: Option<Status>) {
        if self.0.feed.is_watched() {
            self.0.samples.changed(flow, id, status.map(to_admin));
        }
    }

    /// Removes the counts of a function that was removed.
    pub(crate) fn forget(&self, function: &str) {
        self.0.subjects.write().unwrap_or_else(PoisonError::into_inner).remove(function);
        self.0.flows.write().unwrap_or_else(PoisonError::into_inner).remove(function);
        self.0.metrics.forget(function);
    }

    /// Makes events until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut told = Told::default();
        loop {
            let is_idle = !self.0.feed.is_watched();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(if is_idle { IDLE } else { TICK }) => {}
                () = self.0.feed.opened(), if is_idle => {}
            }
            let queue = self.queue().await;
            if let Some(queue) = &queue {
                let mut minutes = self.0.depth.lock().unwrap_or_else(PoisonError::into_inner);
                let most = minutes.of(minute(now_ms()));
                *most = queue.depth.max(*most);
            }
            if self.0.feed.is_watched() {
                let change = self.change(&mut told, queue);
                if !change.is_empty() {
                    self.0.feed.publish(CHANGE_EVENT, &change);
                }
                self.0.feed.rest();
            }
        }
    }

    /// What has changed since the last event.
    fn change(&self, told: &mut Told, queue: Option<QueueStats>) -> GatewayEvent {
        let mut event = GatewayEvent::default();
        event.version = EVENTS_VERSION;
        // The samples first: a call is counted before it is a sample.
        self.0.samples.take(&mut event);
        event.at_ms = now_ms();
        // The age of the oldest call always changes.
        let ageless = |queue: &QueueStats| {
            let mut ageless = queue.clone();
            ageless.oldest_seconds = 0.0;
            ageless
        };
        if let Some(queue) = queue
            && told.queue.as_ref() != Some(&ageless(&queue))
        {
            told.queue = Some(ageless(&queue));
            event.queue = Some(queue);
        }
        let functions = self.health();
        if told.functions != functions {
            told.functions.clone_from(&functions);
            event.functions = Some(functions);
        }
        event.calls = changed(&mut told.calls, self.call_counts(), |counts| &counts.function);
        event.requests = changed(&mut told.requests, self.request_counts(), |counts| &counts.flow);
        event
    }

    /// Everything as it is now.
    pub(crate) async fn snapshot(&self) -> GatewayEvent {
        let mut event = GatewayEvent::default();
        event.version = EVENTS_VERSION;
        event.queue = self.queue().await;
        event.at_ms = now_ms();
        event.functions = Some(self.health());
        event.calls = self.call_counts();
        event.requests = self.request_counts();
        event
    }

    /// The last hour of the gateway.
    pub(crate) fn activity(&self) -> Activity {
        let at_ms = now_ms();
        let now = minute(at_ms);
        let none = || vec![0; MINUTES];
        let mut activity = Activity::default();
        activity.version = EVENTS_VERSION;
        activity.at_ms = at_ms;
        (activity.calls, activity.failures) = (none(), none());
        (activity.begun, activity.failed, activity.queue) = (none(), none(), none());
        self.0.depth.lock().unwrap_or_else(PoisonError::into_inner).add_to(&mut activity.queue, now, |depth| *depth);
        for (name, subject) in self.deployed(&self.0.subjects) {
            subject.add_to(&mut activity.calls, &mut activity.failures, now);
            let mut function = FunctionActivity::default();
            (function.name, function.measured) = (name.to_string(), subject.measured(now));
            activity.functions.push(function);
        }
        for (_, flow) in self.deployed(&self.0.flows) {
            flow.add_to(&mut activity.begun, &mut activity.failed, now);
        }
        activity
    }

    /// The last hour of a flow.
    pub(crate) async fn flow_activity(&self, flow: &str) -> FlowActivity {
        let at_ms = now_ms();
        let (_, known) = of(&self.0.flows, flow);
        let mut activity = known.activity(minute(at_ms));
        activity.at_ms = at_ms;
        activity.queued = self.queue().await.and_then(|queue| queue.functions.get(flow).copied()).unwrap_or_default();
        activity
    }

    /// The state of the queue; `None` if it cannot be read now.
    async fn queue(&self) -> Option<QueueStats> {
        self.0.queue.stats().await.ok().map(queue_stats::to_admin)
    }

    fn health(&self) -> Vec<FunctionHealth> {
        let health = self.0.functions.all().into_iter().map(|function| {
            let mut health = FunctionHealth::default();
            health.name.clone_from(&function.spec.name);
            (health.replicas, health.available) = (function.replicas(), function.available() as u64);
            health
        });
        health.collect()
    }

    fn call_counts(&self) -> Vec<CallCounts> {
        let counts = self.deployed(&self.0.subjects).into_iter().map(|(name, subject)| {
            let mut counts = CallCounts::default();
            counts.function = name.to_string();
            (counts.calls, counts.failures) = subject.counts();
            counts.in_progress = subject.in_progress();
            counts
        });
        counts.collect()
    }

    fn request_counts(&self) -> Vec<RequestCounts> {
        self.deployed(&self.0.flows).into_iter().map(|(name, flow)| flow.counts(&name)).collect()
    }

    /// What is counted of functions that are deployed, by name. The last calls of one that was removed may end after its removal.
    fn deployed<T>(&self, all: &RwLock<HashMap<Arc<str>, Arc<T>>>) -> BTreeMap<Arc<str>, Arc<T>> {
        let all = all.read().unwrap_or_else(PoisonError::into_inner);
        let deployed = all.iter().filter(|(name, _)| self.0.functions.find(name).is_some());
        deployed.map(|(name, of)| (name.clone(), of.clone())).collect()
    }
}

/// What is counted under a name, which is added if it is new.
fn of<T: Default>(all: &RwLock<HashMap<Arc<str>, Arc<T>>>, name: &str) -> (Arc<str>, Arc<T>) {
    let pair = |(name, of): (&Arc<str>, &Arc<T>)| (name.clone(), of.clone());
    if let Some(known) = all.read().unwrap_or_else(PoisonError::into_inner).get_key_value(name) {
        return pair(known);
    }
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    let name: Arc<str> = name.into();
    let new = all.entry(name.clone()).or_default().clone();
    (name, new)
}

/// The counts that differ from those that were told, which they replace.
fn changed<T: Clone + PartialEq>(told: &mut HashMap<String, T>, all: Vec<T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    let changed: Vec<T> = all.into_iter().filter(|counts| told.get(name(counts)) != Some(counts)).collect();
    told.extend(changed.iter().map(|counts| (name(counts).clone(), counts.clone())));
    changed
}

fn to_admin(status: Status) -> RequestStatus {
    match status {
        Status::Running => RequestStatus::Running,
        Status::Paused => RequestStatus::Paused,
        Status::Parked => RequestStatus::Parked,
        Status::Success => RequestStatus::Success,
        Status::Recovered => RequestStatus::Recovered,
        Status::Failure => RequestStatus::Failure,
        Status::Stopped => RequestStatus::Stopped,
    }
}
