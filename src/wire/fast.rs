//! The allowed fast set: the pieces that a choked peer may ask for all the same, so that it soon
//! has something to trade (BEP 6).

use std::net::IpAddr;

use crate::hash;
use crate::ids::InfoHash;

/// The first `count` pieces that the peer at `ip` may ask for while choked, in BEP 6's order: a
/// function of its network, so that it gains nothing by coming back under a neighbour's address.
/// Fewer if the content has fewer pieces.
///
/// BEP 6 defines it for IPv4 by the /24; for IPv6 we take the /64 (chosen: what one site gets).
pub fn allowed_fast(ip: IpAddr, info_hash: InfoHash, piece_count: u32, count: usize) -> Vec<u32> {
    let mut set = Vec::new();
    let count = count.min(piece_count as usize);
    let mut hash = match ip.to_canonical() {
        IpAddr::V4(ip) => first_hash(&(ip.to_bits() & 0xffff_ff00).to_be_bytes(), info_hash),
        IpAddr::V6(ip) => first_hash(&ip.octets()[..8], info_hash),
    };
    while set.len() < count {
        let (words, _) = hash.as_chunks::<4>();
        for &word in words {
            let index = u32::from_be_bytes(word) % piece_count;
            if set.len() < count && !set.contains(&index) {
                set.push(index);
            }
        }
        hash = hash::one(&hash);
    }
    set
}

fn first_hash(network: &[u8], info_hash: InfoHash) -> [u8; 20] {
    hash::one(&[network, info_hash.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: [u32; 9] = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];

    fn example(ip: &str, piece_count: u32, count: usize) -> Vec<u32> {
        let ip = ip.parse().expect("valid");
        allowed_fast(ip, InfoHash::new([0xaa; 20]), piece_count, count)
    }

    #[test]
    fn the_examples_of_the_specification_hold() {
        assert_eq!(example("80.4.4.200", 1313, 7), EXAMPLE[..7]);
        assert_eq!(example("80.4.4.200", 1313, 9), EXAMPLE);
        assert_eq!(example("::ffff:80.4.4.7", 1313, 9), EXAMPLE);
    }

    #[test]
    fn a_network_has_one_set() {
        let ours = example("2001:db8::1", 1000, 10);
        assert_eq!(ours, example("2001:db8::2", 1000, 10));
        assert_ne!(ours, example("2001:db8:0:1::1", 1000, 10));
    }

    #[test]
    fn small_content_has_a_small_set() {
        let mut set = example("10.0.0.1", 3, 10);
        set.sort_unstable();
        assert_eq!(set, [0, 1, 2]);
        assert!(example("10.0.0.1", 0, 10).is_empty());
    }
}
