//! The whole contract of the core: what goes in ([`Event`]), what comes out ([`Action`]).
//!
//! The driver (real or simulated) feeds events with the current time and performs the actions.
//! Payload never passes here: blocks are coordinates, the bytes stay at the edge.

use std::net::SocketAddr;

use crate::layout::{Block, PieceIndex};
use crate::tracker::{AnnounceFailure, AnnounceRequest, AnnounceResponse};
use crate::wire::{Handshake, Message};

/// Names one live connection; the driver numbers connections and never reuses a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// Names one tracker of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(pub usize);

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The moment named by [`super::Torrent::deadline`] has come.
    Deadline,
    /// Somebody told us of peers.
    PeersFound {
        /// Who told us.
        source: PeerSource,
        /// Where the peers listen.
        addrs: Vec<SocketAddr>,
    },
    /// A connection is up and both handshakes are done.
    Connected {
        /// The new connection.
        peer: PeerKey,
        /// Its remote address.
        addr: SocketAddr,
        /// Who dialled.
        direction: Direction,
        /// The handshake we received; its info-hash is ours.
        theirs: Handshake,
    },
    /// A dial asked for by [`Action::Connect`] failed.
    ConnectFailed {
        /// The address dialled.
        addr: SocketAddr,
    },
    /// One read of a connection's socket: its messages in order. Every block that is `Stored` counts,
    /// even if an earlier message of the same read ends the connection. What was read of a
    /// connection that the core has ended does not come here; the edge empties those slots.
    Received {
        /// The connection.
        peer: PeerKey,
        /// What arrived.
        messages: Vec<Received>,
    },
    /// Blocks of an [`Action::Serve`] were written to the socket, or could not be read.
    Served {
        /// The connection.
        peer: PeerKey,
        /// Which blocks.
        blocks: Vec<Block>,
        /// What became of them.
        outcome: ServeOutcome,
    },
    /// Payload was sent by another way than to a peer (HTTP); it counts, and against the limit.
    SentBeside {
        /// How many bytes.
        bytes: u64,
    },
    /// An [`Action::Verify`] ended.
    PieceVerified {
        /// The piece.
        piece: PieceIndex,
        /// What became of it.
        outcome: VerifyOutcome,
    },
    /// Pieces that we had can no longer be read, or may have changed: they are ours no more.
    PiecesLost {
        /// Which ones.
        pieces: Vec<PieceIndex>,
    },
    /// Pieces were found good on the disk (after a re-check).
    PiecesFound {
        /// Which ones.
        pieces: Vec<PieceIndex>,
    },
    /// An [`Action::Announce`] ended.
    Announced {
        /// The tracker.
        tracker: TrackerId,
        /// Its answer.
        result: Result<AnnounceResponse, AnnounceFailure>,
    },
    /// A connection is gone; its key is never seen again.
    Closed {
        /// The connection.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
    },
    /// The user or the session wants something.
    Command(Command),
}

/// One message as the edge hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Anything but a block. (`Message::Piece` does not occur here.)
    Message(Message),
    /// A block's payload arrived in full.
    Block {
        /// Which block.
        block: Block,
        /// Where the edge put it.
        placed: Placed,
    },
    /// A piece message that names no block of this content, `len` payload bytes skipped.
    Stray {
        /// Payload bytes thrown away.
        len: u32,
    },
}

/// What the edge did with an arriving payload.
///
/// The edge stores a payload only if this connection was asked for that block and nobody else has
/// filled it, so that a peer can only ever damage what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is in its piece's buffer.
    Stored,
    /// It was thrown away: not asked for, or somebody else was faster.
    Discarded,
}

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They did.
    Incoming,
    /// We did.
    Outgoing,
    /// It is a web seed (BEP 19), which the edge asks over HTTP.
    WebSeed,
}

/// Where an address came from; decides in which order addresses are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerSource {
    /// Given on the command line.
    Manual,
    /// It announced itself on a network that we are on (BEP 14).
    Lsd,
    /// Named by a tracker.
    Tracker,
    /// Named by another peer (BEP 11).
    Pex,
    /// It connected to us.
    Incoming,
    /// Named by the DHT (BEP 5).
    Dht,
    /// A web seed that the manifest names.
    WebSeed,
}

/// What became of blocks that were to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServeOutcome {
    /// They are on their way, and no longer wait on this side of the uplink, as far as that is known.
    Sent,
    /// The storage could not read them.
    Unreadable,
}

/// What became of a finished piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// Its hash is right and it is written to its file.
    Stored,
    /// Its hash is wrong; the buffer is gone.
    HashMismatch,
    /// Its hash is right but it could not be written.
    DiskFault(DiskFault),
}

/// Why the disk refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskFault {
    /// ENOSPC or EDQUOT.
    #[error("no space left: {0}")]
    NoSpace(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// What the user or the session wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say goodbye to the trackers; nothing is asked for or served after it.
    Stop,
    /// Change the upload limit, in payload bytes per second; `None` lifts it.
    LimitUpload(Option<u64>),
    /// Change the download limit, in payload bytes per second; `None` lifts it.
    LimitDownload(Option<u64>),
    /// Beyond this network we are reached at this port: trackers and far peers are told of it.
    FarPort(u16),
}

/// Something the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Dial this address, exchange handshakes, report `Connected` or `ConnectFailed`.
    Connect {
        /// Where to.
        addr: SocketAddr,
    },
    /// Tell peers that we have this piece (`have`, BEP 3).
    Have {
        /// The piece.
        piece: PieceIndex,
        /// Connections that may act on it, in key order.
        news: Vec<PeerKey>,
        /// Connections that hear of it with whatever is sent to them next, or a little later.
        others: Vec<PeerKey>,
    },
    /// Send a message. Never `Request`, `Piece`, `Cancel` or a piece of metadata.
    Send {
        /// The connection.
        peer: PeerKey,
        /// What to send.
        message: Message,
    },
    /// Ask for these blocks in one write. The first block of a piece makes the edge reserve a
    /// buffer for it; the core never has more pieces open than `config.open_pieces_max`.
    Request {
        /// The connection.
        peer: PeerKey,
        /// Which blocks.
        blocks: Vec<Block>,
    },
    /// Take requests back. Their payload may still arrive.
    Cancel {
        /// The connection.
        peer: PeerKey,
        /// Which blocks.
        blocks: Vec<Block>,
    },
    /// Read these blocks and send them, in this order; report `Served`.
    Serve {
        /// The connection.
        peer: PeerKey,
        /// Which blocks.
        blocks: Vec<Block>,
    },
    /// Send a piece of the metadata (BEP 9).
    GiveMetadata {
        /// The connection.
        peer: PeerKey,
        /// What the peer calls the extension.
        id: u8,
        /// Which piece.
        piece: u32,
    },
    /// Every block of the piece is in its buffer: check its hash and write it; report
    /// `PieceVerified`, with which the buffer is free again.
    Verify {
        /// The piece.
        piece: PieceIndex,
    },
    /// The piece is given up unfinished: its buffer is free again at once.
    Forget {
        /// The piece.
        piece: PieceIndex,
    },
    /// Announce; report `Announced`.
    Announce {
        /// To whom.
        tracker: TrackerId,
        /// What to say.
        request: AnnounceRequest,
    },
    /// Close the connection; `Closed` is not reported back for it.
    Disconnect {
        /// The connection.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
    },
    /// Something observers may want to know.
    Notify(Notice),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The other side closed it.
    #[error("closed by the peer")]
    ByPeer,
    /// The operating system reported an error.
    #[error("connection failed: {0}")]
    Io(String),
    /// Bytes that are no message, or one that breaks a limit.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// A well-formed message that is against the protocol.
    #[error("protocol violation: {0}")]
    Violation(&'static str),
    /// Nothing was heard, or nothing could be written, for too long.
    #[error("silent or stalled for {0} s")]
    TimedOut(u64),
    /// Both sides have everything.
    #[error("nothing to trade: both sides are complete")]
    BothComplete,
    /// It is us, or a second connection to the same peer.
    #[error("duplicate connection")]
    Duplicate,
    /// It sent pieces whose hash is wrong.
    #[error("sent corrupt data")]
    Corrupt,
    /// There is no room for it.
    #[error("too many connections")]
    TooMany,
    /// The session ends.
    #[error("shutting down")]
    Shutdown,
}

/// Something observers may want to know; losing one loses nothing but the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A peer is connected.
    PeerConnected {
        /// Its address.
        addr: SocketAddr,
        /// Who dialled.
        direction: Direction,
        /// How we learned of it.
        source: PeerSource,
    },
    /// A peer is gone.
    PeerLost {
        /// Its address.
        addr: SocketAddr,
        /// What it calls itself, unescaped.
        client: String,
        /// Why.
        reason: CloseReason,
    },
    /// A piece is verified and stored.
    PieceStored {
        /// The piece.
        piece: PieceIndex,
        /// Who sent how many bytes of it, by where he listens, as far as known.
        from: Vec<(SocketAddr, u32)>,
    },
    /// A piece arrived whose hash is wrong.
    PieceCorrupt {
        /// The piece.
        piece: PieceIndex,
        /// Everyone who sent a part of it.
        from: Vec<SocketAddr>,
    },
    /// Every wanted piece is verified and stored.
    Complete,
    /// A tracker could not be asked, or refused.
    TrackerFailed {
        /// The tracker.
        tracker: TrackerId,
        /// Why.
        failure: AnnounceFailure,
    },
    /// A tracker wants the user to know something (unescaped).
    TrackerWarning {
        /// The tracker.
        tracker: TrackerId,
        /// Its words.
        message: String,
    },
    /// A verified piece could not be written; downloading pauses until space is back.
    DiskFault(DiskFault),
    /// Data that was verified cannot be read any more as it was; its pieces are checked again.
    DataDamaged {
        /// What the storage says, naming the file (unescaped).
        message: String,
        /// How many pieces are withdrawn meanwhile.
        pieces: usize,
    },
    /// A web seed does not give what it is asked for.
    WebSeedFailed {
        /// Where it is, without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// The name of a peer given by the user cannot be resolved; it is tried again.
    PeerUnresolved {
        /// `host:port` as given.
        peer: String,
        /// Why.
        message: String,
    },
    /// The goodbyes to trackers are out: the session may end.
    Stopped,
}
