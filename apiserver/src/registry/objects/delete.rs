//! Deleting an object: at once, or by marking it when something holds it back
//! (`k8s.io/apiserver/pkg/registry/generic/registry/store.go`).

use breakbulk_store::{KeyValue, Txn, TxnOutcome};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::begin::Found;
use super::{Objects, Persist, Prepared, Subject, TRIES, WriteOptions, object};
use crate::admission::{Operation, Remarks};
use crate::cacher::Entry;
use crate::registry::metadata;
use crate::registry::resource::Resource;
use crate::status::{ApiError, ApiResult};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What happens to what the object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// It is deleted first.
    Foreground,
    /// It is deleted afterwards.
    Background,
    /// It stays.
    Orphan,
}

/// How an object is deleted.
#[derive(Clone, Debug)]
pub struct DeleteOptions {
    /// Whether it is really done, and who does it.
    pub write: WriteOptions,
    /// What happens to dependents; unset: the object's own finalizers say.
    pub propagation: Option<Propagation>,
    /// Only if this is its uid.
    pub uid: Option<String>,
    /// Only if this is its resourceVersion.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Without conditions.
    pub fn plain(write: WriteOptions) -> Self {
        Self {
            write,
            propagation: None,
            uid: None,
            resource_version: None,
        }
    }
}

/// How a deletion went.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// What has become of the object.
    pub outcome: Deleted,
    /// What admission has to say beside yes.
    pub remarks: Remarks,
}

/// What has become of an object that was deleted.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// It is gone. The object as it was last.
    Gone {
        /// The object.
        object: Value,
        /// Encoded, at the revision of its deletion.
        encoded: Bytes,
    },
    /// Something holds it back: finalizers. The object, marked.
    Marked(Bytes),
}

impl Objects {
    /// Deletes an object, or marks it as being deleted.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> ApiResult<Deletion> {
        let found = self.begin(resource, namespace, name).await?;
        self.delete_found(resource, (namespace, name), found, options).await
    }

    /// Deletes an object that a list has just found, or marks it. It is not read again: if it is not any more what it was
    /// there, the store says so and tells what it is now.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn delete_listed(
        &self,
        resource: &Resource,
        entry: &Entry,
        options: &DeleteOptions,
    ) -> ApiResult<Deletion> {
        let namespace = Some(entry.namespace()).filter(|namespace| !namespace.is_empty());
        // The list was the newest when it was asked for, and what it said then is a good answer.
        let found = Found::newest(self.listed(resource, entry));
        self.delete_found(resource, (namespace, entry.name()), found, options)
            .await
    }

    async fn delete_found(
        &self,
        resource: &Resource,
        (namespace, name): (Option<&str>, &str),
        mut found: Found,
        options: &DeleteOptions,
    ) -> ApiResult<Deletion> {
        for _ in 0..TRIES {
            let subject = Subject {
                operation: Operation::Delete,
                resource,
                subresource: "",
                namespace,
                name,
                old: None,
            };
            let plan = match self.plan_deletion(subject, &found.kv, options).await {
                Ok(plan) if plan.stores => plan,
                answer => match self.overtaken(resource, namespace, name, &found).await? {
                    Some(newer) => {
                        found = newer;
                        continue;
                    }
                    None => return answer.map(Plan::answered),
                },
            };
            let (key, revision) = (found.kv.key.clone(), found.kv.mod_revision);
            let (txn, prepared) = match &plan.marked {
                Some(new) => {
                    let prepared = self.prepared(resource, new).await?;
                    (Txn::update(key, revision, prepared.stored.clone()), prepared)
                }
                None => {
                    let shown = resource.conversion.is_some().then(|| plan.old.clone());
                    let stored = found.kv.value.clone();
                    (Txn::delete(key, revision), Prepared { stored, shown })
                }
            };
            match self.store.txn(txn).await? {
                TxnOutcome::Committed { revision } => {
                    let encoded = prepared.seen(resource, revision.0);
                    return Ok(plan.deletion(encoded));
                }
                TxnOutcome::Conflict { current, .. } => {
                    let current = current.into_iter().next().flatten();
                    let newest = current.ok_or_else(|| ApiError::not_found(resource.target(name)))?;
                    found = Found::newest(newest);
                }
            }
        }
        Err(ApiError::modified(resource.target(name)))
    }

    /// What a deletion does to an object; nothing is stored yet.
    async fn plan_deletion(&self, subject: Subject<'_>, found: &KeyValue, options: &DeleteOptions) -> ApiResult<Plan> {
        let old = self.outside(subject.resource, found).await?;
        check(subject.resource, &old, subject.name, options)?;
        let mut remarks = Remarks::default();
        let subject = Subject {
            old: Some(&old),
            ..subject
        };
        self.admitted(&options.write, subject, None, &mut remarks).await?;
        let marked = mark(&old, policy(subject.resource, options.propagation));
        let unchanged = marked.as_ref() == Some(&old);
        let stores = options.write.persist == Persist::Store && !unchanged;
        Ok(Plan {
            old,
            marked,
            stores,
            remarks,
        })
    }
}

/// What is to be done for a deletion.
struct Plan {
    old: Value,
    /// The object with the mark, when something holds it back.
    marked: Option<Value>,
    /// Whether anything is to be stored.
    stores: bool,
    remarks: Remarks,
}

impl Plan {
    /// The object as it is then, or was last.
    fn object(&self) -> &Value {
        self.marked.as_ref().unwrap_or(&self.old)
    }

    /// The answer when nothing is to be stored.
    fn answered(self) -> Deletion {
        let encoded = self.object().to_string().into();
        self.deletion(encoded)
    }

    fn deletion(self, encoded: Bytes) -> Deletion {
        Deletion {
            outcome: match self.marked {
                Some(_) => Deleted::Marked(encoded),
                None => Deleted::Gone {
                    object: self.old,
                    encoded,
                },
            },
            remarks: self.remarks,
        }
    }
}

fn check(resource: &Resource, old: &Value, name: &str, options: &DeleteOptions) -> ApiResult<()> {
    let wanted = [
        ("UID", "uid", &options.uid, "deleted and then recreated"),
        (
            "ResourceVersion",
            "resourceVersion",
            &options.resource_version,
            "modified",
        ),
    ];
    for (label, field, wanted, might) in wanted {
        let is = object::meta(old, field);
        if let Some(wanted) = wanted
            && wanted != is
        {
            let why = format!(
                "the {label} in the precondition ({wanted}) does not match the {label} in record ({is}). The object \
                 might have been {might}"
            );
            // Upstream names the kind here, and the resource everywhere else.
            return Err(ApiError::conflict(resource.kind_target(name), why));
        }
    }
    Ok(())
}

/// What of a policy means something to a kind: Events have no dependents, and a namespace is emptied by its own controller.
fn policy(resource: &Resource, asked: Option<Propagation>) -> Option<Propagation> {
    match (resource.group.as_str(), resource.plural.as_str(), asked) {
        ("" | "events.k8s.io", "events", _) => None,
        ("", "namespaces", Some(Propagation::Foreground)) => Some(Propagation::Background),
        (_, _, asked) => asked,
    }
}

/// Whether a namespace is still held by what is to empty it.
pub(super) fn is_held_by_spec(object: &Value) -> bool {
    object["kind"] == "Namespace"
        && object["apiVersion"] == "v1"
        && object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
}

/// The object marked as being deleted; none when nothing holds it back.
fn mark(old: &Value, propagation: Option<Propagation>) -> Option<Value> {
    let mut finalizers: Vec<&str> = object::finalizers(old);
    if let Some(propagation) = propagation {
        finalizers.retain(|f| *f != ORPHAN && *f != FOREGROUND);
        match propagation {
            Propagation::Foreground => finalizers.push(FOREGROUND),
            Propagation::Orphan => finalizers.push(ORPHAN),
            Propagation::Background => {}
        }
    }
    let held_by_spec = is_held_by_spec(old);
    if finalizers.is_empty() && !held_by_spec {
        return None;
    }
    let finalizers = json!(finalizers);
    let mut new = old.clone();
    if finalizers.as_array().is_some_and(|f| !f.is_empty()) || new["metadata"].get("finalizers").is_some() {
        new["metadata"]["finalizers"] = finalizers;
    }
    if !object::is_deleting(old) {
        new["metadata"]["deletionTimestamp"] = json!(metadata::timestamp(Timestamp::now()));
        new["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        if new["metadata"].get("generation").is_some() {
            metadata::next_generation(&mut new);
        }
        if held_by_spec {
            new["status"]["phase"] = json!("Terminating");
        }
    }
    Some(new)
}
