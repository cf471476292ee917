//! Talks to trackers: one announce in, its answer or the reason for none out.
//!
//! An announce is one future that holds nothing when dropped. It ends by the caller's deadline and
//! never later than 30 s. What is asked of whom [`super::web`] decides.

mod http;
mod inflate;
mod udp;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::timeout;

use super::scope::Scope;
use super::web::Web;
use crate::time::Time;
use crate::tracker::udp::CONNECTION_ID_LIFE;
use crate::tracker::url::Scheme;
use crate::tracker::{AnnounceFailure, AnnounceRequest, AnnounceResponse, TrackerUrl};

/// The longest an announce may take, whatever the caller allows.
const TOTAL_MAX: Duration = Duration::from_secs(30);

/// Trackers about which something is remembered. A manifest seldom names ten. Chosen, untested.
const TRACKERS_MAX: usize = 64;

/// Asks trackers, and remembers between two announces what they want to be told again.
pub struct Announcer {
    web: Web,
    rng: RefCell<ChaCha12Rng>,
    /// What HTTP trackers called us last (BEP 3, "tracker id"), by URL.
    tracker_ids: RefCell<BTreeMap<String, String>>,
    /// Connection ids of UDP trackers (BEP 15) and until when they are good.
    connections: RefCell<BTreeMap<SocketAddr, (u64, Time)>>,
}

impl Announcer {
    /// Announces from the local address `bind`, where given. `seed` makes the transaction ids that
    /// strangers must not guess.
    pub fn new(bind: Option<IpAddr>, scope: Scope, seed: u64) -> Self {
        Self::over(Web::new(bind, scope), seed)
    }

    fn over(web: Web, seed: u64) -> Self {
        Self {
            web,
            rng: RefCell::new(ChaCha12Rng::seed_from_u64(seed)),
            tracker_ids: RefCell::default(),
            connections: RefCell::default(),
        }
    }

    /// Announces once. Several announces may be under way at a time.
    ///
    /// # Errors
    /// Why there is no answer; [`AnnounceFailure::Timeout`] after `deadline` or 30 s.
    pub async fn announce(
        &self,
        url: &str,
        request: AnnounceRequest,
        deadline: Duration,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let tracker = TrackerUrl::parse(url)?;
        let allowed = deadline.min(TOTAL_MAX);
        let answer = async {
            match tracker.scheme() {
                Scheme::Http | Scheme::Https => self.announce_http(url, &tracker, &request).await,
                Scheme::Udp => udp::announce(self, &tracker, &request, allowed).await,
            }
        };
        timeout(allowed, answer)
            .await
            .unwrap_or(Err(AnnounceFailure::Timeout(allowed)))
    }

    async fn announce_http(
        &self,
        url: &str,
        tracker: &TrackerUrl,
        request: &AnnounceRequest,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let tracker_id = self.tracker_ids.borrow().get(url).cloned();
        let answer = http::announce(self, tracker, request, tracker_id.as_deref()).await?;
        if let Some(id) = &answer.tracker_id {
            let mut tracker_ids = self.tracker_ids.borrow_mut();
            if tracker_ids.len() >= TRACKERS_MAX {
                tracker_ids.pop_first();
            }
            tracker_ids.insert(url.to_owned(), id.clone());
        }
        Ok(answer)
    }

    /// A transaction id that was not used before, as far as anybody can tell.
    fn transaction(&self) -> u32 {
        self.rng.borrow_mut().random()
    }

    fn connection(&self, tracker: SocketAddr) -> Option<u64> {
        let connections = self.connections.borrow();
        let &(id, good_until) = connections.get(&tracker)?;
        (self.web.clock.now() < good_until).then_some(id)
    }

    fn remember_connection(&self, tracker: SocketAddr, id: u64) {
        let now = self.web.clock.now();
        let mut connections = self.connections.borrow_mut();
        connections.retain(|_, (_, good_until)| now < *good_until);
        if connections.len() >= TRACKERS_MAX {
            connections.pop_first();
        }
        connections.insert(tracker, (id, now + CONNECTION_ID_LIFE));
    }

    fn forget_connection(&self, tracker: SocketAddr) {
        self.connections.borrow_mut().remove(&tracker);
    }
}

/// The answer without what that tracker cannot know: of this machine's loopback only one that is
/// there itself. Whoever else names it would have us dial our own services.
fn believed(mut response: AnnounceResponse, tracker: IpAddr) -> AnnounceResponse {
    if !tracker.to_canonical().is_loopback() {
        let is_here = |peer: &SocketAddr| peer.ip().to_canonical().is_loopback();
        response.peers.retain(|peer| !is_here(peer));
    }
    response
}

#[cfg(test)]
mod tests;
