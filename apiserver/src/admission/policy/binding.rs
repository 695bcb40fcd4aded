//! A binding: puts a policy to work, with parameters.

use k8s_openapi::api::admissionregistration::v1::{ParamRef, ValidatingAdmissionPolicyBindingSpec};
use serde_json::Value;

use super::definition::ParamType;
use crate::admission::matching::{Constraints, selector};
use crate::registry::objects::Objects;
use crate::registry::{Body, Resource};

/// A binding.
pub(super) struct Binding {
    /// Its name.
    pub(super) name: String,
    /// The policy's name.
    pub(super) policy: String,
    /// Which of the policy's requests; none: all.
    pub(super) constraints: Option<Constraints>,
    /// What follows from a no.
    pub(super) actions: Vec<Action>,
    params: Option<ParamRef>,
}

/// What follows from a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The request is refused.
    Deny,
    /// The client is warned.
    Warn,
    /// The audit log is told.
    Audit,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "Deny" => Some(Self::Deny),
            "Warn" => Some(Self::Warn),
            "Audit" => Some(Self::Audit),
            _ => None,
        }
    }

    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Warn => "Warn",
            Self::Audit => "Audit",
        }
    }
}

impl Binding {
    /// What is stored.
    pub(super) fn new(name: &str, spec: &ValidatingAdmissionPolicyBindingSpec) -> Self {
        let actions = spec.validation_actions.iter().flatten();
        Self {
            name: name.to_owned(),
            policy: spec.policy_name.clone().unwrap_or_default(),
            constraints: spec.match_resources.as_ref().map(Constraints::from),
            actions: actions.filter_map(|action| Action::parse(action)).collect(),
            params: spec.param_ref.clone(),
        }
    }

    /// The objects of parameters that the policy is evaluated with; null, once, where it has none. No object at all: the
    /// policy is not evaluated.
    ///
    /// # Errors
    /// What is wrong with the reference, in upstream's words.
    pub(super) async fn params(
        &self,
        objects: &Objects,
        kind: Option<&ParamType>,
        namespace: &str,
    ) -> Result<Vec<Value>, String> {
        let (Some(kind), Some(wanted)) = (kind, &self.params) else {
            return Ok(vec![Value::Null]);
        };
        let row = row(objects, kind);
        let row = row.ok_or_else(|| format!("paramKind kind `{}, Kind={}` not known", kind.api_version, kind.kind))?;
        let namespace = place(&row, wanted, namespace)?;
        let found = find(objects, &row, wanted, namespace).await?;
        if found.is_empty() && wanted.parameter_not_found_action.as_deref() == Some("Deny") {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }
}

/// The row of a kind.
pub(super) fn row(objects: &Objects, kind: &ParamType) -> Option<std::sync::Arc<Resource>> {
    let table = objects.registry.table();
    let same = |row: &&std::sync::Arc<Resource>| {
        row.kind == kind.kind && row.api_version() == kind.api_version && !matches!(row.body, Body::Absent)
    };
    table.resources().iter().find(same).cloned()
}

/// The namespace of the parameters: the one named, else that of the request.
fn place<'a>(row: &Resource, wanted: &'a ParamRef, namespace: &'a str) -> Result<Option<&'a str>, String> {
    let given = wanted.namespace.as_deref().filter(|name| !name.is_empty());
    match (row.namespaced, given) {
        (true, Some(given)) => Ok(Some(given)),
        (true, None) if namespace.is_empty() => {
            Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned())
        }
        (true, None) => Ok(Some(namespace)),
        (false, None) => Ok(None),
        (false, Some(_)) => Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned()),
    }
}

async fn find(
    objects: &Objects,
    row: &Resource,
    wanted: &ParamRef,
    namespace: Option<&str>,
) -> Result<Vec<Value>, String> {
    let name = wanted.name.as_deref().filter(|name| !name.is_empty());
    let entries = match (name, &wanted.selector) {
        (Some(_), Some(_)) => return Err("paramRef.name and paramRef.selector are mutually exclusive".to_owned()),
        (Some(name), None) => objects.cached(row, namespace, name).into_iter().collect(),
        (None, Some(given)) => {
            let selector = selector(Some(given));
            let prefix = namespace.map_or_else(String::new, |namespace| format!("{namespace}/"));
            let mut entries = row.storage.cache.list(&prefix, None, 0).entries;
            entries.retain(|entry| selector.matches(|key| entry.label(key)));
            entries
        }
        (None, None) => return Err("one of name or selector must be provided".to_owned()),
    };
    let encoded = row
        .encoded_all(&entries)
        .await
        .map_err(|error| error.message().to_owned())?;
    let parsed = encoded.iter().map(|bytes| serde_json::from_slice(bytes));
    parsed.collect::<Result<_, _>>().map_err(|error| error.to_string())
}
