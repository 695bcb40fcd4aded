//! What a namespace lacks. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use serde_json::{Map, Value, json};

use super::FILE;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// There is no account.
    CreateAccount,
    /// There is no ConfigMap; this is to be in it.
    CreateRoots(BTreeMap<String, String>),
    /// The ConfigMap says something else; this merge patch mends it.
    MendRoots(Value),
}

/// Plans a namespace. Without `roots` the server is known by the machine's own, and there is nothing to tell.
pub(super) fn plan(
    namespace: &Namespace,
    account: Option<&ServiceAccount>,
    map: Option<&ConfigMap>,
    roots: Option<&str>,
) -> Vec<Step> {
    let status = namespace.status.as_ref();
    let terminating = status.and_then(|status| status.phase.as_deref()) == Some("Terminating");
    if terminating || namespace.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if account.is_none() {
        steps.push(Step::CreateAccount);
    }
    let Some(roots) = roots else {
        return steps;
    };
    let wanted = BTreeMap::from([(FILE.to_owned(), roots.to_owned())]);
    match map {
        None => steps.push(Step::CreateRoots(wanted)),
        Some(map) if map.data.as_ref() == Some(&wanted) => {}
        Some(map) => {
            let mut data: Map<String, Value> = map
                .data
                .iter()
                .flatten()
                .map(|(key, _)| (key.clone(), Value::Null))
                .collect();
            data.insert(FILE.to_owned(), Value::from(roots));
            steps.push(Step::MendRoots(json!({"data": data})));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NamespaceStatus;
    use proptest::prelude::*;

    use super::*;

    fn apply(steps: Vec<Step>, account: &mut Option<ServiceAccount>, map: &mut Option<ConfigMap>) {
        for step in steps {
            match step {
                Step::CreateAccount => *account = Some(ServiceAccount::default()),
                Step::CreateRoots(data) => {
                    *map = Some(ConfigMap {
                        data: Some(data),
                        ..ConfigMap::default()
                    });
                }
                Step::MendRoots(patch) => {
                    let data = map.as_mut().unwrap().data.get_or_insert_default();
                    for (key, value) in patch["data"].as_object().unwrap() {
                        match value.as_str() {
                            Some(text) => data.insert(key.clone(), text.to_owned()),
                            None => data.remove(key),
                        };
                    }
                }
            }
        }
    }

    #[test]
    fn a_namespace_that_goes_gets_nothing() {
        let status = NamespaceStatus {
            phase: Some("Terminating".to_owned()),
            ..NamespaceStatus::default()
        };
        let namespace = Namespace {
            status: Some(status),
            ..Namespace::default()
        };
        assert_eq!(plan(&namespace, None, None, Some("ca")), []);
    }

    proptest! {
        #[test]
        fn one_pass_mends_everything_and_the_next_does_nothing(
            has_account: bool,
            data in proptest::option::of(proptest::option::of(
                proptest::collection::btree_map("ca\\.crt|other", "ca|[a-z]{0,3}", 0..3),
            )),
        ) {
            let namespace = Namespace::default();
            let mut account = has_account.then(ServiceAccount::default);
            let mut map = data.map(|data| ConfigMap { data, ..ConfigMap::default() });
            let steps = plan(&namespace, account.as_ref(), map.as_ref(), Some("ca"));
            apply(steps, &mut account, &mut map);
            prop_assert!(account.is_some());
            let wanted = BTreeMap::from([(FILE.to_owned(), "ca".to_owned())]);
            prop_assert_eq!(map.clone().unwrap().data.unwrap(), wanted);
            prop_assert_eq!(plan(&namespace, account.as_ref(), map.as_ref(), Some("ca")), []);
        }
    }
}
