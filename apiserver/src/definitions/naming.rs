//! The names of a definition: their shapes.

use breakbulk_schemas::field::Path;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionNames;

use super::check::Mistakes;
use super::text::dns1035_label;

/// Names that must be there.
pub(super) fn required(names: &CustomResourceDefinitionNames, path: &Path, mistakes: &mut Mistakes) {
    let singular = names.singular.as_deref().unwrap_or_default();
    let list_kind = names.list_kind.as_deref().unwrap_or_default();
    for (field, name) in [
        ("plural", names.plural.as_str()),
        ("singular", singular),
        ("kind", names.kind.as_str()),
        ("listKind", list_kind),
    ] {
        if name.is_empty() {
            mistakes.required(path.child(field), "");
        }
    }
}

/// The shape of those that are there.
pub(super) fn shapes(names: &CustomResourceDefinitionNames, path: &Path, mistakes: &mut Mistakes) {
    let list_kind = names.list_kind.as_deref().unwrap_or_default();
    for (field, name) in [
        ("plural", names.plural.as_str()),
        ("singular", names.singular.as_deref().unwrap_or_default()),
    ] {
        if !name.is_empty() {
            mistakes.unless_fine(|| path.child(field), name, &dns1035_label(name));
        }
    }
    for (field, name) in [("kind", names.kind.as_str()), ("listKind", list_kind)] {
        let problems = dns1035_label(&name.to_lowercase());
        if !name.is_empty() && !problems.is_empty() {
            let detail = format!(
                "may have mixed case, but should otherwise match: {}",
                problems.join(",")
            );
            mistakes.invalid(path.child(field), name, detail);
        }
    }
    each(names.short_names.as_deref(), &path.child("shortNames"), mistakes);
    if !names.kind.is_empty() && names.kind == list_kind {
        mistakes.invalid(
            path.child("listKind"),
            list_kind,
            "kind and listKind may not be the same",
        );
    }
    each(names.categories.as_deref(), &path.child("categories"), mistakes);
}

fn each(names: Option<&[String]>, path: &Path, mistakes: &mut Mistakes) {
    for (index, name) in names.unwrap_or_default().iter().enumerate() {
        mistakes.unless_fine(|| path.index(index), name, &dns1035_label(name));
    }
}
