//! Admission: may this object come to be here, in this form? A request that is allowed and whose object has its kind's
//! shape passes a fixed chain of steps: first those that may change the object, then, when it is complete and valid, those
//! that may only refuse it.
//!
//! ```text
//! write ─▶ shape ─▶ mutate: lifecycle, webhooks ─▶ shape ─▶ check ─▶ validate: lifecycle, policies, webhooks ─▶ store
//! ```
//!
//! Reads are never asked about, and neither is what the server writes by itself ([`Author::Server`]).
//!
//! Users bring webhooks ([`MutatingWebhooks`], [`ValidatingWebhooks`]) and policies ([`ValidatingPolicies`]) as objects.
//! Both begin alike: `matching` finds those that a request concerns, `view` is the request as they see it, and
//! `expression` evaluates what they say; `followed` keeps them parsed.

mod escalation;
pub(crate) mod expression;
mod followed;
mod lifecycle;
mod matching;
mod policy;
mod priority;
mod quota;
mod view;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::authentication::Identity;
use crate::authorization::Authorizer;
use crate::establish::Guard;
use crate::registry::Resource;
use crate::registry::objects::{Objects, Persist, Said};
use crate::status::ApiResult;
use crate::webhook::Client;

pub use escalation::NoEscalation;
pub use lifecycle::NamespaceLifecycle;
pub use policy::ValidatingPolicies;
pub(crate) use policy::status as policy_status;
pub use priority::PriorityClasses;
pub(crate) use priority::ensure as system_priorities;
pub use quota::Quota;
pub use webhook::{MutatingWebhooks, ValidatingWebhooks};

/// Who writes.
#[derive(Clone, Debug)]
pub enum Author {
    /// The server itself: nobody is asked.
    Server,
    /// A client.
    Client(Arc<Identity>),
}

/// What a request does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It comes to be.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
}

impl Operation {
    /// As rules and reviews write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A request, as the steps see it. Objects are in the version of the request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// What is done.
    pub operation: Operation,
    /// To what kind.
    pub resource: &'a Resource,
    /// `status`, or empty.
    pub subresource: &'a str,
    /// Where.
    pub namespace: Option<&'a str>,
    /// To which object; empty where its name is still to be made.
    pub name: &'a str,
    /// The object as it is; none when it comes to be.
    pub old: Option<&'a Value>,
    /// The object as it will be; none when it goes, and none while the steps may still change it: then they have it apart.
    pub new: Option<&'a Value>,
    /// Whether it is kept.
    pub persist: Persist,
    /// What the client said of how it is to be done.
    pub said: &'a Said,
}

/// What the steps have to say beside yes.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// For the audit log.
    pub annotations: BTreeMap<String, String>,
}

impl Remarks {
    /// Takes over what a webhook said, under its name.
    fn take(&mut self, webhook: &str, warnings: Vec<String>, annotations: BTreeMap<String, String>) {
        self.warnings.extend(warnings);
        let named = annotations
            .into_iter()
            .map(|(key, text)| (format!("{webhook}/{key}"), text));
        self.annotations.extend(named);
    }
}

/// Whether a step has changed an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// It is as it was: nothing has to be looked at again.
    No,
    /// It may differ.
    Yes,
}

/// A step. Each is asked about every write; it says nothing about what is not its business.
#[async_trait]
pub trait Step: Send + Sync {
    /// Changes the object.
    ///
    /// # Errors
    /// When it is refused.
    async fn mutate(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        new: &mut Value,
        remarks: &mut Remarks,
    ) -> ApiResult<Touched> {
        let _ = (objects, request, new, remarks);
        Ok(Touched::No)
    }

    /// Decides about the complete object.
    ///
    /// # Errors
    /// When it is refused.
    async fn validate(&self, objects: &Objects, request: &Request<'_>, remarks: &mut Remarks) -> ApiResult<()> {
        let _ = (objects, request, remarks);
        Ok(())
    }
}

/// The steps, in their order.
pub struct Chain {
    steps: Vec<Box<dyn Step>>,
}

impl Chain {
    /// The steps that every server has. The last ones see what all others have made of a request.
    pub fn standard(authorizer: Arc<Authorizer>) -> Self {
        let client = Arc::new(Client::new());
        Self {
            // Quotas come last: what another step refuses is not charged.
            steps: vec![
                Box::new(NamespaceLifecycle::default()),
                Box::new(Guard),
                Box::new(PriorityClasses),
                Box::new(NoEscalation::new(authorizer.clone())),
                Box::new(MutatingWebhooks::new(client.clone(), authorizer.clone())),
                Box::new(ValidatingPolicies::new(authorizer.clone())),
                Box::new(ValidatingWebhooks::new(client, authorizer)),
                Box::new(Quota::default()),
            ],
        }
    }

    /// No step: for what only reads.
    pub fn empty() -> Self {
        Self { steps: Vec::new() }
    }

    /// Lets every step change the object.
    pub(crate) async fn mutate(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        new: &mut Value,
        remarks: &mut Remarks,
    ) -> ApiResult<Touched> {
        let mut touched = Touched::No;
        for step in &self.steps {
            if step.mutate(objects, request, new, remarks).await? == Touched::Yes {
                touched = Touched::Yes;
            }
        }
        Ok(touched)
    }

    /// Asks every step.
    pub(crate) async fn validate(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        remarks: &mut Remarks,
    ) -> ApiResult<()> {
        for step in &self.steps {
            step.validate(objects, request, remarks).await?;
        }
        Ok(())
    }
}
