//! Asking one webhook about one request.

use serde_json::Value;

use super::configuration::{FailurePolicy, Hook, SideEffects};
use super::review::{self, Answer, Role};
use crate::admission::expression::{Asker, Inputs, Verdict};
use crate::admission::view::View;
use crate::admission::{Request, matching};
use crate::authorization::Authorizer;
use crate::registry::objects::{Objects, Persist};
use crate::status::{ApiError, ApiResult};
use crate::webhook::Client;

/// A question that will be asked.
pub(super) struct Question<'a> {
    /// Whom.
    pub(super) hook: &'a Hook,
    /// About what.
    pub(super) view: View<'a>,
    described: Value,
    uid: String,
}

/// What became of a question.
pub(super) enum Outcome {
    /// The webhook said yes.
    Allowed(Answer),
    /// It could not be asked, and that does not matter.
    FailedOpen,
}

impl<'a> Question<'a> {
    /// The question to a webhook about a request whose object is now to be `new`; none when it is not meant.
    ///
    /// # Errors
    /// When it cannot be told whether it is, or the webhook cannot be asked for a dry run.
    pub(super) async fn new(
        permissions: &Authorizer,
        objects: &Objects,
        hook: &'a Hook,
        request: &'a Request<'a>,
        new: Option<&Value>,
    ) -> ApiResult<Option<Self>> {
        let Some(version) = hook.constraints.select(objects, request, new).await? else {
            return Ok(None);
        };
        let view = View::new(request, &version, new).await?;
        let uid = uuid::Uuid::new_v4().to_string();
        let described = view.describe(&uid);
        if !meant(permissions, hook, request, &view, &described).await? {
            return Ok(None);
        }
        if request.persist == Persist::DryRun && hook.side_effects == SideEffects::Possible {
            let name = &hook.name;
            return Err(ApiError::bad_request(format!(
                "admission webhook {name:?} does not support dry run"
            )));
        }
        Ok(Some(Self {
            hook,
            view,
            described,
            uid,
        }))
    }

    /// Asks.
    ///
    /// # Errors
    /// The webhook's no; and that there is no answer, if its failure policy wants one.
    pub(super) async fn ask(&self, client: &Client, role: Role) -> ApiResult<Outcome> {
        match self.answer(client, role).await {
            Ok(answer) => match &answer.verdict {
                Ok(()) => Ok(Outcome::Allowed(answer)),
                Err(denial) => Err(denial.error(&self.hook.name)),
            },
            Err(why) => self.failed(&why),
        }
    }

    async fn answer(&self, client: &Client, role: Role) -> Result<Answer, String> {
        let hook = self.hook;
        let endpoint = hook.endpoint.as_ref();
        let endpoint = endpoint.map_err(|why| format!("could not get REST client: {why}"))?;
        let question = review::question(&self.view, &self.described);
        let given = client.post(endpoint, question, hook.timeout).await;
        let given = given.map_err(|error| format!("failed to call webhook: {error}"))?;
        review::answer(given, &self.uid, role).map_err(|why| format!("received invalid webhook response: {why}"))
    }

    fn failed(&self, why: &str) -> ApiResult<Outcome> {
        let name = &self.hook.name;
        match self.hook.failure {
            FailurePolicy::Ignore => {
                tracing::warn!(webhook = %name, why, "cannot call a webhook; going on without it");
                Ok(Outcome::FailedOpen)
            }
            FailurePolicy::Fail => Err(ApiError::internal(format!("failed calling webhook {name:?}: {why}"))),
        }
    }
}

/// Whether the conditions of a webhook are met.
async fn meant(
    permissions: &Authorizer,
    hook: &Hook,
    request: &Request<'_>,
    view: &View<'_>,
    described: &Value,
) -> ApiResult<bool> {
    if hook.conditions.is_empty() {
        return Ok(true);
    }
    let asker = Asker::new(permissions, request);
    let inputs = Inputs {
        object: &view.object,
        old: &view.old,
        request: described,
        namespace: &Value::Null,
        params: &Value::Null,
        asker: &asker,
    };
    match (hook.conditions.judge(&inputs).await, hook.failure) {
        (Verdict::Match, _) => Ok(true),
        (Verdict::NoMatch, _) | (Verdict::Unclear(_), FailurePolicy::Ignore) => Ok(false),
        (Verdict::Unclear(why), FailurePolicy::Fail) => {
            let name = matching::name_of(request, Some(&view.object));
            Err(ApiError::forbidden(request.resource.target(name), why))
        }
    }
}
