//! Policies: rules that users write as expressions (ValidatingAdmissionPolicy), put to work by bindings that say for which
//! objects, with which parameters, and what follows from a no
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go`).
//!
//! ```text
//! policies, bindings ─▶ Guards (compiled once)     request ─▶ policy meant? ─▶ binding meant? ─▶ params ─▶ evaluate ─▶ Ruling
//! ```

mod binding;
mod definition;
mod evaluate;
mod guards;
mod ruling;
pub(crate) mod status;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::expression::{Asker, Inputs};
use super::view::View;
use super::{Remarks, Request, Step, matching};
use crate::authorization::Authorizer;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};
use binding::Binding;
use definition::Policy;
use guards::{Guard, Guards};
use ruling::Ruling;

/// The step.
pub struct ValidatingPolicies {
    permissions: Arc<Authorizer>,
    guards: Guards,
}

impl ValidatingPolicies {
    /// One that knows no policies yet; what expressions ask about permissions, `permissions` answers.
    pub fn new(permissions: Arc<Authorizer>) -> Self {
        Self {
            permissions,
            guards: Guards::default(),
        }
    }
}

#[async_trait]
impl Step for ValidatingPolicies {
    async fn validate(&self, objects: &Objects, request: &Request<'_>, remarks: &mut Remarks) -> ApiResult<()> {
        let guards = self.guards.get(objects).await;
        if guards.is_empty() || matching::is_exempt(request) {
            return Ok(());
        }
        let mut ruling = Ruling::default();
        for guard in guards.iter() {
            consult(&self.permissions, objects, request, guard, &mut ruling).await?;
        }
        ruling.end(request, remarks)
    }
}

/// Asks one policy, for every binding that is about the request.
async fn consult(
    permissions: &Authorizer,
    objects: &Objects,
    request: &Request<'_>,
    guard: &Guard,
    ruling: &mut Ruling,
) -> ApiResult<()> {
    let policy = &guard.policy;
    let version = match policy.constraints.select(objects, request, request.new).await {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(()),
        Err(error) => {
            ruling.misconfigured(policy, None, error.message());
            return Ok(());
        }
    };
    let view = View::new(request, &version, request.new).await?;
    let described = view.describe(&uuid::Uuid::new_v4().to_string());
    let question = Question {
        permissions,
        objects,
        request,
        view: &view,
        described: &described,
    };
    for binding in &guard.bindings {
        let meant = match &binding.constraints {
            Some(constraints) => constraints
                .select(objects, request, request.new)
                .await
                .map(|some| some.is_some()),
            None => Ok(true),
        };
        match meant {
            Ok(true) => question.put(policy, binding, ruling).await?,
            Ok(false) => {}
            Err(error) => ruling.misconfigured(policy, Some(binding), error.message()),
        }
    }
    ruling.publish(&policy.name);
    Ok(())
}

/// A request that a policy is about.
struct Question<'a> {
    permissions: &'a Authorizer,
    objects: &'a Objects,
    request: &'a Request<'a>,
    view: &'a View<'a>,
    described: &'a Value,
}

impl Question<'_> {
    /// Evaluates the policy once for each object of parameters.
    async fn put(&self, policy: &Policy, binding: &Binding, ruling: &mut Ruling) -> ApiResult<()> {
        let params = match binding
            .params(self.objects, policy.params.as_ref(), matching::namespace(self.request))
            .await
        {
            Ok(params) => params,
            Err(why) => {
                ruling.misconfigured(policy, Some(binding), &why);
                return Ok(());
            }
        };
        let namespace = self.namespace().await?;
        let asker = Asker::new(self.permissions, self.request);
        for params in &params {
            // There may be many: others get their turn, and the request its deadline.
            tokio::task::yield_now().await;
            let inputs = Inputs {
                object: &self.view.object,
                old: &self.view.old,
                request: self.described,
                namespace: &namespace,
                params,
                asker: &asker,
            };
            ruling.add(policy, binding, policy.evaluate(&inputs).await);
        }
        Ok(())
    }

    /// The namespace of the object; null for what has none, and for a namespace itself.
    async fn namespace(&self) -> ApiResult<Value> {
        match self.request.namespace.filter(|_| self.request.resource.namespaced) {
            Some(name) => {
                let found = matching::namespace_object(self.objects, name).await;
                Ok(found
                    .map_err(|error| ApiError::internal(error.message()))?
                    .unwrap_or(Value::Null))
            }
            None => Ok(Value::Null),
        }
    }
}
