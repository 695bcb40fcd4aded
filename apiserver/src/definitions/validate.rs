//! Whether a definition can be taken: everything wrong with it, in upstream's order.

use std::collections::BTreeSet;
use std::sync::Arc;

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
};
use serde_json::Value;

use super::approval::{self, Approval};
use super::check::{Mistakes, Written, key};
use super::conversion::{self, BadBundle};
use super::openapi::{Place, Ruled, Walk};
use super::rules::{Budget, CheckRule, Costs};
use super::text::{dns1035_label, dns1123_subdomain};
use super::{defaults, is_true, naming, structural, version};
use crate::schema::{MAX_DEPTH, Schema, shown};

/// Everything wrong with a definition that was [`super::default`]ed and [`super::prepare`]d; `old` is there on updates.
/// The metadata is the registry's, but for the name.
pub fn validate(
    new: &CustomResourceDefinition,
    old: Option<&CustomResourceDefinition>,
    rules: &dyn CheckRule,
) -> Vec<FieldError> {
    let mut mistakes = Mistakes::default();
    let name = new.metadata.name.as_deref().unwrap_or_default();
    if old.is_none() && name != format!("{}.{}", new.spec.names.plural, new.spec.group) {
        let detail = r#"must be spec.names.plural+"."+spec.group"#;
        mistakes.invalid(Path::root("metadata.name"), name, detail);
    }
    let mut check = Check {
        new,
        old,
        rules,
        schemas: new
            .spec
            .versions
            .iter()
            .map(|version| written(version).map(Arc::new))
            .collect(),
        shared: Shared::of(&new.spec.versions),
        mistakes,
    };
    check.spec();
    check.status();
    check.approval();
    if new.spec.preserve_unknown_fields == Some(true) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        check
            .mistakes
            .invalid(Path::root("spec.preserveUnknownFields"), true, detail);
    }
    check.mistakes.0
}

fn written(version: &CustomResourceDefinitionVersion) -> Option<Value> {
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    serde_json::to_value(schema).ok()
}

struct Check<'a> {
    new: &'a CustomResourceDefinition,
    old: Option<&'a CustomResourceDefinition>,
    rules: &'a dyn CheckRule,
    /// The schemas of the versions, in their order.
    schemas: Vec<Option<Arc<Value>>>,
    shared: Shared,
    mistakes: Mistakes,
}

/// What all versions have the same of: that is checked once, where upstream keeps it.
struct Shared {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Shared {
    fn of(versions: &[CustomResourceDefinitionVersion]) -> Self {
        fn all<'a, T: PartialEq + 'a>(
            versions: &'a [CustomResourceDefinitionVersion],
            part: impl Fn(&'a CustomResourceDefinitionVersion) -> &'a T,
        ) -> bool {
            versions.windows(2).all(|pair| part(&pair[0]) == part(&pair[1]))
        }
        Self {
            schema: all(versions, |version| &version.schema),
            subresources: all(versions, |version| &version.subresources),
            columns: all(versions, |version| &version.additional_printer_columns),
            selectable: all(versions, |version| &version.selectable_fields),
        }
    }
}

fn has_status(version: &CustomResourceDefinitionVersion) -> bool {
    version
        .subresources
        .as_ref()
        .is_some_and(|subresources| subresources.status.is_some())
}

impl<'a> Check<'a> {
    fn spec(&mut self) {
        let (spec, path) = (&self.new.spec, Path::root("spec"));
        self.group(&spec.group, &path.child("group"));
        match spec.scope.as_str() {
            "Cluster" | "Namespaced" => {}
            "" => self.mistakes.required(path.child("scope"), ""),
            other => self
                .mistakes
                .not_supported(path.child("scope"), other, &["Cluster", "Namespaced"]),
        }
        self.schemas_given(&path);
        for (index, version) in spec.versions.iter().enumerate() {
            let at = path.child("versions").index(index);
            self.mistakes
                .unless_fine(|| at.child("name"), &version.name, &dns1035_label(&version.name));
            self.version(index, version, &at);
        }
        self.versions(spec, &path.child("versions"));
        naming::required(&spec.names, &path.child("names"), &mut self.mistakes);
        naming::shapes(&spec.names, &path.child("names"), &mut self.mistakes);
        self.shared_parts(&path);
        if let Some(conversion) = &spec.conversion {
            let established = self.old.is_some_and(|old| is_true(old.status.as_ref(), "Established"));
            let bundle = if established {
                BadBundle::Refused
            } else {
                BadBundle::Passes
            };
            conversion::validate(conversion, &path.child("conversion"), bundle, &mut self.mistakes);
        }
        self.immutable(&path);
    }

    fn group(&mut self, group: &str, path: &Path) {
        if group.is_empty() {
            self.mistakes.required(path.clone(), "");
            return;
        }
        let problems = dns1123_subdomain(group);
        if problems.is_empty() && !group.contains('.') {
            self.mistakes
                .invalid(path.clone(), group, "should be a domain with at least one dot");
        }
        self.mistakes.unless_fine(|| path.clone(), group, &problems);
    }

    fn schemas_given(&mut self, path: &Path) {
        for (index, schema) in self.schemas.iter().enumerate() {
            if schema.is_none() {
                let at = path
                    .child("versions")
                    .index(index)
                    .child("schema")
                    .child("openAPIV3Schema");
                self.mistakes.required(at, "");
            }
        }
    }

    /// What a version has for itself; what it shares with all others is looked at once ([`Self::shared_parts`]).
    fn version(&mut self, index: usize, version: &'a CustomResourceDefinitionVersion, path: &Path) {
        version::deprecation(version, path, &mut self.mistakes);
        if !self.shared.schema {
            self.schema(index, has_status(version), &path.child("schema"));
        }
        if !self.shared.subresources
            && let Some(subresources) = &version.subresources
        {
            version::subresources(subresources, &path.child("subresources"), &mut self.mistakes);
        }
        if !self.shared.columns {
            let columns = version.additional_printer_columns.as_deref().unwrap_or_default();
            version::columns(columns, &path.child("additionalPrinterColumns"), &mut self.mistakes);
        }
        if !self.shared.selectable {
            self.selectable(index, version, &path.child("selectableFields"));
        }
    }

    fn shared_parts(&mut self, path: &Path) {
        let versions = &self.new.spec.versions;
        let Some(first) = versions.first() else { return };
        if self.shared.schema {
            self.schema(0, versions.iter().any(has_status), &path.child("validation"));
        }
        if self.shared.subresources
            && let Some(subresources) = &first.subresources
        {
            version::subresources(subresources, &path.child("subresources"), &mut self.mistakes);
        }
        if self.shared.columns {
            let columns = first.additional_printer_columns.as_deref().unwrap_or_default();
            version::columns(columns, &path.child("additionalPrinterColumns"), &mut self.mistakes);
        }
        if self.shared.selectable {
            self.selectable(0, first, &path.child("selectableFields"));
        }
    }

    fn selectable(&mut self, index: usize, version: &CustomResourceDefinitionVersion, path: &Path) {
        let fields = version.selectable_fields.as_deref().unwrap_or_default();
        match &self.schemas[index] {
            _ if fields.is_empty() => {}
            Some(schema) => version::selectable(fields, Written(schema), path, &mut self.mistakes),
            None => {
                let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
                self.mistakes.invalid(path.clone(), "", detail);
            }
        }
    }

    fn versions(&mut self, spec: &CustomResourceDefinitionSpec, path: &Path) {
        let names: BTreeSet<&str> = spec.versions.iter().map(|version| version.name.as_str()).collect();
        let shown = || serde_json::to_value(&spec.versions).unwrap_or_default();
        if names.len() != spec.versions.len() {
            self.mistakes
                .invalid(path.clone(), shown(), "must contain unique version names");
        }
        if spec.versions.iter().filter(|version| version.storage).count() != 1 {
            let detail = "must have exactly one version marked as storage version";
            self.mistakes.invalid(path.clone(), shown(), detail);
        }
    }

    fn schema(&mut self, index: usize, has_status: bool, path: &Path) {
        let Some(schema) = self.schemas[index].clone() else {
            return;
        };
        let schema = Written(&schema);
        let at = path.child("openAPIV3Schema");
        // Two levels of JSON for one of schema, and room for values.
        if !schema.is_within(MAX_DEPTH * 3) {
            let detail = format!("must not be nested deeper than {MAX_DEPTH} levels");
            self.mistakes.invalid(at, "", detail);
            return;
        }
        let before = self.mistakes.0.len();
        if has_status {
            self.root_of_status(schema, &at);
        }
        if schema.flag("nullable") {
            self.mistakes
                .forbidden(at.child("nullable"), "nullable cannot be true at the root");
        }
        let unsupported = structural::unsupported(schema);
        let mut ruled = Ruled::No;
        if unsupported.is_none() {
            let before = self.mistakes.0.len();
            structural::validate(schema, &at, &mut self.mistakes);
            if self.mistakes.0.len() == before {
                self.mistakes.0.extend(defaults::validate(schema, &at, self.rules));
            }
            if self.mistakes.0.len() == before {
                ruled = Ruled::Yes { cardinality: Some(1) };
            }
        }
        self.openapi(index, schema, &at, ruled);
        if self.mistakes.0.len() > before {
            return;
        }
        if let Some(unsupported) = unsupported {
            self.mistakes.invalid(at, "", unsupported);
        } else if let Err(error) = Schema::parse(schema.0) {
            self.mistakes
                .invalid(path.clone(), "", format!("error building validator: {error}"));
        }
    }

    fn openapi(&mut self, index: usize, schema: Written<'_>, path: &Path, ruled: Ruled) {
        let name = &self.new.spec.versions[index].name;
        let before = self
            .old
            .and_then(|old| old.spec.versions.iter().find(|version| version.name == *name));
        let unchanged = before.and_then(written).is_some_and(|before| before == *schema.0);
        let mut walk = Walk {
            rules: self.rules,
            budget: if unchanged { Budget::Waived } else { Budget::Held },
            costs: Costs::default(),
            schema: Mistakes::default(),
            language: Vec::new(),
        };
        walk.schema(schema, path, &Place::root(ruled));
        self.mistakes.0.append(&mut walk.schema.0);
        self.mistakes.0.append(&mut walk.language);
        walk.costs.tell(path.clone(), &mut self.mistakes);
    }

    /// With a status subresource the schema of the status is taken for itself: what is said beside it would be lost.
    fn root_of_status(&mut self, schema: Written<'_>, path: &Path) {
        let fields = schema
            .0
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        for field in fields.filter(|field| schema.has(field)) {
            if field == "type" && schema.type_() != "object" {
                let detail = "only \"object\" is allowed as the type at the root of the schema if the status \
                              subresource is enabled";
                self.mistakes.invalid(path.child("type"), schema.type_(), detail);
                return;
            }
            if !AT_ROOT.iter().any(|(allowed, _)| *allowed == field) {
                let allowed: Vec<_> = AT_ROOT.iter().map(|(_, name)| *name).collect();
                let detail = format!(
                    "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                    allowed.join(" ")
                );
                self.mistakes.invalid(path.clone(), schema.0.clone(), detail);
                return;
            }
        }
    }

    /// What objects are stored by cannot change.
    fn immutable(&mut self, path: &Path) {
        let Some(old) = self.old else { return };
        let (new, before) = (&self.new.spec, &old.spec);
        let mut fields = Vec::new();
        if is_true(old.status.as_ref(), "Established") {
            fields.push((path.child("scope"), &new.scope, &before.scope));
            fields.push((path.child("names").child("kind"), &new.names.kind, &before.names.kind));
        }
        fields.push((path.child("group"), &new.group, &before.group));
        fields.push((
            path.child("names").child("plural"),
            &new.names.plural,
            &before.names.plural,
        ));
        for (path, new, before) in fields {
            if new != before {
                self.mistakes.invalid(path, new.as_str(), "field is immutable");
            }
        }
    }

    fn status(&mut self) {
        let status = self.new.status.as_ref();
        if let Some(names) = status.and_then(|status| status.accepted_names.as_ref()) {
            naming::shapes(names, &Path::root("status.acceptedNames"), &mut self.mistakes);
        }
        let path = Path::root("status.storedVersions");
        let stored = status
            .and_then(|status| status.stored_versions.as_deref())
            .unwrap_or_default();
        if stored.is_empty() {
            let detail = "must have at least one stored version";
            self.mistakes.invalid(path, Value::Array(Vec::new()), detail);
            return;
        }
        for version in self.new.spec.versions.iter().filter(|version| version.storage) {
            if !stored.contains(&version.name) {
                let detail = format!("must have the storage version {}", version.name);
                self.mistakes.invalid(path.clone(), stored, detail);
            }
        }
        for (index, version) in stored.iter().enumerate() {
            if !self.new.spec.versions.iter().any(|one| one.name == *version) {
                let detail = format!(
                    "missing from spec.versions; {version} was previously a storage version, and must remain in \
                     spec.versions until a storage migration ensures no data remains persisted in {version} and removes \
                     {version} from status.storedVersions"
                );
                self.mistakes.invalid(path.index(index), version.as_str(), detail);
            }
        }
    }

    fn approval(&mut self) {
        if !approval::is_protected(&self.new.spec.group) {
            return;
        }
        let (state, words) = approval::approval(self.new);
        // Who does not touch it is not asked about it.
        if self.old.is_some_and(|old| approval::approval(old).0 == state) {
            return;
        }
        let path = key(&Path::root("metadata.annotations"), approval::ANNOTATION);
        match state {
            Approval::Missing => self.mistakes.required(path, words),
            Approval::Invalid => {
                let error = FieldError::new(path, ErrorKind::Invalid, words);
                self.mistakes.0.push(FieldError {
                    value: Some(shown(&Value::from(approval::annotation(self.new)))),
                    ..error
                });
            }
            Approval::Approved | Approval::Bypassed => {}
        }
    }
}

/// What may stand at the root of a schema beside a status subresource, and upstream's names of it.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];
