//! What may I do in a namespace? All rules that hold for who asks, as they stand in the roles.

use k8s_openapi::api::authorization::v1::SelfSubjectRulesReviewSpec;
use serde_json::{Value, json};

use super::Question;
use crate::authentication::MASTERS;
use crate::authorization::Authorizer;
use crate::authorization::rbac::Rule;
use crate::status::{ApiError, ApiResult};

/// The status.
pub(super) fn what_may_i(authorizer: &Authorizer, question: &Question<'_>) -> ApiResult<Value> {
    let spec: SelfSubjectRulesReviewSpec = question.spec()?;
    let namespace = spec.namespace.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.ok_or_else(|| ApiError::bad_request("no namespace on request"))?;
    let index = authorizer.index();
    let identity = question.identity;
    let mut rules: Vec<Rule> = index.rules(identity, Some(&namespace)).cloned().collect();
    if identity.is_in(MASTERS) {
        let all = || vec!["*".to_owned()];
        rules.push(Rule {
            groups: all(),
            resources: all(),
            verbs: all(),
            ..Rule::default()
        });
        rules.push(Rule {
            urls: all(),
            verbs: all(),
            ..Rule::default()
        });
    }
    let mut seen = std::collections::HashSet::new();
    rules.retain(|rule| seen.insert(rule.clone()));
    let (of_paths, of_resources): (Vec<Rule>, Vec<Rule>) = rules.into_iter().partition(|rule| !rule.urls.is_empty());
    let to_json = |rules: &[Rule]| rules.iter().map(Rule::to_json).collect::<Vec<_>>();
    let mut status = json!({
        "resourceRules": to_json(&of_resources),
        "nonResourceRules": to_json(&of_paths),
        "incomplete": identity.node().is_some(),
    });
    if identity.node().is_some() {
        status["evaluationError"] = json!("node authorizer does not support user rule resolution");
    }
    Ok(status)
}
