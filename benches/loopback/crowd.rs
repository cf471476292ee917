//! What do very many peers that all take cost a seed, compared with a few that take as much?
//!
//! All of them live on one thread of a process of their own and drop what they get.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf, BufMut, BytesMut};
use swarm::ids::PeerId;
use swarm::layout::{Block, Layout};
use swarm::metainfo::Metainfo;
use swarm::runtime::Clock;
use swarm::wire::{BlockRequest, Decoder, HANDSHAKE_LEN, Handshake, Message, Reserved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Blocks asked for and not there yet, of each peer.
const WINDOW: usize = 32;

/// Bytes taken from a socket at a time.
const READ_LEN: usize = 64 << 10;

/// Has `count` peers take `total` bytes together; the seconds since the first block came.
pub(crate) fn take(meta: &Metainfo, port: u16, count: u16, total: u64) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_io().build().unwrap();
    let taken = Rc::new(Taken {
        bytes: Cell::new(0),
        total,
        since: Cell::new(None),
    });
    let peers = LocalSet::new();
    for number in 0..count {
        let peer = Peer {
            layout: *meta.layout(),
            taken: Rc::clone(&taken),
            ahead: u32::from(number) % meta.layout().piece_count(),
            asked: 0,
            may_ask: false,
        };
        let opening = opening(meta, number);
        peers.spawn_local(peer.run(port, opening));
    }
    runtime.block_on(peers);
    taken.since.take().expect("blocks came").now().as_secs_f64()
}

/// What all peers together have got.
struct Taken {
    bytes: Cell<u64>,
    total: u64,
    /// When the first block came.
    since: Cell<Option<Clock>>,
}

struct Peer {
    layout: Layout,
    taken: Rc<Taken>,
    /// The piece that is asked for next.
    ahead: u32,
    /// Blocks asked for and not there yet.
    asked: usize,
    may_ask: bool,
}

impl Peer {
    async fn run(mut self, port: u16, opening: BytesMut) {
        let mut socket = greeted(port, &opening).await;
        let mut decoder = Decoder::new(self.layout.piece_count());
        let mut input = BytesMut::new();
        let mut output = BytesMut::new();
        let mut payload_left = 0;
        let mut blocks: Vec<Block> = Vec::new();
        while self.taken.bytes.get() < self.taken.total {
            self.ask(&mut blocks, &mut output);
            socket.write_all_buf(&mut output).await.unwrap();
            input.reserve(READ_LEN);
            let mut room = (&mut input).limit(READ_LEN);
            // The others may have what was left.
            if socket.read_buf(&mut room).await.unwrap_or(0) == 0 {
                break;
            }
            loop {
                let len = input.len().min(payload_left);
                input.advance(len);
                payload_left -= len;
                if payload_left > 0 {
                    break;
                }
                match decoder.decode(&mut input).unwrap() {
                    None => break,
                    Some(Message::Piece(block)) => {
                        payload_left = block.length as usize;
                        self.count(payload_left);
                    }
                    Some(Message::Unchoke) => self.may_ask = true,
                    Some(Message::Choke) => self.may_ask = false,
                    Some(Message::Reject(_)) => self.asked -= 1,
                    Some(_) => {}
                }
            }
        }
    }

    /// A block begins to arrive.
    fn count(&mut self, len: usize) {
        self.asked -= 1;
        let bytes = self.taken.bytes.get();
        if bytes == 0 {
            self.taken.since.set(Some(Clock::start()));
        }
        self.taken.bytes.set(bytes + len as u64);
    }

    /// Asks for more: piece after piece, over and over.
    fn ask(&mut self, blocks: &mut Vec<Block>, output: &mut BytesMut) {
        while self.may_ask && self.asked < WINDOW {
            let block = blocks.pop().unwrap_or_else(|| {
                let piece = self.layout.piece(self.ahead).expect("a piece there is");
                self.ahead = (self.ahead + 1) % self.layout.piece_count();
                blocks.extend(self.layout.blocks(piece));
                blocks.pop().expect("no piece is empty")
            });
            let request = BlockRequest {
                index: block.piece().get(),
                begin: block.begin(),
                length: block.len(),
            };
            Message::Request(request).encode(output);
            self.asked += 1;
        }
    }
}

/// A connection on which both have said their first. A seed lets so many come in at a time.
async fn greeted(port: u16, opening: &[u8]) -> TcpStream {
    loop {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(opening).await.unwrap();
        let mut theirs = [0; HANDSHAKE_LEN];
        if socket.read_exact(&mut theirs).await.is_ok() {
            return socket;
        }
    }
}

/// The first that a peer says.
fn opening(meta: &Metainfo, number: u16) -> BytesMut {
    let [high, low] = number.to_be_bytes();
    let ours = Handshake {
        reserved: Reserved::OURS,
        info_hash: meta.info_hash(),
        peer_id: PeerId::ours([8, 8, 8, 8, 8, 8, 8, 8, 8, 8, high, low]),
    };
    let mut opening = BytesMut::from(&ours.encode()[..]);
    Message::HaveNone.encode(&mut opening);
    Message::Interested.encode(&mut opening);
    opening
}
