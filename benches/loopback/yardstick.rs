//! How fast is this machine at this moment, at what every fetcher must do: copy, and hash?

use std::fmt;
use std::hint::black_box;
use std::process::Command;

use swarm::runtime::Clock;

/// Many times the caches.
const COPY_LEN: usize = 256 << 20;

/// Two places in memory, to copy from one to the other.
pub(crate) struct Yardstick {
    from: Vec<u8>,
    to: Vec<u8>,
}

/// In GiB/s, of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speeds {
    pub(crate) memcpy: f64,
    /// SHA-1 by `openssl speed`; not a number without it.
    pub(crate) openssl: f64,
}

impl Yardstick {
    pub(crate) fn new() -> Self {
        Self {
            from: vec![1; COPY_LEN],
            to: vec![2; COPY_LEN],
        }
    }

    pub(crate) fn measure(&mut self) -> Speeds {
        let clock = Clock::start();
        for _ in 0..4 {
            black_box(&mut self.to).copy_from_slice(black_box(&self.from));
        }
        let memcpy = 4.0 * COPY_LEN as f64 / f64::from(1 << 30) / clock.now().as_secs_f64();
        let openssl = openssl().unwrap_or(f64::NAN);
        Speeds { memcpy, openssl }
    }
}

/// Lines of `-mr` are for machines: `+F:22:sha1:1234567.89`, bytes a second.
fn openssl() -> Option<f64> {
    let speed = "speed -mr -elapsed -seconds 1 -bytes 1048576 -evp sha1";
    let output = Command::new("openssl").args(speed.split(' ')).output();
    let said = String::from_utf8(output.ok()?.stdout).ok()?;
    let line = said.lines().find(|line| line.starts_with("+F:"))?;
    let rate: f64 = line.rsplit(':').next()?.parse().ok()?;
    Some(rate / f64::from(1 << 30))
}

impl fmt::Display for Speeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memcpy {:.2} GiB/s, ", self.memcpy)?;
        if self.openssl.is_nan() {
            return write!(f, "no openssl");
        }
        write!(f, "OpenSSL SHA-1 {:.2} GiB/s", self.openssl)
    }
}
