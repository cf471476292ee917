//! What would a fetcher cost that does nothing but receive, write and hash?
//!
//! One thread, one peer, pieces in order: the codec, the hash and the store of the session without the
//! core, the hand-over between threads and all else that a swarm needs.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, BytesMut};
use swarm::hash::{self, LANES};
use swarm::ids::PeerId;
use swarm::layout::{Block, Layout, PieceIndex};
use swarm::metainfo::Metainfo;
use swarm::storage::Store;
use swarm::wire::{BlockRequest, Decoder, HANDSHAKE_LEN, Handshake, Message, Reserved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::side::Stage;

/// Bytes taken from the socket at a time, as the session does.
const READ_LEN: usize = 256 << 10;

/// Blocks asked for and not there yet, at most.
const WINDOW: usize = 512;

/// Requests are sent so many at a time.
const REFILL: usize = 64;

/// Fetches everything from the seed on this port of loopback.
pub(crate) fn fetch(stage: Stage, meta: &Metainfo, store: Option<&Store>, port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_io().build().unwrap();
    runtime.block_on(async {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Client::new(stage, meta, store);
        client.run(socket).await;
    });
}

struct Client<'a> {
    stage: Stage,
    meta: &'a Metainfo,
    store: Option<&'a Store>,
    /// Blocks not asked for yet, in order.
    ahead: Box<dyn Iterator<Item = Block> + 'a>,
    /// Blocks asked for and not there yet.
    asked: usize,
    may_ask: bool,
    /// Pieces of which a part is here.
    open: BTreeMap<PieceIndex, Open>,
    /// Pieces that are here and not written.
    whole: Vec<(PieceIndex, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    pieces_left: u32,
}

/// A piece that is arriving.
struct Open {
    bytes: Vec<u8>,
    received: usize,
}

impl<'a> Client<'a> {
    fn new(stage: Stage, meta: &'a Metainfo, store: Option<&'a Store>) -> Self {
        let layout: &Layout = meta.layout();
        Self {
            stage,
            meta,
            store,
            ahead: Box::new(layout.pieces().flat_map(|piece| layout.blocks(piece))),
            asked: 0,
            may_ask: false,
            open: BTreeMap::new(),
            whole: Vec::new(),
            spare: Vec::new(),
            pieces_left: layout.piece_count(),
        }
    }

    async fn run(&mut self, mut socket: TcpStream) {
        self.greet(&mut socket).await;
        let mut decoder = Decoder::new(self.meta.layout().piece_count());
        let mut input = BytesMut::new();
        let mut output = BytesMut::new();
        // The block that is arriving, and how much of it is here.
        let mut arriving: Option<(BlockRequest, usize)> = None;
        while self.pieces_left > 0 {
            self.ask(&mut output);
            socket.write_all_buf(&mut output).await.unwrap();
            input.reserve(READ_LEN);
            let mut room = (&mut input).limit(READ_LEN);
            assert!(socket.read_buf(&mut room).await.unwrap() > 0, "it closed");
            loop {
                if let Some((block, received)) = &mut arriving {
                    let len = input.len().min(block.length as usize - *received);
                    self.take(*block, *received, &input[..len]);
                    input.advance(len);
                    *received += len;
                    if *received < block.length as usize {
                        break;
                    }
                    self.arrived(*block, &mut output);
                    arriving = None;
                }
                match decoder.decode(&mut input).unwrap() {
                    None => break,
                    Some(Message::Piece(block)) => arriving = Some((block, 0)),
                    Some(Message::Unchoke) => self.may_ask = true,
                    Some(Message::Choke | Message::Reject(_)) => panic!("it refuses"),
                    Some(_) => {}
                }
            }
        }
    }

    async fn greet(&self, socket: &mut TcpStream) {
        let ours = Handshake {
            reserved: Reserved::OURS,
            info_hash: self.meta.info_hash(),
            peer_id: PeerId::ours([9; 12]),
        };
        let mut opening = BytesMut::from(&ours.encode()[..]);
        Message::HaveNone.encode(&mut opening);
        Message::Interested.encode(&mut opening);
        socket.write_all(&opening).await.unwrap();
        let mut theirs = [0; HANDSHAKE_LEN];
        socket.read_exact(&mut theirs).await.unwrap();
    }

    /// Asks for more, if enough is missing of what may be asked for at a time.
    fn ask(&mut self, output: &mut BytesMut) {
        if !self.may_ask || self.asked + REFILL > WINDOW {
            return;
        }
        for block in self.ahead.by_ref().take(WINDOW - self.asked) {
            let request = BlockRequest {
                index: block.piece().get(),
                begin: block.begin(),
                length: block.len(),
            };
            Message::Request(request).encode(output);
            self.asked += 1;
        }
    }

    /// A part of a block is here.
    fn take(&mut self, block: BlockRequest, received: usize, bytes: &[u8]) {
        if self.stage == Stage::Discard {
            return;
        }
        let piece = self.piece(block);
        let open = self.open.entry(piece).or_insert_with(|| Open {
            bytes: self.spare.pop().unwrap_or_default(),
            received: 0,
        });
        open.bytes
            .resize(self.meta.layout().piece_len(piece) as usize, 0);
        let start = block.begin as usize + received;
        open.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        open.received += bytes.len();
    }

    /// All of a block is here.
    fn arrived(&mut self, block: BlockRequest, output: &mut BytesMut) {
        self.asked -= 1;
        let piece = self.piece(block);
        let len = self.meta.layout().piece_len(piece);
        let is_whole = if self.stage == Stage::Discard {
            block.begin + block.length == len
        } else {
            self.open[&piece].received == len as usize
        };
        if !is_whole {
            return;
        }
        self.pieces_left -= 1;
        Message::Have(block.index).encode(output);
        if let Some(open) = self.open.remove(&piece) {
            self.whole.push((piece, open.bytes));
        }
        if self.whole.len() == LANES || self.stage == Stage::Write || self.pieces_left == 0 {
            self.store();
        }
    }

    /// Writes what is whole, if it is right or that does not matter.
    fn store(&mut self) {
        if self.stage == Stage::Hash {
            let pieces: Vec<&[u8]> = self.whole.iter().map(|(_, bytes)| &bytes[..]).collect();
            for ((piece, _), hash) in self.whole.iter().zip(hash::many(&pieces)) {
                assert_eq!(self.meta.piece_hash(*piece).as_bytes(), &hash, "corrupt");
            }
        }
        for (piece, bytes) in self.whole.drain(..) {
            let store = self.store.expect("what is kept has a place to go");
            store.write_piece(piece, &bytes).unwrap();
            self.spare.push(bytes);
        }
    }

    fn piece(&self, block: BlockRequest) -> PieceIndex {
        self.meta.layout().piece(block.index).expect("asked for")
    }
}
