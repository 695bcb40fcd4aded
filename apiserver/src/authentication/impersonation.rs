//! Impersonation: somebody who may speak for somebody else says so in headers, and is that other one for the request
//! (`k8s.io/apiserver/pkg/endpoints/filters/impersonation.go`). Each thing asked for (user, groups, uid, extras) needs
//! the verb `impersonate` on it.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::service_account::ServiceAccountRef;
use super::{ANONYMOUS, AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::authorization::{self, Attributes, Decision};
use crate::selector::FieldSelector;
use crate::status::{ApiError, ApiResult, Target};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// One thing that has to be allowed.
struct Asked<'a> {
    group: &'static str,
    resource: &'static str,
    subresource: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
}

/// Who the request is to be from, when its headers say so; none when they say nothing.
///
/// # Errors
/// 403 where the identity may not; 400 for headers that name nobody.
pub fn impersonate(
    identity: &Identity,
    headers: &HeaderMap,
    decide: impl Fn(&Attributes<'_>) -> Decision,
) -> ApiResult<Option<Identity>> {
    let Some(wanted) = parse(headers)? else {
        return Ok(None);
    };
    let selector = FieldSelector::default();
    for asked in asked(&wanted) {
        let attributes = Attributes {
            verb: "impersonate",
            group: asked.group,
            resource: asked.resource,
            subresource: asked.subresource,
            namespace: asked.namespace,
            name: Some(asked.name),
            field_selector: &selector,
            path: "",
        };
        if let Decision::Deny(reason) = decide(&attributes) {
            let target = Target::new(asked.group, asked.resource, asked.name);
            let why = authorization::refusal(identity, &attributes, &reason);
            return Err(ApiError::forbidden(target, why));
        }
    }
    Ok(Some(complete(wanted)))
}

fn parse(headers: &HeaderMap) -> ApiResult<Option<Identity>> {
    let text = |value: &http::HeaderValue| {
        let text = value.to_str().map(str::to_owned);
        text.map_err(|_| ApiError::bad_request("an impersonation header is not text"))
    };
    let one = |name: &str| headers.get(name).map(text).transpose().map(Option::unwrap_or_default);
    let mut wanted = Identity {
        user: one(USER)?,
        uid: one(UID)?,
        groups: headers.get_all(GROUP).iter().map(text).collect::<ApiResult<_>>()?,
        extra: BTreeMap::new(),
    };
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            let key = percent_decode(key).to_lowercase();
            wanted.extra.entry(key).or_default().push(text(value)?);
        }
    }
    if wanted == Identity::default() {
        return Ok(None);
    }
    if wanted.user.is_empty() {
        return Err(ApiError::bad_request(
            "groups, a uid or extras were asked for without impersonating a user",
        ));
    }
    Ok(Some(wanted))
}

/// Everything that the sender needs to be allowed, in upstream's order.
fn asked(wanted: &Identity) -> Vec<Asked<'_>> {
    let core = |resource, namespace, name| Asked {
        group: "",
        resource,
        subresource: "",
        namespace,
        name,
    };
    let authentication = |resource, subresource, name| Asked {
        group: AUTHENTICATION,
        resource,
        subresource,
        namespace: None,
        name,
    };
    let mut all = vec![match ServiceAccountRef::of_user(&wanted.user) {
        Some(account) => core("serviceaccounts", Some(account.namespace), account.name),
        None => core("users", None, &wanted.user),
    }];
    all.extend(wanted.groups.iter().map(|group| core("groups", None, group)));
    for (key, values) in &wanted.extra {
        all.extend(
            values
                .iter()
                .map(|value| authentication("userextras", key.as_str(), value)),
        );
    }
    if !wanted.uid.is_empty() {
        all.push(authentication("uids", "", &wanted.uid));
    }
    all
}

/// Adds the groups that everybody of the kind belongs to.
fn complete(mut wanted: Identity) -> Identity {
    if wanted.groups.is_empty()
        && let Some(account) = ServiceAccountRef::of_user(&wanted.user)
    {
        wanted.groups = account.groups();
    }
    let group = if wanted.user == ANONYMOUS {
        UNAUTHENTICATED
    } else {
        AUTHENTICATED
    };
    if !wanted.is_in(group) && !wanted.is_in(UNAUTHENTICATED) {
        wanted.groups.push(group.to_owned());
    }
    wanted
}

/// Keys of extras may hold what a header's name may not. What is not encoded well stands as it is.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair =
            |(name, value): &(&str, &str)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    fn admin() -> Identity {
        Identity {
            user: "ann".to_owned(),
            ..Identity::default()
        }
    }

    #[test]
    fn every_part_is_asked_for_and_the_groups_are_completed() {
        let seen = RefCell::new(Vec::new());
        let headers = headers(&[
            ("Impersonate-User", "bob"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Extra-Acme.com%2fProject", "x"),
        ]);
        let who = impersonate(&admin(), &headers, |asks| {
            let place = format!(
                "{}/{}/{}:{}",
                asks.group,
                asks.resource,
                asks.subresource,
                asks.name.unwrap()
            );
            seen.borrow_mut().push(place);
            Decision::Allow(None)
        });
        let who = who.unwrap().unwrap();
        assert_eq!(
            seen.into_inner(),
            [
                "/users/:bob",
                "/groups/:dev",
                "authentication.k8s.io/userextras/acme.com/project:x",
                "authentication.k8s.io/uids/:7",
            ]
        );
        assert_eq!((who.user.as_str(), who.uid.as_str()), ("bob", "7"));
        assert_eq!(who.groups, ["dev", "system:authenticated"]);
        assert_eq!(who.extra["acme.com/project"], ["x"]);
    }

    #[test]
    fn a_service_account_brings_its_groups_and_nobody_is_not_known() {
        let allow = |_: &Attributes<'_>| Decision::Allow(None);
        let who = |user: &str| {
            impersonate(&admin(), &headers(&[("Impersonate-User", user)]), allow)
                .unwrap()
                .unwrap()
        };
        assert_eq!(
            who("system:serviceaccount:ns:ci").groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
        assert_eq!(who(ANONYMOUS).groups, ["system:unauthenticated"]);
    }

    #[test]
    fn what_is_not_allowed_is_refused_by_name() {
        let deny = |asks: &Attributes<'_>| match asks.resource {
            "groups" => Decision::Deny(String::new()),
            _ => Decision::Allow(None),
        };
        let asked = headers(&[("Impersonate-User", "bob"), ("Impersonate-Group", "system:masters")]);
        let error = impersonate(&admin(), &asked, deny).unwrap_err();
        assert_eq!(
            error.message(),
            "groups \"system:masters\" is forbidden: User \"ann\" cannot impersonate resource \"groups\" in API group \
             \"\" at the cluster scope"
        );
    }

    #[test]
    fn no_header_means_nobody_else_and_a_group_alone_means_a_mistake() {
        let allow = |_: &Attributes<'_>| Decision::Allow(None);
        assert_eq!(impersonate(&admin(), &HeaderMap::new(), allow).unwrap(), None);
        let alone = headers(&[("Impersonate-Group", "dev")]);
        assert_eq!(impersonate(&admin(), &alone, allow).unwrap_err().code(), 400);
    }
}
