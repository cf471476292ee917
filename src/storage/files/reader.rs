//! Reading much of the content on one thread, and looking at the files only at the end.

use std::fs::File;
use std::sync::Arc;

use super::{Files, Purpose};
use crate::storage::StorageError;
use crate::storage::spans::Place;

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
