//! Webhooks that may refuse a request, but change nothing. They are asked at the same time; the first no in their order is
//! the answer.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream;

use super::call::{Outcome, Question};
use super::configuration::{Hook, Hooks};
use super::review::Role;
use crate::admission::{Remarks, Request, Step, matching};
use crate::authorization::Authorizer;
use crate::registry::objects::Objects;
use crate::status::ApiResult;
use crate::webhook::Client;

/// Webhooks asked about one request at the same time.
const AT_ONCE: usize = 16;

/// The step.
pub struct ValidatingWebhooks {
    client: Arc<Client>,
    permissions: Arc<Authorizer>,
    hooks: Hooks,
}

impl ValidatingWebhooks {
    /// Asks with this client; what conditions ask about permissions, `permissions` answers.
    pub fn new(client: Arc<Client>, permissions: Arc<Authorizer>) -> Self {
        Self {
            client,
            permissions,
            hooks: Hooks::of("validatingwebhookconfigurations"),
        }
    }

    async fn ask(&self, objects: &Objects, index: usize, hook: &Hook, request: &Request<'_>) -> ApiResult<Remarks> {
        let mut remarks = Remarks::default();
        let Some(question) = Question::new(&self.permissions, objects, hook, request, request.new).await? else {
            return Ok(remarks);
        };
        match question.ask(&self.client, Role::Validating).await? {
            Outcome::Allowed(answer) => remarks.take(&hook.name, answer.warnings, answer.annotations),
            Outcome::FailedOpen => {
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                remarks.annotations.insert(key, hook.name.clone());
            }
        }
        Ok(remarks)
    }
}

#[async_trait]
impl Step for ValidatingWebhooks {
    async fn validate(&self, objects: &Objects, request: &Request<'_>, remarks: &mut Remarks) -> ApiResult<()> {
        let hooks = self.hooks.get(objects);
        if hooks.is_empty() || matching::is_exempt(request) {
            return Ok(());
        }
        let questions = hooks.iter().enumerate();
        let questions: Vec<_> = questions
            .map(|(index, hook)| self.ask(objects, index, hook, request))
            .collect();
        let answers: Vec<ApiResult<Remarks>> = stream::iter(questions).buffered(AT_ONCE).collect().await;
        for answer in answers {
            let said = answer?;
            remarks.warnings.extend(said.warnings);
            remarks.annotations.extend(said.annotations);
        }
        Ok(())
    }
}
