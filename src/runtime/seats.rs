//! How many may do something at a time: in all, from one IPv4 address, from one IPv6 network.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

/// How many seats there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatLimits {
    /// In all.
    pub(super) total: usize,
    /// For one IPv4 address.
    pub(super) per_v4: usize,
    /// For one IPv6 /64.
    pub(super) per_v6_net: usize,
}

/// Who sits where, by address or IPv6 network.
#[derive(Debug)]
pub(super) struct Seats {
    limits: SeatLimits,
    origins: RefCell<BTreeMap<IpAddr, usize>>,
}

/// A seat taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Rc<Seats>,
    origin: IpAddr,
}

impl Seats {
    /// Seats that are all free.
    pub(super) fn new(limits: SeatLimits) -> Rc<Self> {
        Rc::new(Self {
            limits,
            origins: RefCell::default(),
        })
    }

    /// Takes a seat for somebody at `ip`, if there is one.
    pub(super) fn enter(this: &Rc<Self>, ip: IpAddr) -> Option<Seat> {
        let limits = this.limits;
        let (origin, limit) = match ip {
            // Programs on this machine are not each other's enemies, and all have one address.
            _ if ip.is_loopback() => (ip, limits.total),
            IpAddr::V4(_) => (ip, limits.per_v4),
            IpAddr::V6(ip) => (network(ip).into(), limits.per_v6_net),
        };
        let mut origins = this.origins.borrow_mut();
        if origins.values().sum::<usize>() >= limits.total {
            return None;
        }
        let count = origins.entry(origin).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Seat {
            seats: Rc::clone(this),
            origin,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut origins = self.seats.origins.borrow_mut();
        if let Some(count) = origins.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                origins.remove(&self.origin);
            }
        }
    }
}

/// The /64 that the address lies in.
fn network(ip: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SeatLimits = SeatLimits {
        total: 256,
        per_v4: 5,
        per_v6_net: 16,
    };

    fn taken(seats: &Rc<Seats>, ip: &str, tries: usize) -> Vec<Seat> {
        let ip: IpAddr = ip.parse().unwrap();
        (0..tries).filter_map(|_| Seats::enter(seats, ip)).collect()
    }

    #[test]
    fn one_address_cannot_take_every_seat() {
        let seats = Seats::new(LIMITS);
        let first = taken(&seats, "192.0.2.1", 10);
        assert_eq!(first.len(), LIMITS.per_v4);
        assert_eq!(taken(&seats, "192.0.2.2", 1).len(), 1);
        drop(first);
        assert_eq!(taken(&seats, "192.0.2.1", 1).len(), 1);
    }

    #[test]
    fn addresses_of_one_v6_network_share_their_seats() {
        let seats = Seats::new(LIMITS);
        let one = taken(&seats, "2001:db8::1", 10);
        let other = taken(&seats, "2001:db8::2", 10);
        assert_eq!(one.len() + other.len(), LIMITS.per_v6_net);
        assert_eq!(taken(&seats, "2001:db8:0:1::1", 1).len(), 1);
    }

    #[test]
    fn loopback_is_bound_by_the_total_only() {
        let seats = Seats::new(LIMITS);
        let all = taken(&seats, "127.0.0.1", 1_000);
        assert_eq!(all.len(), LIMITS.total);
        assert_eq!(taken(&seats, "192.0.2.1", 1).len(), 0);
    }
}
