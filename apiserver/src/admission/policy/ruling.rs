//! What follows from what policies say: a refusal, warnings, entries in the audit log.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::binding::{Action, Binding};
use super::definition::{Policy, Reason};
use super::evaluate::{Opinion, Refusal};
use crate::admission::webhook::FailurePolicy;
use crate::admission::{Remarks, Request, matching};
use crate::status::{ApiError, ApiResult};

const FAILURE: &str = "validation.policy.admission.k8s.io/validation_failure";

/// What all policies together make of a request. The first refusal is the answer.
#[derive(Default)]
pub(super) struct Ruling {
    denial: Option<(String, Reason)>,
    remarks: Remarks,
    failures: Vec<Value>,
    /// Of the policy under way: one key may come from several bindings.
    annotations: BTreeMap<String, Vec<String>>,
}

impl Ruling {
    /// A policy, or a binding of it, that cannot be used.
    pub(super) fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        if policy.failure == FailurePolicy::Ignore {
            return;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.deny(
            policy,
            binding,
            &format!("failed to configure {what}: {why}"),
            Reason::Invalid,
        );
    }

    /// What a policy says, with what its binding makes of it.
    pub(super) fn add(&mut self, policy: &Policy, binding: &Binding, opinion: Opinion) {
        for refusal in &opinion.refusals {
            for action in &binding.actions {
                match action {
                    Action::Deny => self.deny(policy, Some(binding), &refusal.message, refusal.reason),
                    Action::Audit => self.note(policy, binding, refusal),
                    Action::Warn => self.remarks.warnings.push(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, refusal.message
                    )),
                }
            }
        }
        for (key, text) in opinion.annotations {
            let texts = self.annotations.entry(key).or_default();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        for why in opinion.errors {
            self.deny(policy, Some(binding), &why, Reason::Invalid);
        }
    }

    /// Ends a policy: its annotations are complete.
    pub(super) fn publish(&mut self, policy: &str) {
        for (key, texts) in std::mem::take(&mut self.annotations) {
            self.remarks
                .annotations
                .insert(format!("{policy}/{key}"), texts.join(", "));
        }
    }

    /// The answer.
    pub(super) fn end(mut self, request: &Request<'_>, remarks: &mut Remarks) -> ApiResult<()> {
        if !self.failures.is_empty() {
            let failures = Value::Array(std::mem::take(&mut self.failures));
            self.remarks
                .annotations
                .insert(FAILURE.to_owned(), failures.to_string());
        }
        remarks.warnings.append(&mut self.remarks.warnings);
        remarks.annotations.append(&mut self.remarks.annotations);
        match self.denial {
            None => Ok(()),
            Some((why, reason)) => {
                let name = matching::name_of(request, request.new);
                let (code, reason) = reason.status();
                Err(ApiError::denied(request.resource.target(name), &why, code, reason))
            }
        }
    }

    fn deny(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str, reason: Reason) {
        if self.denial.is_some() {
            return;
        }
        let with = binding.map_or_else(String::new, |binding| format!(" with binding '{}'", binding.name));
        let words = format!(
            "ValidatingAdmissionPolicy '{}'{with} denied request: {why}",
            policy.name
        );
        self.denial = Some((words, reason));
    }

    fn note(&mut self, policy: &Policy, binding: &Binding, refusal: &Refusal) {
        let actions: Vec<&str> = binding.actions.iter().map(|action| action.name()).collect();
        self.failures.push(json!({
            "message": refusal.message,
            "policy": policy.name,
            "binding": binding.name,
            "expressionIndex": refusal.index,
            "validationActions": actions,
        }));
    }
}
