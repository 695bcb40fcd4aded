//! Reviews: kinds that are asked and not kept. A client posts a question in the shape of an object, and gets the object
//! back with the answer in its status. No admission, no storage, no watch.
//!
//! | kind | asks |
//! |---|---|
//! | SubjectAccessReview, Self…, Local… | may somebody do this? (`access`) |
//! | SelfSubjectRulesReview | what may I do in a namespace? (`rules`) |
//! | SelfSubjectReview | who am I? (`who`) |
//! | TokenReview | whose token is this? (`who`) |
//! | TokenRequest, at `serviceaccounts/NAME/token` | a token, please (`token`) |

mod access;
mod rules;
mod token;
mod who;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::authentication::{Identity, Tokens};
use crate::authorization::Authorizer;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult, Target};

/// The verbs of a review.
pub const VERBS: [&str; 1] = ["create"];

/// A kind that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Review {
    /// The API group of its path.
    pub group: &'static str,
    /// The version of its path.
    pub version: &'static str,
    /// The resource.
    pub plural: &'static str,
    /// The subresource, where the question is about one object.
    pub subresource: Option<&'static str>,
    /// Whether its path has a namespace.
    pub namespaced: bool,
    /// The kind's group and version, which for a subresource are not the path's.
    pub kind_group: &'static str,
    /// Its version.
    pub kind_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    asks: Asks,
}

/// What it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    MayI,
    MaySomebody,
    MaySomebodyHere,
    WhatMayI,
    WhoAmI,
    WhoseToken,
    Token,
}

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

const fn row(group: &'static str, kind: &'static str, plural: &'static str, asks: Asks) -> Review {
    Review {
        group,
        version: "v1",
        plural,
        subresource: None,
        namespaced: matches!(asks, Asks::MaySomebodyHere),
        kind_group: group,
        kind_version: "v1",
        kind,
        asks,
    }
}

/// All of them, by group and resource.
pub static ALL: [Review; 8] = [
    row(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", Asks::WhoAmI),
    // What kubectl 1.27 asks for.
    Review {
        version: "v1beta1",
        kind_version: "v1beta1",
        ..row(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", Asks::WhoAmI)
    },
    row(AUTHENTICATION, "TokenReview", "tokenreviews", Asks::WhoseToken),
    row(
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        Asks::MaySomebodyHere,
    ),
    row(
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        Asks::MayI,
    ),
    row(
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        Asks::WhatMayI,
    ),
    row(
        AUTHORIZATION,
        "SubjectAccessReview",
        "subjectaccessreviews",
        Asks::MaySomebody,
    ),
    Review {
        group: "",
        subresource: Some("token"),
        namespaced: true,
        ..row(AUTHENTICATION, "TokenRequest", "serviceaccounts", Asks::Token)
    },
];

/// The review of a path.
pub fn find(group: &str, version: &str, plural: &str, subresource: Option<&str>) -> Option<&'static Review> {
    ALL.iter().find(|review| {
        review.plural == plural
            && review.group == group
            && review.version == version
            && review.subresource == subresource
    })
}

/// What answers are made from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Who may do what.
    pub authorizer: &'a Authorizer,
    /// Whose token is which.
    pub tokens: &'a Tokens,
    /// The objects that tokens are about.
    pub objects: &'a Objects,
}

/// A question.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Which kind.
    pub review: &'static Review,
    /// Who asks.
    pub identity: &'a Identity,
    /// The namespace of the path.
    pub namespace: Option<&'a str>,
    /// The object of the path.
    pub name: Option<&'a str>,
    /// The body.
    pub body: &'a Value,
}

/// Answers.
///
/// # Errors
/// 400 and 422 for questions that are none; 404 and 409 for tokens for what is not there.
pub async fn answer(sources: Sources<'_>, question: Question<'_>) -> ApiResult<Value> {
    question.check_kind()?;
    let status = match question.review.asks {
        Asks::MayI => access::may_i(sources.authorizer, &question)?,
        Asks::MaySomebody | Asks::MaySomebodyHere => access::may_somebody(sources.authorizer, &question)?,
        Asks::WhatMayI => rules::what_may_i(sources.authorizer, &question)?,
        Asks::WhoAmI => who::am_i(&question),
        Asks::WhoseToken => who::token(sources.tokens, &question).await?,
        Asks::Token => return token::make(sources, &question).await,
    };
    Ok(question.answered(question.body["spec"].clone(), status))
}

impl Question<'_> {
    fn api_version(&self) -> String {
        format!("{}/{}", self.review.kind_group, self.review.kind_version)
    }

    /// Whether the body is of the kind that is asked here; it may leave it out.
    fn check_kind(&self) -> ApiResult<()> {
        if !self.body.is_object() {
            return Err(ApiError::bad_request("the body of the request must be a JSON object"));
        }
        let expected = [
            ("apiVersion", self.api_version()),
            ("kind", self.review.kind.to_owned()),
        ];
        for (field, expected) in expected {
            let given = self.body[field].as_str().unwrap_or("");
            if !given.is_empty() && given != expected {
                return Err(ApiError::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({expected})"
                )));
            }
        }
        Ok(())
    }

    /// The spec, read.
    fn spec<T: DeserializeOwned + Default>(&self) -> ApiResult<T> {
        let spec = &self.body["spec"];
        if spec.is_null() {
            return Ok(T::default());
        }
        let (kind, version) = (self.review.kind, self.review.kind_version);
        T::deserialize(spec).map_err(|error| {
            ApiError::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {error}"
            ))
        })
    }

    /// What a 422 is about.
    fn target(&self) -> Target {
        Target::new(self.review.kind_group, self.review.kind, "")
    }

    fn answered(&self, spec: Value, status: Value) -> Value {
        let mut metadata = self.body["metadata"].clone();
        if !metadata.is_object() {
            metadata = json!({});
        }
        metadata["creationTimestamp"] = Value::Null;
        let mut answer = json!({
            "kind": self.review.kind,
            "apiVersion": self.api_version(),
            "metadata": metadata,
        });
        if !spec.is_null() {
            answer["spec"] = spec;
        }
        answer["status"] = status;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_found_by_its_path_alone() {
        let token = find("", "v1", "serviceaccounts", Some("token")).unwrap();
        assert_eq!((token.kind, token.kind_group), ("TokenRequest", AUTHENTICATION));
        assert!(find("", "v1", "serviceaccounts", None).is_none());
        assert!(find(AUTHORIZATION, "v1", "subjectaccessreviews", None).is_some());
        assert!(find(AUTHORIZATION, "v1", "subjectaccessreviews", Some("status")).is_none());
        assert!(find(AUTHORIZATION, "v1beta1", "subjectaccessreviews", None).is_none());
    }
}
