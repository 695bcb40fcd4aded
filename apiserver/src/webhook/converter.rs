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
use crate::registry::metadata::mistakes_in;
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
    #[error("conversionReviewVersions must include v1 or v1beta1")]
    Versions,
    /// It says of no place.
    #[error("the conversion webhook has no usable clientConfig")]
    Endpoint(#[from] EndpointError),
}

/// Converts by asking a webhook.
pub struct Converter {
    client: Arc<Client>,
    endpoint: Endpoint,
    speaks: Reviews,
}

/// The versions of reviews that are spoken here. They differ in what is checked of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reviews {
    V1,
    V1Beta1,
}

impl Reviews {
    /// The first of a webhook's that is spoken here, too.
    fn chosen(versions: &Value) -> Option<Self> {
        let mut versions = versions.as_array()?.iter().filter_map(Value::as_str);
        versions.find_map(|version| match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "apiextensions.k8s.io/v1",
            Self::V1Beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }
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
        let speaks = Reviews::chosen(&webhook["conversionReviewVersions"]).ok_or(ConversionError::Versions)?;
        let endpoint = Endpoint::from_client_config(&webhook["clientConfig"])?;
        Ok(Self {
            client,
            endpoint,
            speaks,
        })
    }

    /// One review: these objects, all of them in another version than the one wanted.
    async fn ask(&self, objects: &[Value], api_version: &str) -> Result<Vec<Value>, String> {
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": self.speaks.api_version(),
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        });
        let sent = review.to_string().into();
        let answer = self.client.post(&self.endpoint, sent, TIMEOUT).await;
        let mut answer = answer.map_err(|error| format!("failed: {error}"))?;
        let converted = read(&mut answer, self.speaks, &uid).map_err(|why| format!("failed: {why}"))?;
        if converted.len() != objects.len() {
            let (got, expected) = (converted.len(), objects.len());
            return Err(format!("returned {got} objects, expected {expected}"));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        let checked = pairs.map(|(index, (original, converted))| {
            settle(original, converted, api_version).map_err(|misfit| misfit.told(index, objects.len()))
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
            // Upstream has no reason for these.
            ApiError::foreign(500, "", format!("conversion webhook for {version}, Kind={kind} {why}"))
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

fn read(answer: &mut Value, speaks: Reviews, uid: &str) -> Result<Vec<Value>, String> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let (version, kind) = (text(&answer["apiVersion"]), text(&answer["kind"]));
    let expected = "apiextensions.k8s.io/v1";
    if speaks == Reviews::V1 && (version.as_str(), kind.as_str()) != (expected, "ConversionReview") {
        return Err(format!(
            "expected webhook response of {expected}, Kind=ConversionReview, got {version}, Kind={kind}"
        ));
    }
    if !answer["response"].is_object() {
        return Err("no response provided".to_owned());
    }
    let got = text(&answer["response"]["uid"]);
    if speaks == Reviews::V1 && got != uid {
        return Err(format!("expected response.uid={uid:?}, got {got:?}"));
    }
    let result = &answer["response"]["result"];
    if result["status"] != "Success" {
        let message = text(&result["message"]);
        if !message.is_empty() {
            return Err(message);
        }
        let status = text(&result["status"]);
        return Err(format!("response.result.status was '{status}', not 'Success'"));
    }
    match answer["response"]["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        Value::Null => Ok(Vec::new()),
        _ => Err("response.convertedObjects is not a list".to_owned()),
    }
}

/// Why a converted object is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Misfit {
    /// It is of another version or kind.
    Kind(String),
    /// It is another object.
    Object(String),
    /// Its metadata are none.
    Metadata(String),
}

impl Misfit {
    /// In upstream's words, which are others where several objects were sent.
    fn told(self, index: usize, sent: usize) -> String {
        match (self, sent) {
            (Self::Kind(why), 1) => format!("returned invalid object at index 0: {why}"),
            (Self::Object(why), 1) => format!("returned invalid object: {why}"),
            (Self::Metadata(why), 1) => format!("returned invalid metadata: {why}"),
            (Self::Kind(why) | Self::Object(why), _) => {
                format!("returned invalid converted object at index {index}: {why}")
            }
            (Self::Metadata(why), _) => format!("returned invalid metadata in object at index {index}: {why}"),
        }
    }
}

/// Checks that a converted object is the same object, and gives it the metadata that a webhook may not change.
fn settle(original: &Value, mut converted: Value, api_version: &str) -> Result<Value, Misfit> {
    let got = converted["apiVersion"].as_str().unwrap_or("");
    if got != api_version {
        let why = format!("invalid groupVersion (expected {api_version}, received {got})");
        return Err(Misfit::Kind(why));
    }
    let kind = |object: &Value| object["kind"].as_str().unwrap_or("").to_owned();
    if kind(original) != kind(&converted) {
        let (expected, received) = (kind(original), kind(&converted));
        let why = format!("invalid kind (expected {expected}, received {received})");
        return Err(Misfit::Kind(why));
    }
    for (what, field) in [("name", "name"), ("namespace", "namespace"), ("UID", "uid")] {
        let (expected, got) = (object::meta(original, field), object::meta(&converted, field));
        if expected != got {
            return Err(Misfit::Object(format!(
                "must have the same {what}: {expected} != {got}"
            )));
        }
    }
    let metadata = metadata(original, converted.get_mut("metadata").map(Value::take)).map_err(Misfit::Metadata)?;
    converted["metadata"] = metadata;
    Ok(converted)
}

/// The metadata of an object with the labels and annotations that a webhook has given it.
fn metadata(original: &Value, converted: Option<Value>) -> Result<Value, String> {
    let mut converted = match converted {
        Some(Value::Object(converted)) => converted,
        Some(_) => return Err("invalid metadata in converted object".to_owned()),
        None => return Err("missing metadata in converted object".to_owned()),
    };
    let mut kept = original["metadata"].as_object().cloned().unwrap_or_default();
    for part in ["labels", "annotations"] {
        let texts = match converted.remove(part) {
            None | Some(Value::Null) => {
                kept.remove(part);
                continue;
            }
            Some(Value::Object(texts)) => texts,
            Some(_) => return Err(format!("invalid metadata.{part} in converted object")),
        };
        if let Some((key, _)) = texts.iter().find(|(_, text)| !text.is_string()) {
            return Err(format!("metadata.{part}[{key}] must be a string"));
        }
        let texts = Value::Object(texts);
        if kept.get(part) != Some(&texts) {
            let errors = mistakes_in(part, &texts);
            if !errors.is_empty() {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                return Err(errors.join(", "));
            }
        }
        kept.insert(part.to_owned(), texts);
    }
    Ok(Value::Object(kept))
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
            settle(&object("g/v1"), converted, "g/v2").unwrap_err().told(0, 1)
        };
        for (change, told) in [
            (
                (|o| o["metadata"]["name"] = json!("b")) as fn(&mut Value),
                "returned invalid object: must have the same name: a != b",
            ),
            (
                |o| o["metadata"]["uid"] = json!("x"),
                "returned invalid object: must have the same UID: u != x",
            ),
            (
                |o| o["kind"] = json!("L"),
                "returned invalid object at index 0: invalid kind (expected K, received L)",
            ),
            (
                |o| o["apiVersion"] = json!("g/v3"),
                "returned invalid object at index 0: invalid groupVersion (expected g/v2, received g/v3)",
            ),
            (
                |o| *o = json!(3),
                "returned invalid object at index 0: invalid groupVersion (expected g/v2, received )",
            ),
            (
                |o| o["metadata"]["labels"] = json!({"a": 1}),
                "returned invalid metadata: metadata.labels[a] must be a string",
            ),
            (
                |o| o["metadata"]["annotations"] = json!([]),
                "returned invalid metadata: invalid metadata.annotations in converted object",
            ),
        ] {
            assert_eq!(with(change), told);
        }
        assert!(with(|o| o["metadata"]["labels"] = json!({"a": "b c"})).contains("metadata.labels: Invalid value"));
        let misfit = || Misfit::Object("no".to_owned());
        assert_eq!(misfit().told(2, 3), "returned invalid converted object at index 2: no");
    }

    #[test]
    fn an_answer_must_be_to_the_question() {
        let answer = |response: Value| {
            let mut answer =
                json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
            read(&mut answer, Reviews::V1, "u")
        };
        let fine = json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [1]});
        assert_eq!(answer(fine), Ok(vec![json!(1)]));
        assert_eq!(answer(Value::Null), Err("no response provided".to_owned()));
        // The older version did not ask for as much.
        let mut old = json!({"response": {"result": {"status": "Success"}, "convertedObjects": [1]}});
        assert_eq!(read(&mut old, Reviews::V1Beta1, "u"), Ok(vec![json!(1)]));
        let first = |versions: Value| Reviews::chosen(&versions);
        assert_eq!(first(json!(["v2", "v1beta1", "v1"])), Some(Reviews::V1Beta1));
        assert_eq!(first(json!(["v2"])), None);
        assert!(
            answer(json!({"uid": "v"}))
                .unwrap_err()
                .starts_with("expected response.uid")
        );
        let failed = json!({"uid": "u", "result": {"status": "Failure", "message": "no"}});
        assert_eq!(answer(failed), Err("no".to_owned()));
        assert!(read(&mut json!([]), Reviews::V1, "u").is_err());
    }
}
