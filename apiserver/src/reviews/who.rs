//! Who am I, and whose token is this?

use k8s_openapi::api::authentication::v1::TokenReviewSpec;
use serde_json::{Value, json};

use super::Question;
use crate::authentication::{ISSUER, Tokens};
use crate::status::{ApiError, ApiResult};

/// The status of a SelfSubjectReview.
pub(super) fn am_i(question: &Question<'_>) -> Value {
    json!({"userInfo": question.identity.to_user_info()})
}

/// The status of a TokenReview.
pub(super) async fn token(tokens: &Tokens, question: &Question<'_>) -> ApiResult<Value> {
    let spec: TokenReviewSpec = question.spec()?;
    let token = spec.token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| ApiError::bad_request("token is required for TokenReview in authentication"))?;
    let audiences = spec.audiences.filter(|audiences| !audiences.is_empty());
    let audiences = audiences.unwrap_or_else(|| vec![ISSUER.to_owned()]);
    Ok(match tokens.verify(&token, &audiences).await {
        Ok(verified) => json!({
            "authenticated": true,
            "user": verified.identity.to_user_info(),
            "audiences": verified.audiences,
        }),
        Err(error) => json!({"authenticated": false, "user": {}, "error": error.to_string()}),
    })
}
