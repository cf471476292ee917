use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::super::buffers::{PieceBuffers, Pool};
use super::super::disk::{self, DiskContext, DiskThreads};
use super::super::hub::Scratch;
use super::super::notices;
use super::*;
use crate::hash;
use crate::ids::PeerId;
use crate::layout::{BLOCK_LEN, Block};
use crate::metainfo::Metainfo;
use crate::metainfo::build::{Builder, NewFile};
use crate::storage::{Meter, Store};
use crate::torrent::event::ServeOutcome;
use crate::wire::{Message, Reserved};

const PIECE_LEN: u32 = 4 * BLOCK_LEN;
const PIECES: u32 = 64;

/// A connection under test, its peer, and the events it sends.
struct Rig {
    hub: Rc<Hub>,
    events: mpsc::Receiver<Event>,
    peer: TcpStream,
    content: Vec<u8>,
    dir: tempfile::TempDir,
    _threads: DiskThreads,
}

fn metainfo(content: &[u8]) -> Metainfo {
    let file = NewFile {
        path: vec!["file".into()],
        len: content.len() as u64,
        executable: false,
    };
    let mut builder = Builder::new("content", vec![file]);
    builder.piece_len = PIECE_LEN;
    let pieces = content.chunks(PIECE_LEN as usize);
    let hashes: Vec<_> = pieces.map(|piece| hash::one(piece).into()).collect();
    builder.build(&hashes).unwrap()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (theirs, ours) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (ours.unwrap().0, theirs.unwrap())
}

fn handshake(hub: &Hub) -> Handshake {
    Handshake {
        reserved: Reserved::OURS,
        info_hash: hub.ours.info_hash,
        peer_id: PeerId::new([b'x'; 20]),
    }
}

impl Rig {
    /// A seed's connection, whose handshakes are done.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..PIECES * PIECE_LEN).map(|i| (i % 251) as u8).collect();
        std::fs::create_dir(dir.path().join("content")).unwrap();
        std::fs::write(dir.path().join("content/file"), &bytes).unwrap();
        let meta = Arc::new(metainfo(&bytes));
        let store = Store::seed(Arc::clone(&meta), &dir.path().join("content")).unwrap();
        let layout = *meta.layout();
        store.recheck(&layout.pieces().collect::<Vec<_>>(), 1, &Meter::new());

        let (sender, events) = mpsc::channel(64);
        let pool = Pool::new(4, PIECE_LEN as usize);
        let context = DiskContext {
            meta: Arc::clone(&meta),
            store: Arc::new(store),
            pool: pool.clone(),
            events: sender.clone(),
            notices: notices::queue().0,
        };
        let (disk, threads) = disk::start(&context, 1).unwrap();
        let hub = Rc::new(Hub {
            ours: Handshake {
                reserved: Reserved::OURS,
                info_hash: meta.info_hash(),
                peer_id: PeerId::new([b'o'; 20]),
            },
            layout,
            store: Arc::clone(&context.store),
            meta,
            events: sender,
            disk,
            buffers: RefCell::new(PieceBuffers::new(
                layout,
                Vec::new(),
                pool,
                dir.path().to_owned(),
            )),
            scratch: Scratch::default(),
            links: RefCell::default(),
            keys: Cell::new(0),
            queued: Cell::default(),
            scope: crate::runtime::scope::Scope::Any,
            upload_limit: Cell::default(),
        });
        let (stream, peer) = pair().await;
        tune(&stream);
        let connected = Connected {
            addr: stream.peer_addr().unwrap(),
            stream,
            direction: Direction::Incoming,
            theirs: handshake(&hub),
        };
        spawn_local(run(Rc::clone(&hub), connected));
        let mut rig = Self {
            hub,
            events,
            peer,
            content: bytes,
            dir,
            _threads: threads,
        };
        assert!(matches!(rig.event().await, Event::Connected { .. }));
        rig
    }

    async fn event(&mut self) -> Event {
        self.events.recv().await.unwrap()
    }

    fn link(&self) -> Rc<Link> {
        self.hub.link(PeerKey(0)).unwrap()
    }

    fn blocks(&self, piece: u32) -> Vec<Block> {
        let piece = self.hub.layout.piece(piece).unwrap();
        self.hub.layout.blocks(piece).collect()
    }

    /// Reads one message: its type and what follows the type.
    async fn hear(&mut self) -> (u8, Vec<u8>) {
        let len = self.peer.read_u32().await.unwrap();
        let mut body = vec![0; len as usize];
        self.peer.read_exact(&mut body).await.unwrap();
        (body[0], body.split_off(1))
    }
}

/// Runs a test where tasks of one thread can be spawned.
fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

#[test]
fn what_comes_in_one_read_is_one_event() {
    local(async {
        let mut rig = Rig::new().await;
        let mut bytes = BytesMut::new();
        let messages = [Message::HaveNone, Message::Interested, Message::Have(3)];
        for message in &messages {
            message.encode(&mut bytes);
        }
        rig.peer.write_all(&bytes).await.unwrap();
        let Event::Received { messages: got, .. } = rig.event().await else {
            panic!("not what was sent");
        };
        assert_eq!(got, messages.map(Received::Message));
    });
}

#[test]
fn blocks_are_served_byte_for_byte_and_reported() {
    local(async {
        let mut rig = Rig::new().await;
        let blocks: Vec<Block> = (3..13).flat_map(|piece| rig.blocks(piece)).collect();
        rig.link().serve(blocks.clone());
        for block in &blocks {
            let (kind, body) = rig.hear().await;
            assert_eq!(kind, 7);
            let start = usize::try_from(rig.hub.layout.block_offset(*block)).unwrap();
            assert!(body[8..] == rig.content[start..start + block.len() as usize]);
        }
        let mut sent = Vec::new();
        while sent.len() < blocks.len() {
            let Event::Served {
                blocks, outcome, ..
            } = rig.event().await
            else {
                panic!("nothing else happens here");
            };
            assert_eq!(outcome, ServeOutcome::Sent);
            sent.extend(blocks);
        }
        assert_eq!(sent, blocks);
    });
}

#[test]
fn blocks_that_cannot_be_read_are_reported_and_their_pieces_withdrawn() {
    local(async {
        let mut rig = Rig::new().await;
        let path = rig.dir.path().join("content/file");
        std::fs::write(path, "changed").unwrap();
        let blocks = rig.blocks(0);
        rig.link().serve(blocks.clone());
        let Event::PiecesLost { pieces } = rig.event().await else {
            panic!("the loss comes first");
        };
        assert_eq!(pieces.len(), PIECES as usize);
        loop {
            match rig.event().await {
                Event::PiecesFound { pieces } => assert_eq!(pieces, []),
                Event::Served {
                    blocks: got,
                    outcome,
                    ..
                } => {
                    assert_eq!((got, outcome), (blocks, ServeOutcome::Unreadable));
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn the_driver_ends_a_connection() {
    local(async {
        let mut rig = Rig::new().await;
        rig.link().close(CloseReason::Shutdown);
        assert_eq!(rig.peer.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn a_peer_that_leaves_is_reported() {
    local(async {
        let mut rig = Rig::new().await;
        rig.peer.shutdown().await.unwrap();
        let Event::Closed { reason, .. } = rig.event().await else {
            panic!("it is gone");
        };
        assert_eq!(reason, CloseReason::ByPeer);
    });
}

#[test]
fn a_peer_that_stops_reading_is_dropped_after_a_while() {
    local(async {
        let mut rig = Rig::new().await;
        let all: Vec<Block> = (0..PIECES).flat_map(|piece| rig.blocks(piece)).collect();
        // More than any kernel keeps for a socket that nobody reads.
        for _ in 0..16 {
            rig.link().serve(all.clone());
        }
        tokio::time::pause();
        let reason = loop {
            match rig.event().await {
                Event::Served { .. } => {}
                Event::Closed { reason, .. } => break reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason, CloseReason::TimedOut(30));
    });
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    local(async {
        let (mut ours, mut theirs) = pair().await;
        theirs.write_all(b"\x13BitTorrent").await.unwrap();
        tokio::time::pause();
        let start = Instant::now();
        let ours_is = Handshake {
            reserved: Reserved::OURS,
            info_hash: [1; 20].into(),
            peer_id: [2; 20].into(),
        };
        let error = answer(&mut ours, &ours_is).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    });
}
