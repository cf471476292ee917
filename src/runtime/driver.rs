//! The loop of a session: wait for events or a deadline, tell the core, perform what it decides.
//!
//! The only caller of [`Torrent`]. It never waits for a peer or a disk: whatever it hands over goes
//! into a bounded queue, and a peer whose queue is full is too slow to keep.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::announce::Announcer;
use super::buffers::{NotReady, Pool};
use super::clock::Clock;
use super::dial;
use super::hub::Hub;
use super::link::Link;
use super::lsd;
use super::notices::Notices;
use super::outbox::TooSlow;
use super::portmap::{Mapping, port_for};
use super::session::Observed;
use crate::layout::{Block, PieceIndex};
use crate::time::Time;
use crate::torrent::event::{
    Action, CloseReason, Command, Notice, PeerKey, TrackerId, VerifyOutcome,
};
use crate::torrent::{Event, Torrent};
use crate::tracker::{AnnounceEvent, AnnounceRequest};
use crate::wire::Message;

/// Events taken from the queue at a time.
pub(super) const EVENT_BATCH: usize = 256;

/// How often observers get a new snapshot: four times a second, as a status line is redrawn.
pub(super) const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);

/// Trackers get this long to hear that we leave.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// An announce takes this long at most.
pub(super) const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that the loop owns.
pub(super) struct Driver {
    pub(super) torrent: Torrent,
    pub(super) clock: Clock,
    pub(super) hub: Rc<Hub>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) notices: Notices,
    pub(super) progress: watch::Sender<Observed>,
    pub(super) pool: Pool,
    /// Finished pieces that the disk has no room for.
    pub(super) finished: VecDeque<PieceIndex>,
    pub(super) announcer: Rc<Announcer>,
    /// Tracker URLs; [`TrackerId`] is an index into it.
    pub(super) trackers: Vec<String>,
    /// The port that we accept peers on.
    pub(super) port: u16,
    /// The address that we dial from.
    pub(super) bind: Option<IpAddr>,
    /// What came of local discovery, where it is on.
    pub(super) local: Option<lsd::Shared>,
    /// The port of the gateway that leads to us, where one is asked for.
    pub(super) mapping: Option<Mapping>,
    /// When to end, once we were told to stop; earlier if the core says so.
    pub(super) end: Option<Time>,
}

impl Driver {
    /// Runs until the core has stopped, or has had its time to.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(EVENT_BATCH);
        let mut snapshot = interval(SNAPSHOT_INTERVAL);
        snapshot.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.perform_all();
        while self.end.is_none_or(|end| self.clock.now() < end) {
            let wake = self.clock.instant(self.wake_at());
            tokio::select! {
                _ = self.events.recv_many(&mut batch, EVENT_BATCH) => {}
                () = sleep_until(wake) => {}
                _ = snapshot.tick() => self.publish(),
            }
            self.step(&mut batch);
        }
        self.publish();
        self.events.close();
        if let Some(mapping) = self.mapping.take() {
            mapping.ended().await;
        }
    }

    /// Tells the core what happened, then does what it wants.
    fn step(&mut self, batch: &mut Vec<Event>) {
        let now = self.clock.now();
        for event in batch.drain(..) {
            if matches!(event, Event::Command(Command::Stop)) {
                self.end = self.end.or(Some(now + STOP_TIMEOUT));
                self.mapping.iter_mut().for_each(Mapping::stop);
            }
            if let Event::Command(Command::LimitUpload(limit)) = event {
                self.hub.upload_limit.set(limit);
            }
            if self.concerns_core(&event) {
                self.torrent.handle(event, now);
                // Before the next event: it may come from a connection that is to be ended.
                self.perform_all();
            } else if let Event::Received { peer, messages } = event {
                self.hub.take_back(peer, &messages);
            }
        }
        if self
            .torrent
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.torrent.handle(Event::Deadline, now);
            self.perform_all();
        }
    }

    /// False for what comes from a connection that is gone: its key is never seen again.
    fn concerns_core(&self, event: &Event) -> bool {
        match event {
            Event::Closed { peer, .. } => self.hub.remove_link(*peer).is_some(),
            Event::Connected { peer, .. }
            | Event::Received { peer, .. }
            | Event::Served { peer, .. } => self.hub.link(*peer).is_some(),
            _ => true,
        }
    }

    fn wake_at(&self) -> Time {
        let deadline = self.torrent.deadline().unwrap_or(Time::MAX);
        self.end.map_or(deadline, |end| end.min(deadline))
    }

    fn perform_all(&mut self) {
        loop {
            while let Some(action) = self.torrent.poll() {
                self.perform(action);
            }
            if !self.hub.disk.can_verify() {
                return;
            }
            match self.finished.pop_front() {
                Some(piece) => self.verify(piece),
                None => return,
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { addr } => {
                spawn_local(dial::dial(Rc::clone(&self.hub), addr, self.bind));
            }
            Action::Have {
                piece,
                news,
                others,
            } => {
                let message = Message::Have(piece.get());
                for peer in news {
                    self.queue(peer, |link| link.send(&message));
                }
                for peer in others {
                    self.queue(peer, |link| link.send_later(&message));
                }
            }
            Action::Send { peer, message } => self.queue(peer, |link| link.send(&message)),
            Action::Request { peer, blocks } => self.request(peer, &blocks),
            Action::Cancel { peer, blocks } => self.queue(peer, |link| link.cancel(&blocks)),
            Action::Serve { peer, blocks } => self.serve(peer, blocks),
            Action::GiveMetadata { peer, id, piece } => {
                if let Some(link) = self.hub.link(peer) {
                    link.give_metadata(id, piece);
                }
            }
            Action::Verify { piece } => self.finished.push_back(piece),
            Action::Forget { piece } => self.hub.buffers.borrow_mut().forget(piece),
            Action::Announce { tracker, request } => self.announce(tracker, request),
            Action::Disconnect { peer, reason } => self.disconnect(peer, &reason),
            Action::Notify(notice) => self.notify(notice),
        }
    }

    /// Queues something for a connection, or ends it if its queue is full.
    fn queue(&mut self, peer: PeerKey, queue: impl FnOnce(&Link) -> Result<(), TooSlow>) {
        let Some(link) = self.hub.link(peer) else {
            return;
        };
        if let Err(TooSlow) = queue(&link) {
            let reason = CloseReason::Io("does not read what it is sent".into());
            self.disconnect(peer, &reason);
            let closed = Event::Closed { peer, reason };
            self.torrent.handle(closed, self.clock.now());
        }
    }

    fn request(&mut self, peer: PeerKey, blocks: &[Block]) {
        {
            let mut buffers = self.hub.buffers.borrow_mut();
            for run in blocks.chunk_by(|a, b| a.piece() == b.piece()) {
                buffers.open(run[0].piece());
            }
        }
        self.queue(peer, |link| link.request(blocks));
    }

    fn serve(&self, peer: PeerKey, blocks: Vec<Block>) {
        if let Some(link) = self.hub.link(peer) {
            link.serve(blocks);
        }
    }

    fn verify(&mut self, piece: PieceIndex) {
        let taken = {
            let mut buffers = self.hub.buffers.borrow_mut();
            // Nobody asks for a piece that is nothing but padding.
            buffers.open(piece);
            buffers.take(piece)
        };
        let outcome = match taken {
            Ok(body) => return self.hub.disk.verify(piece, body),
            Err(NotReady::Incomplete) => VerifyOutcome::HashMismatch,
            Err(NotReady::Fault(fault)) => VerifyOutcome::DiskFault(fault),
        };
        let verified = Event::PieceVerified { piece, outcome };
        self.torrent.handle(verified, self.clock.now());
    }

    fn announce(&self, tracker: TrackerId, mut request: AnnounceRequest) {
        let timeout = match request.event {
            AnnounceEvent::Stopped => STOP_TIMEOUT,
            _ => ANNOUNCE_TIMEOUT,
        };
        let url = self.trackers[tracker.0].clone();
        request.port = port_for(&url, (self.port, request.port));
        let (hub, announcer) = (Rc::clone(&self.hub), Rc::clone(&self.announcer));
        spawn_local(async move {
            let result = announcer.announce(&url, request, timeout).await;
            hub.tell(Event::Announced { tracker, result }).await;
        });
    }

    fn disconnect(&self, peer: PeerKey, reason: &CloseReason) {
        if let Some(link) = self.hub.remove_link(peer) {
            tracing::debug!("closing connection {}: {reason}", peer.0);
            link.close(reason.clone());
        }
    }

    fn notify(&mut self, notice: Notice) {
        // Whoever hears these finds a snapshot that fits.
        match notice {
            Notice::Stopped => {
                self.end = Some(Time::ZERO);
                self.publish();
            }
            Notice::Complete => {
                self.pool.shrink();
                self.publish();
            }
            _ => {}
        }
        self.notices.push(notice);
    }

    fn publish(&self) {
        self.progress.send_replace(Observed {
            progress: self.torrent.progress(self.clock.now()),
            control: self.hub.control_bytes(),
            local: self.local.as_ref().map(|local| local.borrow().clone()),
            mapping: self.mapping.as_ref().map(Mapping::status),
        });
    }
}
