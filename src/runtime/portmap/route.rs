//! The gateway of this machine's default route: whom PCP and NAT-PMP are asked of.
//!
//! Linux says it in a file. Elsewhere it is not known, and only UPnP is left, whose devices answer a
//! search.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;

/// The longest table that is read, in bytes: some 500 routes. Default routes come first.
const TABLE_LEN_MAX: u64 = 64 << 10;

/// A route leads through a gateway (`RTF_GATEWAY` of Linux's `route.h`).
const THROUGH_GATEWAY: u32 = 2;

/// The gateway of the default route with the lowest metric.
pub(super) fn default_gateway() -> Option<Ipv4Addr> {
    let mut table = String::new();
    let file = File::open("/proc/net/route").ok()?;
    file.take(TABLE_LEN_MAX).read_to_string(&mut table).ok()?;
    gateway_in(&table)
}

/// The table has a line of titles, then for each route its interface, destination, gateway, flags,
/// two counters, metric and mask; addresses as numbers of this machine's byte order, in hexadecimal.
fn gateway_in(table: &str) -> Option<Ipv4Addr> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, destination, gateway, flags, _, _, metric, mask, ..] = &columns[..] else {
            return None;
        };
        let number = |text| u32::from_str_radix(text, 16).ok();
        let is_default = number(destination)? == 0 && number(mask)? == 0;
        let leads_on = number(flags)? & THROUGH_GATEWAY != 0;
        let gateway = Ipv4Addr::from(number(gateway)?.to_ne_bytes());
        (is_default && leads_on).then_some((metric.parse::<u32>().ok()?, gateway))
    });
    routes.min().map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";

    fn number(ip: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(ip))
    }

    #[test]
    fn the_default_route_of_the_lowest_metric_counts() {
        let near = number([192, 168, 1, 1]);
        let far = number([10, 0, 0, 1]);
        let net = number([192, 168, 1, 0]);
        let table = format!(
            "{TITLES}wlan0 00000000 {far} 0003 0 0 600 00000000 0 0 0\n\
             eth0 00000000 {near} 0003 0 0 100 00000000 0 0 0\n\
             eth0 {net} 00000000 0001 0 0 100 00FFFFFF 0 0 0\n"
        );
        assert_eq!(gateway_in(&table), Some(Ipv4Addr::new(192, 168, 1, 1)));
    }

    #[test]
    fn who_has_no_default_route_has_no_gateway() {
        let on_wire = "eth0 00000000 00000000 0001 0 0 0 00000000 0 0 0";
        for routes in ["", "eth0", "eth0 x y z 0 0 0 0 0 0 0", on_wire] {
            assert_eq!(gateway_in(&format!("{TITLES}{routes}\n")), None, "{routes}");
        }
        assert_eq!(gateway_in(""), None);
    }
}
