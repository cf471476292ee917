//! How far a long piece of work has come, for whoever shows it; and the way to call it off.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Progress of hashing, shared between its workers and a sampler.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    done: AtomicU64,
    cancelled: AtomicBool,
}

impl Meter {
    /// Nothing to do, nothing done.
    pub fn new() -> Self {
        Self::default()
    }

    /// `bytes` more are to be done.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Makes the workers stop soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Bytes to be done in all.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether somebody called it off.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
