//! What calls cost: cel-go's model, with the prices of Kubernetes' functions. Charged before the call is made, but where
//! only the result tells.

use crate::library::regexes::REGEX_FACTOR;
use crate::value::{Library, OpaqueValue, Value};

/// How the price of a call follows from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    Fixed(u64),
    /// Going over the first argument so many times.
    First(u64),
    /// Going over bytes; what else is converted is small.
    Bytes,
    /// Going over the result twice.
    Result,
    /// Going over every part of the first argument.
    Traversal,
    /// As far as both go.
    Compare,
    Add,
    /// The size of what is searched.
    Membership,
    Contains,
    Regex,
    ContainsIp,
    ContainsCidr,
    Validate,
    Selector,
    /// Every element with every other, so many times.
    Pairs(u64),
}

/// The price of asking the authorizer: it may have to look far.
const CHECK: u64 = 350_000;

/// By the function's name.
pub(crate) fn of(function: &str) -> Price {
    match function {
        "check" => Price::Fixed(CHECK),
        "fieldSelector" | "labelSelector" => Price::Selector,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Price::Traversal,
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR" | "ip" | "quantity"
        | "isQuantity" | "semver" | "isSemver" | "startsWith" | "endsWith" | "strings.quote" | "format" | "bytes" => {
            Price::First(1)
        }
        "string" => Price::Bytes,
        "replace" | "split" | "ip.isCanonical" => Price::First(2),
        "join" => Price::Result,
        "find" | "findAll" | "matches" => Price::Regex,
        "contains" => Price::Contains,
        "containsIP" => Price::ContainsIp,
        "containsCIDR" => Price::ContainsCidr,
        "validate" => Price::Validate,
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => Price::Compare,
        "_+_" => Price::Add,
        "@in" => Price::Membership,
        "sets.contains" | "sets.intersects" => Price::Pairs(1),
        "sets.equivalent" => Price::Pairs(2),
        _ => Price::Fixed(1),
    }
}

/// A tenth for each character, rounded up.
fn text(size: u64) -> u64 {
    size.div_ceil(10)
}

fn size(args: &[Value<'_>], index: usize) -> u64 {
    args.get(index).map_or(1, Value::cost_size)
}

impl Price {
    pub(crate) fn before(self, args: &[Value<'_>]) -> u64 {
        match self {
            Price::Fixed(cost) => cost,
            Price::First(times) => match args.first() {
                Some(Value::String(_) | Value::Bytes(_)) => text(size(args, 0) * times),
                _ => 1,
            },
            Price::Bytes => match args.first() {
                Some(Value::Bytes(bytes)) => text(bytes.len() as u64),
                _ => 1,
            },
            Price::Result => 0,
            Price::Traversal => args.first().map_or(1, traversal),
            Price::Compare => compare(args),
            Price::Add => match args.first() {
                Some(Value::String(_) | Value::Bytes(_)) => text(size(args, 0).saturating_add(size(args, 1))),
                _ => 1,
            },
            Price::Membership => match args.get(1) {
                Some(Value::List(list)) => list.len() as u64,
                _ => 1,
            },
            Price::Contains => text(size(args, 0)).saturating_mul(text(size(args, 1))),
            Price::Regex => {
                let pattern = size(args, 1).div_ceil(REGEX_FACTOR);
                text(size(args, 0) + 1).saturating_mul(pattern)
            }
            Price::ContainsIp => text(2 * size(args, 0)) + extra(args),
            Price::ContainsCidr => text(2 * size(args, 0)) + text(size(args, 0)) + 1 + extra(args),
            Price::Validate => {
                let pattern = match args.first() {
                    Some(Value::Opaque(OpaqueValue(Library::Format(format)))) => format.regex_size,
                    _ => 1,
                };
                text(size(args, 1) + 1).saturating_mul(pattern.div_ceil(REGEX_FACTOR))
            }
            // One list, the text, and for every second character a requirement.
            Price::Selector => {
                let length = size(args, 1);
                10 + text(length) + length.div_ceil(2).saturating_mul(50)
            }
            Price::Pairs(times) => 1 + size(args, 0).saturating_mul(size(args, 1)).saturating_mul(times),
        }
    }

    pub(crate) fn after(self, result: &Value<'_>) -> u64 {
        match self {
            Price::Result => text(result.cost_size() * 2),
            _ => 0,
        }
    }
}

fn traversal(value: &Value<'_>) -> u64 {
    let each = |value: &Value<'_>| match value {
        Value::String(text) => text.len() as u64 / 10,
        Value::Bytes(bytes) => bytes.len() as u64 / 10,
        _ => 1,
    };
    match value {
        Value::List(list) => list.iter().map(|item| item.map_or(1, |item| each(&item))).sum(),
        other => each(other),
    }
}

fn compare(args: &[Value<'_>]) -> u64 {
    match args.first() {
        Some(Value::Opaque(_)) => 1,
        _ => text(size(args, 0).min(size(args, 1))),
    }
}

/// An argument that is a text still has to be parsed.
fn extra(args: &[Value<'_>]) -> u64 {
    match args.get(1) {
        Some(Value::String(_)) => text(size(args, 1)),
        _ => 0,
    }
}
