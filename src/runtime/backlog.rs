//! How much of what a connection was given still waits on this side of its bottleneck, as far as the
//! kernel can tell.
//!
//! A slow uplink keeps a queue: in the socket, in the network card, in the router behind it. What stands
//! in it delays everything that is decided later, requests and `have` messages too. Of the bytes that are
//! not acknowledged yet, those in queues are to all of them as the time that they wait is to the whole
//! round trip (Little's law). An acknowledgement that waits in the other side's uplink counts as well:
//! the two cannot be told apart.

use std::time::Duration;

use tokio::net::TcpStream;

/// A queue shorter than this delays nothing that matters. Chosen: less than a round trip of most networks.
const SHORT: Duration = Duration::from_millis(5);

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    /// Bytes, payload or not.
    pub(super) bytes: u64,
    /// Bytes per second that the connection got across lately.
    pub(super) rate: u64,
}

/// What Linux says of a connection (`TCP_INFO`, tcp(7)).
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Bytes in the socket that were never sent.
    unsent: u64,
    /// Bytes sent and not acknowledged.
    unacknowledged: u64,
    /// Whether no more may be sent before something is acknowledged.
    is_window_full: bool,
    /// The round trip of late, smoothed, in microseconds.
    rtt: u64,
    /// The shortest one of the last minutes, in microseconds.
    rtt_min: u64,
    /// Bytes per second.
    rate: u64,
}

impl Told {
    fn backlog(self) -> Option<Backlog> {
        let surplus = self.rtt.saturating_sub(self.rtt_min);
        if u128::from(surplus) < SHORT.as_micros() {
            // What is not sent yet then waits for the window of TCP to open, not for the uplink; or the
            // card takes no more just now.
            let micros = u128::from(self.unsent) * 1_000_000 / u128::from(self.rate.max(1));
            if self.is_window_full || micros < SHORT.as_micros() {
                return None;
            }
        }
        let queued = self.unacknowledged * surplus / self.rtt.max(1);
        let bytes = self.unsent + queued;
        (bytes > 0).then_some(Backlog {
            bytes,
            rate: self.rate,
        })
    }
}

/// What waits of this connection; `None` if it is next to nothing, or nobody can tell.
pub(super) fn of(stream: &TcpStream) -> Option<Backlog> {
    kernel::told(stream)?.backlog()
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::sync::LazyLock;

    use nix::sys::socket::{getsockopt, sockopt::GetStruct};
    use tokio::net::TcpStream;

    use super::Told;

    /// As many words of `struct tcp_info` as are needed: all up to `tcpi_delivery_rate`.
    type Words = [u32; 42];

    /// Where they stand in `struct tcp_info` of linux/tcp.h, which only ever grows at its end.
    const SEGMENT_LEN: usize = 4;
    const UNACKNOWLEDGED: usize = 6;
    const RTT: usize = 17;
    const WINDOW: usize = 20;
    const UNSENT: usize = 36;
    const RTT_MIN: usize = 37;
    const RATE: usize = 40;

    /// The first Linux that tells as much.
    const SINCE: (u32, u32) = (4, 9);

    #[derive(Clone, Copy, Debug)]
    struct TcpInfo;

    nix::getsockopt_impl!(
        TcpInfo,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Words,
        GetStruct<Words>
    );

    static TELLS: LazyLock<bool> = LazyLock::new(|| {
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= SINCE,
            _ => false,
        }
    });

    pub(super) fn told(stream: &TcpStream) -> Option<Told> {
        // An older one fills less, at which the library would panic.
        if !*TELLS {
            return None;
        }
        let words = getsockopt(stream, TcpInfo).ok()?;
        let word = |at: usize| u64::from(words[at]);
        let [low, high] = [words[RATE], words[RATE + 1]].map(u32::to_ne_bytes);
        let mut rate = [0; 8];
        rate[..4].copy_from_slice(&low);
        rate[4..].copy_from_slice(&high);
        Some(Told {
            unsent: word(UNSENT),
            unacknowledged: word(UNACKNOWLEDGED) * word(SEGMENT_LEN),
            is_window_full: word(UNACKNOWLEDGED) >= word(WINDOW),
            rtt: word(RTT),
            rtt_min: word(RTT_MIN),
            rate: u64::from_ne_bytes(rate),
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) const fn told(_: &tokio::net::TcpStream) -> Option<super::Told> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Told = Told {
        unsent: 50_000,
        unacknowledged: 100_000,
        is_window_full: false,
        rtt: 40_000,
        rtt_min: 10_000,
        rate: 2_500_000,
    };

    #[test]
    fn what_the_round_trip_itself_holds_does_not_wait() {
        let waits = BUSY.backlog().expect("a long queue");
        assert_eq!(waits.bytes, 50_000 + 75_000);
    }

    #[test]
    fn what_waits_for_the_window_to_open_does_not_wait_for_the_uplink() {
        let distant = Told {
            rtt: 104_000,
            rtt_min: 100_000,
            is_window_full: true,
            ..BUSY
        };
        assert_eq!(distant.backlog(), None);
        let near = Told {
            is_window_full: false,
            ..distant
        };
        assert_eq!(
            near.backlog().expect("it waits for the uplink").bytes,
            53_846
        );
    }

    #[test]
    fn what_is_gone_in_a_moment_does_not_wait() {
        let fast = Told {
            rtt: 300,
            rtt_min: 80,
            rate: 1_000_000_000,
            ..BUSY
        };
        assert_eq!(fast.backlog(), None);
        let empty = Told {
            unsent: 0,
            unacknowledged: 0,
            ..BUSY
        };
        assert_eq!(empty.backlog(), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "current_thread")]
    async fn linux_tells_of_what_nobody_reads() {
        use std::io::Write;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut writer = std::net::TcpStream::connect(addr).unwrap();
        let _reader = listener.accept().await.unwrap();
        writer.set_nonblocking(true).unwrap();
        while writer.write(&[0; 1 << 14]).is_ok() {}
        let told = kernel::told(&TcpStream::from_std(writer).unwrap()).expect("a new Linux");
        assert!(told.unsent > 0, "{told:?}");
        assert!(told.rtt_min <= told.rtt && told.rtt > 0, "{told:?}");
    }
}
