//! CustomResourceDefinitions, without any I/O: [`default`] and [`prepare`] what a client sent, [`validate()`] it, decide
//! its [`status`], and describe what it has the server [`served`]. The path that writes CRDs calls the first three, the
//! controller beside it the fourth, the registry the last. Our own kinds go the same way.
//!
//! The rules and the texts are those of upstream's apiextensions server (`pkg/apis/apiextensions/validation`). Fields
//! that are the same in all versions are complained about where upstream keeps them once it has read a definition:
//! `spec.validation.openAPIV3Schema`, not `spec.versions[0].schema.openAPIV3Schema`.

mod approval;
mod check;
mod conversion;
mod defaults;
mod naming;
mod openapi;
mod path;
mod rules;
pub mod served;
pub mod status;
mod structural;
pub(crate) mod text;
mod validate;
mod version;
mod warnings;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionStatus,
};

pub(crate) use path::field_below;
pub use rules::{CheckRule, Compiled, RuleProblem, RuleSite, Unchecked};
pub use validate::validate;
pub use warnings::warnings;

const HTTPS: i32 = 443;

/// Fills in what a client left out: the singular name, the name of lists, the conversion, a service's port.
pub fn default(crd: &mut CustomResourceDefinition) {
    let names = &mut crd.spec.names;
    let given = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    if !given(&names.singular) {
        names.singular = Some(names.kind.to_lowercase());
    }
    if !given(&names.list_kind) && !names.kind.is_empty() {
        names.list_kind = Some(format!("{}List", names.kind));
    }
    let conversion = crd.spec.conversion.get_or_insert_with(|| CustomResourceConversion {
        strategy: "None".to_owned(),
        webhook: None,
    });
    let service = conversion
        .webhook
        .as_mut()
        .and_then(|webhook| webhook.client_config.as_mut());
    if let Some(service) = service.and_then(|client| client.service.as_mut()) {
        service.port.get_or_insert(HTTPS);
    }
}

/// Takes the status out of the client's hands, but notes the version that objects are stored in from now on.
pub fn prepare(new: &mut CustomResourceDefinition, old: Option<&CustomResourceDefinition>) {
    let mut status = old.and_then(|old| old.status.clone()).unwrap_or_default();
    if let Some(version) = new.spec.versions.iter().find(|version| version.storage) {
        let stored = status.stored_versions.get_or_insert_default();
        if !stored.contains(&version.name) {
            stored.push(version.name.clone());
        }
    }
    new.status = Some(status);
}

/// Whether a condition of a definition is true.
fn is_true(status: Option<&CustomResourceDefinitionStatus>, type_: &str) -> bool {
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == type_ && condition.status == "True")
}

#[cfg(test)]
mod tests;
