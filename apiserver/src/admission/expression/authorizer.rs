//! `authorizer`: what expressions may ask about who may do what. The answers are those that requests get, too.

use breakbulk_cel::{Answer, Authorizer, Question, ResourceRequest, Subject, Target};

use crate::admission::{Request, matching};
use crate::authentication::Identity;
use crate::authorization::{Attributes, Authorizer as Permissions, Decision};
use crate::selector::FieldSelector;

/// Asks authorization, for whoever sent a request.
pub(in crate::admission) struct Asker<'a> {
    permissions: &'a Permissions,
    identity: &'a Identity,
    request: ResourceRequest,
}

impl<'a> Asker<'a> {
    /// For a request.
    pub(in crate::admission) fn new(permissions: &'a Permissions, request: &Request<'a>) -> Self {
        Self {
            permissions,
            identity: request.identity,
            request: ResourceRequest {
                group: request.resource.group.clone(),
                resource: request.resource.plural.clone(),
                subresource: request.subresource.to_owned(),
                namespace: matching::namespace(request).to_owned(),
                name: request.name.to_owned(),
                ..ResourceRequest::default()
            },
        }
    }

    /// What `authorizer.requestResource` is about.
    pub(super) fn request(&self) -> &ResourceRequest {
        &self.request
    }
}

fn account(namespace: &str, name: &str) -> Identity {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    Identity {
        user: format!("system:serviceaccount:{namespace}:{name}"),
        groups: groups.into(),
        ..Identity::default()
    }
}

impl Authorizer for Asker<'_> {
    fn authorize(&self, question: &Question) -> Answer {
        let other = match &question.subject {
            Subject::Requester => None,
            Subject::ServiceAccount { namespace, name } => Some(account(namespace, name)),
        };
        let identity = other.as_ref().unwrap_or(self.identity);
        let none = ResourceRequest::default();
        let (resource, path) = match &question.target {
            Target::Path(path) => (&none, path.as_str()),
            Target::Resource(resource) => (resource, ""),
        };
        let selector = match FieldSelector::parse(&resource.field_selector) {
            Ok(selector) => selector,
            Err(error) => {
                return Answer {
                    error: Some(error.to_string()),
                    ..Answer::default()
                };
            }
        };
        let given = |text: &&str| !text.is_empty();
        let attributes = Attributes {
            verb: &question.verb,
            group: &resource.group,
            resource: &resource.resource,
            subresource: &resource.subresource,
            namespace: Some(resource.namespace.as_str()).filter(given),
            name: Some(resource.name.as_str()).filter(given),
            field_selector: &selector,
            path,
        };
        match self.permissions.decide(identity, &attributes) {
            Decision::Allow(reason) => Answer {
                allowed: true,
                reason: reason.as_deref().unwrap_or("").to_owned(),
                ..Answer::default()
            },
            Decision::Deny(reason) => Answer {
                reason,
                ..Answer::default()
            },
        }
    }
}
