//! How far around this machine a session may go.

use std::net::IpAddr;

use super::web::reach::{Reach, reach};

/// Whom a session may talk to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Machines of this network only: loopback, link-local, RFC 1918, unique local addresses.
    Lan,
    /// Anybody.
    #[default]
    Any,
}

impl Scope {
    /// Whether `ip` is within.
    pub fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Lan => reach(ip).is_some_and(|reach| reach < Reach::Global),
            Self::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_scope_ends_where_the_internet_begins() {
        let lan = |ip: &str| Scope::Lan.admits(ip.parse().unwrap());
        for ip in [
            "127.0.0.1",
            "10.0.0.5",
            "192.168.1.1",
            "169.254.3.4",
            "fe80::1",
            "fd00::1",
            "::1",
        ] {
            assert!(lan(ip), "{ip}");
        }
        for ip in [
            "8.8.8.8",
            "172.32.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "224.0.0.1",
        ] {
            assert!(!lan(ip), "{ip}");
        }
        assert!(Scope::Any.admits("8.8.8.8".parse().unwrap()));
    }
}
