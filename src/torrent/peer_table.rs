//! All live connections of one swarm, and those of them that are served or may be asked.

use super::event::PeerKey;
use super::peer::Peer;

/// The connections, in key order; few of them let us ask, and few are served by us, so those are
/// also at hand by themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerTable {
    keys: Vec<PeerKey>,
    /// In the order of `keys`.
    peers: Vec<Peer>,
    /// Where the connection stands that was looked for last.
    last: usize,
    /// Connections that we do not choke.
    unchoked: Few,
    /// Connections that may let us ask: all that do, and some that did.
    askable: Few,
}

/// Some of the connections, in key order, and where each stands.
#[derive(Clone, Debug, Default)]
struct Few(Vec<(PeerKey, usize)>);

impl Few {
    fn add(&mut self, key: PeerKey, place: usize) {
        if let Err(here) = self.0.binary_search_by_key(&key, |&(key, _)| key) {
            self.0.insert(here, (key, place));
        }
    }

    fn remove(&mut self, key: PeerKey) {
        self.0.retain(|&(other, _)| other != key);
    }

    fn has(&self, key: PeerKey) -> bool {
        self.0.iter().any(|&(other, _)| other == key)
    }

    fn keys(&self) -> Vec<PeerKey> {
        self.0.iter().map(|&(key, _)| key).collect()
    }

    /// A connection came in at this place.
    fn make_room(&mut self, at: usize) {
        for (_, place) in self.0.iter_mut().filter(|(_, place)| *place >= at) {
            *place += 1;
        }
    }

    /// The connection at this place is gone.
    fn close_up(&mut self, at: usize) {
        for (_, place) in self.0.iter_mut().filter(|(_, place)| *place > at) {
            *place -= 1;
        }
    }
}

impl PeerTable {
    /// Adds a connection.
    pub(super) fn insert(&mut self, key: PeerKey, peer: Peer) {
        let place = self.keys.binary_search(&key);
        let place = place.expect_err("a connection's key is never reused");
        self.keys.insert(place, key);
        self.peers.insert(place, peer);
        self.unchoked.make_room(place);
        self.askable.make_room(place);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let place = self.keys.binary_search(&key).ok()?;
        self.unchoked.remove(key);
        self.askable.remove(key);
        self.unchoked.close_up(place);
        self.askable.close_up(place);
        self.keys.remove(place);
        Some(self.peers.remove(place))
    }

    /// The connection, unless it is gone: events that cross its end are normal.
    pub(super) fn find(&self, key: PeerKey) -> Option<&Peer> {
        if self.keys.get(self.last) == Some(&key) {
            return self.peers.get(self.last);
        }
        let place = self.keys.binary_search(&key).ok()?;
        self.peers.get(place)
    }

    /// As [`PeerTable::find`].
    pub(super) fn find_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        if self.keys.get(self.last) != Some(&key) {
            self.last = self.keys.binary_search(&key).ok()?;
        }
        self.peers.get_mut(self.last)
    }

    /// We stop choking a connection; `None` if we did not choke it.
    pub(super) fn unchoke(&mut self, key: PeerKey) -> Option<&mut Peer> {
        let place = self.keys.binary_search(&key).ok()?;
        let peer = self.peers.get_mut(place).filter(|peer| peer.am_choking)?;
        peer.am_choking = false;
        self.unchoked.add(key, place);
        Some(peer)
    }

    /// We choke a connection; `None` if we did so before.
    pub(super) fn choke(&mut self, key: PeerKey) -> Option<&mut Peer> {
        let peer = self.find_mut(key).filter(|peer| !peer.am_choking)?;
        peer.am_choking = true;
        self.unchoked.remove(key);
        self.find_mut(key)
    }

    /// A connection lets us ask, for one piece at least.
    pub(super) fn may_ask(&mut self, key: PeerKey) {
        if let Ok(place) = self.keys.binary_search(&key) {
            self.askable.add(key, place);
        }
    }

    /// A connection does not let us ask any more.
    pub(super) fn must_not_ask(&mut self, key: PeerKey) {
        self.askable.remove(key);
    }

    /// All connections.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.keys.iter().copied().zip(&self.peers)
    }

    /// All connections.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        self.keys.iter().copied().zip(&mut self.peers)
    }

    /// The connections that we do not choke.
    pub(super) fn iter_unchoked(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        let all = self.unchoked.0.iter();
        all.map(|&(key, place)| (key, &self.peers[place]))
    }

    /// The connections that let us ask, and perhaps some that do not.
    pub(super) fn iter_askable(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        let all = self.askable.0.iter();
        all.map(|&(key, place)| (key, &self.peers[place]))
    }

    /// The keys of all connections, for loops that change them one by one.
    pub(super) fn keys(&self) -> Vec<PeerKey> {
        self.keys.clone()
    }

    /// The keys of the connections that we do not choke.
    pub(super) fn unchoked(&self) -> Vec<PeerKey> {
        self.unchoked.keys()
    }

    /// How many connections we do not choke.
    pub(super) const fn unchoked_count(&self) -> usize {
        self.unchoked.0.len()
    }

    /// The keys of the connections that let us ask, and perhaps of some that do not.
    pub(super) fn askable(&self) -> Vec<PeerKey> {
        self.askable.keys()
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Panics if what is at hand disagrees with the flags.
    pub(super) fn check(&self) {
        assert!(self.keys.is_sorted(), "connections are in key order");
        for (key, peer) in self.iter() {
            let unchoked = self.unchoked.has(key);
            assert_eq!(unchoked, !peer.am_choking, "whether {key:?} is unchoked");
            let may_ask = peer.lets_ask();
            assert!(
                !may_ask || self.askable.has(key),
                "whether {key:?} may be asked"
            );
        }
        for &(key, place) in self.unchoked.0.iter().chain(&self.askable.0) {
            assert_eq!(self.keys.get(place), Some(&key), "where {key:?} stands");
        }
    }
}
