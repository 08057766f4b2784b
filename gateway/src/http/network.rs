//! Who counts as one: limits are for machines, and not for addresses.

use std::net::{IpAddr, Ipv6Addr};

/// One machine has one address of version 4, and a whole network of version 6.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
