//! The blocking side: threads that verify and write finished pieces, read blocks to be sent, and
//! keep the journal.
//!
//! Jobs come through bounded queues and answers go back as events. Nobody waits to queue a job: a
//! finished piece stays in its buffer meanwhile, and a connection has two reads under way at most.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use tokio::sync::mpsc;

use super::buffers::{Body, Pool};
use super::notices::Notices;
use super::outbox::{Frames, PIECE_HEADER_LEN, piece_header};
use super::upkeep::{CHECKPOINT_BYTES, Suspects, Task, Upkeep};
use crate::hash;
use crate::layout::{Block, PieceIndex};
use crate::metainfo::Metainfo;
use crate::storage::{Meter, StorageError, Store};
use crate::torrent::Event;
use crate::torrent::event::{DiskFault, Notice, VerifyOutcome};

/// Finished pieces hashed side by side: no more, since each waits for the others with its buffer.
const VERIFY_BATCH: usize = hash::LANES / 2;

/// Finished pieces queued at most: enough to keep several workers in full batches.
const VERIFY_MAX: usize = 64;

/// Reads queued at most, over all connections. Each has two under way; a stopped connection may
/// leave its two behind.
const READS_MAX: usize = 1_024;

/// What every thread needs.
#[derive(Clone, Debug)]
pub(super) struct DiskContext {
    pub(super) meta: Arc<Metainfo>,
    pub(super) store: Arc<Store>,
    pub(super) pool: Pool,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) notices: Notices,
}

/// Where jobs are queued.
#[derive(Clone, Debug)]
pub(super) struct DiskQueue {
    verify: Sender<VerifyJob>,
    read: Sender<ReadJob>,
    upkeep: Sender<Task>,
}

/// The threads; they end when every [`DiskQueue`] is gone.
#[derive(Debug)]
pub(super) struct DiskThreads {
    workers: Vec<JoinHandle<()>>,
    upkeep: JoinHandle<Result<(), StorageError>>,
    /// Stops a recheck.
    meter: Arc<Meter>,
}

#[derive(Debug)]
struct VerifyJob {
    piece: PieceIndex,
    body: Body,
}

/// Blocks to be read for one connection.
#[derive(Debug)]
pub(super) struct ReadJob {
    /// Which ones, in order.
    pub(super) blocks: Vec<Block>,
    /// Memory to use for them.
    pub(super) buffer: Vec<u8>,
    /// The connection, which has room for every answer it is owed.
    pub(super) reply: mpsc::Sender<ReadDone>,
}

/// Blocks that were read, as they go over the wire.
#[derive(Debug)]
pub(super) struct ReadDone {
    /// What could be read.
    pub(super) frames: Frames,
    /// What could not.
    pub(super) unreadable: Vec<Block>,
}

struct Worker {
    context: DiskContext,
    upkeep: Sender<Task>,
    /// Bytes written since the last checkpoint.
    unsaved: Arc<AtomicU64>,
    suspects: Suspects,
    /// Held while a piece that did not fit into the pool is in memory, so that it is only one.
    spilled: Arc<Mutex<()>>,
}

/// Starts `threads` workers and the thread for upkeep.
pub(super) fn start(context: &DiskContext, threads: usize) -> io::Result<(DiskQueue, DiskThreads)> {
    let (verify, verify_jobs) = bounded(VERIFY_MAX);
    let (read, read_jobs) = bounded(READS_MAX);
    let unsaved = Arc::new(AtomicU64::new(0));
    let spilled = Arc::new(Mutex::new(()));
    let suspects = Suspects::default();
    let meter = Arc::new(Meter::default());
    let (upkeep, upkeep_thread) = Upkeep {
        context: context.clone(),
        unsaved: Arc::clone(&unsaved),
        suspects: suspects.clone(),
        threads: threads.max(1),
        meter: Arc::clone(&meter),
    }
    .start()?;
    let workers = (0..threads.max(1))
        .map(|number| {
            let worker = Worker {
                context: context.clone(),
                upkeep: upkeep.clone(),
                unsaved: Arc::clone(&unsaved),
                suspects: suspects.clone(),
                spilled: Arc::clone(&spilled),
            };
            let (verify_jobs, read_jobs) = (verify_jobs.clone(), read_jobs.clone());
            std::thread::Builder::new()
                .name(format!("swarm-disk-{number}"))
                .spawn(move || worker.run(&verify_jobs, &read_jobs))
        })
        .collect::<io::Result<_>>()?;
    let queue = DiskQueue {
        verify,
        read,
        upkeep,
    };
    let threads = DiskThreads {
        workers,
        upkeep: upkeep_thread,
        meter,
    };
    Ok((queue, threads))
}

impl DiskQueue {
    /// Whether another finished piece can be queued.
    pub(super) fn can_verify(&self) -> bool {
        !self.verify.is_full()
    }

    /// Hashes the piece and writes it if it is right; answered by `PieceVerified`.
    ///
    /// # Panics
    /// If the queue is full: only the driver queues pieces, and it looks first.
    pub(super) fn verify(&self, piece: PieceIndex, body: Body) {
        let queued = self.verify.try_send(VerifyJob { piece, body });
        assert!(queued.is_ok(), "there is room in the queue");
    }

    /// Reads blocks to be sent, or gives the job back if far too many wait already.
    pub(super) fn read(&self, job: ReadJob) -> Result<(), ReadJob> {
        self.read.try_send(job).map_err(TrySendError::into_inner)
    }

    /// Queues a task of the upkeep thread, waiting if it has many.
    pub(super) fn task(&self, task: Task) {
        // It outlives every queue, unless it panicked; joining it tells.
        let _ = self.upkeep.send(task);
    }
}

impl DiskThreads {
    /// Waits for all queued jobs and the last checkpoint.
    ///
    /// # Errors
    /// If the last checkpoint failed.
    ///
    /// # Panics
    /// If a thread panicked.
    pub(super) fn join(self) -> Result<(), StorageError> {
        self.meter.cancel();
        for worker in self.workers {
            worker.join().expect("disk workers do not panic");
        }
        self.upkeep.join().expect("upkeep does not panic")
    }
}

impl Worker {
    fn run(self, verify: &Receiver<VerifyJob>, read: &Receiver<ReadJob>) {
        loop {
            select! {
                recv(verify) -> job => match job {
                    Ok(job) => self.verify(job, verify),
                    Err(_) => return,
                },
                recv(read) -> job => match job {
                    Ok(job) => self.read(job),
                    Err(_) => break,
                },
            }
        }
        // The session ends: nobody reads any more, but finished pieces are kept.
        while let Ok(job) = verify.recv() {
            self.verify(job, verify);
        }
    }

    /// Verifies this piece together with those that wait behind it.
    fn verify(&self, first: VerifyJob, waiting: &Receiver<VerifyJob>) {
        let mut batch = Vec::with_capacity(VERIFY_BATCH);
        let jobs = std::iter::once(first).chain(waiting.try_iter());
        for VerifyJob { piece, body } in jobs.take(VERIFY_BATCH) {
            match body {
                Body::Memory(buffer) => batch.push((piece, buffer)),
                Body::Spilled(file) => self.verify_spilled(piece, &file),
            }
        }
        let pieces: Vec<&[u8]> = batch
            .iter()
            .map(|(piece, buffer)| &buffer[..self.piece_len(*piece)])
            .collect();
        let hashes = hash::many(&pieces);
        for ((piece, buffer), hash) in batch.into_iter().zip(hashes) {
            let outcome = self.store(piece, &buffer[..self.piece_len(piece)], hash);
            self.context.pool.give(buffer);
            self.answer(piece, outcome);
        }
    }

    fn verify_spilled(&self, piece: PieceIndex, file: &std::fs::File) {
        let _one_at_a_time = self.spilled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = vec![0; self.piece_len(piece)];
        let outcome = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => self.store(piece, &bytes, hash::one(&bytes)),
            Err(error) => VerifyOutcome::DiskFault(DiskFault::Other(error.to_string())),
        };
        self.answer(piece, outcome);
    }

    fn store(&self, piece: PieceIndex, bytes: &[u8], hash: [u8; 20]) -> VerifyOutcome {
        if self.context.meta.piece_hash(piece).as_bytes() != &hash {
            return VerifyOutcome::HashMismatch;
        }
        if let Err(error) = self.context.store.write_piece(piece, bytes) {
            return VerifyOutcome::DiskFault(fault(&error));
        }
        let len = bytes.len() as u64;
        let unsaved = self.unsaved.fetch_add(len, Ordering::Relaxed);
        if unsaved < CHECKPOINT_BYTES && CHECKPOINT_BYTES <= unsaved + len {
            // If its queue is full it will soon look for itself.
            let _ = self.upkeep.try_send(Task::Checkpoint);
        }
        VerifyOutcome::Stored
    }

    fn answer(&self, piece: PieceIndex, outcome: VerifyOutcome) {
        // The session may have ended meanwhile.
        let _ = self
            .context
            .events
            .blocking_send(Event::PieceVerified { piece, outcome });
    }

    fn read(&self, job: ReadJob) {
        if job.reply.is_closed() {
            return;
        }
        let done = self.read_blocks(&job.blocks, job.buffer);
        let _ = job.reply.blocking_send(done);
    }

    fn read_blocks(&self, blocks: &[Block], mut bytes: Vec<u8>) -> ReadDone {
        let (mut readable, mut unreadable) = (Vec::with_capacity(blocks.len()), Vec::new());
        bytes.resize(Frames::len_of(blocks), 0);
        let mut filled = 0;
        for &block in blocks {
            let end = filled + Frames::len_of(&[block]);
            match self.read_block(block, &mut bytes[filled..end]) {
                Ok(()) => {
                    readable.push(block);
                    filled = end;
                }
                Err(error) => {
                    self.report_damage(block.piece(), &error);
                    unreadable.push(block);
                }
            }
        }
        bytes.truncate(filled);
        ReadDone {
            frames: Frames::new(readable, bytes),
            unreadable,
        }
    }

    /// Fills `frame` with the header and the payload of the block.
    fn read_block(&self, block: Block, frame: &mut [u8]) -> Result<(), StorageError> {
        let (header, payload) = frame.split_at_mut(PIECE_HEADER_LEN);
        header.copy_from_slice(&piece_header(block));
        let offset = self.context.meta.layout().block_offset(block);
        self.context.store.read_at(offset, payload)
    }

    /// Withdraws what can no longer be vouched for and has it checked again, once.
    fn report_damage(&self, piece: PieceIndex, error: &StorageError) {
        let damaged = self.context.store.damaged(piece, error);
        let pieces = self.suspects.add(damaged);
        if pieces.is_empty() {
            return;
        }
        self.context.notices.push(Notice::DataDamaged {
            message: error.to_string(),
            pieces: pieces.len(),
        });
        let lost = Event::PiecesLost {
            pieces: pieces.clone(),
        };
        let _ = self.context.events.blocking_send(lost);
        let _ = self.upkeep.send(Task::Recheck(pieces));
    }

    fn piece_len(&self, piece: PieceIndex) -> usize {
        self.context.meta.layout().piece_len(piece) as usize
    }
}

/// What the core needs to know of a disk's refusal.
pub(super) fn fault(error: &StorageError) -> DiskFault {
    match error {
        StorageError::NoSpace { .. } => DiskFault::NoSpace(error.to_string()),
        _ => DiskFault::Other(error.to_string()),
    }
}
