//! One rule of a role: what it allows, and whether it holds all that another does
//! (`k8s.io/component-helpers/auth/rbac/validation`).

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::authorization::Attributes;

/// What a rule allows: these verbs on these resources, or on these paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// API groups; `*` is all.
    pub groups: Vec<String>,
    /// Resources: `r`, `r/sub`, `*/sub`, or `*` for all with all subresources.
    pub resources: Vec<String>,
    /// Names; none is all.
    pub names: Vec<String>,
    /// Paths that are no resources; a `*` at the end is the rest.
    pub urls: Vec<String>,
    /// Verbs; `*` is all.
    pub verbs: Vec<String>,
}

impl From<PolicyRule> for Rule {
    fn from(rule: PolicyRule) -> Self {
        Self {
            groups: rule.api_groups.unwrap_or_default(),
            resources: rule.resources.unwrap_or_default(),
            names: rule.resource_names.unwrap_or_default(),
            urls: rule.non_resource_urls.unwrap_or_default(),
            verbs: rule.verbs,
        }
    }
}

fn holds(list: &[String], value: &str) -> bool {
    list.iter().any(|own| own == "*" || own == value)
}

fn holds_all(list: &[String], values: &[String]) -> bool {
    list.iter().any(|own| own == "*") || values.iter().all(|value| list.contains(value))
}

/// Whether a pattern of paths holds a path, or another pattern.
fn path_holds(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

/// Whether a name of a resource in a rule means this one.
fn resource_holds(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        None => subresource.is_empty() && pattern == resource,
        Some((_, below)) if below != subresource || subresource.is_empty() => false,
        Some((above, _)) => above == "*" || above == resource,
    }
}

impl Rule {
    /// Whether it allows what is asked for.
    pub fn allows(&self, asks: &Attributes<'_>) -> bool {
        if !holds(&self.verbs, asks.verb) {
            return false;
        }
        if asks.resource.is_empty() {
            return self.urls.iter().any(|pattern| path_holds(pattern, asks.path));
        }
        holds(&self.groups, asks.group)
            && self
                .resources
                .iter()
                .any(|pattern| resource_holds(pattern, asks.resource, asks.subresource))
            && (self.names.is_empty() || asks.name.is_some_and(|name| self.names.iter().any(|own| own == name)))
    }

    /// The parts of which each allows one thing only: they may be held by different rules.
    pub fn parts(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let names: Vec<Vec<String>> = match self.names.as_slice() {
            [] => vec![Vec::new()],
            names => names.iter().map(one).collect(),
        };
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for group in &self.groups {
                for resource in &self.resources {
                    parts.extend(names.iter().map(|names| Self {
                        groups: one(group),
                        resources: one(resource),
                        names: names.clone(),
                        urls: Vec::new(),
                        verbs: one(verb),
                    }));
                }
            }
            parts.extend(self.urls.iter().map(|url| Self {
                urls: one(url),
                verbs: one(verb),
                ..Self::default()
            }));
        }
        parts
    }

    /// How many parts it has, without making them.
    pub fn count_parts(&self) -> usize {
        let of_resources = self
            .groups
            .len()
            .saturating_mul(self.resources.len())
            .saturating_mul(self.names.len().max(1));
        self.verbs
            .len()
            .saturating_mul(of_resources.saturating_add(self.urls.len()))
    }

    /// Whether it allows everything that a part allows.
    pub fn covers(&self, part: &Self) -> bool {
        let resources = || {
            part.resources.iter().all(|wanted| {
                let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
                let named = self.resources.contains(wanted);
                named || self.resources.iter().any(|p| resource_holds(p, resource, subresource))
            })
        };
        // Names have no wildcard.
        let named = |name: &String| self.names.contains(name);
        let names = || self.names.is_empty() || (!part.names.is_empty() && part.names.iter().all(named));
        let urls = || {
            part.urls
                .iter()
                .all(|wanted| self.urls.iter().any(|own| path_holds(own, wanted)))
        };
        holds_all(&self.verbs, &part.verbs) && holds_all(&self.groups, &part.groups) && resources() && names() && urls()
    }

    /// As a role holds it.
    pub fn to_json(&self) -> Value {
        let mut rule = json!({"verbs": self.verbs});
        let optional = [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ];
        for (key, list) in optional {
            if !list.is_empty() {
                rule[key] = json!(list);
            }
        }
        rule
    }
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as upstream writes a rule in a refusal.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        f.write_str("{")?;
        let mut first = true;
        for (name, list) in members.into_iter().filter(|(_, list)| !list.is_empty()) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            write!(f, "{name}:{}", quoted(list))?;
        }
        f.write_str("}")
    }
}

/// `["a" "b"]`: a list of strings as Go's `%q` writes it.
pub(in crate::authorization) fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// Parts that differ in their verbs alone, put together again.
pub fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut by_rest: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for mut part in parts {
        let verbs = std::mem::take(&mut part.verbs);
        let all = by_rest.entry(part).or_default();
        all.extend(verbs);
    }
    let together = |(mut rule, mut verbs): (Rule, Vec<String>)| {
        let mut seen = std::collections::HashSet::new();
        verbs.retain(|verb| seen.insert(verb.clone()));
        rule.verbs = verbs;
        rule
    };
    by_rest.into_iter().map(together).collect()
}

impl From<Rule> for PolicyRule {
    fn from(rule: Rule) -> Self {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Self {
            api_groups: some(rule.groups),
            resources: some(rule.resources),
            resource_names: some(rule.names),
            non_resource_urls: some(rule.urls),
            verbs: rule.verbs,
        }
    }
}
