//! Nodes: taints are keys with effects, each pair once; amounts are amounts; and what a node was once given by whoever runs
//! the machines stays (`k8s.io/kubernetes/pkg/apis/core/validation`, `ValidateNode` and `ValidateNodeUpdate`).

use std::collections::HashSet;
use std::net::IpAddr;

use breakbulk_schemas::amount::Amount;
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use super::quota;
use crate::registry::names;
use crate::registry::resource::Rules;

pub(in crate::registry) const RULES: Rules = Rules { validate, prepare };

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The one old field and the list that took its place say the same; the old one goes first, as when upstream converts.
fn prepare(node: &mut Value, _: Option<&Value>) {
    let spec = &mut node["spec"];
    let first = |spec: &Value| spec["podCIDRs"].get(0).and_then(Value::as_str).map(str::to_owned);
    match (spec["podCIDR"].as_str().filter(|old| !old.is_empty()), first(spec)) {
        (Some(old), listed) if listed.as_deref() != Some(old) => spec["podCIDRs"] = json!([old]),
        (None, Some(listed)) => spec["podCIDR"] = json!(listed),
        _ => {}
    }
}

fn validate(node: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // Upstream tells of taints below the metadata.
    taints(
        &node["spec"]["taints"],
        &Path::root("metadata").child("taints"),
        &mut errors,
    );
    for field in ["capacity", "allocatable"] {
        amounts(&node["status"][field], &Path::root("status").child(field), &mut errors);
    }
    match old {
        None => pod_networks(&node["spec"]["podCIDRs"], &mut errors),
        Some(old) => {
            addresses(&node["status"]["addresses"], &mut errors);
            stays(&node["spec"], &old["spec"], &mut errors);
        }
    }
    errors
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or("")
}

fn taints(list: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (index, taint) in items(list).enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        let wrong = names::qualified(key).into_iter();
        errors.extend(wrong.map(|detail| FieldError::invalid(path.child("key"), key, detail)));
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(path.child("value"), value, wrong.join(";")));
        }
        if effect.is_empty() {
            errors.push(FieldError::new(path.child("effect"), ErrorKind::Required, ""));
        } else if !EFFECTS.contains(&effect) {
            let detail = "supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"";
            errors.push(FieldError::with_value(
                path.child("effect"),
                ErrorKind::NotSupported,
                effect,
                detail,
            ));
        }
        if !seen.insert((key, effect)) {
            let detail = "taints must be unique by key and effect pair";
            errors.push(FieldError {
                value: Some(format!(
                    r#"{{"Key":{key:?},"Value":{value:?},"Effect":{effect:?},"TimeAdded":null}}"#
                )),
                ..FieldError::new(path, ErrorKind::Duplicate, detail)
            });
        }
    }
}

/// What is counted in whole numbers: the kinds that quotas count, and what others have named after their domain
/// (`IsIntegerResourceName`).
fn is_whole(name: &str) -> bool {
    let extended = || match name.split_once('/') {
        Some((domain, _)) => {
            !name.starts_with("requests.") && domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io")
        }
        None => false,
    };
    quota::COUNTED.contains(&name) || extended()
}

fn amounts(list: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, given) in list.as_object().into_iter().flatten() {
        let path = Path::root(&format!("{}.{name}", path.as_str()));
        let given = given.as_str().unwrap_or("");
        match given.parse::<Amount>() {
            Err(error) => errors.push(FieldError::invalid(path, given, error.to_string())),
            Ok(amount) if amount.is_negative() => {
                errors.push(FieldError::invalid(path, given, "must be greater than or equal to 0"));
            }
            Ok(amount) if is_whole(name) && !amount.is_whole() => {
                errors.push(FieldError::invalid(path, given, "must be an integer"));
            }
            Ok(_) => {}
        }
    }
}

/// Which family a network is of: none when it is no network.
fn family(network: &str) -> Option<u8> {
    let (address, bits) = network.split_once('/')?;
    let bits: u8 = bits.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(_) => (bits <= 32).then_some(4),
        IpAddr::V6(_) => (bits <= 128).then_some(6),
    }
}

fn pod_networks(list: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root("spec").child("podCIDRs");
    let given: Vec<&str> = items(list).filter_map(Value::as_str).collect();
    let families: Vec<Option<u8>> = given.iter().map(|network| family(network)).collect();
    for (index, network) in given.iter().enumerate().filter(|(index, _)| families[*index].is_none()) {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.push(FieldError::invalid(path.index(index), network, detail));
    }
    let pair = families.len() == 2 && families[0] != families[1];
    if given.len() > 1 && !pair {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError {
            value: Some(list.to_string()),
            ..FieldError::new(path, ErrorKind::Invalid, detail)
        });
    }
}

fn addresses(list: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (index, address) in items(list).enumerate() {
        let (kind, place) = (text(address, "type"), text(address, "address"));
        if !seen.insert((kind, place)) {
            let path = Path::root("status").child("addresses").index(index);
            errors.push(FieldError {
                value: Some(format!(r#"{{"Type":{kind:?},"Address":{place:?}}}"#)),
                ..FieldError::new(path, ErrorKind::Duplicate, "")
            });
        }
    }
}

/// What was given once is not given again.
fn stays(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let mut refuse = |field: &str, detail: &str| {
        errors.push(FieldError::new(
            Path::root("spec").child(field),
            ErrorKind::Forbidden,
            detail,
        ));
    };
    let networks = |spec: &Value| -> Vec<String> { items(&spec["podCIDRs"]).map(ToString::to_string).collect() };
    if !networks(old).is_empty() && networks(old) != networks(new) {
        refuse(
            "podCIDRs",
            "node updates may not change podCIDR except from \"\" to valid",
        );
    }
    let provider = text(old, "providerID");
    if !provider.is_empty() && provider != text(new, "providerID") {
        refuse(
            "providerID",
            "node updates may not change providerID except from \"\" to valid",
        );
    }
    if text(new, "externalID") != text(old, "externalID") {
        refuse("externalID", "may not be updated");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(node: &Value, old: Option<&Value>) -> Vec<String> {
        validate(node, old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_taint_is_a_key_with_an_effect_and_there_once() {
        let node = |taints: Value| json!({"metadata": {"name": "n"}, "spec": {"taints": taints}});
        let fine = json!([
            {"key": "e.org/a", "effect": "NoSchedule"}, {"key": "e.org/a", "value": "x", "effect": "NoExecute"},
        ]);
        assert!(told(&node(fine), None).is_empty());
        let bad = json!([
            {"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "v", "effect": "NoSchedule"},
            {"key": "b"}, {"key": "c", "effect": "Odd"}, {"key": "", "value": "-", "effect": "NoExecute"},
        ]);
        let told = told(&node(bad), None);
        for want in [
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"v\",\"Effect\":\"NoSchedule\",\
             \"TimeAdded\":null}: taints must be unique by key and effect pair",
            "metadata.taints[2].effect: Required value",
            "metadata.taints[3].effect: Unsupported value: \"Odd\": supported values: \"NoSchedule\", \
             \"PreferNoSchedule\", \"NoExecute\"",
            "metadata.taints[4].key: Invalid value: \"\": name part must be non-empty",
        ] {
            assert!(told.contains(&want.to_owned()), "{want}\n{told:#?}");
        }
        assert!(
            told.iter()
                .any(|e| e.starts_with("metadata.taints[4].value: Invalid value: \"-\": a valid label"))
        );
    }

    #[test]
    fn what_a_node_was_given_stays() {
        let node = |spec: Value| json!({ "spec": spec });
        let old = node(json!({"podCIDRs": ["10.0.0.0/24"], "providerID": "p"}));
        assert!(told(&old, Some(&node(json!({})))).is_empty());
        let new = node(json!({"podCIDRs": ["10.0.1.0/24"], "providerID": "q", "externalID": "e"}));
        assert_eq!(
            told(&new, Some(&old)),
            [
                "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
                "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
                "spec.externalID: Forbidden: may not be updated",
            ]
        );
    }

    #[test]
    fn amounts_addresses_and_networks_are_such() {
        let node = json!({
            "spec": {"podCIDRs": ["10.0.0.0/24", "10.0.0.0/33"]},
            "status": {"capacity": {"cpu": "-1", "pods": "1500m", "e.org/gpu": "0.5", "memory": "64Gi"}},
        });
        let errors = told(&node, None);
        assert_eq!(errors.len(), 4, "{errors:#?}");
        assert!(errors.contains(&"status.capacity.e.org/gpu: Invalid value: \"0.5\": must be an integer".to_owned()));
        let address = json!({"type": "InternalIP", "address": "1.2.3.4"});
        let twice = json!({"status": {"addresses": [address, address]}});
        assert_eq!(
            told(&twice, Some(&json!({}))),
            [r#"status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.2.3.4"}"#]
        );
        let mut old_way = json!({"spec": {"podCIDR": "10.0.0.0/24"}});
        prepare(&mut old_way, None);
        assert_eq!(old_way["spec"]["podCIDRs"], json!(["10.0.0.0/24"]));
    }
}
