//! The parts that every hop needs, each measured alone.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use faasflow_benches_deployed::CALLED;
use faasflow_gateway::queue::{Answer, Deliver, Delivery, NewCall, Queue, QueueOptions, Unreachable};
use faasflow_http::{HttpClient, read_body};
use futures_util::future::{BoxFuture, join_all, try_join_all};
use http::{HeaderMap, Request, StatusCode};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::async_flow::stand::Stand;
use crate::echo::TAKE;

/// The approximate size of an envelope without its payload, in bytes.
const HEADER: usize = 450;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// A call that the queue has accepted and written to disk.
    Enqueue,
    /// Sending an envelope, with an empty answer.
    Exchange,
    /// Calling a function through the gateway.
    Call,
    /// Writing and flushing 4 KiB.
    Flush,
}

impl Piece {
    pub(crate) const ALL: [Piece; 4] = [Piece::Enqueue, Piece::Exchange, Piece::Call, Piece::Flush];
}

/// Everything that is needed to measure the parts, for one size of body.
pub(crate) struct Pieces {
    client: HttpClient,
    payload: Bytes,
    envelope: Bytes,
    taking: String,
    calling: String,
    queue: Queue,
    next: AtomicU64,
    stop: CancellationToken,
    _delivering: JoinHandle<()>,
    disk: File,
    _folder: TempDir,
}

struct AcknowledgeAll;

impl Deliver for AcknowledgeAll {
    fn deliver(&self, _: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        let (status, headers, body) = (StatusCode::OK, HeaderMap::new(), Bytes::new());
        Box::pin(std::future::ready(Ok(Answer { status, headers, body, duration: Duration::ZERO, cause: None })))
    }
}

impl Pieces {
    pub(crate) async fn new(stand: &Stand, body: usize) -> Result<Pieces, Failure> {
        let folder = tempfile::tempdir_in(stand.folder.path())?;
        let queue = Queue::open(&folder.path().join("queue.redb"), QueueOptions::default())?;
        let stop = CancellationToken::new();
        let running = (queue.clone(), stop.clone());
        let delivering = tokio::spawn(async move { running.0.run(Arc::new(AcknowledgeAll), running.1).await });
        let disk = File::options().create(true).truncate(true).write(true).open(folder.path().join("disk"))?;
        disk.write_all_at(&vec![0; 4 << 20], 0)?;
        disk.sync_all()?;
        Ok(Pieces {
            client: HttpClient::new(Duration::from_secs(5)),
            payload: vec![b'x'; body].into(),
            envelope: vec![b'x'; body + HEADER].into(),
            taking: format!("http://{}{TAKE}", stand.echo.address()),
            calling: format!("http://{}/function/{CALLED}", stand.gateway()),
            queue,
            next: AtomicU64::new(0),
            stop,
            _delivering: delivering,
            disk,
            _folder: folder,
        })
    }

    /// Repeats something for a while. Returns the duration of each repetition, in microseconds.
    pub(crate) async fn alone(&self, piece: Piece, length: Duration) -> Result<Vec<f64>, Failure> {
        self.at_once(piece, 1, length).await
    }

    /// Repeats something for a while, several times at once. Returns how long all of them took each time, in microseconds.
    pub(crate) async fn at_once(&self, piece: Piece, count: usize, length: Duration) -> Result<Vec<f64>, Failure> {
        let begun = Instant::now();
        let mut took_us = Vec::new();
        while begun.elapsed() < length {
            let start = Instant::now();
            let page = took_us.len() as u64;
            try_join_all((0..count).map(|_| self.once(piece, page))).await?;
            took_us.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(took_us)
    }

    async fn once(&self, piece: Piece, page: u64) -> Result<(), Failure> {
        match piece {
            Piece::Enqueue => self.enqueue().await,
            Piece::Exchange => self.exchange(&self.taking, &self.envelope).await,
            Piece::Call => self.exchange(&self.calling, &self.payload).await,
            Piece::Flush => self.flush(page),
        }
    }

    /// The number of calls per second that the queue accepts from several producers.
    pub(crate) async fn enqueues(&self, producers: usize, length: Duration) -> Result<f64, Failure> {
        let begun = Instant::now();
        let producing = (0..producers).map(|_| self.alone(Piece::Enqueue, length));
        let took = join_all(producing).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(took.iter().map(Vec::len).sum::<usize>() as f64 / begun.elapsed().as_secs_f64())
    }

    async fn enqueue(&self) -> Result<(), Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let call = NewCall {
            call_id: format!("call-{id}"),
            function: CALLED.to_owned(),
            path: String::new(),
            query: None,
            headers: HeaderMap::new(),
            body: self.envelope.clone(),
            callback_url: None,
        };
        self.queue.enqueue(call).await?;
        Ok(())
    }

    async fn exchange(&self, url: &str, body: &Bytes) -> Result<(), Failure> {
        let response = self.client.send(Request::post(url).body(Body::from(body.clone()))?).await?;
        let status = response.status();
        read_body(response.into_body(), u64::MAX, Duration::from_secs(60)).await?;
        if status.is_success() { Ok(()) } else { Err(format!("{url} answered {status}").into()) }
    }

    fn flush(&self, page: u64) -> Result<(), Failure> {
        self.disk.write_all_at(&[page.to_le_bytes()[0]; 4096], page % 1024 * 4096)?;
        Ok(self.disk.sync_data()?)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
