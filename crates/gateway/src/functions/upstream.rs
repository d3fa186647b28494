//! Where the requests of a function go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::unavailable::Unavailable;

/// How long a server that refused a connection gets no requests while there are other servers. Without this, a server that has
/// ended would be the least busy one, and would attract every request until the engine reports its end.
const REFUSED: Duration = Duration::from_secs(2);

/// What a function does with requests at the moment.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// It does not take requests yet, or not at the moment.
    Pending(Unavailable),
    /// It has failed several times in a row, and will be started again.
    Failing(Unavailable),
    /// It takes requests at these servers.
    Http(Servers),
    /// It is scaled to zero. A request starts it.
    Idle,
    /// It is a command, with a process for each request.
    Command(Vec<String>),
    /// It will not take requests until its sources change.
    Broken(Unavailable),
    /// It was replaced or removed.
    Gone,
}

/// Where one request goes.
pub(crate) enum Route {
    Pending(Unavailable),
    Http(Uri, TaskTrackerToken),
    Idle,
    Command(Vec<String>),
    Broken(Unavailable),
    Gone,
}

/// The servers of a function, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Servers(Arc<LoadBalancer>);

#[derive(Debug)]
struct LoadBalancer {
    servers: Vec<Server>,
    /// Where the next search for the least busy server begins, so that equally busy ones take turns.
    next: AtomicUsize,
}

/// A server of a function.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: Uri,
    /// Each request holds a token until it is answered, so that a server that is replaced can finish its requests.
    pub(crate) users: TaskTracker,
    /// The id of its container, if it is one.
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
    /// Returns `None` if there are no servers.
    pub(crate) fn new(servers: Vec<Server>) -> Option<Servers> {
        (!servers.is_empty()).then(|| Servers(Arc::new(LoadBalancer { servers, next: AtomicUsize::new(0) })))
    }

    pub(crate) fn one(url: Uri, users: TaskTracker) -> Servers {
        let server = Server::new(url, users, None);
        Servers(Arc::new(LoadBalancer { servers: vec![server], next: AtomicUsize::new(0) }))
    }

    /// Chooses the server with the fewest requests in flight. A server that has just refused a connection is chosen only if
    /// all have.
    fn take(&self) -> (Uri, TaskTrackerToken) {
        let LoadBalancer { servers, next } = &*self.0;
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

    /// The ids of the servers that are containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.0.servers.iter().filter_map(|server| server.container.clone()).collect()
    }
}

impl Upstream {
    /// Decides where a request goes. The request counts among those of the chosen server from now on, even if this value is
    /// replaced.
    pub(crate) fn route(&self) -> Route {
        match self {
            Upstream::Http(servers) => {
                let (url, token) = servers.take();
                Route::Http(url, token)
            }
            Upstream::Idle => Route::Idle,
            Upstream::Command(words) => Route::Command(words.clone()),
            Upstream::Pending(why) | Upstream::Failing(why) => Route::Pending(why.clone()),
            Upstream::Broken(why) => Route::Broken(why.clone()),
            Upstream::Gone => Route::Gone,
        }
    }

    /// Whether it takes requests, or starts when one comes.
    pub(crate) fn takes_requests(&self) -> bool {
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
    async fn a_server_that_refused_gets_no_requests_for_a_while_if_there_are_others() {
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
    fn requests_go_to_the_least_busy_server_and_equals_take_turns() {
        let servers = Servers::new([1, 2, 3].map(server).into()).unwrap();
        let mut requests: Vec<_> = (0..3).map(|_| servers.take()).collect();
        let mut ports: Vec<_> = requests.iter().map(|(url, _)| url.port_u16().unwrap()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 2, 3]);
        // The free server is chosen every time.
        let (free, token) = requests.remove(1);
        drop(token);
        for _ in 0..5 {
            assert_eq!(servers.take().0, free);
        }
        assert!(Servers::new(Vec::new()).is_none());
    }
}
