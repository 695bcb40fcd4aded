//! Merging where somebody else's program converts between the versions. The merge itself asks nobody: it is pure, and where
//! it wants an object in another version that nobody has converted yet, it stops there. What it wanted is then had, all of
//! it at once, and the merge begins anew with that at hand. It wants the same things each time, so it comes to its end.
//!
//! Mostly all managers write in one version, and nothing is ever converted.

use std::cell::RefCell;
use std::collections::BTreeMap;

use breakbulk_structured_merge::{ConversionError, Schema, Unconverted, Versions};
use serde_json::{Map, Value};

use crate::registry::Resource;
use crate::registry::conversion::Conversion;

/// Beginnings of one merge. Each version that managers wrote in takes a few; a merge that still wants something then is told
/// that it cannot have it.
const BEGINNINGS: usize = 64;

/// An object that was converted.
struct Converted {
    from: Value,
    api_version: String,
    to: Result<Value, String>,
}

/// The versions of a kind, as far as objects have been converted.
struct Known<'a> {
    schemas: &'a Unconverted,
    converted: &'a [Converted],
    wanted: RefCell<Vec<(Value, String)>>,
}

impl Versions for Known<'_> {
    fn schema(&self, api_version: &str) -> Option<&Schema> {
        self.schemas.schema(api_version)
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ConversionError> {
        if object["apiVersion"] == api_version {
            return Ok(object.clone());
        }
        if is_empty(object) {
            return self.schemas.convert(object, api_version);
        }
        let known = |known: &&Converted| known.api_version == api_version && known.from == *object;
        match self.converted.iter().find(known) {
            Some(Converted { to: Ok(to), .. }) => Ok(to.clone()),
            Some(Converted { to: Err(why), .. }) => Err(ConversionError::Failed(why.clone())),
            None => {
                self.wanted.borrow_mut().push((object.clone(), api_version.to_owned()));
                Err(ConversionError::Failed("it is not converted yet".to_owned()))
            }
        }
    }
}

/// Whether an object says what it is and nothing else. No program is asked about such, as upstream.
fn is_empty(object: &Value) -> bool {
    object.as_object().is_some_and(|members| members.len() == 2)
}

/// Whether merges of a kind may have to be begun more than once.
pub(super) fn is_needed(resource: &Resource) -> bool {
    matches!(resource.conversion, Some(Conversion::Foreign(_)))
}

/// Merges, with all the conversions that the merge wants.
pub(super) async fn until_converted<T>(
    resource: &Resource,
    schemas: &Unconverted,
    merge: impl Fn(&dyn Versions) -> T,
) -> T {
    if !is_needed(resource) {
        return merge(schemas);
    }
    let mut converted = Vec::new();
    for _ in 1..BEGINNINGS {
        let (outcome, wanted) = begin(schemas, &converted, &merge);
        if wanted.is_empty() {
            return outcome;
        }
        converted.extend(have(resource, wanted).await);
    }
    begin(schemas, &converted, &merge).0
}

fn begin<T>(
    schemas: &Unconverted,
    converted: &[Converted],
    merge: impl Fn(&dyn Versions) -> T,
) -> (T, Vec<(Value, String)>) {
    let known = Known {
        schemas,
        converted,
        wanted: RefCell::default(),
    };
    let outcome = merge(&known);
    (outcome, known.wanted.into_inner())
}

/// A merge asks about objects on their way, too, and while it finds out what nobody wants any more they may be without
/// metadata. No program is bothered with such: it gets an object.
fn with_metadata(object: &Value) -> Value {
    let mut whole = object.clone();
    if let Some(members) = whole.as_object_mut() {
        members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    }
    whole
}

/// The converted object, as whole as the other was.
fn as_given((object, mut converted): (&Value, Value)) -> Value {
    if object.get("metadata").is_none()
        && let Some(members) = converted.as_object_mut()
    {
        members.remove("metadata");
    }
    converted
}

/// Converts, all that is to be of one version together.
async fn have(resource: &Resource, wanted: Vec<(Value, String)>) -> Vec<Converted> {
    let mut by_version: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (object, api_version) in wanted {
        let of_version = by_version.entry(api_version).or_default();
        if !of_version.contains(&object) {
            of_version.push(object);
        }
    }
    let mut all = Vec::new();
    for (api_version, objects) in by_version {
        let whole = objects.iter().map(with_metadata).collect();
        let results = match resource.all_to_version(whole, &api_version).await {
            Ok(converted) => objects.iter().zip(converted).map(as_given).map(Ok).collect(),
            Err(error) => vec![Err(error.message().to_owned()); objects.len()],
        };
        all.extend(objects.into_iter().zip(results).map(|(from, to)| Converted {
            from,
            api_version: api_version.clone(),
            to,
        }));
    }
    all
}
