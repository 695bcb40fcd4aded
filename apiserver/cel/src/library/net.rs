//! IP addresses and networks: Kubernetes' `ip` and `cidr`. Zones and IPv4 addresses in IPv6 notation are refused.

use std::fmt;
use std::net::IpAddr;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, unsupported};
use crate::value::{Library, OpaqueValue, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

/// An address and how many of its bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    ip: IpAddr,
    length: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.length)
    }
}

impl Cidr {
    /// Bytes of the network's bits.
    pub(crate) fn cost_size(&self) -> u64 {
        u64::from(self.length.div_ceil(8))
    }

    fn masked(self) -> Self {
        let length = u32::from(self.length);
        let ip = match self.ip {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()),
        };
        Self { ip, ..self }
    }

    fn contains(self, ip: IpAddr) -> bool {
        let length = self.length;
        ip.is_ipv4() == self.ip.is_ipv4() && Self { ip, length }.masked().ip == self.masked().ip
    }
}

macro_rules! of_ip {
    ($name:literal, $id:literal, $of:expr) => {
        Declaration {
            name: $name,
            overloads: &[($id, "Ip.() -> bool")],
            run: |_: &mut Meter, args| match args {
                [Value::Opaque(OpaqueValue(Library::Ip(ip)))] => Ok(Value::Bool($of(ip))),
                _ => unsupported(),
            },
        }
    };
}

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "ip",
        overloads: &[("string_to_ip", "(string) -> Ip"), ("cidr_ip", "Cidr.() -> Ip")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::library(Library::Ip(parse_ip(text)?))),
            [Value::Opaque(OpaqueValue(Library::Cidr(cidr)))] => Ok(Value::library(Library::Ip(cidr.ip))),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "ip.isCanonical",
        overloads: &[("ip_is_canonical", "(string) -> bool")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse_ip(text)?.to_string() == **text)),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "isIP",
        overloads: &[("is_ip", "(string) -> bool")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse_ip(text).is_ok())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "family",
        overloads: &[("ip_family", "Ip.() -> int")],
        run: |_, args| match args {
            [Value::Opaque(OpaqueValue(Library::Ip(ip)))] => Ok(Value::Int(if ip.is_ipv4() { 4 } else { 6 })),
            _ => unsupported(),
        },
    },
    of_ip!("isUnspecified", "ip_is_unspecified", IpAddr::is_unspecified),
    of_ip!("isLoopback", "ip_is_loopback", IpAddr::is_loopback),
    of_ip!(
        "isLinkLocalMulticast",
        "ip_is_link_local_multicast",
        is_link_local_multicast
    ),
    of_ip!("isLinkLocalUnicast", "ip_is_link_local_unicast", is_link_local_unicast),
    of_ip!("isGlobalUnicast", "ip_is_global_unicast", is_global_unicast),
    Declaration {
        name: "cidr",
        overloads: &[("string_to_cidr", "(string) -> Cidr")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::library(Library::Cidr(parse_cidr(text)?))),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "isCIDR",
        overloads: &[("is_cidr", "(string) -> bool")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse_cidr(text).is_ok())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "containsIP",
        overloads: &[
            ("cidr_contains_ip_string", "Cidr.(string) -> bool"),
            ("cidr_contains_ip_ip", "Cidr.(Ip) -> bool"),
        ],
        run: |_, args| match args {
            [Value::Opaque(OpaqueValue(Library::Cidr(cidr))), other] => Ok(Value::Bool(cidr.contains(ip_of(other)?))),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "containsCIDR",
        overloads: &[
            ("cidr_contains_cidr_string", "Cidr.(string) -> bool"),
            ("cidr_contains_cidr", "Cidr.(Cidr) -> bool"),
        ],
        run: contains_cidr,
    },
    Declaration {
        name: "prefixLength",
        overloads: &[("cidr_prefix_length", "Cidr.() -> int")],
        run: |_, args| match args {
            [Value::Opaque(OpaqueValue(Library::Cidr(cidr)))] => Ok(Value::Int(cidr.length.into())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "masked",
        overloads: &[("cidr_masked", "Cidr.() -> Cidr")],
        run: |_, args| match args {
            [Value::Opaque(OpaqueValue(Library::Cidr(cidr)))] => Ok(Value::library(Library::Cidr(cidr.masked()))),
            _ => unsupported(),
        },
    },
];

fn contains_cidr<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(OpaqueValue(Library::Cidr(cidr))), other] = args else {
        return unsupported();
    };
    let other = match other {
        Value::String(text) => parse_cidr(text)?,
        Value::Opaque(OpaqueValue(Library::Cidr(other))) => *other,
        _ => return unsupported(),
    };
    Ok(Value::Bool(cidr.length <= other.length && cidr.contains(other.ip)))
}

fn ip_of(value: &Value<'_>) -> Result<IpAddr, EvalError> {
    match value {
        Value::String(text) => parse_ip(text),
        Value::Opaque(OpaqueValue(Library::Ip(ip))) => Ok(*ip),
        _ => unsupported(),
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, EvalError> {
    let fail = |reason: String| Err(EvalError::failed(reason));
    if text.contains('%') && text.contains(':') {
        return fail(format!("IP address {text:?} with zone value is not allowed"));
    }
    match text.parse() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            fail(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
        }
        Ok(ip) => Ok(ip),
        Err(_) => fail(format!(
            "IP Address {text:?} parse error during conversion from string: {}",
            unparsed(text)
        )),
    }
}

/// Why Go's parser does not take an address, in its words.
fn unparsed(text: &str) -> String {
    let dots = text.matches('.').count();
    let version4 = dots > 0 && text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let zero = |octet: &str| octet.len() > 1 && octet.starts_with('0');
    let reason = if !version4 {
        "unable to parse IP"
    } else if dots > 3 {
        "IPv4 address too long"
    } else if dots < 3 {
        "IPv4 address too short"
    } else if text.split('.').any(zero) {
        "IPv4 field has octet with leading zero"
    } else {
        "IPv4 field has value >255"
    };
    format!("ParseAddr({text:?}): {reason}")
}

fn parse_cidr(text: &str) -> Result<Cidr, EvalError> {
    let fail = |reason: &str| {
        // Kubernetes says it twice.
        let twice = "network address parse error during conversion from string: ".repeat(2);
        Err(EvalError::failed(format!(
            "{twice}netip.ParsePrefix({text:?}): {reason}"
        )))
    };
    let Some((address, length)) = text.rsplit_once('/') else {
        return fail("no '/'");
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return fail(&unparsed(address));
    };
    if let IpAddr::V6(ip) = ip
        && ip.to_ipv4_mapped().is_some()
    {
        return Err(EvalError::failed(format!(
            "IPv4-mapped IPv6 address {text:?} is not allowed"
        )));
    }
    let digits = length.bytes().all(|c| c.is_ascii_digit()) && (length.len() == 1 || !length.starts_with('0'));
    let most = if ip.is_ipv4() { 32 } else { 128 };
    match length.parse::<u8>() {
        Ok(length) if digits && length <= most => Ok(Cidr { ip, length }),
        Ok(_) if digits => fail("prefix length out of range"),
        _ => fail(&format!("bad bits after slash: {length:?}")),
    }
}

fn is_link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// As Go has it: private addresses are global, too.
fn is_global_unicast(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local_unicast(ip))
}
