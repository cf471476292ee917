//! How many announces a second does `swarm tracker` answer, over UDP and over HTTP keep-alive, with
//! 10,000 swarms of 50 peers in memory, and how much memory is that? opentracker, where it is
//! installed (`apt-get install opentracker`), does the same beside it.
//!
//! Everything runs on this machine, so the load generator takes its share of the processor, too.
//! Run: `cargo bench --bench tracker [-- SECONDS]`.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot set up its scene ends"
)]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use swarm::ids::{InfoHash, PeerId};
use swarm::runtime::Clock;
use swarm::tracker::compact::Family;
use swarm::tracker::http::announce_url;
use swarm::tracker::{AnnounceEvent, AnnounceRequest, TrackerUrl, udp};

const SWARMS: u32 = 10_000;
const PEERS: u32 = 50;

/// Announces under way over UDP: enough to keep the tracker busy, few enough not to be dropped.
const WINDOW: usize = 64;

/// HTTP connections.
const CONNECTIONS: u32 = 16;

/// A packet that is not answered for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(500);

fn main() {
    let seconds = std::env::args().find_map(|word| word.parse().ok());
    let span = Duration::from_secs(seconds.unwrap_or(10));
    println!(
        "{:<12} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "tracker", "UDP/s", "lost", "HTTP/s", "CPU µs/UDP", "memory MiB"
    );
    let ours = env!("CARGO_BIN_EXE_swarm");
    measure(
        "swarm",
        &[ours, "tracker", "--listen", "127.0.0.1:6979", "-qq"],
        6979,
        span,
    );
    if Command::new("opentracker").arg("-h").output().is_ok() {
        // Debian's serves only what is on a list; it changes its directory and its user.
        let list = tempfile::Builder::new()
            .permissions(readable())
            .tempfile()
            .unwrap();
        let hashes = (0..SWARMS).map(|swarm| format!("{}\n", request(swarm, 0).info_hash));
        fs::write(list.path(), hashes.collect::<String>()).unwrap();
        let list = list.path().to_str().unwrap();
        let theirs = "opentracker -i 127.0.0.1 -p 6989 -P 6989 -d / -w";
        let theirs: Vec<&str> = theirs.split(' ').chain([list]).collect();
        measure("opentracker", &theirs, 6989, span);
    }
}

fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

/// A tracker that is ended with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(name: &str, argv: &[&str], port: u16, span: Duration) {
    let mut command = Command::new(argv[0]);
    command
        .args(&argv[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let clock = Clock::start();
    while TcpStream::connect(addr).is_err() {
        assert!(clock.now().as_secs_f64() < 20.0, "{name} does not listen");
    }
    let mut client = Udp::connect(addr);
    client.await_service();
    // Everybody once, so that every swarm is full.
    client.announce((0..SWARMS * PEERS).map(spread), None);
    let (count, cpu) = (client.answered, cpu_seconds(running.0.id()));
    client.lost = 0;
    let took = client.announce((0..).map(scattered), Some(span));
    let count = client.answered - count;
    let cpu = cpu_seconds(running.0.id()) - cpu;
    let (http, stays) = http_rate(addr, span);
    println!(
        "{name:<12} {:>10.0} {:>10} {:>10.0} {:>12.1} {:>12.0}",
        count as f64 / took.as_secs_f64(),
        client.lost,
        http,
        cpu * 1e6 / count as f64,
        memory(running.0.id()),
    );
    if !stays {
        println!(
            "{:<12} over HTTP: a connection for each announce, it keeps none",
            ""
        );
    }
}

/// The `number`th announcement in an order that goes from swarm to swarm.
fn spread(number: u32) -> AnnounceRequest {
    request(number % SWARMS, number / SWARMS)
}

/// One after the other of everybody in an order that no cache foresees (a linear congruence).
fn scattered(number: u32) -> AnnounceRequest {
    let mixed = number.wrapping_mul(2_654_435_769).rotate_left(11) % (SWARMS * PEERS);
    spread(mixed)
}

fn request(swarm: u32, peer: u32) -> AnnounceRequest {
    let mut hash = [0x5a; 20];
    // As evenly spread as hashes are.
    hash[..4].copy_from_slice(&swarm.wrapping_mul(0x9e37_79b1).to_be_bytes());
    hash[4..8].copy_from_slice(&swarm.to_be_bytes());
    let mut id = [0; 12];
    id[..4].copy_from_slice(&peer.to_be_bytes());
    AnnounceRequest {
        info_hash: InfoHash::new(hash),
        peer_id: PeerId::ours(id),
        port: u16::try_from(10_000 + peer).unwrap(),
        uploaded: 0,
        downloaded: 0,
        left: u64::from(peer % 5),
        event: AnnounceEvent::Periodic,
        num_want: 50,
        key: peer,
    }
}

/// One socket with a window of announces under way.
struct Udp {
    socket: UdpSocket,
    connection: u64,
    clock: Clock,
    connected: f64,
    answered: u64,
    lost: u64,
}

impl Udp {
    fn connect(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(addr).unwrap();
        socket.set_read_timeout(Some(LOST_AFTER)).unwrap();
        let mut client = Self {
            socket,
            connection: 0,
            clock: Clock::start(),
            connected: 0.0,
            answered: 0,
            lost: 0,
        };
        client.renew();
        client
    }

    fn renew(&mut self) {
        let mut packet = [0; 2_048];
        for transaction in 0xffff_0000.. {
            self.socket.send(&udp::connect(transaction)).unwrap();
            while let Ok(len) = self.socket.recv(&mut packet) {
                if let Some(Ok(id)) = udp::read_connected(&packet[..len], transaction) {
                    self.connection = id;
                    self.connected = self.clock.now().as_secs_f64();
                    return;
                }
            }
        }
    }

    /// Announces until it is not refused: opentracker reads its list after it listens.
    fn await_service(&mut self) {
        let mut packet = [0; 2_048];
        for transaction in 0xfff0_0000.. {
            assert!(self.clock.now().as_secs_f64() < 20.0, "refused for 20 s");
            let last = request(SWARMS - 1, 0);
            let announce = udp::announce(self.connection, transaction, &last, "/");
            self.socket.send(&announce).unwrap();
            let Ok(len) = self.socket.recv(&mut packet) else {
                continue;
            };
            if let Some(Ok(_)) = udp::read_announced(&packet[..len], transaction, Family::V4) {
                return;
            }
        }
    }

    /// Announces all of them, or for as long as `span`.
    fn announce(
        &mut self,
        mut requests: impl Iterator<Item = AnnounceRequest>,
        span: Option<Duration>,
    ) -> Duration {
        let begun = self.clock.now();
        let mut under_way = VecDeque::new();
        let mut packet = [0; 2_048];
        let mut transaction = 0;
        loop {
            let over = span.is_some_and(|span| self.clock.now().since(begun) >= span);
            while under_way.len() < WINDOW && !over {
                let Some(request) = requests.next() else {
                    break;
                };
                transaction += 1;
                let announce = udp::announce(self.connection, transaction, &request, "/");
                self.socket.send(&announce).unwrap();
                under_way.push_back(transaction);
            }
            if under_way.is_empty() {
                return self.clock.now().since(begun);
            }
            let Ok(len) = self.socket.recv(&mut packet) else {
                self.lost += under_way.len() as u64;
                under_way.clear();
                continue;
            };
            // Answers come in the order of the questions.
            let answer = |transaction| udp::read_announced(&packet[..len], transaction, Family::V4);
            let mut asked = under_way.iter();
            let Some(place) = asked.position(|&transaction| answer(transaction).is_some()) else {
                continue;
            };
            let read = answer(under_way[place]);
            assert!(read.is_some_and(|read| read.is_ok()), "a refusal");
            self.lost += place as u64;
            under_way.drain(..=place);
            self.answered += 1;
            // Good for a minute (BEP 15).
            if self.clock.now().as_secs_f64() - self.connected > 50.0 && under_way.is_empty() {
                self.renew();
            } else if self.clock.now().as_secs_f64() - self.connected > 50.0 {
                self.lost += under_way.len() as u64;
                under_way.clear();
                self.renew();
            }
        }
    }
}

/// Announces a second over connections, one at a time on each, and whether these stay open for more
/// than one.
fn http_rate(addr: SocketAddr, span: Duration) -> (f64, bool) {
    let stays = AtomicBool::new(true);
    let count = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let clock = Clock::start();
    let took = std::thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let (count, over, stays) = (&count, &over, &stays);
            scope.spawn(move || {
                if !converse(addr, number, count, over) {
                    stays.store(false, Ordering::Relaxed);
                }
            });
        }
        std::thread::park_timeout(span);
        over.store(true, Ordering::Relaxed);
        clock.now().as_secs_f64()
    });
    let rate = count.load(Ordering::Relaxed) as f64 / took;
    (rate, stays.load(Ordering::Relaxed))
}

/// Announces until it is over; whether every connection gave more than one answer.
fn converse(addr: SocketAddr, number: u32, count: &AtomicU64, over: &AtomicBool) -> bool {
    let mut stays = true;
    let url = TrackerUrl::parse(&format!("http://{addr}/announce")).unwrap();
    let mut stream: Option<BufReader<TcpStream>> = None;
    for step in 0.. {
        if over.load(Ordering::Relaxed) {
            return stays;
        }
        let request = scattered(number + step * CONNECTIONS);
        let target = announce_url(&url, &request, None);
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {addr}\r\nConnection: keep-alive\r\n\r\n",
            target.target()
        );
        let used = stream.take();
        let was_used = used.is_some();
        let mut reader = used.unwrap_or_else(|| opened(addr));
        let mut answer = ask(&mut reader, &head);
        if was_used && answer.is_err() {
            // Closed without a word of warning.
            stays = false;
            reader = opened(addr);
            answer = ask(&mut reader, &head);
        }
        let (kept, body) = answer.unwrap();
        assert!(
            body.starts_with(b"d8:complete"),
            "{}",
            String::from_utf8_lossy(&body)
        );
        count.fetch_add(1, Ordering::Relaxed);
        stays &= kept;
        stream = Some(reader).filter(|_| stays);
    }
    stays
}

fn opened(addr: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

fn ask(reader: &mut BufReader<TcpStream>, head: &str) -> io::Result<(bool, Vec<u8>)> {
    reader.get_mut().write_all(head.as_bytes())?;
    read_answer(reader)
}

/// The body of an answer, and whether the connection stays.
fn read_answer(reader: &mut BufReader<TcpStream>) -> io::Result<(bool, Vec<u8>)> {
    let (mut len, mut kept) = (None, false);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            len = value.trim().parse::<usize>().ok();
        }
        kept |= lower.starts_with("http/1.1") || lower == "connection: keep-alive";
        kept &= lower != "connection: close";
    }
    let mut body = Vec::new();
    if let Some(len) = len {
        body.resize(len, 0);
        reader.read_exact(&mut body)?;
    } else {
        reader.read_to_end(&mut body)?;
        kept = false;
    }
    Ok((kept, body))
}

/// The most memory that a process ever had, in MiB.
fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap();
    kib / 1024.0
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let words = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = words
        .skip(11)
        .take(2)
        .map(|word| word.parse::<u64>().unwrap())
        .sum();
    // The kernel tells user programs of a hundred ticks a second.
    ticks as f64 / 100.0
}
