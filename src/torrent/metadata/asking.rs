//! What is asked of whom, and what peers answer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::copies::Outcome;
use super::{MetadataFetch, Phase, STALL, Source};
use crate::time::Time;
use crate::torrent::dialer::Teller;
use crate::torrent::event::{CloseReason, PeerKey, PeerSource, Received};
use crate::torrent::inbound::Violation;
use crate::wire::Message;
use crate::wire::extended::ExtendedHandshake;
use crate::wire::metadata::{METADATA_LEN_MAX, MetadataMessage, NAME, OUR_ID, piece_range};
use crate::wire::pex;

/// Pieces asked of one peer at a time: 256 KiB. Transmission queues 64 for each peer.
const ASKED_MAX: usize = 16;
/// A piece that did not come within this time is asked of another.
const PIECE_TIMEOUT: Duration = Duration::from_secs(6);
/// Who refused or was late is not asked for this long.
const PAUSE: Duration = Duration::from_secs(5);
/// Who failed so often is of no use.
const FAILURES_MAX: u32 = 4;
/// Bytes that nobody waits for before the connection is closed: what was taken back may come.
const UNASKED_BYTES_MAX: usize = 512 << 10;

impl MetadataFetch {
    pub(super) fn received(&mut self, key: PeerKey, messages: Vec<Received>, now: Time) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.heard = now;
        }
        for message in messages {
            let result = match message {
                Received::Message(Message::Extended { id: 0, payload }) => {
                    self.introduced(key, &payload, now)
                }
                Received::Message(Message::Extended {
                    id: OUR_ID,
                    payload,
                }) => self.answered(key, &payload, now),
                Received::Message(Message::Extended {
                    id: pex::OUR_ID,
                    payload,
                }) => self.named(key, &payload, now),
                Received::Message(_) => Ok(()),
                Received::Block { .. } | Received::Stray { .. } => {
                    Err("payload that nobody asked for")
                }
            };
            if let Err(what) = result {
                self.disconnect(key, CloseReason::Violation(what), now);
                return;
            }
        }
    }

    fn introduced(&mut self, key: PeerKey, payload: &[u8], now: Time) -> Result<(), &'static str> {
        let Ok(theirs) = ExtendedHandshake::decode(payload) else {
            return Ok(());
        };
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        if let Some(client) = theirs.v {
            peer.client = client;
        }
        if let (None, Some(port)) = (peer.listen_addr, theirs.p) {
            // With the zone, if it has one.
            let mut addr = peer.addr;
            addr.set_port(port);
            peer.listen_addr = Some(addr);
            self.dialer
                .add(Teller::all(PeerSource::Incoming), &[addr], now);
            self.dialer.connected(addr, now);
        }
        match (theirs.m.get(NAME), theirs.metadata_size) {
            (Some(_), Some(len)) if len > METADATA_LEN_MAX => Err("metadata beyond the limit"),
            (Some(&id), Some(len)) if peer.offers.is_none() => {
                peer.offers = Some((id, len));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A peer told us whom it is connected to (BEP 11).
    fn named(&mut self, key: PeerKey, payload: &[u8], now: Time) -> Result<(), &'static str> {
        let Some(peer) = self.peers.get_mut(&key).filter(|_| self.config.pex) else {
            return Ok(());
        };
        let teller = peer.addr.ip();
        let named = peer.named.read(payload, teller, now);
        let named = named.map_err(|Violation(what)| what)?;
        let addrs: Vec<SocketAddr> = named.iter().map(|peer| peer.addr).collect();
        self.dialer.add(Teller::peer(teller), &addrs, now);
        Ok(())
    }

    fn answered(&mut self, key: PeerKey, payload: &Bytes, now: Time) -> Result<(), &'static str> {
        let message = MetadataMessage::decode(payload).map_err(|_| "no message of ut_metadata")?;
        match message {
            Some(MetadataMessage::Request { piece }) => {
                self.tell(key, &MetadataMessage::Reject { piece }, now);
                Ok(())
            }
            Some(MetadataMessage::Data {
                piece,
                total_len,
                bytes,
            }) => self.arrived(key, (piece, bytes), total_len, now),
            Some(MetadataMessage::Reject { piece }) => {
                self.take_back(key, piece);
                self.failed(key, now);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn arrived(
        &mut self,
        key: PeerKey,
        (piece, bytes): (u32, Bytes),
        total_len: Option<u64>,
        now: Time,
    ) -> Result<(), &'static str> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let place = peer.asked.iter().position(|&(asked, _)| asked == piece);
        let (Some(place), Some((_, len)), Some(copy)) = (place, peer.offers, peer.copy) else {
            peer.unasked_bytes += bytes.len();
            return if peer.unasked_bytes > UNASKED_BYTES_MAX {
                Err("too much metadata that nobody asked for")
            } else {
                Ok(())
            };
        };
        peer.asked.swap_remove(place);
        self.copies.unask(copy, piece);
        if total_len.is_some_and(|total| total != u64::from(len)) {
            return Err("metadata of two lengths");
        }
        if piece_range(piece, len).is_none_or(|range| range.len() != bytes.len()) {
            return Err("a piece of metadata of the wrong length");
        }
        peer.failures = 0;
        peer.moved = now;
        self.moved = now;
        match self.copies.fill(copy, (piece, bytes), key, now) {
            Outcome::Partial => {}
            Outcome::Wrong(liars) => self.ban(liars, now),
            Outcome::Right(metadata, liars) => {
                self.ban(liars, now);
                self.finish(metadata, now);
            }
        }
        Ok(())
    }

    /// It refused, or was late.
    fn failed(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.resumes = now + PAUSE;
        peer.failures += 1;
        if peer.failures >= FAILURES_MAX {
            let reason = CloseReason::TimedOut(PIECE_TIMEOUT.as_secs());
            self.disconnect(key, reason, now);
        }
    }

    fn take_back(&mut self, key: PeerKey, piece: u32) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let before = peer.asked.len();
        peer.asked.retain(|&(asked, _)| asked != piece);
        if let Some(copy) = peer.copy.filter(|_| peer.asked.len() < before) {
            self.copies.unask(copy, piece);
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            let Some(peer) = self.peers.get(&key) else {
                continue;
            };
            let late: Vec<u32> = peer
                .asked
                .iter()
                // Who goes on sending is slow, not late.
                .filter(|(_, since)| now.since(peer.moved.max(*since)) >= PIECE_TIMEOUT)
                .map(|&(piece, _)| piece)
                .collect();
            if now.since(peer.heard) >= self.config.silence_max {
                let reason = CloseReason::TimedOut(self.config.silence_max.as_secs());
                self.disconnect(key, reason, now);
            } else if now.since(peer.spoke) >= self.config.keepalive_after {
                self.send(key, Message::KeepAlive, now);
            }
            for &piece in &late {
                self.take_back(key, piece);
            }
            if !late.is_empty() {
                self.failed(key, now);
            }
        }
        self.banned.retain(|_, until| *until > now);
    }

    /// Asks everybody who offers the metadata for what is missing.
    pub(super) fn ask_all(&mut self, now: Time) {
        if self.phase != Phase::Running {
            return;
        }
        let able = |peer: &Source| peer.offers.is_some() && peer.resumes <= now;
        let keys = self.peers.iter().filter(|(_, peer)| able(peer));
        let keys: Vec<PeerKey> = keys.map(|(&key, _)| key).collect();
        let mut is_crowded = false;
        for key in keys {
            is_crowded |= !self.ask(key, now);
        }
        if is_crowded {
            self.copies.drop_stalled(STALL, now);
        }
    }

    /// Asks one peer; `false` if there is no room for the copy that it offers.
    fn ask(&mut self, key: PeerKey, now: Time) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(&key) else {
                return true;
            };
            let Some((_, len)) = peer.offers.filter(|_| peer.asked.len() < ASKED_MAX) else {
                return true;
            };
            let Some(copy) = self.copies.place(key, len, now) else {
                return false;
            };
            if peer.copy != Some(copy) {
                // What is asked for another copy may still come; nobody waits for it.
                peer.copy = Some(copy);
                peer.asked.clear();
            }
            let Some(piece) = self.copies.next(copy, peer.asked.is_empty()) else {
                return true;
            };
            peer.asked.push((piece, now));
            self.tell(key, &MetadataMessage::Request { piece }, now);
        }
    }

    fn tell(&mut self, key: PeerKey, message: &MetadataMessage, now: Time) {
        if let Some((id, _)) = self.peers.get(&key).and_then(|peer| peer.offers) {
            let payload = message.encode();
            self.send(key, Message::Extended { id, payload }, now);
        }
    }
}
