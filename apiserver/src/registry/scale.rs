//! The Scale of an object (`autoscaling/v1`): made from it, and written into it.

use serde_json::{Value, json};

use super::ScalePaths;

impl ScalePaths {
    /// The Scale of an object.
    pub(crate) fn scale_of(&self, object: &Value) -> Value {
        let at = |path: &[String]| path.iter().try_fold(object, |value, name| value.get(name));
        let count = |path: &[String]| at(path).and_then(Value::as_i64).unwrap_or(0);
        let metadata = &object["metadata"];
        let mut scale = json!({
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "creationTimestamp": metadata["creationTimestamp"],
            },
            "spec": {"replicas": count(&self.spec_replicas)},
            "status": {"replicas": count(&self.status_replicas)},
        });
        if metadata["namespace"].is_null()
            && let Some(metadata) = scale["metadata"].as_object_mut()
        {
            metadata.remove("namespace");
        }
        if let Some(selector) = self.selector.as_deref().and_then(at).and_then(Value::as_str) {
            scale["status"]["selector"] = json!(selector);
        }
        scale
    }

    /// Writes the number of replicas into an object.
    pub(crate) fn set_replicas(&self, object: &mut Value, replicas: i32) {
        let Some((last, parents)) = self.spec_replicas.split_last() else {
            return;
        };
        let mut place = object;
        for name in parents {
            if !place[name.as_str()].is_object() {
                place[name.as_str()] = json!({});
            }
            place = &mut place[name.as_str()];
        }
        place[last.as_str()] = json!(replicas);
    }
}
