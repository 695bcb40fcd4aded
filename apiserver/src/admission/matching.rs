//! Which requests a webhook or a policy is asked about: rules, and selectors of namespaces and objects
//! (`k8s.io/apiserver/pkg/admission/plugin/webhook/predicates`).
//!
//! With `matchPolicy: Equivalent` a rule for one version of a kind is also good for requests that come in another; the
//! webhook or policy then gets the objects in the version that its rule names.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{MatchResources, NamedRuleWithOperations, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Structured;
use serde_json::Value;

use super::followed::GROUP;
use super::{Operation, Request};
use crate::registry::objects::Objects;
use crate::registry::{Resource, Sub, object};
use crate::selector::LabelSelector;
use crate::status::ApiResult;

/// Kinds that no webhook and no policy is asked about: else one could make it impossible to remove itself.
const EXEMPT: [&str; 4] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

/// Whether a request is about what configures admission.
pub(super) fn is_exempt(request: &Request<'_>) -> bool {
    request.resource.group == GROUP && EXEMPT.contains(&request.resource.plural.as_str())
}

/// The namespace of a request. A namespace itself lies in itself.
pub(super) fn namespace<'a>(request: &Request<'a>) -> &'a str {
    if is_namespace(request.resource) {
        return request.name;
    }
    request.namespace.unwrap_or("")
}

fn is_namespace(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "namespaces"
}

/// One rule. All of it must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    groups: Vec<String>,
    versions: Vec<String>,
    operations: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    scope: Scope,
    /// Names of objects; empty: all.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Namespaced,
    Cluster,
}

impl From<&RuleWithOperations> for Rule {
    fn from(rule: &RuleWithOperations) -> Self {
        let list = |given: &Option<Vec<String>>| given.clone().unwrap_or_default();
        let split = |text: &String| {
            let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
            (resource.to_owned(), subresource.to_owned())
        };
        Self {
            groups: list(&rule.api_groups),
            versions: list(&rule.api_versions),
            operations: list(&rule.operations),
            resources: rule.resources.iter().flatten().map(split).collect(),
            scope: match rule.scope.as_deref() {
                Some("Namespaced") => Scope::Namespaced,
                Some("Cluster") => Scope::Cluster,
                _ => Scope::All,
            },
            names: Vec::new(),
        }
    }
}

impl From<&NamedRuleWithOperations> for Rule {
    fn from(rule: &NamedRuleWithOperations) -> Self {
        let plain = RuleWithOperations {
            api_groups: rule.api_groups.clone(),
            api_versions: rule.api_versions.clone(),
            operations: rule.operations.clone(),
            resources: rule.resources.clone(),
            scope: rule.scope.clone(),
        };
        Self {
            names: rule.resource_names.clone().unwrap_or_default(),
            ..Self::from(&plain)
        }
    }
}

impl Rule {
    /// Whether it is about the request, if that came for `resource`.
    fn fits(&self, request: &Request<'_>, resource: &Resource) -> bool {
        let among = |list: &[String], value: &str| list.iter().any(|given| given == "*" || given == value);
        let inside = !is_namespace(resource) && !namespace(request).is_empty();
        let scope = match self.scope {
            Scope::All => true,
            Scope::Namespaced => inside,
            Scope::Cluster => !inside,
        };
        let fits = |(name, sub): &(String, String)| {
            (name == "*" || *name == resource.plural) && (sub == "*" || sub == request.subresource)
        };
        scope
            && among(&self.operations, request.operation.name())
            && among(&self.groups, &resource.group)
            && among(&self.versions, &resource.version)
            && self.resources.iter().any(fits)
            && (self.names.is_empty() || self.names.iter().any(|name| name == request.name))
    }
}

/// Whether rules are taken by the letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MatchPolicy {
    /// Only what they name.
    Exact,
    /// Also the same objects in other versions.
    #[default]
    Equivalent,
}

impl MatchPolicy {
    /// From a field of that name.
    pub(super) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Exact") => Self::Exact,
            _ => Self::Equivalent,
        }
    }
}

/// What decides whether a webhook, a policy or a binding is about a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Constraints {
    /// Of these at least one must fit; none at all in a policy's binding: everything fits.
    pub(super) rules: Vec<Rule>,
    /// Of these none may.
    pub(super) excluded: Vec<Rule>,
    /// How the rules are taken.
    pub(super) policy: MatchPolicy,
    /// The labels of the namespace.
    pub(super) namespaces: LabelSelector,
    /// The labels of the object, as it was or as it will be.
    pub(super) objects: LabelSelector,
}

/// In which version the one who is asked wants the objects.
#[derive(Clone)]
pub(super) enum Version {
    /// In that of the request.
    AsAsked,
    /// In that of another row over the same objects.
    Other(Arc<Resource>),
}

/// A selector of an object's field; one that is not valid (it was written past this server) selects nothing.
pub(super) fn selector(given: Option<&Structured>) -> LabelSelector {
    let nothing = || LabelSelector::parse("a,!a").unwrap_or_default();
    given.map_or_else(LabelSelector::default, |given| {
        LabelSelector::from_object(given).unwrap_or_else(|_| nothing())
    })
}

impl From<&MatchResources> for Constraints {
    fn from(given: &MatchResources) -> Self {
        Self {
            rules: given.resource_rules.iter().flatten().map(Rule::from).collect(),
            excluded: given.exclude_resource_rules.iter().flatten().map(Rule::from).collect(),
            policy: MatchPolicy::parse(given.match_policy.as_deref()),
            namespaces: selector(given.namespace_selector.as_ref()),
            objects: selector(given.object_selector.as_ref()),
        }
    }
}

impl Constraints {
    /// Whether the request, whose object is now to be `new`, is one of those meant; and in which version.
    ///
    /// # Errors
    /// When it would be, but its namespace cannot be looked at.
    pub(super) async fn select(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        new: Option<&Value>,
    ) -> ApiResult<Option<Version>> {
        if !self.selects_object(request, new) || self.version(objects, request, &self.excluded).is_some() {
            return Ok(None);
        }
        let version = if self.rules.is_empty() {
            Version::AsAsked
        } else {
            match self.version(objects, request, &self.rules) {
                Some(version) => version,
                None => return Ok(None),
            }
        };
        let selected = self.selects_namespace(objects, request, new).await?;
        Ok(selected.then_some(version))
    }

    fn version(&self, objects: &Objects, request: &Request<'_>, rules: &[Rule]) -> Option<Version> {
        if rules.iter().any(|rule| rule.fits(request, request.resource)) {
            return Some(Version::AsAsked);
        }
        if self.policy == MatchPolicy::Exact || rules.is_empty() {
            return None;
        }
        let others = equivalents(objects, request.resource);
        let fitting = |rule: &Rule| others.iter().find(|other| rule.fits(request, other));
        rules.iter().find_map(fitting).cloned().map(Version::Other)
    }

    fn selects_object(&self, request: &Request<'_>, new: Option<&Value>) -> bool {
        if self.objects.is_empty() {
            return true;
        }
        // What is asked about at a scale is the Scale, which has no labels.
        let scale = matches!(
            request.resource.subresource(request.subresource).map(|sub| &sub.what),
            Some(Sub::Scale(_))
        );
        let selected = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            self.objects.matches(|key| labels[key].as_str().filter(|_| !scale))
        };
        [new, request.old].into_iter().flatten().any(selected)
    }

    async fn selects_namespace(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        new: Option<&Value>,
    ) -> ApiResult<bool> {
        let name = namespace(request);
        if self.namespaces.is_empty() || (name.is_empty() && !is_namespace(request.resource)) {
            return Ok(true);
        }
        let written = is_namespace(request.resource) && request.subresource.is_empty();
        let of = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            self.namespaces.matches(|key| labels[key].as_str())
        };
        match new {
            // The cache does not have it yet, or not as it will be.
            Some(new) if written && request.operation != Operation::Delete => Ok(of(new)),
            _ => Ok(namespace_object(objects, name)
                .await?
                .is_some_and(|namespace| of(&namespace))),
        }
    }
}

/// A namespace; none where the server knows no namespaces.
pub(super) async fn namespace_object(objects: &Objects, name: &str) -> ApiResult<Option<Value>> {
    let Some(row) = objects.registry.find("", "v1", "namespaces") else {
        return Ok(None);
    };
    match objects.cached(&row, None, name) {
        Some(entry) => Ok(Some(entry.parsed())),
        None => objects.get_value(&row, None, name).await.map(Some),
    }
}

/// The other rows over the same objects: other versions of the kind.
fn equivalents(objects: &Objects, resource: &Resource) -> Vec<Arc<Resource>> {
    let table = objects.registry.table();
    let same = |other: &&Arc<Resource>| {
        Arc::ptr_eq(&other.storage, &resource.storage)
            && other.kind == resource.kind
            && (&other.group, &other.version) != (&resource.group, &resource.version)
    };
    table.resources().iter().filter(same).cloned().collect()
}

/// The name of an object that is to be; what it will be made of, where it has none yet.
pub(super) fn name_of<'a>(request: &Request<'a>, new: Option<&'a Value>) -> &'a str {
    let given = |key| new.map_or("", |new| object::meta(new, key));
    [request.name, given("name"), given("generateName")]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authentication::Identity;
    use crate::registry::Registry;
    use crate::registry::objects::Persist;
    use crate::registry::objects::Said;

    /// What is asked: operation, group, plural, subresource, namespace, name.
    type Asked = (
        Operation,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    );

    const MAP: Asked = (Operation::Create, "", "configmaps", "", "default", "a");
    const STATUS: Asked = (Operation::Update, "breakbulk.dev", "jobs", "status", "default", "a");
    const NAMESPACE: Asked = (Operation::Create, "", "namespaces", "", "", "ns");
    const NODE: Asked = (Operation::Delete, "", "nodes", "", "", "n");

    fn fits(rule: &Value, asked: Asked) -> bool {
        let mut whole = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]});
        for (key, value) in rule.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let rule = Rule::from(&serde_json::from_value::<NamedRuleWithOperations>(whole).unwrap());
        let (operation, group, plural, subresource, namespace, name) = asked;
        let resource = Registry::new().find(group, "v1", plural).unwrap();
        let request = Request {
            identity: &Identity::anonymous(),
            operation,
            resource: &resource,
            subresource,
            namespace: Some(namespace).filter(|name| !name.is_empty()),
            name,
            old: None,
            new: None,
            persist: Persist::Store,
            said: &Said::default(),
        };
        rule.fits(&request, &resource)
    }

    #[test]
    fn a_rule_fits_when_all_of_it_does() {
        let cases = [
            (json!({}), MAP, true),
            (json!({}), STATUS, true),
            (json!({"operations": ["CREATE", "UPDATE"]}), MAP, true),
            (json!({"operations": ["DELETE"]}), MAP, false),
            (json!({"apiGroups": [""]}), MAP, true),
            (json!({"apiGroups": ["breakbulk.dev"]}), MAP, false),
            (json!({"apiVersions": ["v1"]}), MAP, true),
            (json!({"apiVersions": ["v2"]}), MAP, false),
            (json!({"resources": ["secrets", "configmaps"]}), MAP, true),
            (json!({"resources": ["*"]}), MAP, true),
            (json!({"resources": ["*"]}), STATUS, false),
            (json!({"resources": ["jobs"]}), STATUS, false),
            (json!({"resources": ["jobs/*"]}), STATUS, true),
            (json!({"resources": ["jobs/status"]}), STATUS, true),
            (json!({"resources": ["*/status"]}), STATUS, true),
            (json!({"resources": ["*/scale"]}), STATUS, false),
            (json!({"resources": ["configmaps/*"]}), MAP, true),
            (json!({"scope": "Namespaced"}), MAP, true),
            (json!({"scope": "Cluster"}), MAP, false),
            (json!({"scope": "Cluster"}), NODE, true),
            (json!({"scope": "Namespaced"}), NODE, false),
            // A namespace lies in itself, and is a thing of the cluster all the same.
            (json!({"scope": "Cluster"}), NAMESPACE, true),
            (json!({"scope": "Namespaced"}), NAMESPACE, false),
            (json!({"resourceNames": ["b", "a"]}), MAP, true),
            (json!({"resourceNames": ["b"]}), MAP, false),
        ];
        for (rule, asked, expected) in cases {
            assert_eq!(fits(&rule, asked), expected, "{rule} {asked:?}");
        }
    }

    #[test]
    fn a_selector_that_is_none_selects_nothing() {
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]});
        let bad = selector(Some(&serde_json::from_value(bad).unwrap()));
        assert!(!bad.matches(|_| None) && !bad.matches(|_| Some("b")));
        let fine = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]});
        let fine = selector(Some(&serde_json::from_value(fine).unwrap()));
        assert!(fine.matches(|key| (key == "a").then_some("b")) && !fine.matches(|_| Some("b")));
        assert!(selector(None).is_empty());
    }
}
