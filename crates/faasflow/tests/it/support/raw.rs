//! A client that writes what it likes, for requests that no proper client would send.

use faasflow_testkit::Running;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::PATIENCE;

pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(kit: &Running) -> Raw {
        let address = kit.flow_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        Raw(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// All that comes until the server closes, which it must.
    pub(crate) async fn rest(mut self) -> String {
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut all)).await;
        // A server that has not read everything resets the connection: what has arrived has arrived.
        let _ = read.expect("the server closes the connection");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Writes the head and then a body in chunks of 64 KiB, until all `length` bytes are written or the server answers;
    /// returns how many were written and the answer.
    pub(crate) async fn stream(self, head: &str, length: u64, chunked: bool) -> (u64, String) {
        static CHUNK: [u8; 65_536] = [b'x'; 65_536];

        let (mut reader, mut writer) = self.0.into_split();
        writer.write_all(head.as_bytes()).await.unwrap();
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            let _ = reader.read_to_end(&mut all).await;
            String::from_utf8_lossy(&all).into_owned()
        });
        let mut written = 0;
        while written < length && !reading.is_finished() {
            let part = usize::try_from((length - written).min(CHUNK.len() as u64)).unwrap();
            let sent = async {
                if chunked {
                    writer.write_all(format!("{part:x}\r\n").as_bytes()).await?;
                }
                writer.write_all(&CHUNK[..part]).await?;
                if chunked { writer.write_all(b"\r\n").await } else { Ok(()) }
            };
            if sent.await.is_err() {
                break;
            }
            written += part as u64;
        }
        if chunked {
            let _ = writer.write_all(b"0\r\n\r\n").await;
        }
        let answer = tokio::time::timeout(PATIENCE, reading).await.expect("the server answers and closes");
        (written, answer.unwrap())
    }
}
