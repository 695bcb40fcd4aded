//! The status of a definition: which names it got, whether it is served, how its end is going. Pure: from a definition,
//! the others and a time to the status it should have; whoever calls writes it if it differs.
//!
//! Names are first come, first served, within a group: [`accept`] gives a definition what it asks for unless another
//! one of its group has been given it. What is given stays given, also when an update asks for something else that
//! cannot be had. Upstream's controllers `status`, `establish`, `finalizer` and `apiapproval`.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition, CustomResourceDefinitionNames,
    CustomResourceDefinitionStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::approval::{self, Approval};
use super::conversion::bundle_problem;
use super::is_true;

/// Kept on a definition while objects of its kind may be there.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How far the deletion of a definition's objects is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It has begun, or goes on.
    InProgress,
    /// The objects could not be deleted, and why.
    Failed(String),
    /// Objects are left, or it could not be told, and why.
    Unconfirmed(String),
    /// None is left.
    Completed,
    /// There were none: the kind was never served.
    NeverEstablished,
}

/// The status once names are given or refused. `others` may hold definitions of any group, and the one in question.
#[must_use]
pub fn accept<'a>(
    crd: &CustomResourceDefinition,
    others: impl IntoIterator<Item = &'a CustomResourceDefinition>,
    now: Timestamp,
) -> CustomResourceDefinitionStatus {
    let mut status = crd.status.clone().unwrap_or_default();
    let mut taken = Taken::default();
    let name = crd.metadata.name.as_deref();
    for other in others {
        if other.spec.group == crd.spec.group && other.metadata.name.as_deref() != name {
            taken.add(other.status.as_ref().and_then(|status| status.accepted_names.as_ref()));
        }
    }
    // Its own count too: no name may stand for two things.
    taken.add(status.accepted_names.as_ref());
    let (names, conflict) = names(&crd.spec.names, status.accepted_names.take(), &taken);
    status.accepted_names = Some(names);
    let accepted = match conflict {
        None => condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => condition("NamesAccepted", "False", reason, &message),
    };
    let is_accepted = accepted.status == "True";
    set(&mut status, accepted, now);
    if !is_true(Some(&status), "Established") {
        if is_accepted {
            let message = "the initial names have been accepted";
            set(
                &mut status,
                condition("Established", "False", "Installing", message),
                now,
            );
        } else if find(&status, "Established").is_none() {
            let message = "not all names are accepted";
            set(
                &mut status,
                condition("Established", "False", "NotAccepted", message),
                now,
            );
        }
    }
    if let Some(conformant) = conformant(crd) {
        set(&mut status, conformant, now);
    }
    status
}

/// The status once the kind is served: to be written when requests for it are answered. Without accepted names, or with
/// a conversion webhook that cannot be trusted, it is not.
#[must_use]
pub fn establish(
    crd: &CustomResourceDefinition,
    mut status: CustomResourceDefinitionStatus,
    now: Timestamp,
) -> CustomResourceDefinitionStatus {
    if !is_true(Some(&status), "NamesAccepted") || is_true(Some(&status), "Established") {
        return status;
    }
    let webhook = crd
        .spec
        .conversion
        .as_ref()
        .and_then(|conversion| conversion.webhook.as_ref());
    let client = webhook.and_then(|webhook| webhook.client_config.as_ref());
    let established = if client.is_some_and(|client| bundle_problem(client).is_some()) {
        let message = "The conversion webhook CABundle is invalid";
        condition("Established", "False", "InvalidCABundle", message)
    } else {
        let message = "the initial names have been accepted";
        condition("Established", "True", "InitialNamesAccepted", message)
    };
    set(&mut status, established, now);
    status
}

/// The status while a definition is being deleted.
#[must_use]
pub fn terminating(
    mut status: CustomResourceDefinitionStatus,
    deletion: &Deletion,
    now: Timestamp,
) -> CustomResourceDefinitionStatus {
    let (holds, reason, message) = match deletion {
        Deletion::InProgress => (
            "True",
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress".to_owned(),
        ),
        Deletion::Failed(why) => (
            "True",
            "InstanceDeletionFailed",
            format!("could not issue all deletes: {why}"),
        ),
        Deletion::Unconfirmed(why) => {
            let message = format!("could not confirm zero CustomResources remaining: {why}");
            ("True", "InstanceDeletionCheck", message)
        }
        Deletion::Completed => ("False", "InstanceDeletionCompleted", "removed all instances".to_owned()),
        Deletion::NeverEstablished => ("False", "NeverEstablished", "resource was never established".to_owned()),
    };
    set(&mut status, condition("Terminating", holds, reason, &message), now);
    status
}

/// Whether objects of the kind are served.
pub fn is_established(crd: &CustomResourceDefinition) -> bool {
    is_true(crd.status.as_ref(), "Established")
}

/// Whether it is being deleted, and no objects may be created.
pub fn is_terminating(crd: &CustomResourceDefinition) -> bool {
    is_true(crd.status.as_ref(), "Terminating")
}

/// Names that are given in a group.
#[derive(Default)]
struct Taken {
    resources: HashSet<String>,
    kinds: HashSet<String>,
}

impl Taken {
    fn add(&mut self, names: Option<&CustomResourceDefinitionNames>) {
        let Some(names) = names else { return };
        let short_names = names.short_names.iter().flatten().cloned();
        let resources = [Some(names.plural.clone()), names.singular.clone()]
            .into_iter()
            .flatten();
        self.resources
            .extend(resources.chain(short_names).filter(|name| !name.is_empty()));
        let kinds = [Some(names.kind.clone()), names.list_kind.clone()]
            .into_iter()
            .flatten();
        self.kinds.extend(kinds.filter(|name| !name.is_empty()));
    }
}

/// A reason and a message.
type Conflict = Option<(&'static str, String)>;

fn names(
    wanted: &CustomResourceDefinitionNames,
    given: Option<CustomResourceDefinitionNames>,
    taken: &Taken,
) -> (CustomResourceDefinitionNames, Conflict) {
    let mut names = given.unwrap_or_default();
    let mut conflict = None;
    let fresh = |name: &str, given: &str, used: &HashSet<String>| {
        (name != given && used.contains(name)).then(|| format!("{name:?} is already in use"))
    };
    let mut decide = |problem: Option<String>, reason: &'static str| {
        let granted = problem.is_none();
        conflict = problem.map(|problem| (reason, problem)).or(conflict.take());
        granted
    };
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    if decide(fresh(&wanted.plural, &names.plural, &taken.resources), "PluralConflict") {
        names.plural.clone_from(&wanted.plural);
    }
    let problem = fresh(&text(&wanted.singular), &text(&names.singular), &taken.resources);
    if decide(problem, "SingularConflict") {
        names.singular.clone_from(&wanted.singular);
    }
    let own = names.short_names.clone().unwrap_or_default();
    let refused: Vec<String> = wanted
        .short_names
        .iter()
        .flatten()
        .filter(|name| !own.contains(name))
        .filter_map(|name| fresh(name, "", &taken.resources))
        .collect();
    let problem = match refused.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    };
    if decide(problem, "ShortNamesConflict") {
        names.short_names.clone_from(&wanted.short_names);
    }
    if decide(fresh(&wanted.kind, &names.kind, &taken.kinds), "KindConflict") {
        names.kind.clone_from(&wanted.kind);
    }
    let problem = fresh(&text(&wanted.list_kind), &text(&names.list_kind), &taken.kinds);
    if decide(problem, "ListKindConflict") {
        names.list_kind.clone_from(&wanted.list_kind);
    }
    names.categories.clone_from(&wanted.categories);
    (names, conflict)
}

fn conformant(crd: &CustomResourceDefinition) -> Option<CustomResourceDefinitionCondition> {
    if !approval::is_protected(&crd.spec.group) {
        return None;
    }
    let (state, words) = approval::approval(crd);
    let (holds, reason) = match state {
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Invalid => ("False", "InvalidAnnotation"),
    };
    Some(condition(
        "KubernetesAPIApprovalPolicyConformant",
        holds,
        reason,
        &words,
    ))
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> CustomResourceDefinitionCondition {
    CustomResourceDefinitionCondition {
        last_transition_time: None,
        message: Some(message.to_owned()),
        reason: Some(reason.to_owned()),
        status: status.to_owned(),
        type_: type_.to_owned(),
    }
}

fn find<'a>(status: &'a CustomResourceDefinitionStatus, type_: &str) -> Option<&'a CustomResourceDefinitionCondition> {
    status
        .conditions
        .as_deref()?
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Sets a condition; the time of its transition only when its status changes.
fn set(status: &mut CustomResourceDefinitionStatus, mut new: CustomResourceDefinitionCondition, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    // Times on the wire are whole seconds.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    new.last_transition_time = Some(Time(now));
    match conditions.iter_mut().find(|condition| condition.type_ == new.type_) {
        None => conditions.push(new),
        Some(old) => {
            if old.status == new.status && old.last_transition_time.is_some() {
                new.last_transition_time = old.last_transition_time.take();
            }
            *old = new;
        }
    }
}
