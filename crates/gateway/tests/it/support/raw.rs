//! A server that answers with bytes, whether they are HTTP or not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Reads the head of a request from each connection, answers with the bytes that a closure makes of it, and closes the
/// connection.
pub(crate) struct RawServer {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl RawServer {
    pub(crate) async fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> RawServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let serving = tokio::spawn({
            let heads = heads.clone();
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let (heads, answer) = (heads.clone(), answer.clone());
                    tokio::spawn(async move {
                        let Some(head) = read_head(&mut stream).await else { return };
                        let bytes = answer(&head);
                        heads.lock().unwrap().push(head);
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                        // What is left of the request is taken, since a connection with unread bytes is reset, and the
                        // answer with it.
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    });
                }
            }
        });
        RawServer { address, heads, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The heads of all requests that came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Reads to the end of a head; nothing if the connection ends before.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Sends bytes to a server over a connection of their own, and returns what comes back until the server closes it.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(request.as_ref()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(super::PATIENCE, exchange).await.expect("the connection is closed")
}
