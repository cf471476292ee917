//! When to announce to which tracker (BEP 3, BEP 12): it decides, the driver asks.
//!
//! Every tier is announced to, within a tier one tracker at a time: the first that answers moves to
//! the front, one that fails makes way for the next.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::event::TrackerId;
use super::progress::TrackerFault;
use crate::time::Time;
use crate::tracker::{AnnounceEvent, AnnounceFailure, AnnounceResponse};

/// Wait after the first failure of a whole tier; doubles.
const RETRY_FIRST: Duration = Duration::from_secs(15);
/// Longest wait after failures.
const RETRY_MAX: Duration = Duration::from_secs(1_800);
/// With nobody connected a tracker is asked again after this, or its own minimum if longer.
const LONELY_INTERVAL: Duration = Duration::from_secs(30);
/// A tracker that has said nothing for this long is worth a word. Chosen: others answer within a second.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Between two announces because something of us has changed: a gateway that changes its mind with every
/// lease must not make us a nuisance to trackers. Chosen: as other clients announce at the soonest.
const TELL_AGAIN_MIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Tier {
    /// In the order to be tried.
    trackers: Vec<TrackerId>,
    /// Which of them is next.
    current: usize,
    next: Time,
    /// The earliest moment that a lonely or finished peer may ask again.
    earliest: Time,
    in_flight: Option<AnnounceEvent>,
    /// When it was asked last.
    asked: Time,
    failures: u32,
    /// A tracker of this tier knows us and wants a goodbye.
    started: bool,
    /// What is to be told before the periodic announces.
    pending_completed: bool,
    /// What is being told is no longer so.
    outdated: bool,
}

/// All trackers of one swarm.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    tiers: Vec<Tier>,
    /// How each tracker was when it was asked last.
    results: Vec<Option<Result<(), AnnounceFailure>>>,
    stopping: bool,
    /// When trackers were told last that something of us has changed.
    told_again: Option<Time>,
    /// Tells our announces apart from others behind the same address.
    key: u32,
}

/// An announce that is to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// To whom.
    pub(super) tracker: TrackerId,
    /// Why.
    pub(super) event: AnnounceEvent,
}

impl Announcer {
    /// Trackers in tiers; each tier is shuffled as BEP 12 demands.
    pub(super) fn new(tiers: &[Vec<String>], now: Time, rng: &mut ChaCha8Rng) -> Self {
        let mut id = 0;
        let tiers: Vec<Tier> = tiers
            .iter()
            .filter(|tier| !tier.is_empty())
            .map(|tier| {
                let mut trackers: Vec<TrackerId> = (id..id + tier.len()).map(TrackerId).collect();
                id += tier.len();
                trackers.shuffle(rng);
                Tier {
                    trackers,
                    current: 0,
                    next: now,
                    earliest: now,
                    in_flight: None,
                    asked: now,
                    failures: 0,
                    started: false,
                    pending_completed: false,
                    outdated: false,
                }
            })
            .collect();
        Self {
            tiers,
            results: vec![None; id],
            stopping: false,
            told_again: None,
            key: rng.next_u32(),
        }
    }

    /// Announces to make now. `lonely`: nobody is connected.
    pub(super) fn due(&mut self, lonely: bool, now: Time) -> Vec<Due> {
        let stopping = self.stopping;
        let mut due = Vec::new();
        for tier in self
            .tiers
            .iter_mut()
            .filter(|tier| tier.in_flight.is_none())
        {
            let event = if stopping {
                if !std::mem::take(&mut tier.started) {
                    continue;
                }
                AnnounceEvent::Stopped
            } else {
                let early = (lonely || tier.pending_completed) && tier.started;
                if now
                    < if early {
                        tier.earliest.min(tier.next)
                    } else {
                        tier.next
                    }
                {
                    continue;
                }
                match (tier.started, tier.pending_completed) {
                    (false, _) => AnnounceEvent::Started,
                    (true, true) => AnnounceEvent::Completed,
                    (true, false) => AnnounceEvent::Periodic,
                }
            };
            tier.in_flight = Some(event);
            tier.asked = now;
            due.push(Due {
                tracker: tier.trackers[tier.current],
                event,
            });
        }
        due
    }

    /// The download finished in this session: trackers that know us are told at once.
    pub(super) fn complete(&mut self, now: Time) {
        for tier in self.tiers.iter_mut().filter(|tier| tier.started) {
            tier.pending_completed = true;
            tier.earliest = now;
        }
    }

    /// What trackers were told of us has changed: those that know us hear it at once.
    pub(super) fn tell_again(&mut self, now: Time) {
        let at = self
            .told_again
            .map_or(now, |last| now.max(last + TELL_AGAIN_MIN));
        self.told_again = Some(at);
        for tier in &mut self.tiers {
            tier.outdated = tier.in_flight.is_some();
            if tier.started && !tier.outdated {
                tier.next = tier.next.min(at);
            }
        }
    }

    /// From now on only goodbyes are said.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether every goodbye is out.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopping
            && self
                .tiers
                .iter()
                .all(|tier| tier.in_flight.is_none() && !tier.started)
    }

    /// A tracker answered.
    pub(super) fn answered(&mut self, id: TrackerId, response: &AnnounceResponse, now: Time) {
        if let Some(result) = self.results.get_mut(id.0) {
            *result = Some(Ok(()));
        }
        let Some(tier) = self.tier_of(id) else { return };
        let said = tier.in_flight.take();
        tier.started = said != Some(AnnounceEvent::Stopped);
        if said == Some(AnnounceEvent::Completed) {
            tier.pending_completed = false;
        }
        tier.failures = 0;
        // BEP 12: a tracker that answers moves to the front of its tier.
        let answered = tier.trackers.remove(tier.current);
        tier.trackers.insert(0, answered);
        tier.current = 0;
        tier.next = now + response.interval;
        if std::mem::take(&mut tier.outdated) {
            tier.next = now;
        }
        let minimum = response
            .min_interval
            .unwrap_or(LONELY_INTERVAL)
            .max(LONELY_INTERVAL);
        tier.earliest = now + minimum.min(response.interval);
    }

    /// A tracker did not answer, or refused.
    pub(super) fn failed(
        &mut self,
        id: TrackerId,
        failure: &AnnounceFailure,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) {
        if let Some(result) = self.results.get_mut(id.0) {
            *result = Some(Err(failure.clone()));
        }
        let Some(tier) = self.tier_of(id) else { return };
        tier.in_flight = None;
        tier.current += 1;
        if tier.current < tier.trackers.len() {
            tier.next = now;
            tier.earliest = now;
            return;
        }
        tier.current = 0;
        let wait = RETRY_FIRST
            .saturating_mul(1 << tier.failures.min(10))
            .min(RETRY_MAX);
        tier.failures += 1;
        tier.next = now + wait.mul_f64(rng.random_range(0.75..1.25));
        tier.earliest = tier.next;
    }

    /// The trackers that are of no use, in the order of their ids; of those that answered `names_nobody`
    /// knows. What one said before says more than that it is asked again.
    pub(super) fn faults(
        &self,
        names_nobody: impl Fn(TrackerId) -> bool,
        now: Time,
    ) -> Vec<(TrackerId, TrackerFault)> {
        let fault = |id: TrackerId| match self.results.get(id.0)? {
            Some(Err(failure)) => Some(TrackerFault::Failed(failure.clone())),
            Some(Ok(())) => names_nobody(id).then_some(TrackerFault::NamesNobody),
            None => self.is_silent(id, now).then_some(TrackerFault::Silent),
        };
        let ids = (0..self.results.len()).map(TrackerId);
        ids.filter_map(|id| Some((id, fault(id)?))).collect()
    }

    /// Whether the tracker is being asked and has not answered for a while.
    fn is_silent(&self, id: TrackerId, now: Time) -> bool {
        let asked = self.tiers.iter().filter(|tier| tier.in_flight.is_some());
        let mut late = asked.filter(|tier| now.since(tier.asked) >= SILENT_AFTER);
        late.any(|tier| tier.trackers.get(tier.current) == Some(&id))
    }

    /// Tells our announces apart from others behind the same address (BEP 3 `key`).
    pub(super) const fn key(&self) -> u32 {
        self.key
    }

    fn tier_of(&mut self, id: TrackerId) -> Option<&mut Tier> {
        self.tiers
            .iter_mut()
            .find(|tier| tier.in_flight.is_some() && tier.trackers.get(tier.current) == Some(&id))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn announcer(tiers: &[usize]) -> (Announcer, ChaCha8Rng) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let tiers: Vec<Vec<String>> = tiers
            .iter()
            .map(|&n| vec!["http://t/announce".to_owned(); n])
            .collect();
        (Announcer::new(&tiers, Time::ZERO, &mut rng), rng)
    }

    fn answer(interval: u64) -> AnnounceResponse {
        AnnounceResponse {
            interval: Duration::from_secs(interval),
            ..Default::default()
        }
    }

    fn secs(secs: u64) -> Time {
        Time::from_start(Duration::from_secs(secs))
    }

    fn events(due: &[Due]) -> Vec<AnnounceEvent> {
        due.iter().map(|due| due.event).collect()
    }

    #[test]
    fn every_tier_is_told_started_then_periodic() {
        let (mut announcer, _) = announcer(&[1, 1]);
        let due = announcer.due(false, Time::ZERO);
        assert_eq!(events(&due), [AnnounceEvent::Started; 2]);
        assert_eq!(announcer.due(false, Time::ZERO), []);
        for due in due {
            announcer.answered(due.tracker, &answer(600), Time::ZERO);
        }
        assert_eq!(announcer.due(false, secs(599)), []);
        assert_eq!(
            events(&announcer.due(false, secs(600))),
            [AnnounceEvent::Periodic; 2]
        );
    }

    #[test]
    fn a_failing_tracker_makes_way_and_a_working_one_moves_to_the_front() {
        let (mut announcer, mut rng) = announcer(&[3]);
        let first = announcer.due(false, Time::ZERO)[0].tracker;
        let failure = AnnounceFailure::Refused("no".to_owned());
        announcer.failed(first, &failure, Time::ZERO, &mut rng);
        let second = announcer.due(false, Time::ZERO)[0].tracker;
        assert_ne!(first, second);
        announcer.answered(second, &answer(60), Time::ZERO);
        assert_eq!(announcer.due(false, secs(60))[0].tracker, second);
        let faults = announcer.faults(|_| false, secs(60));
        assert_eq!(faults, [(first, TrackerFault::Failed(failure))]);
    }

    #[test]
    fn a_tier_that_fails_as_a_whole_backs_off() {
        let (mut announcer, mut rng) = announcer(&[1]);
        let mut now = Time::ZERO;
        let mut gaps = Vec::new();
        for _ in 0..6 {
            let due = loop {
                if let [due] = announcer.due(true, now)[..] {
                    break due;
                }
                now += Duration::from_secs(1);
            };
            gaps.push(now.as_secs_f64());
            announcer.failed(
                due.tracker,
                &AnnounceFailure::Timeout(RETRY_FIRST),
                now,
                &mut rng,
            );
        }
        assert!(
            gaps.windows(3).all(|w| w[2] - w[1] > (w[1] - w[0]) * 1.1),
            "{gaps:?}"
        );
    }

    #[test]
    fn completed_and_stopped_are_said_at_once_to_those_who_know_us() {
        let (mut announcer, _) = announcer(&[1, 1]);
        let due = announcer.due(false, Time::ZERO);
        announcer.answered(due[0].tracker, &answer(600), Time::ZERO);
        announcer.complete(secs(1));
        let completed = announcer.due(false, secs(1));
        assert_eq!(events(&completed), [AnnounceEvent::Completed]);
        announcer.answered(completed[0].tracker, &answer(600), secs(1));
        assert_eq!(announcer.due(false, secs(2)), []);
        announcer.stop();
        assert!(
            !announcer.is_stopped(),
            "the other tier's answer is awaited"
        );
        let goodbye = announcer.due(false, secs(3));
        assert_eq!(events(&goodbye), [AnnounceEvent::Stopped]);
        announcer.answered(goodbye[0].tracker, &answer(600), secs(3));
        announcer.answered(due[1].tracker, &answer(600), secs(3));
        assert!(!announcer.is_stopped(), "that tracker knows us by now");
        let goodbye = announcer.due(false, secs(3));
        assert_eq!(events(&goodbye), [AnnounceEvent::Stopped]);
        announcer.answered(goodbye[0].tracker, &answer(600), secs(3));
        assert!(announcer.is_stopped());
    }

    #[test]
    fn a_change_is_told_at_once_also_after_what_was_on_its_way() {
        let (mut announcer, _) = announcer(&[1, 1]);
        let due = announcer.due(false, Time::ZERO);
        announcer.answered(due[0].tracker, &answer(600), Time::ZERO);
        announcer.tell_again(secs(1));
        let again = announcer.due(false, secs(1));
        assert_eq!(events(&again), [AnnounceEvent::Periodic]);
        announcer.answered(again[0].tracker, &answer(600), secs(1));
        announcer.answered(due[1].tracker, &answer(600), secs(2));
        let again = announcer.due(false, secs(2));
        assert_eq!(events(&again), [AnnounceEvent::Periodic]);
        assert_eq!(again[0].tracker, due[1].tracker);
        announcer.answered(again[0].tracker, &answer(600), secs(2));
        assert_eq!(announcer.due(false, secs(3)), []);
        announcer.tell_again(secs(4));
        assert_eq!(announcer.due(false, secs(60)), [], "not every few seconds");
        assert_eq!(announcer.due(false, secs(61)).len(), 2);
    }

    #[test]
    fn a_lonely_peer_asks_again_early() {
        let (mut announcer, _) = announcer(&[1]);
        let due = announcer.due(true, Time::ZERO);
        announcer.answered(due[0].tracker, &answer(1_800), Time::ZERO);
        assert_eq!(announcer.due(false, secs(60)), []);
        assert_eq!(announcer.due(true, secs(29)), []);
        assert_eq!(
            events(&announcer.due(true, secs(30))),
            [AnnounceEvent::Periodic]
        );
    }
}
