//! Webhooks that may change the object. They are asked one after the other, each about what the ones before have made of
//! it; those that wish it are asked once more when a later one has changed something
//! (`k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go`).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::call::{Outcome, Question};
use super::configuration::{Hook, Hooks, Reinvocation};
use super::review::Role;
use crate::admission::{Operation, Remarks, Request, Step, Touched, matching};
use crate::authorization::Authorizer;
use crate::patch;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};
use crate::webhook::Client;

/// The step.
pub struct MutatingWebhooks {
    client: Arc<Client>,
    permissions: Arc<Authorizer>,
    hooks: Hooks,
}

impl MutatingWebhooks {
    /// Asks with this client; what conditions ask about permissions, `permissions` answers.
    pub fn new(client: Arc<Client>, permissions: Arc<Authorizer>) -> Self {
        Self {
            client,
            permissions,
            hooks: Hooks::of("mutatingwebhookconfigurations"),
        }
    }
}

#[async_trait]
impl Step for MutatingWebhooks {
    async fn mutate(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        new: &mut Value,
        remarks: &mut Remarks,
    ) -> ApiResult<Touched> {
        let mut object = Some(new.take());
        let answer = self.ask_all(objects, request, &mut object, remarks).await;
        if let Some(object) = object {
            *new = object;
        }
        answer
    }

    /// What goes cannot be changed, but its going can be refused.
    async fn validate(&self, objects: &Objects, request: &Request<'_>, remarks: &mut Remarks) -> ApiResult<()> {
        match request.operation {
            Operation::Delete => self.ask_all(objects, request, &mut None, remarks).await.map(drop),
            Operation::Create | Operation::Update => Ok(()),
        }
    }
}

/// Which webhooks are to be asked again.
#[derive(Default)]
struct Again {
    asked: BTreeSet<usize>,
    due: BTreeSet<usize>,
}

impl MutatingWebhooks {
    async fn ask_all(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        new: &mut Option<Value>,
        remarks: &mut Remarks,
    ) -> ApiResult<Touched> {
        let hooks = self.hooks.get(objects);
        let mut touched = Touched::No;
        if hooks.is_empty() || matching::is_exempt(request) {
            return Ok(touched);
        }
        let mut again = Again::default();
        for round in 0..2 {
            let due = std::mem::take(&mut again.due);
            for (index, hook) in hooks.iter().enumerate() {
                if round > 0 && !due.contains(&index) {
                    continue;
                }
                let place = format!("round_{round}_index_{index}");
                let Some(changed) = self.ask(objects, hook, request, new, &place, remarks).await? else {
                    continue;
                };
                if changed {
                    touched = Touched::Yes;
                    again.due.append(&mut again.asked);
                }
                if hook.reinvocation == Reinvocation::IfNeeded {
                    again.asked.insert(index);
                }
            }
        }
        Ok(touched)
    }

    /// Asks one; tells whether it has changed anything, or nothing when it was not asked.
    async fn ask(
        &self,
        objects: &Objects,
        hook: &Hook,
        request: &Request<'_>,
        new: &mut Option<Value>,
        place: &str,
        remarks: &mut Remarks,
    ) -> ApiResult<Option<bool>> {
        let Some(question) = Question::new(&self.permissions, objects, hook, request, new.as_ref()).await? else {
            return Ok(None);
        };
        let answer = match question.ask(&self.client, Role::Mutating).await? {
            Outcome::Allowed(answer) => answer,
            Outcome::FailedOpen => {
                let key = format!("failed-open.mutation.webhook.admission.k8s.io/{place}");
                remarks.annotations.insert(key, hook.name.clone());
                return Ok(Some(false));
            }
        };
        remarks.take(&hook.name, answer.warnings, answer.annotations);
        let changed = match &answer.patch {
            Some(patch) => apply(&question, patch, new).await?,
            None => false,
        };
        annotate(hook, place, answer.patch.as_ref().filter(|_| changed), remarks);
        Ok(Some(changed))
    }
}

/// Applies a patch; tells whether anything is different now.
async fn apply(question: &Question<'_>, patch: &Value, new: &mut Option<Value>) -> ApiResult<bool> {
    if patch.as_array().is_some_and(Vec::is_empty) {
        return Ok(false);
    }
    let name = &question.hook.name;
    let Some(new) = new else {
        let what = "attempted to modify the object, which is not supported for this operation";
        return Err(ApiError::internal(format!("admission webhook {name:?} {what}")));
    };
    let mut changed = question.view.object.clone();
    patch::json::apply(&mut changed, patch).map_err(ApiError::internal)?;
    if changed == question.view.object {
        return Ok(false);
    }
    question.view.inside(changed, new).await?;
    Ok(true)
}

/// Tells the audit log who has changed what.
fn annotate(hook: &Hook, place: &str, patch: Option<&Value>, remarks: &mut Remarks) {
    let (configuration, webhook) = (&hook.configuration, &hook.name);
    let mutation = json!({"configuration": configuration, "webhook": webhook, "mutated": patch.is_some()});
    let key = format!("mutation.webhook.admission.k8s.io/{place}");
    remarks.annotations.insert(key, mutation.to_string());
    if let Some(patch) = patch {
        let patch =
            json!({"configuration": configuration, "webhook": webhook, "patch": patch, "patchType": "JSONPatch"});
        let key = format!("patch.webhook.admission.k8s.io/{place}");
        remarks.annotations.insert(key, patch.to_string());
    }
}
