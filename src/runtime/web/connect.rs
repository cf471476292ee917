//! From a URL to addresses that may be dialled, and to a TCP connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::reach::{Reach, is_metadata_service, reach};
use super::{Caution, Web};
use crate::tracker::url::{Host, Scheme};
use crate::tracker::{AnnounceFailure, TrackerUrl};

/// How long all dials of one hop may take together.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried. Chosen, untested.
const ADDRESSES_MAX: usize = 8;

/// The addresses of a server that we may talk to, IPv4 first (that is where most peers are).
///
/// `floor` is the reach of where a redirect came from: it may not lead further in.
pub(in crate::runtime) async fn resolve(
    url: &TrackerUrl,
    web: &Web,
    (caution, floor): (Caution, Option<Reach>),
) -> Result<Vec<SocketAddr>, AnnounceFailure> {
    let port = url.port();
    let mut addrs: Vec<SocketAddr> = match url.host() {
        Host::Ip(ip) => vec![SocketAddr::new(ip.to_canonical(), port)],
        Host::Name(name) => lookup_host((name.as_str(), port))
            .await
            .map_err(|_| AnnounceFailure::Unreachable(format!("cannot resolve: {name}")))?
            .collect(),
    };
    addrs.retain(|addr| admitted(url, addr.ip(), (caution, floor)));
    let known = addrs.len();
    addrs.retain(|addr| web.scope.admits(addr.ip()));
    if addrs.len() < known && addrs.is_empty() {
        let reason = "beyond the local network (--scope)";
        return Err(AnnounceFailure::BadUrl(reason.to_owned()));
    }
    if addrs.is_empty() {
        let reason = "the URL leads to an address that it may not lead to";
        return Err(AnnounceFailure::BadUrl(reason.to_owned()));
    }
    addrs.retain(|addr| web.bind.is_none_or(|ip| ip.is_ipv4() == addr.is_ipv4()));
    if addrs.is_empty() {
        let reason = "no address of the family that is bound";
        return Err(AnnounceFailure::Unreachable(reason.to_owned()));
    }
    addrs.sort_by_key(SocketAddr::is_ipv6);
    addrs.truncate(ADDRESSES_MAX);
    Ok(addrs)
}

pub(super) fn admitted(
    url: &TrackerUrl,
    ip: IpAddr,
    (caution, floor): (Caution, Option<Reach>),
) -> bool {
    let here = ip.to_canonical().is_loopback() || ip.is_unspecified();
    let Some(reach) = reach(ip) else {
        return false;
    };
    if is_metadata_service(ip) {
        return false;
    }
    let presses_buttons = match caution {
        Caution::Tracker => match reach {
            Reach::Host if here => !path_of(url).starts_with("/announce") || climbs(path_of(url)),
            Reach::Host | Reach::Site => !asks_for_announces(url),
            Reach::Global => false,
        },
        Caution::WebSeed => {
            let queried = reach < Reach::Global && url.target().contains('?');
            queried || (reach == Reach::Host && !here)
        }
        Caution::Typed => false,
    };
    floor.is_none_or(|floor| reach >= floor) && !presses_buttons
}

/// Whether a tracker's URL is hardly one of something else: over UDP there are no paths, and over
/// HTTP the usual ones start or end the same.
fn asks_for_announces(url: &TrackerUrl) -> bool {
    let path = path_of(url);
    let is_usual = path.starts_with("/announce") || path.ends_with("/announce");
    url.scheme() == Scheme::Udp || (is_usual && !climbs(path))
}

fn path_of(url: &TrackerUrl) -> &str {
    url.target().split('?').next().unwrap_or_default()
}

/// Whether a server may take the path for another one: `/announce/../reboot`.
fn climbs(path: &str) -> bool {
    path.contains("..") || path.contains('%')
}

/// Connects to the first address that answers; each gets a fair part of the time there is.
pub(super) async fn connect(web: &Web, addrs: &[SocketAddr]) -> Result<TcpStream, AnnounceFailure> {
    let end = web.clock.now() + CONNECT_MAX;
    let mut failure = AnnounceFailure::Timeout(CONNECT_MAX);
    for (i, &addr) in addrs.iter().enumerate() {
        let share = fair_share(end - web.clock.now(), addrs.len() - i);
        failure = match timeout(share, dial(addr, web.bind)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => unreachable(&error),
            Err(_) => AnnounceFailure::Timeout(CONNECT_MAX),
        };
    }
    Err(failure)
}

/// What one of `count` addresses may take of the time that is left.
pub(in crate::runtime) fn fair_share(left: Duration, count: usize) -> Duration {
    left / u32::try_from(count).expect("at most ADDRESSES_MAX")
}

async fn dial(addr: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(ip) = bind {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(addr).await
}

/// An I/O error in the words of its kind: `connection refused`.
pub(in crate::runtime) fn unreachable(error: &io::Error) -> AnnounceFailure {
    AnnounceFailure::Unreachable(match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData => error.to_string(),
        kind => kind.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads_there(caution: Caution, url: &str) -> bool {
        let url = TrackerUrl::parse(url).unwrap();
        let Host::Ip(ip) = url.host() else {
            panic!("{url:?} names no address");
        };
        admitted(&url, *ip, (caution, None))
    }

    #[test]
    fn a_tracker_near_us_is_asked_for_announces_and_nothing_else() {
        for url in [
            "http://10.0.0.5:6881/announce",
            "http://10.0.0.5/announce.php?passkey=1",
            "http://192.168.1.2/passkey/announce",
            "http://169.254.3.4:6881/announce",
            "http://[fd00::5]:6881/announce",
            "udp://10.0.0.5:6969",
            "http://127.0.0.1/announce",
            "http://8.8.8.8/anything?at=all",
        ] {
            assert!(leads_there(Caution::Tracker, url), "{url}");
        }
        for url in [
            "http://192.168.1.1/reboot",
            "http://192.168.1.1/any?query",
            "http://192.168.1.1/reboot?then=/announce",
            "http://169.254.3.4/any",
            "http://[fe80::1]/any",
            "http://[::ffff:192.168.1.1]/any",
            "http://127.0.0.1/passkey/announce",
            "http://127.0.0.1/announce/../reboot",
            "http://10.0.0.5/announce/%2e%2e/reboot",
        ] {
            assert!(!leads_there(Caution::Tracker, url), "{url}");
        }
    }

    #[test]
    fn nobody_leads_us_to_the_services_of_clouds() {
        for caution in [Caution::Tracker, Caution::WebSeed, Caution::Typed] {
            for url in [
                "http://169.254.169.254/announce",
                "http://[fd00:ec2::254]/announce",
                "http://[::ffff:169.254.169.254]/announce",
                "udp://169.254.169.254:80/announce",
            ] {
                assert!(!leads_there(caution, url), "{url}");
            }
        }
    }
}
