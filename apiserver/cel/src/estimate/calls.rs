//! Calls: what each function can cost, and how large its result can be.

use crate::estimate::size::{CostEstimate, Entries, Size};
use crate::estimate::{Estimator, Part, sum};
use crate::library::Overload;
use crate::syntax::Expr;
use crate::types::{Opaque, Type};

/// The size of the largest pattern of a named format.
const FORMAT_PATTERN: u64 = 128;
const CHECK: u64 = 350_000;
const ADDRESS: Size = Size { min: 4, max: 16 };

/// The cost of a call without that of its arguments, and the size of its result.
struct Found {
    cost: CostEstimate,
    size: Option<Size>,
}

impl Found {
    fn cost(cost: CostEstimate) -> Self {
        Self { cost, size: None }
    }

    fn fixed(cost: u64) -> Self {
        Self::cost(CostEstimate::fixed(cost))
    }

    fn sized(cost: CostEstimate, size: Size) -> Self {
        let size = Some(size);
        Self { cost, size }
    }
}

impl<'e> Estimator<'e> {
    pub(super) fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Part<'e> {
        let overloads = self.checked.overloads(expr.id);
        let target = target.filter(|_| overloads.first().is_some_and(|overload| overload.member));
        let parts: Vec<Part<'e>> = target.into_iter().chain(args).map(|arg| self.visit(arg)).collect();
        if function == "dyn"
            && let [inner] = parts.as_slice()
        {
            let mut part = inner.clone();
            part.cost = part.cost.plus(1);
            part.ty = Type::Dyn;
            part.path = None;
            return part;
        }
        if function == "_?_:_"
            && let [condition, then, otherwise] = parts.as_slice()
        {
            return self.conditional(expr, condition, then, otherwise);
        }
        let found: Vec<Found> = overloads.iter().map(|overload| estimate(overload, &parts)).collect();
        let own = found
            .iter()
            .map(|found| found.cost)
            .reduce(CostEstimate::union)
            .unwrap_or_default();
        let mut part = self.part(expr, sum(&parts).add(own));
        part.size = found.iter().filter_map(|found| found.size).reduce(Size::union);
        self.contents(function, overloads, &parts, &mut part);
        part
    }

    /// What an index gives comes from where its container does; what `+` gives holds what both do.
    fn contents(&self, function: &str, overloads: &[&'static Overload], parts: &[Part<'e>], part: &mut Part<'e>) {
        let [first, second] = parts else { return };
        let indexed = overloads
            .iter()
            .any(|overload| matches!(overload.id, "index_list" | "index_map"));
        if indexed {
            part.size = first.entries.map(|entries| entries.value);
            part.path = first.path.and_then(|path| path.element());
        }
        if function == "_+_" {
            part.entries = union(first.entries, second.entries);
        }
    }

    fn conditional(&self, expr: &Expr, condition: &Part<'e>, then: &Part<'e>, otherwise: &Part<'e>) -> Part<'e> {
        let mut part = self.part(expr, condition.cost.add(then.cost.union(otherwise.cost)));
        part.size = Some(then.size_or_unknown().union(otherwise.size_or_unknown()));
        part.entries = union(then.entries, otherwise.entries);
        part
    }
}

fn union(a: Option<Entries>, b: Option<Entries>) -> Option<Entries> {
    a.zip(b).map(|(a, b)| a.union(b))
}

fn size(parts: &[Part<'_>], index: usize) -> Size {
    parts.get(index).map_or(Size::UNKNOWN, Part::size_or_unknown)
}

fn estimate(overload: &Overload, parts: &[Part<'_>]) -> Found {
    kubernetes(overload, parts)
        .or_else(|| texts(overload, parts))
        .unwrap_or_else(|| standard(overload, parts))
}

/// Kubernetes' own functions.
fn kubernetes(overload: &Overload, parts: &[Part<'_>]) -> Option<Found> {
    let first = size(parts, 0);
    let second = size(parts, 1);
    let extra = |ids: &[&str]| {
        if ids.contains(&overload.id) {
            second.traversed(1)
        } else {
            CostEstimate::fixed(0)
        }
    };
    Some(match overload.function {
        "check" => Found::fixed(CHECK),
        "fieldSelector" | "labelSelector" => {
            let requirements = second.traversed(5).times(CostEstimate::fixed(50));
            Found::cost(CostEstimate::fixed(10).add(second.traversed(1)).add(requirements))
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Found::cost(traversal(parts)),
        "url" => Found::sized(first.traversed(1), first),
        "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            Found::cost(first.traversed(1))
        }
        "ip" if overload.id != "cidr_ip" => Found::cost(first.traversed(1)),
        "ip.isCanonical" => Found::cost(first.traversed(2)),
        "containsIP" => Found::cost(
            ADDRESS
                .add(ADDRESS)
                .traversed(1)
                .add(extra(&["cidr_contains_ip_string"])),
        ),
        "containsCIDR" => {
            let both = ADDRESS.add(ADDRESS).traversed(1).add(ADDRESS.traversed(1));
            Found::cost(both.plus(1).add(extra(&["cidr_contains_cidr_string"])))
        }
        "validate" => {
            let pattern = CostEstimate::fixed(FORMAT_PATTERN.div_ceil(4));
            Found::cost(second.traversed(1).times(pattern))
        }
        "_==_" => equality(parts)?,
        "sets.contains" | "sets.intersects" => Found::cost(first.times(second).as_cost().plus(1)),
        "sets.equivalent" => Found::cost(first.times(second).as_cost().times(CostEstimate::fixed(2)).plus(1)),
        _ => return None,
    })
}

/// Comparing the values of Kubernetes' libraries.
fn equality(parts: &[Part<'_>]) -> Option<Found> {
    let [a, b] = parts else { return None };
    match (&a.ty, &b.ty) {
        (Type::Opaque(a), Type::Opaque(b)) if a == b => Some(match a {
            Opaque::Url | Opaque::Format => {
                let size = size(parts, 0).union(size(parts, 1));
                Found::cost(
                    Size {
                        min: 1,
                        max: size.max.max(1),
                    }
                    .traversed(1),
                )
            }
            _ => Found::fixed(1),
        }),
        _ => None,
    }
}

/// Going over a list, its texts included; of a text, over its characters.
fn traversal(parts: &[Part<'_>]) -> CostEstimate {
    let Some(target) = parts.first() else {
        return CostEstimate::fixed(1);
    };
    let Type::List(element) = &target.ty else {
        return target.size_or_unknown().traversed(1);
    };
    let mut each = CostEstimate::fixed(1);
    if matches!(**element, Type::String | Type::Bytes) {
        each = each.add(element_size(target).traversed(1));
    }
    target.size_or_unknown().as_cost().times(each)
}

fn element_size(list: &Part<'_>) -> Size {
    let of = list.path.and_then(|path| path.element());
    of.map_or(Size::UNKNOWN, |of| Size::up_to(of.max_elements))
}

/// Functions on texts.
fn texts(overload: &Overload, parts: &[Part<'_>]) -> Option<Found> {
    let first = size(parts, 0);
    Some(match overload.function {
        "lowerAscii" | "upperAscii" | "substring" | "trim" => Found::sized(first.traversed(1), first),
        "replace" => Found::sized(first.traversed(2), replaced(first, size(parts, 1), size(parts, 2))),
        "split" => {
            let most = parts
                .get(2)
                .and_then(|part| part.literal)
                .and_then(|most| u64::try_from(most).ok());
            Found::sized(first.traversed(2), Size::up_to(most.unwrap_or(first.max)))
        }
        "join" => {
            let listed = parts.first().map_or(Size::UNKNOWN, element_size);
            let mut result = first.times(listed);
            if let Some(separator) = parts.get(1) {
                let gaps = Size {
                    min: first.min.saturating_sub(1),
                    max: first.max.saturating_sub(1),
                };
                result = result.add(separator.size_or_unknown().times(gaps));
            }
            Found::sized(result.traversed(1), result)
        }
        "find" | "findAll" => {
            let text = first.add(Size::exactly(1)).traversed(1);
            Found::sized(text.times(size(parts, 1).as_pattern()), Size::up_to(first.max))
        }
        _ => return None,
    })
}

/// How large a text can be after its replacements.
fn replaced(text: Size, old: Size, new: Size) -> Size {
    let mut count = Size::exactly(0);
    let mut kept = Size::exactly(0);
    if old.min == 0 {
        count.max = text.max.saturating_add(1);
        kept.max = text.max;
    } else if new.max <= old.min {
        kept.max = text.max;
    } else {
        count.max = text.max.div_ceil(old.min);
    }
    if old.max == 0 {
        count.min = text.min.saturating_add(1);
        kept.min = text.min;
    } else if old.max <= new.min {
        kept.min = text.min;
    } else {
        count.min = text.min.div_ceil(old.max);
    }
    count.times(new).add(kept)
}

/// The standard functions, by overload; what is not named costs one.
fn standard(overload: &Overload, parts: &[Part<'_>]) -> Found {
    let first = size(parts, 0);
    let second = size(parts, 1);
    let one = Size::exactly(1);
    match overload.id {
        "string_format" => Found::cost(first.traversed(1)),
        "string_to_bytes" => {
            let max = first.max.saturating_mul(4);
            Found::sized(first.traversed(1), Size { max, ..first })
        }
        "bytes_to_string" => {
            let min = first.min / 4;
            Found::sized(first.traversed(1), Size { min, ..first })
        }
        "strings_quote" => {
            let two = Size::exactly(2);
            let max = first.max.saturating_mul(2);
            Found::sized(first.traversed(1), Size { max, ..first }.add(two))
        }
        "starts_with_string" | "ends_with_string" => Found::cost(second.traversed(1)),
        "in_list" => Found::cost(second.as_cost()),
        "matches" | "matches_string" => Found::cost(first.add(one).traversed(1).times(second.as_pattern())),
        "contains_string" => Found::cost(first.traversed(1).times(second.traversed(1))),
        "add_string" | "add_bytes" => {
            let both = first.add(second);
            Found::sized(both.traversed(1), both)
        }
        "add_list" => Found::sized(CostEstimate::fixed(1), first.add(second)),
        id if is_comparison(id) => {
            let max = first.max.min(second.max);
            Found::cost(Size { min: max.min(1), max }.traversed(1))
        }
        _ => Found::fixed(1),
    }
}

/// Those that go over texts.
fn is_comparison(id: &str) -> bool {
    matches!(id, "equals" | "not_equals")
        || ["less_", "less_equals_", "greater_", "greater_equals_"]
            .iter()
            .any(|prefix| matches!(id.strip_prefix(prefix), Some("string" | "bytes")))
}
