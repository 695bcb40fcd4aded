//! The server's refusals, brought to the lines of the manifest they are about.

use kube::core::Status;

use super::{Step, send_as};
use crate::failure::{self, Failure};
use crate::manifest::locate::{self, Found};
use crate::manifest::{Complaint, Document};
use crate::session::Session;

/// Every mistake the server finds in a document it refused. A refusal that is not about the document is ours to
/// pass on.
pub(super) async fn of(
    session: &Session,
    document: &Document,
    step: &Step,
    error: kube::Error,
) -> Result<Vec<Complaint>, Failure> {
    let status = match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 409 | 413 | 422) => *status,
        error => {
            return Err(Failure::server(format!("apply {} {}", document.kind, document.name))(
                error,
            ));
        }
    };
    let mut found = explain(document, &status);
    if status.message.contains("strict decoding error") {
        // The server reads strictly before it looks at values: asked to read loosely, it tells the rest.
        let query = "fieldManager=bulk&fieldValidation=Ignore&dryRun=All";
        if let Err(kube::Error::Api(status)) = send_as(session, step, query).await {
            found.extend(explain(document, &status));
        }
    }
    Ok(found)
}

/// A refusal's causes, each at its place.
fn explain(document: &Document, status: &Status) -> Vec<Complaint> {
    let strict = strict_errors(&status.message);
    if !strict.is_empty() {
        return strict
            .into_iter()
            .map(|(path, words)| at(document, &path, Found::key, words))
            .collect();
    }
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    let fields = causes.iter().filter(|cause| !cause.field.is_empty());
    let complaints: Vec<_> = fields
        .map(|cause| {
            at(
                document,
                &cause.field,
                Found::place,
                format!("{}: {}", cause.field, cause.message),
            )
        })
        .collect();
    if complaints.is_empty() {
        let words = failure::chain(&kube::Error::Api(Box::new(status.clone())));
        return vec![at(document, "metadata.name", Found::place, words)];
    }
    complaints
}

fn at(document: &Document, path: &str, what: fn(Found) -> crate::manifest::tree::Place, words: String) -> Complaint {
    Complaint::new(&document.source, what(locate::locate(&document.tree, path)), words)
}

/// The fields of a strict decoding error, `unknown field "spec.a", duplicate field "spec.b"`, and what to say of them.
fn strict_errors(message: &str) -> Vec<(String, String)> {
    let Some((_, list)) = message.split_once("strict decoding error: ") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut rest = list;
    while let Some(start) = rest.find("field \"") {
        let kind = rest[..start]
            .trim_matches([',', ' '])
            .rsplit(", ")
            .next()
            .unwrap_or_default()
            .to_owned();
        let quoted = &rest[start + "field \"".len()..];
        let Some(end) = closing_quote(quoted) else { break };
        let path = quoted[..end].replace("\\\"", "\"");
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", &path));
        let place = if parent.is_empty() {
            String::new()
        } else {
            format!("{parent}: ")
        };
        found.push((path.clone(), format!("{place}{kind} field {name:?}")));
        rest = &quoted[end + 1..];
    }
    found
}

/// Where a quoted text ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;
    use crate::manifest::{Source, read};

    fn document() -> Document {
        let text = "\
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  jobs:
    a:
      rn: make
      needs: [b]
      timeout: 5
  colour: red
";
        read(vec![Source::new("p.yaml", text)]).documents.remove(0)
    }

    #[test]
    fn unknown_fields_are_shown_at_their_keys() {
        let status = Status::failure(
            "strict decoding error: unknown field \"spec.jobs.a.rn\", unknown field \"spec.colour\"",
            "BadRequest",
        );
        let places: Vec<_> = explain(&document(), &status).iter().map(Complaint::at).collect();
        assert_eq!(places, ["p.yaml:7:7", "p.yaml:10:3"]);
    }

    #[test]
    fn each_cause_is_shown_at_its_field() {
        let cause = |field: &str| StatusCause {
            field: field.into(),
            message: "wrong".into(),
            reason: "r".into(),
        };
        let mut status = Status::failure("invalid", "Invalid");
        status.details = Some(StatusDetails {
            causes: vec![
                cause("spec.jobs.a.run"),
                cause("spec.jobs.a.needs[0]"),
                cause("spec.jobs.a.timeout"),
            ],
            ..serde_json::from_value(serde_json::json!({})).unwrap()
        });
        let places: Vec<_> = explain(&document(), &status).iter().map(Complaint::at).collect();
        assert_eq!(places, ["p.yaml:6:5", "p.yaml:8:15", "p.yaml:9:16"]);
    }
}
