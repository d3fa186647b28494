//! A container of the suite's engine.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Docker;

/// A container. [`remove`](Container::remove) removes it; the engine removes those that are left.
#[derive(Clone)]
pub(crate) struct Container {
    docker: Docker,
    id: String,
}

impl Container {
    /// Starts a container. `arguments` are those of `docker run --detach`, including the image.
    ///
    /// # Errors
    ///
    /// If the engine does not start it.
    pub(crate) async fn run(docker: &Docker, arguments: &[&str]) -> Result<Container, String> {
        let id = docker.run(&[&["run", "--detach"], arguments].concat()).await?;
        Ok(Container { docker: docker.clone(), id })
    }

    /// A container that another program has started.
    pub(crate) fn existing(docker: &Docker, id: &str) -> Container {
        Container { docker: docker.clone(), id: id.to_owned() }
    }

    /// The output of `docker inspect`.
    pub(crate) async fn inspect(&self) -> Result<Value, String> {
        let text = self.docker.run(&["inspect", &self.id]).await?;
        let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(value[0].clone())
    }

    /// The id of its first process on this machine; 0 if it does not run.
    pub(crate) async fn process(&self) -> Result<u32, String> {
        let id = self.inspect().await?["State"]["Pid"].as_u64().unwrap_or(0);
        u32::try_from(id).map_err(|error| error.to_string())
    }

    /// Its log.
    pub(crate) async fn log(&self) -> Result<String, String> {
        let output = self.docker.command(&["logs", &self.id]).output().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// Waits until the output of `docker inspect` fulfils a condition.
    ///
    /// # Errors
    ///
    /// After `patience`, with its state and the end of its log.
    pub(crate) async fn until(
        &self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let deadline = Instant::now() + patience;
        loop {
            let inspect = self.inspect().await?;
            if holds(&inspect) {
                return Ok(inspect);
            }
            if Instant::now() > deadline {
                let log = self.log().await.unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(10).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(format!("not {what} within {patience:?}: {}; log: {}", inspect["State"], tail.join(" | ")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `docker stop`; returns the exit code and how long it took.
    pub(crate) async fn stop(&self) -> Result<(i64, Duration), String> {
        let begun = Instant::now();
        self.docker.run(&["stop", &self.id]).await?;
        let took = begun.elapsed();
        Ok((self.inspect().await?["State"]["ExitCode"].as_i64().unwrap_or(-1), took))
    }

    /// Kills and removes it, with its volumes.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        self.docker.run(&["rm", "--force", "--volumes", &self.id]).await.map(drop)
    }
}
