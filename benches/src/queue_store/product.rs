//! The gateway's own queue. It writes more than the other stores: a whole call with headers, and its id to detect
//! duplicates. Its acknowledgements reach the disk a few milliseconds later, not before the next call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_gateway::queue::{Answer, Deliver, Delivery, NewCall, Queue, QueueOptions, Unreachable};
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::queue_store::drive::{Ids, RunResults, Until, body};

/// A queue whose receiver answers 200 at once and notifies the producer.
pub(crate) struct Product {
    runtime: Runtime,
    queue: Queue,
    delivered: Vec<Option<UnboundedReceiver<u64>>>,
    stop: CancellationToken,
    running: JoinHandle<()>,
    next: Arc<AtomicU64>,
}

struct Receiver(Vec<UnboundedSender<u64>>);

impl Deliver for Receiver {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        // Call ids have the form `<producer>-<id>`.
        let parts = delivery.call.call_id.split_once('-');
        if let Some((producer, id)) = parts
            && let (Ok(producer), Ok(id)) = (producer.parse::<usize>(), id.parse())
            && delivery.call.body == body(id)
        {
            let _ = self.0[producer].send(id);
        }
        let answer = Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            duration: Duration::ZERO,
            cause: None,
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

impl Product {
    pub(crate) fn open(folder: &Path, producers: usize) -> Result<Product, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let queue = Queue::open(&folder.join("queue.redb"), QueueOptions::default())?;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..producers).map(|_| unbounded_channel()).unzip();
        let stop = CancellationToken::new();
        let running = {
            let (queue, stop) = (queue.clone(), stop.clone());
            runtime.spawn(async move { queue.run(Arc::new(Receiver(senders)), stop).await })
        };
        let delivered = receivers.into_iter().map(Some).collect();
        Ok(Product { runtime, queue, delivered, stop, running, next: Arc::new(AtomicU64::new(0)) })
    }

    /// Each producer does a durable enqueue, and then waits for the delivery.
    pub(crate) fn cycles(&mut self, until: Until) -> Result<RunResults, Failure> {
        let next = self.next.clone();
        let ids = Ids::new(&next, until);
        let receivers: Vec<_> = self.delivered.iter_mut().map(Option::take).collect();
        let queue = &self.queue;
        let outcome = self.runtime.block_on(async {
            let producers = receivers.into_iter().enumerate().map(|(producer, receiver)| {
                let ids = &ids;
                async move {
                    let mut receiver = receiver.ok_or("the run before failed")?;
                    let mut took = Vec::new();
                    while let Some(id) = ids.take() {
                        let call = new_call(producer, id);
                        let start = Instant::now();
                        queue.enqueue(call).await?;
                        took.push(start.elapsed().as_secs_f64() * 1e6);
                        let delivered = tokio::time::timeout(Duration::from_secs(30), receiver.recv()).await?;
                        if delivered != Some(id) {
                            return Err(format!("call {id} was not delivered, but {delivered:?}").into());
                        }
                    }
                    Ok::<_, Failure>((receiver, took))
                }
            });
            futures_util::future::try_join_all(producers).await
        })?;
        let (receivers, took): (Vec<_>, Vec<_>) = outcome.into_iter().unzip();
        self.delivered = receivers.into_iter().map(Some).collect();
        Ok(ids.done(took.concat()))
    }

    /// When this returns, every acknowledgement is on disk.
    pub(crate) fn close(self) {
        self.stop.cancel();
        self.runtime.block_on(async {
            let _ = self.running.await;
            self.queue.close().await;
        });
    }
}

fn new_call(producer: usize, id: u64) -> NewCall {
    NewCall {
        call_id: format!("{producer}-{id}"),
        function: "echo".to_owned(),
        path: String::new(),
        query: None,
        headers: HeaderMap::new(),
        body: body(id).into(),
        callback_url: None,
    }
}
