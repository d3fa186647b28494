//! A connection to a store that breaks at a chosen moment: right before a member of a join claims its entry.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// The time limit for a claim to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Everything passes.
    Open,
    /// Everything passes until the next claim.
    Armed,
    /// Nothing passes.
    Severed,
}

/// A proxy in front of a store: a Redis server, or the store of the local gateway.
pub(crate) struct Severable {
    port: u16,
    phase: Arc<watch::Sender<Phase>>,
    _passing: AbortOnDropHandle<()>,
}

impl Severable {
    /// Starts a proxy in front of this local port.
    pub(crate) async fn start(store_port: u16) -> Result<Severable, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let phase = Arc::new(watch::Sender::new(Phase::Open));
        let state = phase.clone();
        let passing = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, store_port, state.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Severable { port, phase, _passing: AbortOnDropHandle::new(passing) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections at the next claim.
    pub(crate) fn sever_at_claim(&self) {
        self.phase.send_replace(Phase::Armed);
    }

    /// Waits until the connections are broken.
    pub(crate) async fn until_severed(&self) -> Result<(), String> {
        let mut watching = self.phase.subscribe();
        let waited = tokio::time::timeout(PATIENCE, watching.wait_for(|phase| *phase == Phase::Severed)).await;
        waited.map(drop).map_err(|_| format!("nothing claimed an entry of a join within {PATIENCE:?}"))
    }

    /// Lets everything pass again.
    pub(crate) fn mend(&self) {
        self.phase.send_replace(Phase::Open);
    }
}

/// Forwards a connection until either side closes it, or it is severed.
async fn pass(client: TcpStream, store_port: u16, phase: Arc<watch::Sender<Phase>>) {
    let mut watching = phase.subscribe();
    if *watching.borrow() == Phase::Severed {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", store_port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut chunk = vec![0; 1 << 16];
        loop {
            let length = from_client.read(&mut chunk).await.unwrap_or(0);
            let sent = &chunk[..length];
            if length == 0 {
                return;
            }
            if *phase.borrow() == Phase::Armed && is_claim(sent) {
                phase.send_replace(Phase::Severed);
                return;
            }
            if to_server.write_all(sent).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = watching.wait_for(|phase| *phase == Phase::Severed) => {}
    }
}

/// Whether this creates an entry. On Redis, a script creates it; reads of entries are not scripts. In the gateway's store, a POST
/// creates it; reads of entries do not have their keys in the path.
fn is_claim(sent: &[u8]) -> bool {
    let contains = |text: &[u8]| sent.windows(text.len()).any(|window| window == text);
    (contains(b"EVAL") && contains(b"entry/")) || (contains(b"POST /state/value?") && contains(b"key=entry"))
}
