//! Keeps the containers of a function running, as many as it should have.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::connection::Containers;
use super::mount::Mount;
use super::replica::{News, Replica};
use crate::event::Events;
use crate::functions::backoff::{RESTART_CONTAINER, Restarts};
use crate::functions::upstream::Server;
use crate::functions::{Function, Servers, Unavailable, Upstream};

/// The containers of a function, oldest first.
#[derive(Default)]
struct Fleet(BTreeMap<u64, Member>);

struct Member {
    unwanted: CancellationToken,
    /// Its server, if it takes requests.
    server: Option<Server>,
    /// What it is waiting for, if that is known.
    waiting: Option<Unavailable>,
    /// Why it last failed to take requests, and whether that is more than chance.
    down: Option<(Unavailable, bool)>,
}

/// Keeps as many containers of an image running as the function should have, until the function is gone or `stop`.
pub(crate) async fn supervise(
    function: Arc<Function>,
    image: String,
    containers: Containers,
    stop: CancellationToken,
    events: Events,
) {
    let Some(scale) = &function.scale else { return };
    let mut wanted = scale.subscribe();
    let mount = containers.mount(&function.spec);
    if let Some(mount) = &mount
        && function.gone.run_until_cancelled(fill(mount, &function)).await.is_none()
    {
        function.set(last(&stop));
        return;
    }
    let (news, mut arriving) = unbounded_channel();
    let mut fleet = Fleet::default();
    let pulling = Arc::new(Attempt::default());
    let mut running = JoinSet::new();
    let mut next = 0;
    loop {
        let count = *wanted.borrow_and_update() as usize;
        while fleet.0.len() < count {
            let unwanted = CancellationToken::new();
            let replica = Replica {
                number: next,
                function: function.clone(),
                image: image.clone(),
                containers: containers.clone(),
                mount: mount.clone(),
                pulling: pulling.clone(),
                news: news.clone(),
                events: events.clone(),
                unwanted: unwanted.clone(),
                stop: stop.clone(),
            };
            if next == 0 {
                replica.note();
            }
            running.spawn(replica.run());
            fleet.0.insert(next, Member { unwanted, server: None, waiting: None, down: None });
            next += 1;
        }
        let mut unwanted = Vec::new();
        while fleet.0.len() > count {
            unwanted.extend(fleet.drop_one());
        }
        // Before the others are cancelled, so that they get no more requests.
        function.set(fleet.upstream());
        for member in unwanted {
            member.cancel();
        }
        tokio::select! {
            () = function.gone.cancelled() => break,
            changed = wanted.changed() => if changed.is_err() { break },
            Some((number, news)) = arriving.recv() => fleet.update(number, news),
            _ = running.join_next(), if !running.is_empty() => {}
        }
    }
    function.set(last(&stop));
    for member in fleet.0.values() {
        member.unwanted.cancel();
    }
    while running.join_next().await.is_some() {}
    // Dropping the last reference removes the folder.
    let _ = tokio::task::spawn_blocking(move || drop(mount)).await;
}

/// The upstream of a function that has ended. A stop of the gateway is temporary, and a flow that learns of it leaves its
/// phase to the queue.
fn last(stop: &CancellationToken) -> Upstream {
    if stop.is_cancelled() { Upstream::Failing(Unavailable::Stopping) } else { Upstream::Gone }
}

/// Copies the secrets of a function for its containers, and tries again until it succeeds.
async fn fill(mount: &Arc<Mount>, function: &Function) {
    let mut restarts = Restarts::new(&RESTART_CONTAINER);
    loop {
        let filling = mount.clone();
        let filled = tokio::task::spawn_blocking(move || filling.fill()).await;
        let Err(error) = filled.unwrap_or_else(|error| Err(io::Error::other(error))) else { return };
        let restart = restarts.next(Duration::ZERO, Duration::ZERO);
        let why = Unavailable::Secrets(Arc::new(error));
        if restart.lasting {
            tracing::error!(code = %why.code(), "the function `{}` cannot start: {}", function.spec.name, why.describe());
        }
        function.set(if restart.lasting { Upstream::Failing(why) } else { Upstream::Pending(why) });
        tokio::time::sleep(restart.wait).await;
    }
}

impl Fleet {
    /// Removes the youngest container that takes no requests, or else the youngest of all.
    fn drop_one(&mut self) -> Option<CancellationToken> {
        let idle = self.0.iter().rev().find(|(_, member)| member.server.is_none());
        let number = *idle.or_else(|| self.0.iter().next_back())?.0;
        Some(self.0.remove(&number)?.unwanted)
    }

    /// Applies news of a container. News of a dropped container is ignored.
    fn update(&mut self, number: u64, news: News) {
        let Some(member) = self.0.get_mut(&number) else { return };
        match news {
            News::Up(server) => {
                member.server = Some(server);
                member.waiting = None;
                member.down = None;
            }
            News::Waiting(why) => member.waiting = Some(why),
            News::Down { why, lasting } => {
                member.server = None;
                member.waiting = None;
                member.down = Some((why, lasting));
            }
        }
    }

    fn upstream(&self) -> Upstream {
        if self.0.is_empty() {
            return Upstream::Idle;
        }
        let serving = self.0.values().filter_map(|member| member.server.clone()).collect();
        if let Some(servers) = Servers::new(serving) {
            return Upstream::Http(servers);
        }
        let mut down = self.0.values().filter_map(|member| member.down.clone());
        match down.next() {
            None => {
                let waiting = self.0.values().find_map(|member| member.waiting.clone());
                Upstream::Pending(waiting.unwrap_or(Unavailable::StartingContainer))
            }
            Some((why, true)) => Upstream::Failing(why),
            Some((why, false)) => Upstream::Pending(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::functions::RunError;

    fn fleet(count: u64) -> Fleet {
        let member = || Member { unwanted: CancellationToken::new(), server: None, waiting: None, down: None };
        Fleet((0..count).map(|number| (number, member())).collect())
    }

    fn up() -> News {
        let url = http::Uri::from_static("http://127.0.0.1:1/");
        News::Up(Server::new(url, TaskTracker::new(), None))
    }

    fn down(lasting: bool) -> News {
        News::Down { why: Unavailable::Ended(RunError::Unhealthy), lasting }
    }

    #[test]
    fn requests_are_taken_while_one_container_takes_them() {
        let mut fleet = fleet(2);
        assert!(matches!(fleet.upstream(), Upstream::Pending(_)));
        fleet.update(1, News::Waiting(Unavailable::Pulling));
        assert!(matches!(fleet.upstream(), Upstream::Pending(Unavailable::Pulling)));
        fleet.update(0, down(false));
        assert!(matches!(fleet.upstream(), Upstream::Pending(_)));
        fleet.update(0, down(true));
        assert!(matches!(fleet.upstream(), Upstream::Failing(_)));
        fleet.update(1, up());
        assert!(matches!(fleet.upstream(), Upstream::Http(servers) if servers.len() == 1));
        fleet.update(0, up());
        assert!(matches!(fleet.upstream(), Upstream::Http(servers) if servers.len() == 2));
    }

    #[test]
    fn an_idle_container_is_dropped_first() {
        let mut fleet = fleet(3);
        fleet.update(1, up());
        fleet.update(2, up());
        fleet.drop_one();
        fleet.drop_one();
        assert_eq!(fleet.0.keys().copied().collect::<Vec<_>>(), [1]);
        // This is ignored, because the container was dropped.
        fleet.update(2, up());
        assert!(matches!(fleet.upstream(), Upstream::Http(servers) if servers.len() == 1));
        fleet.drop_one();
        assert!(matches!(fleet.upstream(), Upstream::Idle));
    }
}
