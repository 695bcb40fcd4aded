//! Nobody gives more away than they have: roles and bindings are looked at with the eyes of who writes them.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Operation, Remarks, Request, Step};
use crate::authorization::{Authorizer, escalation};
use crate::registry::objects::Objects;
use crate::status::ApiResult;

/// The step.
pub struct NoEscalation {
    authorizer: Arc<Authorizer>,
}

impl NoEscalation {
    /// Asks this authorizer.
    pub fn new(authorizer: Arc<Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Step for NoEscalation {
    async fn validate(&self, _: &Objects, request: &Request<'_>, _: &mut Remarks) -> ApiResult<()> {
        let Some(new) = request.new.filter(|_| request.operation != Operation::Delete) else {
            return Ok(());
        };
        let write = escalation::Write {
            group: &request.resource.group,
            plural: &request.resource.plural,
            namespace: request.namespace,
            name: request.name,
            new,
            old: request.old,
        };
        escalation::check(&self.authorizer, request.identity, &write)
    }
}
