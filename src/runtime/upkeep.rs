//! The slow work of the disk, on a thread of its own so that no block waits for it: journal
//! checkpoints, re-checks of suspect pieces, and publishing the finished content.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::disk::{DiskContext, fault};
use crate::layout::PieceIndex;
use crate::storage::{Meter, StorageError};
use crate::torrent::Event;
use crate::torrent::event::Notice;

/// A checkpoint is made after this many bytes: what a crash costs to hash again. At 250 MiB/s that
/// is four a second, each flushing what the kernel would soon write anyway.
pub(super) const CHECKPOINT_BYTES: u64 = 64 << 20;

/// A checkpoint is made at least this often while anything is written.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// Tasks queued at most; a worker that reports damage waits beyond it.
const TASKS_MAX: usize = 64;

/// Something slow to do.
#[derive(Debug)]
pub(super) enum Task {
    /// Make what is written durable.
    Checkpoint,
    /// Hash these pieces again and report those that are good.
    Recheck(Vec<PieceIndex>),
    /// Publish the complete content.
    Finish(Sender<Result<PathBuf, StorageError>>),
}

/// Pieces withdrawn and not yet checked again, so that each is withdrawn once.
///
/// Shared and locked because workers add and the upkeep thread removes; only after read errors.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(Arc<Mutex<BTreeSet<PieceIndex>>>);

impl Suspects {
    /// Adds the pieces; returns those that were not in yet.
    pub(super) fn add(&self, mut pieces: Vec<PieceIndex>) -> Vec<PieceIndex> {
        let mut known = self.lock();
        pieces.retain(|&piece| known.insert(piece));
        pieces
    }

    fn remove(&self, pieces: &[PieceIndex]) {
        let mut known = self.lock();
        for piece in pieces {
            known.remove(piece);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PieceIndex>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that does the slow work.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) context: DiskContext,
    /// Bytes written since the last checkpoint.
    pub(super) unsaved: Arc<AtomicU64>,
    pub(super) suspects: Suspects,
    /// How many threads a recheck may use.
    pub(super) threads: usize,
    /// Cancels a recheck.
    pub(super) meter: Arc<Meter>,
}

/// The queue of the upkeep thread, and the thread.
type Started = (Sender<Task>, JoinHandle<Result<(), StorageError>>);

impl Upkeep {
    /// Starts the thread; it ends, after a last checkpoint, when every queue to it is gone.
    pub(super) fn start(self) -> io::Result<Started> {
        let (queue, tasks) = bounded(TASKS_MAX);
        let thread = std::thread::Builder::new()
            .name("swarm-upkeep".into())
            .spawn(move || self.run(&tasks))?;
        Ok((queue, thread))
    }

    fn run(&self, tasks: &Receiver<Task>) -> Result<(), StorageError> {
        loop {
            match tasks.recv_timeout(CHECKPOINT_INTERVAL) {
                Ok(Task::Recheck(pieces)) => self.recheck(&pieces),
                Ok(Task::Finish(reply)) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(self.finish());
                }
                Ok(Task::Checkpoint) | Err(RecvTimeoutError::Timeout) => self.checkpoint(),
                Err(RecvTimeoutError::Disconnected) => return self.context.store.checkpoint(),
            }
        }
    }

    fn checkpoint(&self) {
        let unsaved = self.unsaved.swap(0, Ordering::Relaxed);
        if unsaved == 0 {
            return;
        }
        if let Err(error) = self.context.store.checkpoint() {
            tracing::warn!("progress not saved: {error}");
            self.unsaved.fetch_add(unsaved, Ordering::Relaxed);
            self.context.notices.push(Notice::DiskFault(fault(&error)));
            self.withdraw(self.context.store.lacking());
        }
    }

    /// Publishes. If somebody else wrote to a file its pieces are hashed, and those that are bad
    /// are given back to be fetched again, before the caller hears of it.
    fn finish(&self) -> Result<PathBuf, StorageError> {
        let store = &self.context.store;
        let finished = store.finish();
        if let Err(error) = &finished {
            if let StorageError::Changed { file, .. } = error {
                let pieces = store.pieces_of_file(*file);
                self.context.notices.push(Notice::DataDamaged {
                    message: error.to_string(),
                    pieces: pieces.len(),
                });
                store.recheck(&pieces, self.threads, &self.meter);
            }
            self.withdraw(store.lacking());
        }
        finished
    }

    fn withdraw(&self, pieces: Vec<PieceIndex>) {
        // The session may have ended meanwhile.
        let _ = self
            .context
            .events
            .blocking_send(Event::PiecesLost { pieces });
    }

    fn recheck(&self, pieces: &[PieceIndex]) {
        let store = &self.context.store;
        let good = store.recheck(pieces, self.threads, &self.meter);
        self.suspects.remove(pieces);
        let found = Event::PiecesFound {
            pieces: pieces.iter().copied().filter(|&p| good.has(p)).collect(),
        };
        // The session may have ended meanwhile.
        let _ = self.context.events.blocking_send(found);
    }
}
