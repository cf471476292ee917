//! What can happen to a node, in sixteen bytes: a run of ten thousand peers holds millions of them.

use super::network::EndId;
use super::parcels::ParcelId;

/// Something happens to a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurrence {
    /// Index of the node in the upper 24 bits; in the lower 8 the turn of its window, from 0.
    place: u32,
    /// What happens to it.
    pub(super) what: What,
}

impl Occurrence {
    /// Something happens in this turn of a window.
    pub(super) const fn new(node: u32, offset: u8, what: What) -> Self {
        Self {
            place: node << 8 | offset as u32,
            what,
        }
    }

    /// By which occurrences of one window are sorted.
    pub(super) const fn place(self) -> u32 {
        self.place
    }

    /// Index of the node.
    pub(super) const fn node(self) -> u32 {
        self.place >> 8
    }

    /// The how many-th turn of its window, from 0.
    pub(super) const fn offset(self) -> u8 {
        self.place.to_le_bytes()[0]
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// It starts.
    Join,
    /// It ends as its host's departure says.
    Leave,
    /// The deadline of its core has come.
    Wake,
    /// A block has left its uplink, or a flow may go on.
    Uplink,
    /// A piece was hashed and written.
    Verified(u32),
    /// This node dialled it, and its handshake is here.
    Dialled(u32),
    /// Its dial to this node failed.
    Refused(u32),
    /// The connection it dialled is up.
    Connected(EndId),
    /// The other side closed the connection.
    Closed(EndId),
    /// The connection with this number breaks.
    Break(EndId, u32),
    /// The connection with this number stalls.
    Stall(EndId, u32),
    /// What this end of the connection with this number kept for later is to be said.
    Later(EndId, u32),
    /// A tracker answered.
    Announced(ParcelId),
    /// A message arrived.
    Message(EndId, Word),
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// `have`
    Have(u32),
    /// `request`
    Request(u32, u16),
    /// `cancel`
    Cancel(u32, u16),
    /// `reject`
    Reject(u32, u16),
    /// A block, sound or corrupt.
    Block(u32, u16),
    /// The same, corrupt.
    Corrupt(u32, u16),
    /// `choke`
    Choke,
    /// `unchoke`
    Unchoke,
    /// `interested`
    Interested,
    /// `not interested`
    NotInterested,
    /// Any other message.
    Parcel(ParcelId),
}

const _: () = assert!(size_of::<Occurrence>() == 16, "it is kept small");

impl What {
    /// The connection over which a message came; `None` if this is no message.
    pub(super) const fn message_end(self) -> Option<EndId> {
        match self {
            Self::Message(end, _) => Some(end),
            _ => None,
        }
    }

    /// All that it says, for the trace.
    pub(super) fn digits(self) -> [u32; 3] {
        match self {
            Self::Join => [1, 0, 0],
            Self::Leave => [2, 0, 0],
            Self::Wake => [3, 0, 0],
            Self::Uplink => [4, 0, 0],
            Self::Verified(piece) => [5, piece, 0],
            Self::Dialled(by) => [6, by, 0],
            Self::Refused(by) => [7, by, 0],
            Self::Connected(end) => [8, end.0, 0],
            Self::Closed(end) => [9, end.0, 0],
            Self::Break(end, number) => [10, end.0, number],
            Self::Stall(end, number) => [11, end.0, number],
            Self::Later(end, number) => [13, end.0, number],
            Self::Announced(parcel) => [12, parcel.0, 0],
            Self::Message(end, word) => {
                let [kind, argument] = word.digits();
                [kind, end.0, argument]
            }
        }
    }
}

impl Word {
    fn digits(self) -> [u32; 2] {
        let block = |kind: u32, number: u16| kind | u32::from(number) << 8;
        match self {
            Self::Have(piece) => [20, piece],
            Self::Request(piece, number) => [block(21, number), piece],
            Self::Cancel(piece, number) => [block(22, number), piece],
            Self::Reject(piece, number) => [block(23, number), piece],
            Self::Block(piece, number) => [block(24, number), piece],
            Self::Corrupt(piece, number) => [block(25, number), piece],
            Self::Choke => [26, 0],
            Self::Unchoke => [27, 0],
            Self::Interested => [28, 0],
            Self::NotInterested => [29, 0],
            Self::Parcel(parcel) => [30, parcel.0],
        }
    }
}
