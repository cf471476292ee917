//! Reading much of the content on one thread, and looking at the files only at the end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Files, Purpose};
use crate::storage::StorageError;
use crate::storage::spans::Place;
use crate::storage::stamp::Stamp;

/// Reads on one thread without asking every time whether somebody else wrote to the file. Whoever
/// has read all must ask [`Files::is_intact`] of every file before believing any of it.
#[derive(Debug)]
pub(in crate::storage) struct Reader<'a> {
    files: &'a Files,
    /// The file that was read last, so that threads do not queue up for it.
    last: Option<(usize, Arc<File>)>,
}

impl Files {
    /// A reader for the calling thread.
    pub(in crate::storage) fn reader(&self) -> Reader<'_> {
        Reader {
            files: self,
            last: None,
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

    /// What asking for content that is kept nowhere ends in.
    pub(super) fn unselected(&self) -> StorageError {
        StorageError::NotFound {
            path: self.location().top().join("(unselected)"),
        }
    }
}

impl Reader<'_> {
    /// Fills `buf` from `offset` of the content on.
    ///
    /// # Errors
    /// If a file cannot be read. [`StorageError::Changed`] if it ends too soon.
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
                Place::Nowhere => return Err(self.files.unselected()),
            };
            let handle = match self.last.take() {
                Some((last, handle)) if last == file => handle,
                _ => self.files.handle(file, Purpose::Read)?,
            };
            self.files.fill(file, &handle, segment.offset, part)?;
            self.last = Some((file, handle));
        }
        Ok(())
    }
}
