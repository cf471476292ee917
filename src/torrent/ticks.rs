//! What happens by the clock: time-outs, keep-alives, dials, announces, choke rounds, goodbyes.

use std::time::Duration;

use super::announcer::Due as DueAnnounce;
use super::dialer::Teller;
use super::event::{Action, CloseReason, Direction, Notice, PeerKey, TrackerId};
use super::{Phase, Torrent};
use crate::time::Time;
use crate::tracker::{AnnounceFailure, AnnounceRequest, AnnounceResponse};
use crate::wire::Message;

/// Between ticks while pieces are missing. Chosen: the tail of a download waits for at most this.
const TICK_LEECH: Duration = Duration::from_millis(200);
/// Between ticks while complete.
const TICK_SEED: Duration = Duration::from_secs(1);
/// How long nothing is asked for after the disk refused.
const DISK_PAUSE: Duration = Duration::from_secs(5);
/// A peer that owes blocks is given at least this long.
const BLOCK_TIMEOUT_MIN: Duration = Duration::from_secs(4);
/// Peers asked for from a tracker.
const NUM_WANT: u32 = 80;

impl Torrent {
    /// When to send [`super::Event::Deadline`] if nothing else happens before; `None` when stopped.
    pub fn deadline(&self) -> Option<Time> {
        if self.phase == Phase::Stopped {
            return None;
        }
        let mut deadline = self.next_tick;
        if self.upload_waits && self.phase == Phase::Running {
            deadline = deadline.min(self.upload.open_at());
        }
        if let Some(at) = self.slot_check
            && self.phase == Phase::Running
        {
            deadline = deadline.min(at);
        }
        if self.download_waits && self.phase == Phase::Running {
            deadline = deadline.min(self.download.open_at());
        }
        Some(deadline)
    }

    /// The work that one batch of events asked for, and what is due by the clock.
    pub(super) fn work_off(&mut self, now: Time) {
        if now >= self.next_tick {
            self.tick(now);
        }
        if self.phase == Phase::Running {
            if std::mem::take(&mut self.due.dials) {
                self.dial(now);
            }
            self.due.choking |= self.slot_check.is_some_and(|at| at <= now);
            if std::mem::take(&mut self.due.choking) {
                self.rechoke(now);
            }
            if self.download_waits && self.download.is_open(now) {
                self.download_waits = false;
                self.due.requests = true;
            }
            if std::mem::take(&mut self.due.suggestions) {
                for key in self.peers.keys() {
                    self.suggest(key, now);
                }
            }
            if std::mem::take(&mut self.due.requests) {
                self.fill_all(now);
            }
            if std::mem::take(&mut self.due.uploads) || self.upload_waits {
                self.serve(now);
            }
        }
        if std::mem::take(&mut self.due.announces) {
            self.announce(now);
        }
    }

    /// Says goodbye to everybody.
    pub(super) fn stop(&mut self, now: Time) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Stopping;
        for key in self.peers.keys() {
            self.disconnect(key, CloseReason::Shutdown, now);
        }
        self.announcer.stop();
        self.announce(now);
    }

    /// A tracker answered, or did not.
    pub(super) fn announced(
        &mut self,
        tracker: TrackerId,
        result: Result<AnnounceResponse, AnnounceFailure>,
        now: Time,
    ) {
        match result {
            Ok(response) => {
                self.announcer.answered(tracker, &response, now);
                if let Some(message) = response.warning {
                    self.actions
                        .push_back(Action::Notify(Notice::TrackerWarning { tracker, message }));
                }
                self.peers_found(Teller::tracker(tracker), &response.peers, now);
            }
            Err(failure) => {
                self.announcer.failed(tracker, &failure, now, &mut self.rng);
                self.actions
                    .push_back(Action::Notify(Notice::TrackerFailed { tracker, failure }));
            }
        }
        self.due.announces = true;
    }

    fn tick(&mut self, now: Time) {
        self.next_tick = now
            + if self.is_complete() && self.spread.is_none() && !self.is_asked() {
                TICK_SEED
            } else {
                TICK_LEECH
            };
        if self
            .disk_fault
            .as_ref()
            .is_some_and(|(at, _)| now.since(*at) >= DISK_PAUSE)
        {
            self.disk_fault = None;
        }
        for key in self.peers.keys() {
            self.time_out(key, now);
            self.ask_again_what_was_refused(key, now);
        }
        self.uplink.look(self.totals.sent, now);
        self.suggest_again(now);
        self.exchange_peers(now);
        self.banned.retain(|_, until| *until > now);
        self.forget_stranded();
        self.due.dials = true;
        self.due.announces = true;
        self.due.choking = true;
        self.due.requests = true;
        self.due.uploads = true;
    }

    fn time_out(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        // A web seed speaks only when it is asked; whether it does is the edge's to watch.
        let may_be_silent = peer.direction == Direction::WebSeed;
        if !may_be_silent && now.since(peer.heard) >= self.config.silence_max {
            let reason = CloseReason::TimedOut(self.config.silence_max.as_secs());
            self.disconnect(key, reason, now);
            return;
        }
        if now.since(peer.spoke) >= self.config.keepalive_after {
            self.send(key, Message::KeepAlive, now);
        }
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if peer.asked.is_empty() {
            return;
        }
        let expected = peer
            .time_for(peer.asked.len(), now)
            .unwrap_or(self.config.snub_after);
        let patience = (expected * 4).clamp(BLOCK_TIMEOUT_MIN, self.config.snub_after);
        if now.since(peer.owes_since) >= patience {
            peer.snubbing = true;
            let asked = std::mem::take(&mut peer.asked);
            self.withdraw(key, asked, now);
            self.partial.end_solo(key);
            self.due.choking = true;
        }
    }

    fn ask_again_what_was_refused(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        let over = peer.refused.extract_if(.., |(_, until)| *until <= now);
        for (piece, _) in over.collect::<Vec<_>>() {
            let known = self.peer_has(key, piece.get(), now);
            debug_assert!(known.is_ok(), "the piece exists");
        }
    }

    fn dial(&mut self, now: Time) {
        for addr in self.dialer.due(self.peers.len(), now, &mut self.rng) {
            self.actions.push_back(Action::Connect { addr });
        }
    }

    fn announce(&mut self, now: Time) {
        let lonely = self.peers.is_empty() && !self.is_complete();
        for DueAnnounce { tracker, event } in self.announcer.due(lonely, now) {
            let request = AnnounceRequest {
                info_hash: self.content.info_hash,
                peer_id: self.config.peer_id,
                port: self.config.far_port(),
                uploaded: self.totals.sent,
                downloaded: self.totals.received,
                left: self.totals.wanted - self.totals.done,
                event,
                num_want: NUM_WANT,
                key: self.announcer.key(),
            };
            self.actions
                .push_back(Action::Announce { tracker, request });
        }
        if self.phase == Phase::Stopping && self.announcer.is_stopped() {
            self.phase = Phase::Stopped;
            self.actions.push_back(Action::Notify(Notice::Stopped));
        }
    }
}
