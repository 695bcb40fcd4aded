//! Ranges of sizes and costs, and how an excess is told.

/// What an evaluation costs at the least and at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostEstimate {
    /// At the least.
    pub min: u64,
    /// At the most; saturates.
    pub max: u64,
}

impl CostEstimate {
    pub(super) fn fixed(cost: u64) -> Self {
        Self { min: cost, max: cost }
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(super) fn plus(self, cost: u64) -> Self {
        self.add(Self::fixed(cost))
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// How large a text, list or map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Size {
    pub(super) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    pub(super) fn exactly(size: u64) -> Self {
        Self { min: size, max: size }
    }

    pub(super) fn up_to(max: u64) -> Self {
        Self { min: 0, max }
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Going over it `tenths` tenths of a unit for each character.
    pub(super) fn traversed(self, tenths: u64) -> CostEstimate {
        // What is beyond all bounds stays there.
        let cost = |size: u64| {
            if size == u64::MAX {
                size
            } else {
                size.saturating_mul(tenths).div_ceil(10)
            }
        };
        CostEstimate {
            min: cost(self.min),
            max: cost(self.max),
        }
    }

    /// The size of a pattern as a cost.
    pub(super) fn as_pattern(self) -> CostEstimate {
        CostEstimate {
            min: self.min.div_ceil(4),
            max: self.max.div_ceil(4),
        }
    }

    pub(super) fn as_cost(self) -> CostEstimate {
        CostEstimate {
            min: self.min,
            max: self.max,
        }
    }

    /// What any of them can be; of none, nothing.
    pub(super) fn of_all(sizes: impl Iterator<Item = Self>) -> Self {
        sizes.reduce(Self::union).unwrap_or(Self::exactly(0))
    }
}

/// The sizes of a made list's or map's contents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    pub(super) key: Size,
    pub(super) value: Size,
}

impl Entries {
    pub(super) fn of_list(value: Size) -> Self {
        Self {
            key: Size::exactly(1),
            value,
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self {
            key: self.key.union(other.key),
            value: self.value.union(other.value),
        }
    }
}

/// What Kubernetes says of a cost over the limit; `None` when it is within. `what` is `estimated rule cost` or the like.
#[expect(clippy::cast_precision_loss, reason = "the factor is shown with one decimal")]
pub fn excess(what: &str, cost: u64, limit: u64) -> Option<String> {
    if cost <= limit {
        return None;
    }
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    Some(format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    ))
}
