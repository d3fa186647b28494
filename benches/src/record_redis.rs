//! The round trips to Redis of a flow that remembers its requests there, counted between the flow and the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::async_flow::Stand;
use crate::ending::Folder;
use crate::role::Role;
use crate::state::redis;
use crate::stats::median;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The round trips of a phase are the difference between flows with these numbers of phases.
const FEW: usize = 2;
const MANY: usize = 10;
/// How often each flow runs.
const REQUESTS: usize = 40;
const LIMIT: Duration = Duration::from_secs(30);
/// How long after the callback of a request the flow may still write its end.
const QUIET: Duration = Duration::from_millis(30);

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let folder = Folder::new()?;
    let (_manager, server) = redis(folder.path()).await?;
    let (mut proxies, mut roles) = (Vec::new(), Vec::new());
    for calls in [FEW, MANY] {
        let proxy = Proxy::start(server.address()).await?;
        roles.push((format!("redis-{calls}"), Role::OnRedis { calls, redis: proxy.port }));
        proxies.push(proxy);
    }
    let stand = Stand::with(roles).await?;
    let mut counts = [Vec::new(), Vec::new()];
    for request in 0..=REQUESTS {
        for (at, calls) in [FEW, MANY].into_iter().enumerate() {
            let target = stand.target(&format!("redis-{calls}"), vec![b'x'; 32].into());
            let before = proxies[at].count();
            stand.request(&target, LIMIT).await?;
            let trips = proxies[at].count_when_quiet().await - before;
            // The first request opens the connection.
            if request > 0 {
                counts[at].push(trips as f64);
            }
        }
    }
    stand.stop().await;
    let [few, many] = counts.map(|mut counts| median(&mut counts));
    let each = (many - few) / (MANY - FEW) as f64;
    let ends = few - FEW as f64 * each;
    let mut table = Table::new(&["round trips to Redis", "of a request", "of a phase", "of its start and its end"]);
    table.lines.push(vec![format!("{MANY} phases"), format!("{many:.0}"), format!("{each:.2}"), format!("{ends:.1}")]);
    let row = |name: &str, value| Row { name: name.to_owned(), value, unit: "", floor: None, samples: REQUESTS };
    let rows = vec![row("record-redis", each), row("record-redis-request", many), row("record-redis-ends", ends)];
    let notes = vec![
        format!("{}: median of {REQUESTS} requests, one after the other.", scale.name()),
        "Counted by a proxy between the flow and Redis: what is sent before an answer comes is one round trip, so that a transaction".to_owned(),
        format!("or a pipeline is one. Of a phase: the difference of {MANY} and {FEW} phases, by the number of phases between."),
        format!("{each:.2} round trips for each phase (at most 2)."),
    ];
    let title = "record-redis: requests that are remembered in Redis".to_owned();
    Ok(Report { title, tables: vec![table], notes, rows })
}

/// A proxy that counts round trips.
struct Proxy {
    port: u16,
    trips: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    async fn start(server: SocketAddr) -> Result<Proxy, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (port, trips) = (listener.local_addr()?.port(), Arc::new(AtomicU64::new(0)));
        let mut accepting = JoinSet::new();
        let counter = trips.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                // Whether the latest bytes were the client's.
                let asking = Arc::new(AtomicBool::new(false));
                connections.spawn(copy(from_client, to_server, {
                    let (asking, counter) = (asking.clone(), counter.clone());
                    move || {
                        if !asking.swap(true, Ordering::SeqCst) {
                            counter.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }));
                connections.spawn(copy(from_server, to_client, move || asking.store(false, Ordering::SeqCst)));
            }
        });
        Ok(Proxy { port, trips, _accepting: accepting })
    }

    fn count(&self) -> u64 {
        self.trips.load(Ordering::SeqCst)
    }

    /// The count when nothing was sent for a while.
    async fn count_when_quiet(&self) -> u64 {
        let mut before = self.count();
        loop {
            tokio::time::sleep(QUIET).await;
            match self.count() {
                count if count == before => return count,
                count => before = count,
            }
        }
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, seen: impl Fn()) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Before it is sent on, so that the answer cannot come first.
        seen();
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_one_round_trip() {
        block_on(async {
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let proxy = Proxy::start(server.local_addr()?).await?;
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).await?;
            let (mut server, _) = server.accept().await?;
            let mut byte = [0];
            for _ in 0..3 {
                for _ in 0..2 {
                    client.write_all(b"?").await?;
                    server.read_exact(&mut byte).await?;
                }
                server.write_all(b"!").await?;
                client.read_exact(&mut byte).await?;
            }
            assert_eq!(proxy.count(), 3);
            Ok(())
        })
        .unwrap();
    }
}
