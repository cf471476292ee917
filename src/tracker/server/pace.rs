//! How often one address may ask: a long-run rate and a burst, kept as one moment per address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Refusal;
use crate::time::Time;

/// The time that one request costs: 20 a second in the long run.
const COST: Duration = Duration::from_millis(50);

/// Requests that may come at once: a lab room behind one router starts together.
const BURST: u32 = 1_000;

/// Addresses remembered at most, about 4 MiB. Beyond it new ones are let through: the bounds on
/// swarms and peers still hold.
const ADDRESSES_MAX: usize = 65_536;

/// The moment until which each address has used up its rate (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Pace {
    used: BTreeMap<IpAddr, Time>,
}

impl Pace {
    /// Counts a request, or refuses it. Programs on this machine are not each other's enemies.
    pub(super) fn admit(&mut self, ip: IpAddr, now: Time) -> Result<(), Refusal> {
        let ip = origin(ip.to_canonical());
        if ip.is_loopback() {
            return Ok(());
        }
        let is_new = !self.used.contains_key(&ip);
        if is_new && self.used.len() >= ADDRESSES_MAX {
            return Ok(());
        }
        let used = self.used.entry(ip).or_insert(now);
        *used = (*used).max(now);
        if used.since(now) >= COST * BURST {
            return Err(Refusal::TooOften);
        }
        *used += COST;
        Ok(())
    }

    /// Forgets who has its whole burst back.
    pub(super) fn sweep(&mut self, now: Time) {
        self.used.retain(|_, used| *used > now);
    }
}

/// An IPv4 address, or the /64 that a machine with IPv6 can choose its address in.
fn origin(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_twenty_a_second() {
        let mut pace = Pace::default();
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let start = Time::ZERO + Duration::from_secs(10);
        let passed = (0..5_000).filter(|_| pace.admit(ip, start).is_ok()).count();
        assert_eq!(passed, 1_000);
        assert!(pace.admit("192.0.2.2".parse().unwrap(), start).is_ok());
        let later = start + Duration::from_secs(1);
        let passed = (0..5_000).filter(|_| pace.admit(ip, later).is_ok()).count();
        assert_eq!(passed, 20);
    }

    #[test]
    fn addresses_of_one_v6_network_share_their_rate_and_this_machine_has_none() {
        let mut pace = Pace::default();
        let passed = |pace: &mut Pace, ips: &mut dyn Iterator<Item = String>| {
            ips.filter(|ip| pace.admit(ip.parse().unwrap(), Time::ZERO).is_ok())
                .count()
        };
        let one_net = &mut (0..3_000).map(|n| format!("2001:db8::{n:x}"));
        assert_eq!(passed(&mut pace, one_net), 1_000);
        let loopback = &mut (0..3_000).map(|_| "127.0.0.1".to_owned());
        assert_eq!(passed(&mut pace, loopback), 3_000);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let mut pace = Pace::default();
        for bits in 0..100_000_u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + bits);
            assert!(pace.admit(ip.into(), Time::ZERO).is_ok());
        }
        assert_eq!(pace.used.len(), ADDRESSES_MAX);
        pace.sweep(Time::ZERO + Duration::from_secs(1));
        assert_eq!(pace.used.len(), 0);
    }
}
