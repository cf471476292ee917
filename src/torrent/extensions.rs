//! What peers say in extensions of BEP 10: who they are, and that they want the metadata (BEP 9).
//! What they say of others is read in [`super::pex`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;

use super::Torrent;
use super::event::{Action, PeerKey};
use super::inbound::Violation;
use super::pex::{Exchange, is_far};
use crate::time::Time;
use crate::wire::Message;
use crate::wire::extended::ExtendedHandshake;
use crate::wire::metadata::{self, MetadataMessage, piece_count, piece_range};
use crate::wire::pex;

/// What we call ourselves to peers (BEP 10 `v`).
pub(super) const CLIENT: &str = concat!("swarm/", env!("CARGO_PKG_VERSION"));

/// How often one connection may fetch the whole metadata. Chosen: once is enough, and a reader that
/// starts over after a wrong copy is no attacker.
const METADATA_COPIES_MAX: u32 = 3;

/// Which extensions a peer speaks, and what it had of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    /// What it calls the metadata exchange.
    pub(super) metadata: Option<u8>,
    /// Pieces of the metadata that it was sent.
    pub(super) metadata_given: u32,
    /// The peer exchange with it.
    pub(super) pex: Exchange,
}

impl Torrent {
    /// Tells a peer who we are and which extensions we speak.
    pub(super) fn introduce(&mut self, key: PeerKey, yourip: IpAddr, now: Time) {
        let mut m = BTreeMap::new();
        if self.config.metadata_len.is_some() {
            m.insert(metadata::NAME.to_owned(), metadata::OUR_ID);
        }
        if self.config.pex {
            m.insert(pex::NAME.to_owned(), pex::OUR_ID);
        }
        let ours = ExtendedHandshake {
            v: Some(CLIENT.to_owned()),
            reqq: u32::try_from(self.config.upload_queue_max).ok(),
            yourip: Some(yourip),
            upload_only: self.is_complete(),
            p: Some(if is_far(yourip) {
                self.config.far_port()
            } else {
                self.config.port
            }),
            metadata_size: self.config.metadata_len,
            m,
        };
        let payload = Bytes::from(ours.encode());
        self.send(key, Message::Extended { id: 0, payload }, now);
    }

    /// An extended message came.
    pub(super) fn peer_extends(
        &mut self,
        key: PeerKey,
        (id, payload): (u8, &Bytes),
        now: Time,
    ) -> Result<(), Violation> {
        match id {
            0 => self.peer_introduces(key, payload, now),
            metadata::OUR_ID => self.peer_asks_metadata(key, payload, now)?,
            pex::OUR_ID => self.peer_names(key, payload, now)?,
            _ => {}
        }
        Ok(())
    }

    fn peer_introduces(&mut self, key: PeerKey, payload: &[u8], now: Time) {
        // A handshake that cannot be read is a poor client, not an attack: go on without it.
        let Ok(theirs) = ExtendedHandshake::decode(payload) else {
            return;
        };
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if let Some(client) = theirs.v {
            peer.client = client;
        }
        peer.reqq = theirs.reqq.unwrap_or(peer.reqq).max(1);
        peer.upload_only |= theirs.upload_only;
        peer.extensions.metadata = theirs.m.get(metadata::NAME).copied();
        peer.extensions.pex.id = theirs.m.get(pex::NAME).copied();
        if let Some(ip) = theirs.yourip {
            self.seen_as.note(ip);
        }
        if let Some(port) = theirs.p {
            self.listens_at(key, port, now);
        }
        self.part_if_both_complete(key, now);
    }

    fn peer_asks_metadata(
        &mut self,
        key: PeerKey,
        payload: &Bytes,
        now: Time,
    ) -> Result<(), Violation> {
        let Some(len) = self.config.metadata_len else {
            return Ok(());
        };
        let message = MetadataMessage::decode(payload);
        let message = message.map_err(|_| Violation("no message of ut_metadata"))?;
        let (Some(MetadataMessage::Request { piece }), Some(peer)) =
            (message, self.peers.find_mut(key))
        else {
            return Ok(());
        };
        let Some(id) = peer.extensions.metadata else {
            return Ok(());
        };
        let given_max = METADATA_COPIES_MAX * piece_count(len);
        match piece_range(piece, len) {
            Some(range) if peer.extensions.metadata_given < given_max => {
                peer.extensions.metadata_given += 1;
                peer.spoke = now;
                self.upload.take(range.len() as u64, now);
                let give = Action::GiveMetadata {
                    peer: key,
                    id,
                    piece,
                };
                self.actions.push_back(give);
            }
            _ => {
                let payload = MetadataMessage::Reject { piece }.encode();
                self.send(key, Message::Extended { id, payload }, now);
            }
        }
        Ok(())
    }
}
