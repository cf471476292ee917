//! Reading the content: each time with a look at whether somebody wrote to the file, or much of it on
//! one thread with a look now and then.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Files, Purpose};
use crate::storage::StorageError;
use crate::storage::spans::Place;
use crate::storage::stamp::Stamp;

/// Bytes that are read before the file that is read then is looked at again. Chosen: a big file that
/// somebody writes to is given up within the second, and looking costs nothing.
const LOOK_EVERY: u64 = 32 << 20;

/// Reads on one thread, and looks only now and then whether somebody else wrote to the file. Whoever
/// has read all must ask [`Files::is_intact`] of every file before believing any of it.
#[derive(Debug)]
pub(in crate::storage) struct Reader<'a> {
    files: &'a Files,
    /// The file that was read last, so that threads do not queue up for it.
    last: Option<(usize, Arc<File>)>,
    /// A file is looked at whenever so many bytes were read.
    look_every: u64,
    /// Bytes read since.
    unlooked: u64,
}

impl Files {
    /// A reader for the calling thread.
    pub(in crate::storage) fn reader(&self) -> Reader<'_> {
        Reader {
            look_every: LOOK_EVERY,
            ..Reader::looking_always(self)
        }
    }

    /// Fills `buf` from `offset` of an open file on.
    pub(super) fn fill(
        &self,
        file: usize,
        handle: &File,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        let first = handle.read_exact_at(buf, offset);
        let read = match first {
            // A disk that reports an error gets a second chance before the piece is given up.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                handle.read_exact_at(buf, offset)
            }
            result => result,
        };
        read.map_err(|error| match (error.kind(), Stamp::of(handle)) {
            (io::ErrorKind::UnexpectedEof, Ok(now)) => self.changed(file, now.len),
            _ => self.fault("read", file, error),
        })
    }
}

impl<'a> Reader<'a> {
    /// A reader that looks each time.
    pub(super) const fn looking_always(files: &'a Files) -> Self {
        Self {
            files,
            last: None,
            look_every: 0,
            unlooked: 0,
        }
    }

    /// Fills `buf` from `offset` of the content on.
    ///
    /// # Errors
    /// If a file cannot be read. [`StorageError::Changed`] if it ends too soon, or was looked at and is
    /// not as its pieces were verified.
    pub(in crate::storage) fn read(
        &mut self,
        offset: u64,
        mut buf: &mut [u8],
    ) -> Result<(), StorageError> {
        for segment in self.files.segments(offset..offset + buf.len() as u64) {
            let (part, rest) = buf.split_at_mut(segment.len);
            buf = rest;
            let file = match segment.place {
                Place::Zeros => {
                    part.fill(0);
                    continue;
                }
                Place::File(file) => file,
                Place::Side => self.files.side_number(),
                Place::Nowhere => {
                    return Err(StorageError::NotFound {
                        path: self.files.location().top().join("(unselected)"),
                    });
                }
            };
            let handle = match self.last.take() {
                Some((last, handle)) if last == file => handle,
                _ => self.files.handle(file, Purpose::Read)?,
            };
            self.files.fill(file, &handle, segment.offset, part)?;
            self.unlooked += part.len() as u64;
            if self.unlooked >= self.look_every {
                self.unlooked = 0;
                // Only now: it may have been written to while it was read.
                self.files.check(file, &handle)?;
            }
            self.last = Some((file, handle));
        }
        Ok(())
    }
}
