//! What a node should say, from how long it has been silent. Pure.

use std::time::Duration;

use breakbulk_schemas::condition::READY;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::UNREACHABLE;

/// The reason of a `Ready` condition that we wrote for a silent node.
const SILENT: &str = "NodeStatusUnknown";

/// What is to be changed; nothing where there is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) taints: Option<Vec<Taint>>,
    pub(super) conditions: Option<Vec<NodeCondition>>,
    pub(super) told: Option<String>,
}

/// Plans a node.
pub(super) fn plan(node: &Node, silence: Duration, after: Duration, now: Timestamp) -> Plan {
    let silent = silence >= after;
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let tainted = taints.iter().any(|taint| taint.key == UNREACHABLE);
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == READY);
    let marked = ready.is_some_and(|condition| condition.reason.as_deref() == Some(SILENT));
    let mut plan = Plan::default();
    if silent != tainted {
        let mut taints: Vec<_> = taints.into_iter().filter(|taint| taint.key != UNREACHABLE).collect();
        if silent {
            let (key, effect) = (UNREACHABLE.to_owned(), "NoSchedule".to_owned());
            taints.push(Taint {
                key,
                effect,
                time_added: Some(Time(now)),
                value: None,
            });
        }
        plan.taints = Some(taints);
    }
    if silent != marked {
        let name = node.name_any();
        let message = if silent {
            format!("the node {name} is not heard of")
        } else {
            format!("the node {name} is heard of again")
        };
        let mut ready = ready.cloned().unwrap_or_else(|| NodeCondition {
            type_: READY.to_owned(),
            ..NodeCondition::default()
        });
        // Heard of again: its agent lives, and says more as soon as it has more to say.
        let (status, reason) = if silent {
            ("Unknown", SILENT)
        } else {
            ("True", "AgentReady")
        };
        status.clone_into(&mut ready.status);
        ready.reason = Some(reason.to_owned());
        ready.message = Some(message.clone());
        ready.last_transition_time = Some(Time(now));
        let others = conditions.into_iter().filter(|condition| condition.type_ != READY);
        plan.conditions = Some(others.chain([ready]).collect());
        plan.told = Some(message);
    }
    plan
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus};

    use super::*;

    fn apply(mut node: Node, plan: Plan) -> Node {
        if let Some(taints) = plan.taints {
            node.spec.get_or_insert_default().taints = Some(taints);
        }
        if let Some(conditions) = plan.conditions {
            node.status.get_or_insert_default().conditions = Some(conditions);
        }
        node
    }

    fn ready(node: &Node) -> String {
        let conditions = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.clone())
            .unwrap_or_default();
        conditions
            .into_iter()
            .find(|c| c.type_ == READY)
            .map(|c| c.status)
            .unwrap_or_default()
    }

    #[test]
    fn a_silent_node_is_marked_once_and_unmarked_once_and_keeps_its_other_taints() {
        let own = Taint {
            key: "mine".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        let condition = NodeCondition {
            type_: READY.to_owned(),
            status: "True".to_owned(),
            ..NodeCondition::default()
        };
        let node = Node {
            spec: Some(NodeSpec {
                taints: Some(vec![own.clone()]),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                conditions: Some(vec![condition]),
                ..NodeStatus::default()
            }),
            ..Node::default()
        };
        let after = Duration::from_secs(12);
        assert_eq!(
            plan(&node, Duration::ZERO, after, Timestamp::UNIX_EPOCH),
            Plan::default()
        );
        let first = plan(&node, after, after, Timestamp::UNIX_EPOCH);
        let silent = apply(node, first);
        assert_eq!(ready(&silent), "Unknown");
        assert_eq!(plan(&silent, after, after, Timestamp::UNIX_EPOCH), Plan::default());
        let second = plan(&silent, Duration::ZERO, after, Timestamp::UNIX_EPOCH);
        let back = apply(silent, second);
        assert_eq!(
            (ready(&back).as_str(), back.spec.unwrap().taints.unwrap()),
            ("True", vec![own])
        );
    }
}
