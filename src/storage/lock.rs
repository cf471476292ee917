//! One process per output: a lock that the system takes back when its owner dies.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::beneath::{Access, Dir};
use super::error::StorageError;

/// The name of the lock in the directory it guards.
const NAME: &str = "lock";

/// Tries at locking a file that its former owner deletes meanwhile.
const TRIES_MAX: u32 = 10;

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Locks the directory `dir`, in which the output `path` is being made.
    ///
    /// # Errors
    /// [`StorageError::Locked`] with the owner's process id if it is locked.
    pub(super) fn take(dir: &Dir, path: &Path) -> Result<Self, StorageError> {
        let fault = |error| StorageError::of("lock", path, error);
        let name = Path::new(NAME);
        for _ in 0..TRIES_MAX {
            let create = Access::Create { executable: false };
            let mut file = dir.file(name, create).map_err(fault)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(locked(&mut file, path)),
                Err(errno) => return Err(fault(errno.into())),
            }
            // The former owner may have deleted the file after we opened it.
            if file.metadata().map_err(fault)?.nlink() == 0 {
                continue;
            }
            let pid = std::process::id().to_string();
            let written = file.set_len(0).and_then(|()| file.rewind());
            written
                .and_then(|()| file.write_all(pid.as_bytes()))
                .map_err(fault)?;
            return Ok(Self(file));
        }
        Err(StorageError::Locked {
            path: path.to_path_buf(),
            pid: None,
        })
    }
}

impl Drop for Lock {
    /// A process that is just being started shares our open files until it runs its program:
    /// closing ours would leave the lock with it.
    fn drop(&mut self) {
        // There is nothing to be done about an error; closing the file remains.
        let _unlocked = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn locked(file: &mut File, path: &Path) -> StorageError {
    let mut text = String::new();
    let pid = match file.take(20).read_to_string(&mut text) {
        Ok(_) => text.trim().parse().ok(),
        Err(_) => None,
    };
    StorageError::Locked {
        path: path.to_path_buf(),
        pid,
    }
}
