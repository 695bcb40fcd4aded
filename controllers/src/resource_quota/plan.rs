//! What a quota's status is to be, and whether that may be written at once. Pure.

use std::collections::BTreeMap;

use breakbulk_schemas::Job;
use breakbulk_schemas::amount::Amount;
use breakbulk_schemas::quota::{self, Amounts};
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What is to be done about a quota's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It says what is so.
    Nothing,
    /// It says too little, or nothing.
    Write,
    /// It says too much: perhaps what was charged is only on its way.
    Lower,
}

/// What the Jobs use that a quota is about.
pub(super) fn of_jobs(spec: &ResourceQuotaSpec, jobs: &[Job]) -> Amounts {
    let mut used = Amounts::new();
    for job in jobs.iter().filter(|job| quota::is_about(spec, job)) {
        for (name, amount) in quota::of_job(job) {
            let sum = used.entry(name).or_default();
            *sum = *sum + amount;
        }
    }
    used
}

/// What a quota says is used.
pub(super) fn charged(quota: &ResourceQuota) -> Amounts {
    let used = quota.status.as_ref().and_then(|status| status.used.as_ref());
    let read = |(name, quantity): (&String, &Quantity)| Some((name.clone(), quantity.0.parse().ok()?));
    used.into_iter().flatten().filter_map(read).collect()
}

/// What was counted, with all that was charged between `then` and `now`: of that nobody knows whether it was counted.
pub(super) fn with_charges(counted: &Amounts, then: &Amounts, now: &Amounts) -> Amounts {
    let mut sums = counted.clone();
    for (name, now) in now {
        let before = then.get(name).copied().unwrap_or_default();
        if *now > before {
            let sum = sums.entry(name.clone()).or_default();
            *sum = *sum + (*now - before);
        }
    }
    sums
}

/// The status: the limits as they are wished for, and what of each is used. What nobody can use here is used 0 of.
pub(super) fn status(seen: &ResourceQuota, used: &Amounts) -> ResourceQuotaStatus {
    let hard = seen
        .spec
        .as_ref()
        .and_then(|spec| spec.hard.clone())
        .unwrap_or_default();
    let old = seen.status.as_ref().and_then(|status| status.used.as_ref());
    let one = |name: &String| {
        let now = used.get(name).copied().unwrap_or_default();
        let said = old.and_then(|old| old.get(name));
        // The same amount in another spelling is no change.
        let same = said.filter(|said| said.0.parse::<Amount>() == Ok(now));
        (name.clone(), same.cloned().unwrap_or_else(|| Quantity(now.to_string())))
    };
    let used: BTreeMap<String, Quantity> = hard.keys().map(one).collect();
    ResourceQuotaStatus {
        used: Some(used),
        hard: Some(hard),
    }
}

/// What to do about a quota whose status is to be `wanted`.
pub(super) fn step(seen: &ResourceQuota, wanted: &ResourceQuotaStatus) -> Step {
    let old = seen.status.clone().unwrap_or_default();
    if old == *wanted {
        return Step::Nothing;
    }
    let amount = |list: &Option<BTreeMap<String, Quantity>>, name: &str| {
        list.as_ref()
            .and_then(|list| list.get(name)?.0.parse::<Amount>().ok())
            .unwrap_or_default()
    };
    let names = wanted.used.iter().flatten().map(|(name, _)| name);
    let lower = names
        .into_iter()
        .any(|name| amount(&wanted.used, name) < amount(&old.used, name));
    if lower { Step::Lower } else { Step::Write }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantities(list: &[(&str, &str)]) -> Option<BTreeMap<String, Quantity>> {
        Some(
            list.iter()
                .map(|(n, q)| ((*n).to_owned(), Quantity((*q).to_owned())))
                .collect(),
        )
    }

    fn quota(hard: &[(&str, &str)], used: Option<&[(&str, &str)]>) -> ResourceQuota {
        ResourceQuota {
            spec: Some(ResourceQuotaSpec {
                hard: quantities(hard),
                ..ResourceQuotaSpec::default()
            }),
            status: used.map(|used| ResourceQuotaStatus {
                hard: quantities(hard),
                used: quantities(used),
            }),
            ..ResourceQuota::default()
        }
    }

    fn used(list: &[(&str, u64)]) -> Amounts {
        list.iter().map(|(n, u)| ((*n).to_owned(), Amount::units(*u))).collect()
    }

    #[test]
    fn a_new_quota_gets_its_status_at_once() {
        let new = quota(&[("configmaps", "3"), ("services", "1")], None);
        let status = status(&new, &used(&[("configmaps", 2), ("secrets", 9)]));
        assert_eq!(status.used, quantities(&[("configmaps", "2"), ("services", "0")]));
        assert_eq!(step(&new, &status), Step::Write);
    }

    #[test]
    fn less_is_not_written_as_fast_as_more() {
        let known = quota(&[("configmaps", "3")], Some(&[("configmaps", "2")]));
        let with = |count| step(&known, &status(&known, &used(&[("configmaps", count)])));
        assert_eq!((with(1), with(2), with(3)), (Step::Lower, Step::Nothing, Step::Write));
    }

    #[test]
    fn what_was_charged_since_stays_charged() {
        let quota = quota(
            &[("configmaps", "9"), ("secrets", "9")],
            Some(&[("configmaps", "7"), ("secrets", "3")]),
        );
        let then = used(&[("configmaps", 5), ("secrets", 4)]);
        let counted = used(&[("configmaps", 3), ("secrets", 1)]);
        let sums = with_charges(&counted, &then, &charged(&quota));
        assert_eq!(sums, used(&[("configmaps", 5), ("secrets", 1)]));
    }

    #[test]
    fn another_spelling_of_the_same_is_no_change() {
        let known = quota(&[("cpu", "4")], Some(&[("cpu", "2000m")]));
        assert_eq!(step(&known, &status(&known, &used(&[("cpu", 2)]))), Step::Nothing);
    }
}
