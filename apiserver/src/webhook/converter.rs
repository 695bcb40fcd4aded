//! Conversion by a webhook: objects of a definition in another of its versions
//! (`k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`). The webhook may change everything but
//! what an object is: kind, name, namespace, uid; of the other metadata only labels and annotations are taken from it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Client, Endpoint, EndpointError, MAX_ANSWER};
use crate::registry::conversion::Convert;
use crate::registry::object;
use crate::status::{ApiError, ApiResult};

/// How long a conversion may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What is sent at a time: objects, and bytes of them. An answer of twice that size still is one that is read.
const BATCH_OBJECTS: usize = 500;
const BATCH_BYTES: usize = MAX_ANSWER / 2;

/// Why a definition has no converter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// It does not speak the version of reviews that is spoken here.
    #[error("conversionReviewVersions must include v1")]
    Versions,
    /// It says of no place.
    #[error("the conversion webhook has no usable clientConfig")]
    Endpoint(#[from] EndpointError),
}

/// Converts by asking a webhook.
pub struct Converter {
    client: Arc<Client>,
    endpoint: Endpoint,
}

impl fmt::Debug for Converter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Converter")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Converter {
    /// From the `spec.conversion` of a definition, whose strategy is `Webhook`.
    ///
    /// # Errors
    /// When it cannot be asked. What a server accepts can.
    pub fn new(client: Arc<Client>, conversion: &Value) -> Result<Self, ConversionError> {
        let webhook = &conversion["webhook"];
        let versions = webhook["conversionReviewVersions"].as_array();
        if !versions.is_some_and(|versions| versions.iter().any(|version| version == "v1")) {
            return Err(ConversionError::Versions);
        }
        let endpoint = Endpoint::from_client_config(&webhook["clientConfig"])?;
        Ok(Self { client, endpoint })
    }

    /// One review: these objects, all of them in another version than the one wanted.
    async fn ask(&self, objects: &[Value], api_version: &str) -> Result<Vec<Value>, String> {
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": "apiextensions.k8s.io/v1",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        });
        let sent = review.to_string().into();
        let answer = self.client.post(&self.endpoint, sent, TIMEOUT).await;
        let mut answer = answer.map_err(|error| format!("failed: {error}"))?;
        let converted = read(&mut answer, &uid).map_err(|why| format!("failed: {why}"))?;
        if converted.len() != objects.len() {
            let (got, expected) = (converted.len(), objects.len());
            return Err(format!("returned {got} objects, expected {expected}"));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        let checked = pairs.map(|(index, (original, converted))| {
            settle(original, converted, api_version)
                .map_err(|why| format!("returned invalid converted object at index {index}: {why}"))
        });
        checked.collect()
    }
}

#[async_trait]
impl Convert for Converter {
    async fn convert(&self, objects: Vec<Value>, api_version: &str) -> ApiResult<Vec<Value>> {
        let mut done = Vec::with_capacity(objects.len());
        let mut waiting = Batch::default();
        for object in objects {
            if object["apiVersion"] == api_version {
                done.push(Some(object));
                continue;
            }
            let size = object.to_string().len();
            if waiting.is_full_for(size) {
                self.flush(&mut waiting, &mut done, api_version).await?;
            }
            waiting.push(object, size, done.len());
            done.push(None);
        }
        self.flush(&mut waiting, &mut done, api_version).await?;
        Ok(done.into_iter().flatten().collect())
    }
}

impl Converter {
    async fn flush(&self, waiting: &mut Batch, done: &mut [Option<Value>], api_version: &str) -> ApiResult<()> {
        let batch = std::mem::take(waiting);
        let Some(first) = batch.objects.first() else {
            return Ok(());
        };
        let text = |field: &str| first[field].as_str().unwrap_or("").to_owned();
        let from = (text("apiVersion"), text("kind"));
        let converted = self.ask(&batch.objects, api_version).await;
        let converted = converted.map_err(|why| {
            let (version, kind) = &from;
            ApiError::foreign(
                500,
                "InternalError",
                format!("conversion webhook for {version}, Kind={kind} {why}"),
            )
        })?;
        for (place, object) in batch.places.into_iter().zip(converted) {
            done[place] = Some(object);
        }
        Ok(())
    }
}

/// What is sent next.
#[derive(Default)]
struct Batch {
    objects: Vec<Value>,
    places: Vec<usize>,
    bytes: usize,
}

impl Batch {
    fn is_full_for(&self, size: usize) -> bool {
        self.objects.len() >= BATCH_OBJECTS || (self.bytes + size > BATCH_BYTES && !self.objects.is_empty())
    }

    fn push(&mut self, object: Value, size: usize, place: usize) {
        self.objects.push(object);
        self.places.push(place);
        self.bytes += size;
    }
}

fn read(answer: &mut Value, uid: &str) -> Result<Vec<Value>, String> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let (version, kind) = (text(&answer["apiVersion"]), text(&answer["kind"]));
    if (version.as_str(), kind.as_str()) != ("apiextensions.k8s.io/v1", "ConversionReview") {
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {version}, Kind={kind}"
        ));
    }
    if !answer["response"].is_object() {
        return Err("no response provided".to_owned());
    }
    let got = text(&answer["response"]["uid"]);
    if got != uid {
        return Err(format!("expected response.uid={uid:?}, got {got:?}"));
    }
    let result = &answer["response"]["result"];
    if result["status"] != "Success" {
        let message = text(&result["message"]);
        if !message.is_empty() {
            return Err(message);
        }
        let status = text(&result["status"]);
        return Err(format!("response.result.status was '{status}', expected 'Success'"));
    }
    match answer["response"]["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        Value::Null => Ok(Vec::new()),
        _ => Err("response.convertedObjects is not a list".to_owned()),
    }
}

/// Checks that a converted object is the same object, and gives it the metadata that a webhook may not change.
fn settle(original: &Value, mut converted: Value, api_version: &str) -> Result<Value, String> {
    let same = |what: &str, expected: &str, got: &str| {
        if expected == got {
            return Ok(());
        }
        Err(format!("must have the same {what}: {expected} != {got}"))
    };
    let got = converted["apiVersion"].as_str().unwrap_or("");
    if got != api_version {
        return Err(format!("invalid groupVersion (expected {api_version}, received {got})"));
    }
    let kind = |object: &Value| object["kind"].as_str().unwrap_or("").to_owned();
    if kind(original) != kind(&converted) {
        let (expected, received) = (kind(original), kind(&converted));
        return Err(format!("invalid kind (expected {expected}, received {received})"));
    }
    for (what, field) in [("name", "name"), ("namespace", "namespace"), ("UID", "uid")] {
        same(what, object::meta(original, field), object::meta(&converted, field))?;
    }
    let mut metadata = original["metadata"].clone();
    for field in ["labels", "annotations"] {
        let given = converted["metadata"]
            .get_mut(field)
            .map(Value::take)
            .unwrap_or(Value::Null);
        let texts = given.as_object().is_none_or(|map| map.values().all(Value::is_string));
        if !texts || !(given.is_object() || given.is_null()) {
            return Err(format!("metadata.{field} must be a map of strings"));
        }
        if let Some(metadata) = metadata.as_object_mut() {
            match given.as_object().is_some_and(|map| !map.is_empty()) {
                true => metadata.insert(field.to_owned(), given),
                false => metadata.remove(field),
            };
        }
    }
    converted["metadata"] = metadata;
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str) -> Value {
        json!({"apiVersion": version, "kind": "K", "metadata": {"name": "a", "uid": "u", "generation": 1}})
    }

    #[test]
    fn only_labels_and_annotations_of_the_metadata_change() {
        let mut converted = object("g/v2");
        converted["metadata"]["labels"] = json!({"l": "1"});
        converted["metadata"]["generation"] = json!(9);
        let settled = settle(&object("g/v1"), converted, "g/v2").unwrap();
        assert_eq!(
            settled["metadata"],
            json!({"name": "a", "uid": "u", "generation": 1, "labels": {"l": "1"}})
        );
    }

    #[test]
    fn another_object_is_refused() {
        let with = |change: fn(&mut Value)| {
            let mut converted = object("g/v2");
            change(&mut converted);
            settle(&object("g/v1"), converted, "g/v2").unwrap_err()
        };
        assert_eq!(
            with(|o| o["metadata"]["name"] = json!("b")),
            "must have the same name: a != b"
        );
        assert_eq!(
            with(|o| o["metadata"]["uid"] = json!("x")),
            "must have the same UID: u != x"
        );
        assert_eq!(
            with(|o| o["kind"] = json!("L")),
            "invalid kind (expected K, received L)"
        );
        assert!(with(|o| o["apiVersion"] = json!("g/v3")).starts_with("invalid groupVersion"));
        assert!(with(|o| *o = json!(3)).starts_with("invalid groupVersion"));
        assert!(with(|o| o["metadata"]["labels"] = json!({"a": 1})).contains("map of strings"));
    }

    #[test]
    fn an_answer_must_be_to_the_question() {
        let answer = |response: Value| {
            let mut answer =
                json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
            read(&mut answer, "u")
        };
        let fine = json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [1]});
        assert_eq!(answer(fine), Ok(vec![json!(1)]));
        assert_eq!(answer(Value::Null), Err("no response provided".to_owned()));
        assert!(
            answer(json!({"uid": "v"}))
                .unwrap_err()
                .starts_with("expected response.uid")
        );
        let failed = json!({"uid": "u", "result": {"status": "Failure", "message": "no"}});
        assert_eq!(answer(failed), Err("no".to_owned()));
        assert!(read(&mut json!([]), "u").is_err());
    }
}
