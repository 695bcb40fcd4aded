//! A policy, compiled.

use breakbulk_cel::{Composition, Environment, Type};
use k8s_openapi::api::admissionregistration::v1::{ParamKind, ValidatingAdmissionPolicySpec};

use crate::admission::expression::{Asks, Conditions, Expression, Params, compile, environment};
use crate::admission::matching::Constraints;
use crate::admission::webhook::FailurePolicy;

/// A policy.
pub(super) struct Policy {
    /// Its name.
    pub(super) name: String,
    /// Which requests it is about.
    pub(super) constraints: Constraints,
    /// And under what conditions.
    pub(super) conditions: Conditions,
    /// The kind of its parameters; none when it takes none.
    pub(super) params: Option<ParamType>,
    /// What expressions may build on.
    pub(super) variables: Composition,
    /// What must be true.
    pub(super) validations: Vec<Validation>,
    /// What the audit log is told, by key.
    pub(super) annotations: Vec<(String, Expression)>,
    /// When an expression has no value.
    pub(super) failure: FailurePolicy,
}

/// One thing that must be true.
pub(super) struct Validation {
    /// It.
    pub(super) expression: Expression,
    /// What is said when it is not.
    pub(super) message: String,
    /// The same, to be evaluated.
    pub(super) message_expression: Option<Expression>,
    /// The reason of the answer.
    pub(super) reason: Reason,
}

/// The kind of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParamType {
    /// `group/version`.
    pub(super) api_version: String,
    /// The kind.
    pub(super) kind: String,
}

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reason {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 413.
    TooLarge,
    /// 422.
    #[default]
    Invalid,
}

impl Reason {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Unauthorized") => Self::Unauthorized,
            Some("Forbidden") => Self::Forbidden,
            Some("RequestEntityTooLarge") => Self::TooLarge,
            _ => Self::Invalid,
        }
    }

    /// The HTTP code, and the reason on the wire.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::TooLarge => (413, "RequestEntityTooLarge"),
            Self::Invalid => (422, "Invalid"),
        }
    }
}

impl From<&ParamKind> for ParamType {
    fn from(given: &ParamKind) -> Self {
        Self {
            api_version: given.api_version.clone().unwrap_or_default(),
            kind: given.kind.clone().unwrap_or_default(),
        }
    }
}

impl Policy {
    /// Compiles what is stored.
    pub(super) fn new(name: &str, spec: &ValidatingAdmissionPolicySpec) -> Self {
        let params = if spec.param_kind.is_some() {
            Params::Given
        } else {
            Params::Absent
        };
        let plain = environment(params, Asks::Authorizer);
        let variables = variables(&plain, spec);
        let all = plain.with_variables(&variables);
        let silent = environment(params, Asks::Nobody).with_variables(&variables);
        let validations = spec.validations.iter().flatten().map(|given| Validation {
            expression: Expression::new(&all, &given.expression, &[Type::Bool]),
            message: given.message.clone().unwrap_or_default().trim().to_owned(),
            message_expression: given
                .message_expression
                .as_deref()
                .filter(|text| !text.trim().is_empty())
                .map(|text| Expression::new(&silent, text, &[Type::String])),
            reason: Reason::parse(given.reason.as_deref()),
        });
        let annotations = spec.audit_annotations.iter().flatten().map(|given| {
            let text = &given.value_expression;
            (
                given.key.clone(),
                Expression::new(&all, text, &[Type::String, Type::Null]),
            )
        });
        Self {
            name: name.to_owned(),
            constraints: spec
                .match_constraints
                .as_ref()
                .map(Constraints::from)
                .unwrap_or_default(),
            conditions: Conditions::new(&plain, spec.match_conditions.as_deref()),
            params: spec.param_kind.as_ref().map(ParamType::from),
            validations: validations.collect(),
            annotations: annotations.collect(),
            failure: FailurePolicy::parse(spec.failure_policy.as_deref()),
            variables,
        }
    }
}

/// The variables, each in an environment with those before it. What builds on one that does not compile does not either.
fn variables(environment: &Environment, spec: &ValidatingAdmissionPolicySpec) -> Composition {
    let mut variables = Composition::new();
    for given in spec.variables.iter().flatten() {
        if let Ok(program) = compile(&environment.with_variables(&variables), &given.expression, &[]) {
            // It was written once only.
            let _ = variables.add(given.name.clone(), program);
        }
    }
    variables
}
