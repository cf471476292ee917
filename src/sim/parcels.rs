//! What is too large for an occurrence and rare enough to lie aside until it is delivered.

use crate::tracker::AnnounceResponse;
use crate::wire::Message;

/// Names something that lies aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParcelId(pub(super) u32);

/// Something that lies aside.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A rare message.
    Message(Message),
    /// A tracker's answer.
    Answer(AnnounceResponse),
}

/// All that lies aside.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    slots: Vec<Option<Parcel>>,
    free: Vec<u32>,
}

impl Parcels {
    /// Lays something aside.
    pub(super) fn put(&mut self, parcel: Parcel) -> ParcelId {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(parcel);
            return ParcelId(slot);
        }
        self.slots.push(Some(parcel));
        ParcelId(u32::try_from(self.slots.len() - 1).expect("fewer parcels than addresses"))
    }

    /// Takes it, once.
    pub(super) fn take(&mut self, id: ParcelId) -> Parcel {
        self.free.push(id.0);
        self.slots[id.0 as usize]
            .take()
            .expect("a parcel is taken once")
    }
}
