//! `authorizer`: rules that ask whether somebody may do something. The caller brings the answers ([`Authorizer`]); here
//! is only how a question is put together.

use std::fmt;
use std::sync::Arc;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, unsupported};
use crate::types::Opaque;
use crate::value::{Library, OpaqueValue, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

/// Who answers. An answer must not block: an expression waits for it.
pub trait Authorizer: Sync {
    /// Whether the subject may do what is asked.
    fn authorize(&self, question: &Question) -> Answer;
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whether it is about the user of the request or a service account.
    pub subject: Subject,
    /// The verb: of the API for resources, of HTTP for paths.
    pub verb: String,
    /// What it is about.
    pub target: Target,
}

/// About whom is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// The user whose request is being decided on.
    #[default]
    Requester,
    /// A service account: `authorizer.serviceAccount(namespace, name)`.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path that is no resource.
    Path(String),
    /// A resource.
    Resource(ResourceRequest),
}

/// A resource, as far as a question names it; what it does not name is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceRequest {
    /// The API group; empty for the core.
    pub group: String,
    /// The plural.
    pub resource: String,
    /// Of the resource.
    pub subresource: String,
    /// Empty for all, and for what has none.
    pub namespace: String,
    /// Empty for all.
    pub name: String,
    /// A field selector, as it was written.
    pub field_selector: String,
    /// A label selector, as it was written.
    pub label_selector: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong on the way to the answer.
    pub error: Option<String>,
}

/// A question that is being put together, or its answer.
#[derive(Clone)]
pub(crate) struct Authorization<'a> {
    authorizer: &'a dyn Authorizer,
    subject: Subject,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Start,
    Path(String),
    Group(String),
    Resource(Box<ResourceRequest>),
    Decided(Box<Answer>),
}

impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorization").field(&self.stage).finish()
    }
}

impl<'a> Authorization<'a> {
    pub(crate) fn new(authorizer: &'a dyn Authorizer) -> Self {
        Self {
            authorizer,
            subject: Subject::Requester,
            stage: Stage::Start,
        }
    }

    pub(crate) fn for_request(authorizer: &'a dyn Authorizer, request: &ResourceRequest) -> Self {
        Self {
            stage: Stage::Resource(Box::new(request.clone())),
            ..Self::new(authorizer)
        }
    }

    pub(crate) fn ty(&self) -> Opaque {
        match self.stage {
            Stage::Start => Opaque::Authorizer,
            Stage::Path(_) => Opaque::PathCheck,
            Stage::Group(_) => Opaque::GroupCheck,
            Stage::Resource(_) => Opaque::ResourceCheck,
            Stage::Decided(_) => Opaque::Decision,
        }
    }

    fn at(&self, stage: Stage) -> Value<'a> {
        let next = Self { stage, ..self.clone() };
        Value::library(Library::Authorization(Arc::new(next)))
    }

    /// The question with one thing more.
    fn step(&self, call: &str, text: &str) -> Outcome<'a> {
        let blank = text.trim().is_empty();
        match (call, &self.stage) {
            ("path", Stage::Start) if blank => refuse("path must not be empty"),
            ("path", Stage::Start) => Ok(self.at(Stage::Path(text.to_owned()))),
            ("group", Stage::Start) => Ok(self.at(Stage::Group(text.to_owned()))),
            ("resource", Stage::Group(_)) if blank => refuse("resource must not be empty"),
            ("resource", Stage::Group(group)) => Ok(self.at(Stage::Resource(Box::new(ResourceRequest {
                group: group.clone(),
                resource: text.to_owned(),
                ..ResourceRequest::default()
            })))),
            ("check", _) => self.check(text),
            (_, Stage::Resource(request)) => {
                let mut request = request.clone();
                let part = match call {
                    "subresource" => &mut request.subresource,
                    "namespace" => &mut request.namespace,
                    "name" => &mut request.name,
                    "fieldSelector" => &mut request.field_selector,
                    "labelSelector" => &mut request.label_selector,
                    _ => return unsupported(),
                };
                text.clone_into(part);
                Ok(self.at(Stage::Resource(request)))
            }
            _ => unsupported(),
        }
    }

    fn check(&self, verb: &str) -> Outcome<'a> {
        let target = match &self.stage {
            Stage::Path(path) => Target::Path(path.clone()),
            Stage::Resource(request) => Target::Resource((**request).clone()),
            _ => return unsupported(),
        };
        let question = Question {
            subject: self.subject.clone(),
            verb: verb.to_owned(),
            target,
        };
        Ok(self.at(Stage::Decided(Box::new(self.authorizer.authorize(&question)))))
    }
}

macro_rules! step {
    ($name:literal, $($overload:expr),+) => {
        Declaration {
            name: $name,
            overloads: &[$($overload),+],
            run: |_: &mut Meter, args| match args {
                [Value::Opaque(OpaqueValue(Library::Authorization(at))), Value::String(text)] => at.step($name, text),
                _ => unsupported(),
            },
        }
    };
}

pub(super) const FUNCTIONS: &[Declaration] = &[
    step!("path", ("authorizer_path", "Authorizer.(string) -> PathCheck")),
    step!("group", ("authorizer_group", "Authorizer.(string) -> GroupCheck")),
    step!(
        "resource",
        ("groupcheck_resource", "GroupCheck.(string) -> ResourceCheck")
    ),
    step!(
        "subresource",
        ("resourcecheck_subresource", "ResourceCheck.(string) -> ResourceCheck")
    ),
    step!(
        "namespace",
        ("resourcecheck_namespace", "ResourceCheck.(string) -> ResourceCheck")
    ),
    step!(
        "name",
        ("resourcecheck_name", "ResourceCheck.(string) -> ResourceCheck")
    ),
    step!(
        "fieldSelector",
        ("authorizer_fieldselector", "ResourceCheck.(string) -> ResourceCheck")
    ),
    step!(
        "labelSelector",
        ("authorizer_labelselector", "ResourceCheck.(string) -> ResourceCheck")
    ),
    step!(
        "check",
        ("pathcheck_check", "PathCheck.(string) -> Decision"),
        ("resourcecheck_check", "ResourceCheck.(string) -> Decision")
    ),
    Declaration {
        name: "serviceAccount",
        overloads: &[("authorizer_serviceaccount", "Authorizer.(string, string) -> Authorizer")],
        run: service_account,
    },
    Declaration {
        name: "allowed",
        overloads: &[("decision_allowed", "Decision.() -> bool")],
        run: |_, args| answer(args, |answer| Value::Bool(answer.allowed)),
    },
    Declaration {
        name: "reason",
        overloads: &[("decision_reason", "Decision.() -> string")],
        run: |_, args| answer(args, |answer| Value::text(answer.reason.as_str())),
    },
    Declaration {
        name: "errored",
        overloads: &[("decision_errored", "Decision.() -> bool")],
        run: |_, args| answer(args, |answer| Value::Bool(answer.error.is_some())),
    },
    Declaration {
        name: "error",
        overloads: &[("decision_error", "Decision.() -> string")],
        run: |_, args| answer(args, |answer| Value::text(answer.error.clone().unwrap_or_default())),
    },
];

fn answer<'a>(args: &[Value<'a>], of: fn(&Answer) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(OpaqueValue(Library::Authorization(at)))] => match &at.stage {
            Stage::Decided(answer) => Ok(of(answer)),
            _ => unsupported(),
        },
        _ => unsupported(),
    }
}

fn service_account<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [
        Value::Opaque(OpaqueValue(Library::Authorization(at))),
        Value::String(namespace),
        Value::String(name),
    ] = args
    else {
        return unsupported();
    };
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label =
        |text: &str| text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-');
    if name.len() > 253 || !name.split('.').all(label) {
        return refuse("Invalid service account name");
    }
    if namespace.len() > 63 || !label(namespace) {
        return refuse("Invalid service account namespace");
    }
    let next = Authorization {
        subject: Subject::ServiceAccount {
            namespace: (**namespace).to_owned(),
            name: (**name).to_owned(),
        },
        ..(**at).clone()
    };
    Ok(Value::library(Library::Authorization(Arc::new(next))))
}
