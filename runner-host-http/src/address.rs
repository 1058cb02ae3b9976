//! Which addresses a guest may reach: public ones, and those that a grant names by range.
//!
//! It knows no names and no sockets; whoever dials asks it first.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A range of addresses in CIDR notation: `10.1.0.0/16`, `fd00:1::/32`, or one address alone.
///
/// Bits beyond the prefix must be zero, so that nobody reads less in it than it grants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    first: IpAddr,
    bits: u8,
}

impl Range {
    /// Whether the address lies in the range. An IPv4 range holds no IPv6 address, whatever that one embeds.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                same(first.to_bits().into(), address.to_bits().into(), self.bits, 32)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => same(first.to_bits(), address.to_bits(), self.bits, 128),
            _ => false,
        }
    }

    /// Whether it is one address alone.
    fn is_single(&self) -> bool {
        self.bits == width(self.first)
    }
}

/// Whether two addresses of so many bits agree in the first of them.
const fn same(a: u128, b: u128, bits: u8, width: u8) -> bool {
    bits == 0 || (a ^ b) >> (width - bits) == 0
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let wrong = |why: &str| format!("range `{text}` {why}, expected one like `10.1.0.0/16` or `fd00:1::/32`");
        let first: IpAddr = address.parse().map_err(|_| wrong("has no address"))?;
        let bits = match bits {
            None => width(first),
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width(first))
                .ok_or_else(|| wrong("has no such prefix length"))?,
            Some(_) => return Err(wrong("has no prefix length")),
        };
        let (number, width) = match first {
            IpAddr::V4(first) => (u128::from(first.to_bits()), 32),
            IpAddr::V6(first) => (first.to_bits(), 128),
        };
        let rest = width - u32::from(bits);
        if rest > 0 && number & (u128::MAX >> (128 - rest)) != 0 {
            return Err(wrong("has bits beyond its prefix"));
        }
        Ok(Range { first, bits })
    }
}

impl TryFrom<String> for Range {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Range> for String {
    fn from(range: Range) -> String {
        range.to_string()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Range {
    fn schema_name() -> Cow<'static, str> {
        "Range".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Addresses in CIDR notation.", "examples": ["10.1.0.0/16"] })
    }
}

/// Where clouds keep their credentials. A range that is wider than the one address does not grant them.
const METADATA: [IpAddr; 10] = [
    // AWS, Azure, Google Cloud, Oracle, DigitalOcean, and most of the others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // AWS: containers, and pods.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google Cloud.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Azure's own channel into its machines, on a public address.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Tencent.
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
];

/// Refused IPv4 ranges: what IANA's special-purpose registry (RFC 6890) calls not globally reachable, and what is no host.
const V4: [(&str, Ipv4Addr, u8); 15] = [
    ("unspecified", Ipv4Addr::new(0, 0, 0, 0), 8), // RFC 791, 1122: this network
    ("private", Ipv4Addr::new(10, 0, 0, 0), 8),    // RFC 1918
    ("carrier NAT", Ipv4Addr::new(100, 64, 0, 0), 10), // RFC 6598
    ("loopback", Ipv4Addr::new(127, 0, 0, 0), 8),  // RFC 1122
    ("link-local", Ipv4Addr::new(169, 254, 0, 0), 16), // RFC 3927
    ("private", Ipv4Addr::new(172, 16, 0, 0), 12), // RFC 1918
    ("protocol assignment", Ipv4Addr::new(192, 0, 0, 0), 24), // RFC 6890
    ("documentation", Ipv4Addr::new(192, 0, 2, 0), 24), // RFC 5737
    ("6to4 relay", Ipv4Addr::new(192, 88, 99, 0), 24), // RFC 7526
    ("private", Ipv4Addr::new(192, 168, 0, 0), 16), // RFC 1918
    ("benchmarking", Ipv4Addr::new(198, 18, 0, 0), 15), // RFC 2544
    ("documentation", Ipv4Addr::new(198, 51, 100, 0), 24), // RFC 5737
    ("documentation", Ipv4Addr::new(203, 0, 113, 0), 24), // RFC 5737
    ("multicast", Ipv4Addr::new(224, 0, 0, 0), 4), // RFC 1112
    ("reserved or broadcast", Ipv4Addr::new(240, 0, 0, 0), 4), // RFC 1112, 919
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// Refused IPv6 ranges, the narrow before the wide: the first that fits names the reason.
const V6: [(&str, Ipv6Addr, u8); 19] = [
    ("unspecified", Ipv6Addr::UNSPECIFIED, 128),                     // RFC 4291
    ("loopback", Ipv6Addr::LOCALHOST, 128),                          // RFC 4291
    ("IPv4-compatible", Ipv6Addr::UNSPECIFIED, 96),                  // RFC 4291, 2.5.5.1
    ("IPv4-mapped", Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), // RFC 4291, 2.5.5.2
    ("IPv4-translated", Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), // RFC 2765
    ("NAT64", v6(0x64, 0xff9b, 0), 96),                              // RFC 6052
    ("local NAT64", v6(0x64, 0xff9b, 1), 48),                        // RFC 8215
    ("discard-only", v6(0x100, 0, 0), 64),                           // RFC 6666
    ("Teredo", v6(0x2001, 0, 0), 32),                                // RFC 4380
    ("benchmarking", v6(0x2001, 2, 0), 48),                          // RFC 5180
    ("protocol assignment", v6(0x2001, 0, 0), 23),                   // RFC 2928
    ("documentation", v6(0x2001, 0xdb8, 0), 32),                     // RFC 3849
    ("6to4", v6(0x2002, 0, 0), 16),                                  // RFC 3056, 7526
    ("documentation", v6(0x3fff, 0, 0), 20),                         // RFC 9637
    ("segment routing", v6(0x5f00, 0, 0), 16),                       // RFC 9602
    ("unique-local", v6(0xfc00, 0, 0), 7),                           // RFC 4193
    ("link-local", v6(0xfe80, 0, 0), 10),                            // RFC 4291
    ("site-local", v6(0xfec0, 0, 0), 10),                            // RFC 3879
    ("multicast", v6(0xff00, 0, 0), 8),                              // RFC 4291
];

/// All that IANA has given out for hosts.
const GLOBAL_UNICAST: (Ipv6Addr, u8) = (v6(0x2000, 0, 0), 3);

/// The IPv4 address that a transition form carries: where a packet for it comes out in the end.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let within = |first: Ipv6Addr, prefix| same(first.to_bits(), bits, prefix, 128);
    let low = Ipv4Addr::from_bits(bits as u32);
    if address == Ipv6Addr::UNSPECIFIED || address == Ipv6Addr::LOCALHOST {
        None
    } else if within(Ipv6Addr::UNSPECIFIED, 96)
        || within(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)
        || within(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96)
        || within(v6(0x64, 0xff9b, 0), 96)
        || within(v6(0x64, 0xff9b, 1), 48)
    {
        // A local NAT64 with a prefix under 96 bits keeps it elsewhere (RFC 6052, 2.2); its range has to be granted anyhow.
        Some(low)
    } else if within(v6(0x2002, 0, 0), 16) {
        Some(Ipv4Addr::from_bits((bits >> 80) as u32))
    } else if within(v6(0x2001, 0, 0), 32) {
        // Teredo keeps the client's address with its bits turned over (RFC 4380, 4).
        Some(Ipv4Addr::from_bits(!(bits as u32)))
    } else {
        None
    }
}

/// Whether an address, or the IPv4 address that it carries, lies in one of these ranges.
pub(crate) fn is_within(address: IpAddr, ranges: &[Range]) -> bool {
    let carried = match address {
        IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    [Some(address), carried].into_iter().flatten().any(|address| ranges.iter().any(|range| range.contains(address)))
}

/// Says why an address is not reached, given the ranges that were granted beyond the public ones; `None` where it may be.
///
/// An IPv6 address that carries an IPv4 address is reached only if both are allowed. A metadata address is granted by a
/// range of that one address alone.
pub fn refusal(address: IpAddr, granted: &[Range]) -> Option<&'static str> {
    if METADATA.contains(&address) {
        let named = granted.iter().any(|range| range.is_single() && range.contains(address));
        return (!named).then_some("cloud metadata");
    }
    let special = match address {
        IpAddr::V4(v4) => V4
            .iter()
            .find(|(_, first, bits)| same(first.to_bits().into(), v4.to_bits().into(), *bits, 32))
            .map(|found| found.0),
        IpAddr::V6(v6) => {
            let within = |first: Ipv6Addr, bits| same(first.to_bits(), v6.to_bits(), bits, 128);
            let special = V6.iter().find(|(_, first, bits)| within(*first, *bits)).map(|found| found.0);
            special.or_else(|| (!within(GLOBAL_UNICAST.0, GLOBAL_UNICAST.1)).then_some("reserved"))
        }
    };
    if special.is_some() && !granted.iter().any(|range| range.contains(address)) {
        return special;
    }
    match address {
        IpAddr::V6(v6) => embedded(v6).and_then(|v4| refusal(v4.into(), granted)),
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, granted: &[&str], expected: Option<&str>) {
        let granted: Vec<Range> = granted.iter().map(|range| range.parse().unwrap()).collect();
        assert_eq!(refusal(address.parse().unwrap(), &granted), expected, "{address} with {granted:?}");
    }

    #[test]
    fn every_range_is_refused_from_its_first_address_to_its_last_and_not_beside_them() {
        for (reason, first, bits) in V4 {
            let (first, last) = (first.to_bits(), first.to_bits() | (u64::from(u32::MAX) >> bits) as u32);
            for inside in [first, last, first + (last - first) / 2] {
                let found = refusal(Ipv4Addr::from_bits(inside).into(), &[]);
                assert!(found == Some(reason) || found == Some("cloud metadata"), "{reason} {inside:#x}: {found:?}");
            }
            for beside in [first.wrapping_sub(1), last.wrapping_add(1)] {
                assert_ne!(refusal(Ipv4Addr::from_bits(beside).into(), &[]), Some(reason), "beside {reason}");
            }
        }
        for (reason, first, bits) in V6 {
            let last = first.to_bits() | u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            for inside in [first.to_bits(), last] {
                assert!(refusal(Ipv6Addr::from_bits(inside).into(), &[]).is_some(), "{reason}: {inside:#x}");
            }
        }
        for (address, reason) in [
            ("::2", "IPv4-compatible"),
            ("::ffff:8.8.8.8", "IPv4-mapped"),
            ("64:ff9b::808:808", "NAT64"),
            ("64:ff9b:1:2::1", "local NAT64"),
            ("2001:0:1::", "Teredo"),
            ("2001:2::5", "benchmarking"),
            ("2001:1ff::5", "protocol assignment"),
            ("2002:808:808::", "6to4"),
            ("3fff:fff::1", "documentation"),
            ("fdff::1", "unique-local"),
            ("febf::1", "link-local"),
            ("feff::1", "site-local"),
            ("ff02::1", "multicast"),
            ("4000::1", "reserved"),
            ("1fff::1", "reserved"),
            ("fe00::1", "reserved"),
        ] {
            check(address, &[], Some(reason));
        }
    }

    #[test]
    fn public_addresses_are_reached() {
        for address in ["1.1.1.1", "8.8.8.8", "9.255.255.255", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1"]
        {
            check(address, &[], None);
        }
        for address in ["2606:4700::1111", "2001:200::1", "2a00:1450::1", "2003::1", "3ffe::1", "2001:db9::1"] {
            check(address, &[], None);
        }
    }

    #[test]
    fn a_range_grants_what_it_holds_and_nothing_else() {
        check("10.1.2.3", &["10.1.0.0/16"], None);
        check("10.2.0.0", &["10.1.0.0/16"], Some("private"));
        check("127.0.0.1", &["127.0.0.1"], None);
        check("127.0.0.2", &["127.0.0.1/32"], Some("loopback"));
        check("::1", &["127.0.0.0/8"], Some("loopback"));
        check("::1", &["::1"], None);
        check("fd00::1", &["::/0"], None);
        check("10.0.0.1", &["::/0"], Some("private"));
        check("10.0.0.1", &["0.0.0.0/0"], None);
    }

    #[test]
    fn a_metadata_address_is_granted_by_its_own_range_alone() {
        for address in METADATA {
            let wide = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
            assert_eq!(refusal(address, &wide), Some("cloud metadata"), "{address}");
            assert_eq!(refusal(address, &[address.to_string().parse().unwrap()]), None, "{address}");
        }
        check("::ffff:169.254.169.254", &["::ffff:0:0/96", "169.254.0.0/16"], Some("cloud metadata"));
    }

    #[test]
    fn a_transition_form_needs_its_own_range_and_that_of_what_it_embeds() {
        for (form, its_range) in [
            ("::ffff:10.0.0.1", "::ffff:0:0/96"),
            ("::10.0.0.1", "::/96"),
            ("::ffff:0:10.0.0.1", "::ffff:0:0:0/96"),
            ("64:ff9b::10.0.0.1", "64:ff9b::/96"),
            ("64:ff9b:1::10.0.0.1", "64:ff9b:1::/48"),
            ("2002:a00:1::1", "2002::/16"),
            // 10.0.0.1 turned over.
            ("2001:0:1:2:3:4:f5ff:fffe", "2001::/32"),
        ] {
            assert!(refusal(form.parse().unwrap(), &["10.0.0.0/8".parse().unwrap()]).is_some(), "{form}");
            check(form, &[its_range], Some("private"));
            check(form, &[its_range, "10.0.0.0/8"], None);
        }
        check("64:ff9b::8.8.8.8", &["64:ff9b::/96"], None);
    }

    #[test]
    fn a_range_that_does_not_say_what_it_grants_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "fd00::1/16",
            "10/8",
            "a/8",
            "0.0.0.1/0",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
        for text in ["10.0.0.0/8", "::/0", "0.0.0.0/0", "127.0.0.1/32", "fd00:1::/32"] {
            assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
        }
    }
}
