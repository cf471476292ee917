//! Which way of sending blocks out of a file costs least: `sendfile` behind a header for each block,
//! one write for each block, or many blocks read together and written at once?
//!
//! One thread sends over loopback, another receives 256 KiB at a time; each counts its own processor
//! time, since what is saved at one end may be spent at the other. `TMPDIR` says on which disk.
//! Run: `cargo bench --bench send`.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot set up its scene fails"
)]
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("sendfile is measured on Linux only");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{IoSliceMut, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use rustix::fs::sendfile;
    use rustix::io::preadv;
    use rustix::net::{SendFlags, send};
    use rustix::time::{ClockId, clock_gettime};

    const BLOCK: usize = 16 << 10;
    const HEADER: usize = 13;
    /// What is sent each time: many times the caches.
    const BYTES: usize = 1 << 30;
    const RUNS: usize = 5;

    /// A way to send all blocks of a file.
    type Way = fn(&File, &mut TcpStream);

    const WAYS: [(&str, Way); 4] = [
        ("a header and sendfile for each block", by_sendfile),
        ("pread and write for each block", |file, socket| {
            by_batches(file, socket, 1);
        }),
        ("preadv and write for 4 blocks", |file, socket| {
            by_batches(file, socket, 4);
        }),
        ("preadv and write for 16 blocks", |file, socket| {
            by_batches(file, socket, 16);
        }),
    ];

    pub(crate) fn main() {
        let file = tempfile::tempfile().unwrap();
        let part = vec![7; 1 << 20];
        for start in (0..BYTES).step_by(part.len()) {
            file.write_all_at(&part, start as u64).unwrap();
        }
        println!("CPU-s/GiB, sender + receiver");
        for run in 1..=RUNS {
            for (name, way) in WAYS {
                let (sent, received) = measure(&file, way);
                println!("run {run}  {sent:.2} + {received:.2}  {name}");
            }
        }
    }

    /// Processor seconds for a GiB, of the sender and of the receiver.
    fn measure(file: &File, way: Way) -> (f64, f64) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
            .set_write_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let (peer, _) = listener.accept().unwrap();
        let receiver = std::thread::spawn(move || receive(peer));
        let before = thread_seconds();
        way(file, &mut socket);
        let sent = thread_seconds() - before;
        drop(socket);
        let gib = BYTES as f64 / f64::from(1 << 30);
        (sent / gib, receiver.join().unwrap() / gib)
    }

    fn receive(mut socket: TcpStream) -> f64 {
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut buffer = vec![0; 256 << 10];
        let before = thread_seconds();
        while socket.read(&mut buffer).unwrap() > 0 {}
        thread_seconds() - before
    }

    fn by_sendfile(file: &File, socket: &mut TcpStream) {
        for start in (0..BYTES).step_by(BLOCK) {
            send(&*socket, &[0; HEADER], SendFlags::MORE).unwrap();
            let mut offset = start as u64;
            let end = (start + BLOCK) as u64;
            while offset < end {
                let left = usize::try_from(end - offset).unwrap();
                sendfile(&*socket, file, Some(&mut offset), left).unwrap();
            }
        }
    }

    fn by_batches(file: &File, socket: &mut TcpStream, blocks: usize) {
        let mut frames = vec![0; blocks * (HEADER + BLOCK)];
        for start in (0..BYTES).step_by(blocks * BLOCK) {
            let mut payloads: Vec<_> = frames
                .chunks_mut(HEADER + BLOCK)
                .map(|frame| IoSliceMut::new(&mut frame[HEADER..]))
                .collect();
            let read = preadv(file, &mut payloads, start as u64).unwrap();
            assert_eq!(read, blocks * BLOCK);
            socket.write_all(&frames).unwrap();
        }
    }

    fn thread_seconds() -> f64 {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
    }
}
