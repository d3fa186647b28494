//! Where the requests of a function go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long a server that refused a connection is left alone while there are others. Without this, one that has ended would
/// be the least busy one and attract every request until the engine reports its end.
const REFUSED: Duration = Duration::from_secs(2);

/// Where a function stands.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// Not there yet, or not at the moment; the text says why.
    Pending(String),
    /// It ended again and again, and is started again after a while; the text says how.
    Failing(String),
    /// It takes requests at these servers.
    Http(Servers),
    /// It is scaled to none. A request starts one.
    Idle,
    /// It is a command, a process for each request.
    Command(Vec<String>),
    /// It will not be there until its sources change.
    Broken(String),
    /// It was replaced or removed.
    Gone,
}

/// Where one request goes.
pub(crate) enum Taken {
    Pending(String),
    Http(Uri, TaskTrackerToken),
    Idle,
    Command(Vec<String>),
    Broken(String),
    Gone,
}

/// The servers of a function, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Servers(Arc<Spread>);

#[derive(Debug)]
struct Spread {
    servers: Vec<Server>,
    /// Where the next search for the least busy one begins, so that equals take turns.
    next: AtomicUsize,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: Uri,
    /// Each request holds a token until it is answered, so that a server that is replaced can finish.
    pub(crate) users: TaskTracker,
    /// The container that it is, where it is one.
    pub(crate) container: Option<String>,
    /// When it last refused a connection.
    refused: Arc<Mutex<Option<Instant>>>,
}

impl Server {
    pub(crate) fn new(url: Uri, users: TaskTracker, container: Option<String>) -> Server {
        Server { url, users, container, refused: Arc::default() }
    }

    fn has_refused(&self) -> bool {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|refused| refused.elapsed() < REFUSED)
    }
}

impl Servers {
    /// `None` if there are none.
    pub(crate) fn new(servers: Vec<Server>) -> Option<Servers> {
        (!servers.is_empty()).then(|| Servers(Arc::new(Spread { servers, next: AtomicUsize::new(0) })))
    }

    pub(crate) fn one(url: Uri, users: TaskTracker) -> Servers {
        let server = Server::new(url, users, None);
        Servers(Arc::new(Spread { servers: vec![server], next: AtomicUsize::new(0) }))
    }

    /// Gives a request to the server that has the fewest in flight. One that has just refused a connection is asked only
    /// if all have.
    fn take(&self) -> (Uri, TaskTrackerToken) {
        let Spread { servers, next } = &*self.0;
        let server = if let [one] = &servers[..] {
            one
        } else {
            let from = next.fetch_add(1, Ordering::Relaxed);
            let in_turn = (0..servers.len()).map(|at| &servers[from.wrapping_add(at) % servers.len()]);
            in_turn.min_by_key(|server| (server.has_refused(), server.users.len())).expect("there is at least one")
        };
        (server.url.clone(), server.users.token())
    }

    /// Notes that the server at this address refused a connection.
    pub(crate) fn refused(&self, url: &Uri) {
        for server in self.0.servers.iter().filter(|server| server.url == *url) {
            *server.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.servers.len()
    }

    /// The ids of those that are containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.0.servers.iter().filter_map(|server| server.container.clone()).collect()
    }
}

impl Upstream {
    /// Where a request goes now. Whoever replaces this value afterwards counts the request.
    pub(crate) fn take(&self) -> Taken {
        match self {
            Upstream::Http(servers) => {
                let (url, token) = servers.take();
                Taken::Http(url, token)
            }
            Upstream::Idle => Taken::Idle,
            Upstream::Command(words) => Taken::Command(words.clone()),
            Upstream::Pending(why) | Upstream::Failing(why) => Taken::Pending(why.clone()),
            Upstream::Broken(why) => Taken::Broken(why.clone()),
            Upstream::Gone => Taken::Gone,
        }
    }

    /// Whether requests are taken, if need be by starting something.
    pub(crate) fn takes(&self) -> bool {
        matches!(self, Upstream::Http(..) | Upstream::Command(_) | Upstream::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> Server {
        let url = format!("http://127.0.0.1:{port}/").parse().unwrap();
        Server::new(url, TaskTracker::new(), Some(port.to_string()))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refused_is_left_alone_for_a_while_if_there_are_others() {
        let servers = Servers::new([1, 2].map(server).into()).unwrap();
        let asked = || servers.take().0.port_u16().unwrap();
        servers.refused(&server(1).url);
        assert_eq!([asked(), asked(), asked()], [2, 2, 2]);
        servers.refused(&server(2).url);
        let both = [asked(), asked()];
        assert!(both.contains(&1) && both.contains(&2), "{both:?}");
        tokio::time::advance(REFUSED).await;
        let both = [asked(), asked()];
        assert!(both.contains(&1) && both.contains(&2), "{both:?}");
    }

    #[test]
    fn requests_go_to_the_least_busy_and_equals_take_turns() {
        let servers = Servers::new([1, 2, 3].map(server).into()).unwrap();
        let mut held: Vec<_> = (0..3).map(|_| servers.take()).collect();
        let mut ports: Vec<_> = held.iter().map(|(url, _)| url.port_u16().unwrap()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 2, 3]);
        // The one that is free is the one that is asked, however often.
        let (free, token) = held.remove(1);
        drop(token);
        for _ in 0..5 {
            assert_eq!(servers.take().0, free);
        }
        assert!(Servers::new(Vec::new()).is_none());
    }
}
