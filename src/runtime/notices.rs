//! The bounded queue of notices from a session to whoever watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::torrent::event::Notice;

/// Notices that may wait. At 1,000 pieces a second an observer may sleep for 4 s.
const NOTICES_MAX: usize = 4_096;

/// Room that frequent notices leave for rare ones, so that "complete" is not lost among pieces.
const RESERVED: usize = 64;

/// What waiting for a notice brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextNotice {
    /// A notice.
    Notice(Notice),
    /// Nothing, for as long as was asked.
    TimedOut,
    /// The session has ended and everything was said.
    Ended,
}

/// The end that notices go in.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    queue: Sender<Notice>,
    dropped: Arc<AtomicU64>,
}

/// The end that they come out of.
#[derive(Debug)]
pub(super) struct NoticeReader {
    queue: Receiver<Notice>,
    dropped: Arc<AtomicU64>,
}

/// A new queue.
pub(super) fn queue() -> (Notices, NoticeReader) {
    let (give, take) = bounded(NOTICES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let notices = Notices {
        queue: give,
        dropped: Arc::clone(&dropped),
    };
    let reader = NoticeReader {
        queue: take,
        dropped,
    };
    (notices, reader)
}

impl Notices {
    /// Queues the notice, or counts it as dropped.
    pub(super) fn push(&self, notice: Notice) {
        let frequent = matches!(
            notice,
            Notice::PieceStored { .. } | Notice::PeerConnected { .. } | Notice::PeerLost { .. }
        );
        let full = frequent && self.queue.len() >= NOTICES_MAX - RESERVED;
        if full || matches!(self.queue.try_send(notice), Err(TrySendError::Full(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl NoticeReader {
    /// Waits for the next notice, for `timeout` at most.
    pub(super) fn next(&self, timeout: Duration) -> NextNotice {
        match self.queue.recv_timeout(timeout) {
            Ok(notice) => NextNotice::Notice(notice),
            Err(RecvTimeoutError::Timeout) => NextNotice::TimedOut,
            Err(RecvTimeoutError::Disconnected) => NextNotice::Ended,
        }
    }

    /// How many notices found the queue full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn complete_is_not_lost_among_pieces() {
        let (notices, reader) = queue();
        let piece = Layout::new(1, 1).unwrap().piece(0).unwrap();
        for _ in 0..NOTICES_MAX {
            let from = Vec::new();
            notices.push(Notice::PieceStored { piece, from });
        }
        notices.push(Notice::Complete);
        drop(notices);
        assert_eq!(reader.dropped(), RESERVED as u64);
        let all = std::iter::from_fn(|| match reader.next(Duration::ZERO) {
            NextNotice::Notice(notice) => Some(notice),
            NextNotice::TimedOut | NextNotice::Ended => None,
        });
        assert_eq!(all.last(), Some(Notice::Complete));
        assert_eq!(reader.next(Duration::ZERO), NextNotice::Ended);
    }
}
