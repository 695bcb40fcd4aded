//! The audit policy: which requests are written down, and how much of them. Rules are tried in order, the first that
//! matches decides, and what none matches is not written (`k8s.io/apiserver/pkg/audit/policy/checker.go`). It is read
//! once, at the start, and every mistake in it is told.

use serde::Deserialize;

use crate::authentication::Identity;
use crate::request::RequestInfo;

/// How much is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when, and how it was answered.
    Metadata,
    /// The body of the request as well.
    Request,
    /// And that of the answer.
    RequestResponse,
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// Before it is handled.
    RequestReceived,
    /// When the head of a stream has been sent.
    ResponseStarted,
    /// When everything has been sent.
    ResponseComplete,
    /// When the handler panicked.
    Panic,
}

/// Why a policy is refused: every mistake, with its place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// It is not YAML of the right shape.
    #[error("{0}")]
    Shape(String),
    /// It says something that makes no sense.
    #[error("{}", .0.join("; "))]
    Mistakes(Vec<String>),
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde::de::IgnoredAny,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What the policy says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How much.
    pub level: Level,
    /// Whether managedFields are left out of bodies.
    pub managed_fields: ManagedFields,
    omit: Vec<Stage>,
}

/// What becomes of managedFields in bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedFields {
    /// They stay.
    Kept,
    /// They go.
    Omitted,
}

impl Verdict {
    /// Whether a stage is written.
    pub fn has(&self, stage: Stage) -> bool {
        self.level > Level::None && !self.omit.contains(&stage)
    }
}

impl Policy {
    /// Everything at level Metadata.
    pub fn metadata() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "Policy".to_owned(),
            _metadata: serde::de::IgnoredAny,
            rules: vec![Rule {
                level: Level::Metadata,
                users: Vec::new(),
                user_groups: Vec::new(),
                verbs: Vec::new(),
                resources: Vec::new(),
                namespaces: Vec::new(),
                non_resource_urls: Vec::new(),
                omit_stages: Vec::new(),
                omit_managed_fields: None,
            }],
            omit_stages: Vec::new(),
            omit_managed_fields: false,
        }
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|e| PolicyError::Shape(e.to_string()))?;
        let mut mistakes = Vec::new();
        if policy.api_version != API_VERSION || policy.kind != "Policy" {
            let (version, kind) = (&policy.api_version, &policy.kind);
            mistakes.push(format!("it is {version:?} {kind:?} and not {API_VERSION:?} \"Policy\""));
        }
        if policy.rules.is_empty() {
            mistakes.push("rules: there is none, so nothing would be written".to_owned());
        }
        for (index, rule) in policy.rules.iter().enumerate() {
            rule.check(index, &mut mistakes);
        }
        if mistakes.is_empty() {
            Ok(policy)
        } else {
            Err(PolicyError::Mistakes(mistakes))
        }
    }

    /// What it says about a request.
    pub fn judge(&self, info: &RequestInfo, identity: &Identity) -> Verdict {
        let managed = |omitted| {
            if omitted {
                ManagedFields::Omitted
            } else {
                ManagedFields::Kept
            }
        };
        match self.rules.iter().find(|rule| rule.matches(info, identity)) {
            None => Verdict {
                level: Level::None,
                managed_fields: ManagedFields::Kept,
                omit: Vec::new(),
            },
            Some(rule) => Verdict {
                level: rule.level,
                managed_fields: managed(rule.omit_managed_fields.unwrap_or(self.omit_managed_fields)),
                omit: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
            },
        }
    }
}

const API_VERSION: &str = "audit.k8s.io/v1";

impl Rule {
    fn check(&self, index: usize, mistakes: &mut Vec<String>) {
        let place = |field: &str| format!("rules[{index}].{field}");
        let about_objects = !self.resources.is_empty() || !self.namespaces.is_empty();
        if !self.non_resource_urls.is_empty() && about_objects {
            let field = place("nonResourceURLs");
            mistakes.push(format!(
                "{field}: a rule is about objects or about other paths, not both"
            ));
        }
        for url in &self.non_resource_urls {
            let field = place("nonResourceURLs");
            if url == "*" {
                continue;
            }
            if !url.starts_with('/') {
                mistakes.push(format!("{field}: {url:?} does not begin with a slash"));
            }
            if url.find('*').is_some_and(|at| at + 1 != url.len()) {
                mistakes.push(format!("{field}: the star of {url:?} does not stand at its end"));
            }
        }
        for group in &self.resources {
            if group.group.contains('/') {
                let (field, group) = (place("resources"), &group.group);
                mistakes.push(format!("{field}: group {group:?} must not name a version"));
            }
            if !group.resource_names.is_empty() && group.resources.is_empty() {
                let field = place("resources");
                mistakes.push(format!("{field}: resourceNames need the resources that they name"));
            }
        }
    }

    fn matches(&self, info: &RequestInfo, identity: &Identity) -> bool {
        let any = |list: &[String], is: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|text| is(text));
        if !any(&self.users, &|user| user == identity.user)
            || !any(&self.user_groups, &|group| identity.is_in(group))
            || !any(&self.verbs, &|verb| verb == info.verb)
        {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return self.matches_object(info);
        }
        if !self.non_resource_urls.is_empty() {
            return info.object().is_none() && self.non_resource_urls.iter().any(|url| matches_url(url, info.path()));
        }
        true
    }

    fn matches_object(&self, info: &RequestInfo) -> bool {
        let Some(path) = info.object() else { return false };
        let namespace = path.namespace.as_deref().unwrap_or("");
        if !self.namespaces.is_empty() && !self.namespaces.iter().any(|n| n == namespace) {
            return false;
        }
        let name = path.name.as_deref().unwrap_or("");
        let subresource = path.subresource.as_deref();
        self.resources.is_empty()
            || self.resources.iter().any(|of| {
                of.group == path.group
                    && (of.resource_names.is_empty() || of.resource_names.iter().any(|n| n == name))
                    && (of.resources.is_empty()
                        || of
                            .resources
                            .iter()
                            .any(|r| matches_resource(r, &path.plural, subresource)))
            })
    }
}

/// `jobs`, `jobs/log`, `jobs/*`, `*/log`, `*`.
fn matches_resource(pattern: &str, resource: &str, subresource: Option<&str>) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*" || (pattern == resource && subresource.is_none()),
        Some((of, "*")) => of == resource,
        Some(("*", sub)) => subresource == Some(sub),
        Some((of, sub)) => of == resource && subresource == Some(sub),
    }
}

fn matches_url(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
metadata: {name: ours}
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:breakbulk:controllers"]
  verbs: [watch]
  resources: [{group: "", resources: [configmaps, "pods/log"]}]
- level: RequestResponse
  resources: [{group: breakbulk.dev, resources: ["jobs/*"], resourceNames: [a]}]
  omitStages: [ResponseStarted]
- level: None
  userGroups: ["system:authenticated"]
  nonResourceURLs: ["/api*", "/version"]
- level: Metadata
  namespaces: ["", kube-system]
- level: Request
"#;

    fn judge(policy: &Policy, user: &str, method: &str, uri: &str) -> Verdict {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let identity = Identity {
            user: user.to_owned(),
            groups: vec!["system:authenticated".to_owned()],
            ..Identity::default()
        };
        policy.judge(&RequestInfo::of(&request.into_parts().0), &identity)
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy::parse(POLICY).unwrap();
        let controllers = "system:breakbulk:controllers";
        let jobs = "/apis/breakbulk.dev/v1/namespaces/x/jobs";
        for (user, method, uri, level) in [
            (controllers, "GET", "/api/v1/configmaps?watch=1", Level::None),
            (controllers, "GET", "/api/v1/namespaces/x/configmaps", Level::Request),
            ("ann", "GET", "/api/v1/configmaps?watch=1", Level::Metadata),
            ("ann", "PATCH", &format!("{jobs}/a/status"), Level::RequestResponse),
            ("ann", "PATCH", &format!("{jobs}/a"), Level::RequestResponse),
            ("ann", "PATCH", &format!("{jobs}/b"), Level::Request),
            ("ann", "GET", "/apis", Level::None),
            ("ann", "GET", "/versions", Level::Request),
            ("ann", "GET", "/api/v1/nodes/n", Level::Metadata),
            (
                "ann",
                "GET",
                "/api/v1/namespaces/kube-system/configmaps/c",
                Level::Metadata,
            ),
        ] {
            assert_eq!(judge(&policy, user, method, uri).level, level, "{user} {method} {uri}");
        }
        let verdict = judge(&policy, "ann", "PATCH", &format!("{jobs}/a"));
        assert!(!verdict.has(Stage::RequestReceived) && !verdict.has(Stage::ResponseStarted));
        assert!(verdict.has(Stage::ResponseComplete));
    }

    #[test]
    fn every_mistake_of_a_policy_is_told() {
        let text = r#"
apiVersion: audit.k8s.io/v2
kind: Policy
rules:
- level: Metadata
  namespaces: [a]
  nonResourceURLs: [nope, "/a*b"]
- level: Metadata
  resources: [{group: a/v1, resourceNames: [x]}]
"#;
        let Err(PolicyError::Mistakes(mistakes)) = Policy::parse(text) else {
            panic!("it passed");
        };
        assert_eq!(mistakes.len(), 6, "{mistakes:?}");
        for wrong in [
            "rules: [{level: Loud}]",
            "rules: [{level: None, color: red}]",
            "- a",
            "",
        ] {
            let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{wrong}");
            assert!(Policy::parse(&text).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}", level in "[A-Za-z]{0,12}", url in "[/*a-z]{0,8}") {
            let _ = Policy::parse(&text);
            let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n";
            let _ = Policy::parse(&format!("{head}- level: {level}\n  nonResourceURLs: [\"{url}\"]\n"));
            let _ = Policy::parse(&format!("{head}- level: None\n  users: [{text:?}]\n"));
        }
    }
}
