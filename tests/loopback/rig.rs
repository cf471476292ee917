//! Content, seeds and fetchers for tests: real files, real sockets, everything on loopback.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its scene fails"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swarm::bitfield::Bitfield;
use swarm::hash;
use swarm::ids::{PeerId, PieceHash};
use swarm::metainfo::Metainfo;
use swarm::metainfo::build::{Builder, NewFile};
use swarm::runtime::scope::Scope;
use swarm::runtime::{NextNotice, Session, SessionConfig};
use swarm::storage::{FetchOptions, HashCache, Meter, Opened, Store};
use swarm::torrent::TorrentConfig;
use swarm::torrent::event::Notice;
use tempfile::TempDir;

/// No test takes longer than this to do one thing, or it failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tree of files and its manifest.
pub(crate) struct Content {
    pub(crate) dir: TempDir,
    pub(crate) meta: Arc<Metainfo>,
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
}

impl Content {
    /// Files of these names and lengths with random bytes, in pieces of `piece_len`.
    pub(crate) fn new(files: &[(&str, usize)], piece_len: u32) -> Self {
        Self::padded(files, piece_len, false)
    }

    /// The same; with `pad`, every file starts a piece.
    pub(crate) fn padded(files: &[(&str, usize)], piece_len: u32, pad: bool) -> Self {
        Self::built(files, piece_len, |builder| builder.pad = pad)
    }

    /// The same with a private manifest (BEP 27).
    pub(crate) fn private(files: &[(&str, usize)], piece_len: u32) -> Self {
        Self::built(files, piece_len, |builder| builder.private = true)
    }

    fn built(files: &[(&str, usize)], piece_len: u32, change: impl FnOnce(&mut Builder)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let mut list = Vec::new();
        let mut contents = Vec::new();
        for &(name, len) in files {
            let path = Path::new("content").join(name);
            let bytes = noise.bytes(len);
            let full = dir.path().join(&path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(&full, &bytes).unwrap();
            list.push(NewFile {
                path: name.split('/').map(str::to_owned).collect(),
                len: len as u64,
                executable: false,
            });
            contents.push((path, bytes));
        }
        let mut builder = Builder::new("content", list);
        builder.piece_len = piece_len;
        change(&mut builder);
        let mut all = Vec::new();
        for entry in builder.arrange().unwrap() {
            let of = |(path, _): &&(PathBuf, Vec<u8>)| path == entry.path.as_path();
            match contents.iter().find(of) {
                Some((_, bytes)) => all.extend_from_slice(bytes),
                None => all.resize(all.len() + usize::try_from(entry.len).unwrap(), 0),
            }
        }
        let hashes: Vec<PieceHash> = all
            .chunks(piece_len as usize)
            .map(|piece| hash::one(piece).into())
            .collect();
        Self {
            dir,
            meta: Arc::new(builder.build(&hashes).unwrap()),
            files: contents,
        }
    }

    /// Whether every file below `dir` is there with the right bytes.
    pub(crate) fn assert_copied_to(&self, dir: &Path) {
        for (path, bytes) in &self.files {
            let copy = std::fs::read(dir.join(path)).unwrap();
            assert!(copy == *bytes, "{} differs", path.display());
        }
    }

    /// A session that serves the original.
    pub(crate) fn seed(&self) -> Session {
        self.seed_with(config())
    }

    pub(crate) fn seed_with(&self, config: SessionConfig) -> Session {
        let store = self.store();
        let pieces: Vec<_> = self.meta.layout().pieces().collect();
        let have = store.recheck(&pieces, 1, &Meter::new());
        assert!(have.is_full());
        self.serve(store, config)
    }

    /// A session that claims to have everything, whatever lies on the disk by now.
    pub(crate) fn lie(&self) -> Session {
        self.lie_with(config())
    }

    pub(crate) fn lie_with(&self, config: SessionConfig) -> Session {
        self.serve(self.store(), config)
    }

    fn store(&self) -> Store {
        Store::seed(Arc::clone(&self.meta), &self.dir.path().join("content")).unwrap()
    }

    fn serve(&self, store: Store, config: SessionConfig) -> Session {
        let have = Bitfield::full(self.meta.layout().piece_count());
        let wanted = have.clone();
        Session::start(
            Arc::clone(&self.meta),
            Arc::new(store),
            have,
            wanted,
            config,
        )
        .unwrap()
    }

    /// A session that fetches into `dir` from these peers.
    pub(crate) fn fetch(&self, dir: &Path, peers: &[u16]) -> Session {
        self.fetch_with(dir, with_peers(config(), peers))
    }

    pub(crate) fn fetch_with(&self, dir: &Path, config: SessionConfig) -> Session {
        let options = FetchOptions {
            dir: dir.to_owned(),
            name: None,
            selected: None,
            allocate: swarm::storage::Allocate::default(),
            repair: false,
            recheck: false,
            cache: HashCache::default(),
            threads: 1,
        };
        let opened = Store::fetch(Arc::clone(&self.meta), &options, &Meter::new()).unwrap();
        let Opened {
            store,
            have,
            wanted,
            ..
        } = opened;
        Session::start(
            Arc::clone(&self.meta),
            Arc::new(store),
            have,
            wanted,
            config,
        )
        .unwrap()
    }
}

/// A session on loopback, on any port, that calls itself something new.
pub(crate) fn config() -> SessionConfig {
    static COUNT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    SessionConfig {
        ports: 0..=0,
        any_port: false,
        bind: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        peers: Vec::new(),
        known: Vec::new(),
        torrent: TorrentConfig::new(PeerId::ours([number; 12]), 0),
        memory: 64 << 20,
        disk_threads: 1,
        local_discovery: false,
        rng_seed: u64::from(number),
        trackers: None,
        scope: Scope::Any,
        dht: None,
        serve: false,
        port_mapping: None,
        web_seeds: Vec::new(),
    }
}

pub(crate) fn with_peers(mut config: SessionConfig, ports: &[u16]) -> SessionConfig {
    config.peers = ports
        .iter()
        .map(|&port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string())
        .collect();
    config
}

/// Reads notices until one satisfies `wanted`.
pub(crate) fn await_notice(session: &mut Session, wanted: impl Fn(&Notice) -> bool) -> Notice {
    loop {
        match session.next_notice(PATIENCE) {
            NextNotice::Notice(notice) if wanted(&notice) => return notice,
            NextNotice::Notice(_) => {}
            other => panic!("{other:?} in {:#?}", session.progress()),
        }
    }
}

/// Waits until everything is fetched, publishes it and says where.
pub(crate) fn await_complete(session: &mut Session) -> PathBuf {
    await_notice(session, |notice| *notice == Notice::Complete);
    session.finish().recv_timeout(PATIENCE).unwrap().unwrap()
}

/// Bytes that no compressor and no accident will produce (xorshift64*).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::from_fn(|| Some(self.word().to_le_bytes()));
        words.take(len.div_ceil(8)).flatten().take(len).collect()
    }

    fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
