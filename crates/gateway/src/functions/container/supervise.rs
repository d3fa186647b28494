//! Keeps the containers of a function, as many as are wanted.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::connection::Containers;
use super::mount::Mount;
use super::replica::{News, Replica};
use crate::event::Events;
use crate::functions::upstream::Server;
use crate::functions::{Function, Servers, Upstream};

/// The containers of a function, by the order in which they were wanted.
#[derive(Default)]
struct Fleet(BTreeMap<u64, Member>);

struct Member {
    unwanted: CancellationToken,
    /// Where it takes requests, if it does.
    server: Option<Server>,
    /// What it waits for, if that has been told.
    waiting: Option<String>,
    /// Why it does not, the last time that it was told, and whether that is more than chance.
    down: Option<(String, bool)>,
}

/// Keeps as many containers of an image as the function is to have, until it is gone or `stop`.
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
    let (news, mut told) = unbounded_channel();
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
        // Before those that go are told: they take what they were sent, and no more.
        function.set(fleet.upstream());
        for member in unwanted {
            member.cancel();
        }
        tokio::select! {
            () = function.gone.cancelled() => break,
            changed = wanted.changed() => if changed.is_err() { break },
            Some((number, news)) = told.recv() => fleet.hear(number, news),
            _ = running.join_next(), if !running.is_empty() => {}
        }
    }
    function.set(last(&stop));
    for member in fleet.0.values() {
        member.unwanted.cancel();
    }
    while running.join_next().await.is_some() {}
    // The last one who has it removes what is on disk.
    let _ = tokio::task::spawn_blocking(move || drop(mount)).await;
}

/// What a function is that has ended. A stop passes: a flow that is told so leaves its phase to the queue.
fn last(stop: &CancellationToken) -> Upstream {
    if stop.is_cancelled() { Upstream::Failing("the gateway is stopping".to_owned()) } else { Upstream::Gone }
}

/// Copies the secrets of a function for its containers, again and again while the disk does not take them.
async fn fill(mount: &Arc<Mount>, function: &Function) {
    let mut backoff = Backoff::default();
    loop {
        let filling = mount.clone();
        let filled = tokio::task::spawn_blocking(move || filling.fill()).await;
        let Err(error) = filled.unwrap_or_else(|error| Err(io::Error::other(error))) else { return };
        let (wait, again_and_again) = backoff.next(Duration::ZERO, Duration::ZERO);
        let why = format!("its secrets cannot be written for its containers, which is tried again: {error}");
        if again_and_again {
            tracing::error!("`{}`: {why}", function.spec.name);
        }
        function.set(if again_and_again { Upstream::Failing(why) } else { Upstream::Pending(why) });
        tokio::time::sleep(wait).await;
    }
}

impl Fleet {
    /// Takes out the one that is missed least: one that serves nobody, or else the youngest.
    fn drop_one(&mut self) -> Option<CancellationToken> {
        let idle = self.0.iter().rev().find(|(_, member)| member.server.is_none());
        let number = *idle.or_else(|| self.0.iter().next_back())?.0;
        Some(self.0.remove(&number)?.unwanted)
    }

    /// What is told of one that was taken out comes too late.
    fn hear(&mut self, number: u64, news: News) {
        let Some(member) = self.0.get_mut(&number) else { return };
        match news {
            News::Up(server) => {
                member.server = Some(server);
                member.waiting = None;
                member.down = None;
            }
            News::Pulling => member.waiting = Some("its image is being pulled".to_owned()),
            News::Waiting(why) => member.waiting = Some(why),
            News::Down { why, again_and_again } => {
                member.server = None;
                member.waiting = None;
                member.down = Some((why, again_and_again));
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
                Upstream::Pending(waiting.unwrap_or_else(|| "its container is being started".to_owned()))
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

    fn fleet(count: u64) -> Fleet {
        let member = || Member { unwanted: CancellationToken::new(), server: None, waiting: None, down: None };
        Fleet((0..count).map(|number| (number, member())).collect())
    }

    fn up() -> News {
        let url = http::Uri::from_static("http://127.0.0.1:1/");
        News::Up(Server::new(url, TaskTracker::new(), None))
    }

    fn down(again_and_again: bool) -> News {
        News::Down { why: "it ended".to_owned(), again_and_again }
    }

    #[test]
    fn requests_are_taken_as_long_as_one_serves() {
        let mut fleet = fleet(2);
        assert!(matches!(fleet.upstream(), Upstream::Pending(_)));
        fleet.hear(1, News::Pulling);
        assert!(matches!(fleet.upstream(), Upstream::Pending(why) if why == "its image is being pulled"));
        fleet.hear(0, down(false));
        assert!(matches!(fleet.upstream(), Upstream::Pending(_)));
        fleet.hear(0, down(true));
        assert!(matches!(fleet.upstream(), Upstream::Failing(_)));
        fleet.hear(1, up());
        assert!(matches!(fleet.upstream(), Upstream::Http(servers) if servers.len() == 1));
        fleet.hear(0, up());
        assert!(matches!(fleet.upstream(), Upstream::Http(servers) if servers.len() == 2));
    }

    #[test]
    fn one_that_serves_nobody_goes_first() {
        let mut fleet = fleet(3);
        fleet.hear(1, up());
        fleet.hear(2, up());
        fleet.drop_one();
        fleet.drop_one();
        assert_eq!(fleet.0.keys().copied().collect::<Vec<_>>(), [1]);
        // Too late.
        fleet.hear(2, up());
        assert!(matches!(fleet.upstream(), Upstream::Http(servers) if servers.len() == 1));
        fleet.drop_one();
        assert!(matches!(fleet.upstream(), Upstream::Idle));
    }
}
