//! What a container writes.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Copies what a container writes, from the time `since` until it has ended. A copy that nobody reads any more ends it.
pub(crate) async fn copy(
    docker: &Docker,
    id: &str,
    since: i32,
    mut output: impl AsyncWrite + Unpin,
    mut error: impl AsyncWrite + Unpin,
) -> Result<(), Error> {
    let options = LogsOptions { follow: true, stdout: true, stderr: true, since, ..LogsOptions::default() };
    let mut lines = std::pin::pin!(docker.logs(id, Some(options)));
    while let Some(written) = lines.next().await {
        let written = match written? {
            LogOutput::StdErr { message } => error.write_all(&message).await,
            other => output.write_all(&other.into_bytes()).await,
        };
        if written.is_err() {
            break;
        }
    }
    Ok(())
}
