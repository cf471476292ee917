//! What all local tasks of a session's network thread share.
//!
//! Everything here lives on one thread; its cells are never borrowed across an await.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::mpsc;

use super::buffers::PieceBuffers;
use super::disk::DiskQueue;
use super::link::Link;
use super::outbox::ControlBytes;
use super::scope::Scope;
use crate::layout::Layout;
use crate::metainfo::Metainfo;
use crate::storage::Store;
use crate::torrent::Event;
use crate::torrent::event::{PeerKey, PeerSource, Received};
use crate::wire::Handshake;

/// Batches' worth of memory kept for the next ones, of all connections together; more than one only
/// where sockets take a batch in parts. Chosen.
const SPARE_MAX: usize = 8;

/// The common ground of driver, connections, listener and dials.
#[derive(Debug)]
pub(super) struct Hub {
    /// What we say first to every peer.
    pub(super) ours: Handshake,
    pub(super) layout: Layout,
    /// What is sent lies here.
    pub(super) store: Arc<Store>,
    /// What peers who come with a magnet link ask us for.
    pub(super) meta: Arc<Metainfo>,
    /// To the driver. Tasks wait when it is full; the driver never waits for a task.
    pub(super) events: mpsc::Sender<Event>,
    pub(super) disk: DiskQueue,
    pub(super) buffers: RefCell<PieceBuffers>,
    pub(super) scratch: Scratch,
    /// Connections that the core knows of, or will when it gets to their `Connected`.
    pub(super) links: RefCell<BTreeMap<PeerKey, Rc<Link>>>,
    pub(super) keys: Cell<u64>,
    /// What was queued for connections that are gone.
    pub(super) queued: Cell<ControlBytes>,
    /// Whom we may talk to.
    pub(super) scope: Scope,
    /// Payload bytes per second that all ways out share; `None` is unlimited.
    pub(super) upload_limit: Cell<Option<u64>>,
}

/// Memory that all connections use by turns, so that it stays in the processor's cache.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What a socket is read into.
    pub(super) staging: RefCell<BytesMut>,
    /// For blocks on their way out, used last first.
    spare: RefCell<Vec<Vec<u8>>>,
}

impl Scratch {
    /// Memory with anything in it.
    pub(super) fn take(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps memory for the next one who needs some, unless there is enough.
    pub(super) fn give(&self, memory: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(memory);
        }
    }
}

impl Hub {
    /// Numbers a new connection.
    pub(super) fn add_link(&self) -> (PeerKey, Rc<Link>) {
        let key = PeerKey(self.keys.get());
        self.keys.set(key.0 + 1);
        let link = Rc::new(Link::default());
        self.links.borrow_mut().insert(key, Rc::clone(&link));
        (key, link)
    }

    /// The connection, while it has not ended.
    pub(super) fn link(&self, peer: PeerKey) -> Option<Rc<Link>> {
        self.links.borrow().get(&peer).cloned()
    }

    /// Forgets a connection; its later events mean nothing any more.
    pub(super) fn remove_link(&self, peer: PeerKey) -> Option<Rc<Link>> {
        let link = self.links.borrow_mut().remove(&peer)?;
        let mut queued = self.queued.get();
        queued += link.outbox.borrow().queued();
        self.queued.set(queued);
        Some(link)
    }

    /// Bytes beside payload that were ever queued for peers.
    pub(super) fn control_bytes(&self) -> ControlBytes {
        let mut queued = self.queued.get();
        for link in self.links.borrow().values() {
            queued += link.outbox.borrow().queued();
        }
        queued
    }

    /// Empties the blocks that `peer` sent and the core will never hear of.
    pub(super) fn take_back(&self, peer: PeerKey, received: &[Received]) {
        let mut buffers = self.buffers.borrow_mut();
        for received in received {
            if let Received::Block { block, .. } = received {
                buffers.take_back(*block, peer);
            }
        }
    }

    /// Tells the driver, waiting while it is busy.
    pub(super) async fn tell(&self, event: Event) {
        // Without a driver the session is ending, and this task with it.
        let _ = self.events.send(event).await;
    }

    /// Tells the driver where somebody listens, unless it is busy: who is not dialled dials.
    pub(super) fn mention(&self, source: PeerSource, addr: SocketAddr) {
        let addrs = vec![addr];
        let _ = self.events.try_send(Event::PeersFound { source, addrs });
    }
}
