//! Server-side apply: PATCH with what a manager wants an object to be. It makes the object if there is none.

use breakbulk_structured_merge::Force;
use http::StatusCode;
use serde_json::{Value, json};

use super::edits::Apply;
use super::negotiate::Format;
use super::respond::Answer;
use super::write::Target;
use super::{body, query};
use crate::registry::object;
use crate::registry::objects::{Ownership, Part, Submitted, UpdateOptions, Versioned, WriteOptions, Written, declared};
use crate::status::{ApiError, ApiResult};

/// How often it is tried again when the object comes and goes meanwhile.
const TRIES: usize = 5;

impl Target<'_> {
    /// PATCH with `application/apply-patch+yaml`; its body is YAML, of which JSON is a part.
    pub(super) async fn apply(&self, part: &Part, mut write: WriteOptions, bytes: &[u8]) -> ApiResult<Answer> {
        if self.query.get("fieldManager").is_none_or(str::is_empty) {
            return Err(query::manager_missing());
        }
        let force = match self.query.flag("force")? {
            Some(true) => Force::Yes,
            _ => Force::No,
        };
        let format = if bytes.trim_ascii_start().starts_with(b"{") {
            Format::Json
        } else {
            Format::Yaml
        };
        let mut given = body::parse(bytes, format)?;
        self.name_it(&mut given)?;
        let warnings = declared(self.resource, &mut given, write.field_validation)?;
        let repeated = body::repeated_key(bytes, format).map(|key| format!("error converting YAML to JSON: {key}"));
        let repeated = write.field_validation.judge(repeated, "error strict decoding YAML")?;
        write.ownership = Ownership::Declared;
        let manager = write.manager.clone();
        let apply = Apply {
            resource: self.resource,
            part,
            config: &given.object,
            manager: &manager,
            force,
        };
        let (code, mut written) = self.apply_or_create(part, write, &apply).await?;
        written.warnings.extend(warnings.into_iter().chain(repeated));
        self.answer(code, written).await
    }

    async fn apply_or_create(
        &self,
        part: &Part,
        write: WriteOptions,
        apply: &Apply<'_>,
    ) -> ApiResult<(StatusCode, Written)> {
        let objects = &self.app.objects;
        let options = UpdateOptions {
            part: part.clone(),
            versioned: Versioned::Optional,
            write,
        };
        let mut last = None;
        for _ in 0..TRIES {
            let updated = objects
                .update(self.resource, self.namespace(), self.name(), &options, apply)
                .await;
            match updated {
                Err(error) if error.code() == 404 && *part == Part::Main && error.is_about_a_missing_object() => {}
                other => return Ok((StatusCode::OK, other?)),
            }
            self.may_create()?;
            if !object::meta(apply.config, "uid").is_empty() {
                return Err(ApiError::conflict(
                    self.resource.target(self.name()),
                    "uid mismatch: the provided object specified a uid, and no object was found",
                ));
            }
            let created = objects
                .create(self.resource, self.namespace(), apply.to(None).await?, &options.write)
                .await;
            match created {
                Err(error) if error.reason() == "AlreadyExists" => last = Some(error),
                other => return Ok((StatusCode::CREATED, other?)),
            }
        }
        Err(last.unwrap_or_else(|| ApiError::modified(self.resource.target(self.name()))))
    }

    /// The body names the object of the URL, or leaves that to the URL.
    fn name_it(&self, given: &mut Submitted) -> ApiResult<()> {
        if !given.object.is_object() {
            return Err(ApiError::bad_request("the body of an apply patch must be an object"));
        }
        if given.object["metadata"]["managedFields"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
        {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let metadata = &mut given.object["metadata"];
        if metadata.is_null() {
            *metadata = json!({});
        }
        if !metadata.is_object() {
            return Err(ApiError::bad_request("metadata of an apply patch must be an object"));
        }
        let places = [
            ("name", self.path.name.as_deref()),
            ("namespace", self.path.namespace.as_deref()),
        ];
        for (field, wanted) in places {
            let is = metadata[field].as_str().unwrap_or("");
            match wanted {
                Some(wanted) if is.is_empty() => metadata[field] = Value::from(wanted),
                Some(wanted) if is != wanted && field == "name" => {
                    return Err(ApiError::bad_request(format!(
                        "the name of the object ({is}) does not match the name on the URL ({wanted})"
                    )));
                }
                Some(wanted) if is != wanted => {
                    return Err(ApiError::bad_request(
                        "the namespace of the provided object does not match the namespace sent on the request",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
