//! What keeps a namespace, as its five conditions tell it: upstream's types, reasons and words
//! (`pkg/controller/namespace/deletion/status_condition_utils.go`). Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NamespaceCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Left;

/// Type, and the reason and words when all is well.
type Row = (&'static str, &'static str, &'static str);

const DISCOVERY: Row = (
    "NamespaceDeletionDiscoveryFailure",
    "ResourcesDiscovered",
    "All resources successfully discovered",
);
const PARSING: Row = (
    "NamespaceDeletionGroupVersionParsingFailure",
    "ParsedGroupVersions",
    "All legacy kube types successfully parsed",
);
const CONTENT: Row = (
    "NamespaceDeletionContentFailure",
    "ContentDeleted",
    "All content successfully deleted, may be waiting on finalization",
);
const REMAINING: Row = (
    "NamespaceContentRemaining",
    "ContentRemoved",
    "All content successfully removed",
);
const FINALIZERS: Row = (
    "NamespaceFinalizersRemaining",
    "ContentRemoved",
    "All content successfully removed",
);

/// What one look at a namespace found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Why it is not known what there is to delete.
    pub(super) undiscovered: Option<String>,
    /// What could not be deleted or counted.
    pub(super) failures: Vec<String>,
    /// How many objects are left, by `plural.group`.
    remaining: BTreeMap<String, usize>,
    /// How many of them each finalizer holds.
    finalizers: BTreeMap<String, usize>,
}

impl Findings {
    /// Takes in what is left of a resource.
    pub(super) fn left(&mut self, plural: &str, group: &str, left: Left) {
        if left.count > 0 {
            self.remaining.insert(format!("{plural}.{group}"), left.count);
        }
        for (finalizer, count) in left.finalizers {
            *self.finalizers.entry(finalizer).or_default() += count;
        }
    }

    /// Whether nothing is in the way.
    pub(super) fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Writes it down. A time changes only with the truth of its condition.
    pub(super) fn tell(&self, conditions: &mut Vec<NamespaceCondition>, now: Timestamp) {
        let list = |counts: &BTreeMap<String, usize>, between: &str| {
            let parts = counts
                .iter()
                .map(|(of, count)| format!("{of} {between} {count} resource instances"));
            let mut parts: Vec<String> = parts.collect();
            parts.sort();
            parts.join(", ")
        };
        let mut failures = self.failures.clone();
        failures.sort();
        let undiscovered = self.undiscovered.clone().map(|why| ("DiscoveryFailed", why));
        let failed = (!failures.is_empty()).then(|| {
            let words = format!(
                "Failed to delete all resource types, {} remaining: {}",
                failures.len(),
                failures.join(", ")
            );
            ("ContentDeletionFailed", words)
        });
        let remaining = (!self.remaining.is_empty()).then(|| {
            let words = format!("Some resources are remaining: {}", list(&self.remaining, "has"));
            ("SomeResourcesRemain", words)
        });
        let held = (!self.finalizers.is_empty()).then(|| {
            let words = format!(
                "Some content in the namespace has finalizers remaining: {}",
                list(&self.finalizers, "in")
            );
            ("SomeFinalizersRemain", words)
        });
        for (row, bad) in [
            (DISCOVERY, undiscovered),
            (PARSING, None),
            (CONTENT, failed),
            (REMAINING, remaining),
            (FINALIZERS, held),
        ] {
            set(conditions, row, bad, now);
        }
    }
}

fn set(conditions: &mut Vec<NamespaceCondition>, row: Row, bad: Option<(&str, String)>, now: Timestamp) {
    let status = if bad.is_some() { "True" } else { "False" };
    let (reason, message) = bad.unwrap_or((row.1, row.2.to_owned()));
    let old = conditions.iter_mut().find(|condition| condition.type_ == row.0);
    let since = match &old {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        _ => Some(Time(now)),
    };
    let new = NamespaceCondition {
        type_: row.0.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since,
    };
    match old {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(conditions: &'a [NamespaceCondition], kind: &str) -> (&'a str, &'a str) {
        let found = conditions.iter().find(|c| c.type_ == kind).unwrap();
        (found.status.as_str(), found.message.as_deref().unwrap())
    }

    #[test]
    fn what_is_left_is_counted_by_resource_and_by_finalizer() {
        let mut findings = Findings::default();
        let held = |count| Left {
            count,
            finalizers: [("e.org/x".to_owned(), count)].into(),
        };
        findings.left("jobs", "breakbulk.dev", held(2));
        findings.left("configmaps", "", held(1));
        let mut conditions = Vec::new();
        let then = Timestamp::from_second(1).unwrap();
        findings.tell(&mut conditions, then);
        assert_eq!(conditions.len(), 5);
        assert_eq!(
            told(&conditions, "NamespaceContentRemaining"),
            (
                "True",
                "Some resources are remaining: configmaps. has 1 resource instances, jobs.breakbulk.dev has 2 resource instances"
            )
        );
        assert_eq!(
            told(&conditions, "NamespaceFinalizersRemaining"),
            (
                "True",
                "Some content in the namespace has finalizers remaining: e.org/x in 3 resource instances"
            )
        );
        assert_eq!(told(&conditions, "NamespaceDeletionContentFailure").0, "False");

        let before = conditions.clone();
        findings.tell(&mut conditions, Timestamp::from_second(9).unwrap());
        assert_eq!(conditions, before, "what says the same stays the same");
        Findings::default().tell(&mut conditions, Timestamp::from_second(9).unwrap());
        assert_eq!(told(&conditions, "NamespaceContentRemaining").0, "False");
        let moved = conditions.iter().filter(|c| c.last_transition_time != Some(Time(then)));
        assert_eq!(moved.count(), 2);
    }
}
