//! Managed fields: who wrote which field of an object. Every write that a client makes passes here, so that server-side
//! apply can tell conflicts and take away what nobody wants any more.

use serde_json::Value;

use crate::registry::Resource;
use crate::registry::objects::Part;

/// Notes on a new or changed object which manager wrote what.
pub(crate) fn track(resource: &Resource, part: &Part, live: Option<&Value>, new: &mut Value, manager: &str) {
    let _ = (resource, part, live, new, manager);
}
