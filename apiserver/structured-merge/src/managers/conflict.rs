//! The conflicts of an apply, in the texts that clients show and match on.

use std::fmt;

use super::entries::{ManagerId, Operation};
use crate::fieldpath::{FieldSet, Path};
use crate::value::quote;

/// A field that an apply would change and that somebody else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    id: ManagerId,
    path: Path,
}

impl Conflict {
    pub(super) fn new(id: &ManagerId, path: Path) -> Self {
        Self { id: id.clone(), path }
    }

    /// The name of the manager that owns the field.
    pub fn manager(&self) -> &str {
        &self.id.manager
    }

    /// The field that is contested; its text is the `field` of the cause.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `message` of the cause, whose reason is `FieldManagerConflict`.
    pub fn message(&self) -> String {
        format!("conflict with {}", ManagerText(&self.id))
    }
}

/// The manager as messages name it: `"name" with subresource "status" using apps/v1`.
struct ManagerText<'a>(&'a ManagerId);

impl fmt::Display for ManagerText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        f.write_str(&quote(&id.manager))?;
        if !id.subresource.is_empty() {
            write!(f, " with subresource {}", quote(&id.subresource))?;
        }
        match (id.operation, &id.api_version) {
            (Operation::Update, Some(version)) => write!(f, " using {version}"),
            _ => Ok(()),
        }
    }
}

/// All conflicts of an apply, grouped by manager; there is at least one. Their text is the message of the Status, whose
/// code is 409 and reason `Conflict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(pub(super) Vec<Conflict>);

impl Conflicts {
    /// The conflicts, each of them a cause of the Status.
    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.0.iter()
    }

    /// What is left of the conflicts without those that are allowed.
    pub(super) fn without(self, allowed: &FieldSet) -> Option<Self> {
        let left: Vec<_> = self
            .0
            .into_iter()
            .filter(|conflict| !allowed.contains(&conflict.path.0))
            .collect();
        (!left.is_empty()).then_some(Self(left))
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: {}: {}", only.message(), only.path);
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        for (at, group) in self.0.chunk_by(|a, b| a.id == b.id).enumerate() {
            let newline = if at > 0 { "\n" } else { "" };
            write!(f, "{newline}conflicts with {}:", ManagerText(&group[0].id))?;
            group
                .iter()
                .try_for_each(|conflict| write!(f, "\n- {}", conflict.path))?;
        }
        Ok(())
    }
}

impl std::error::Error for Conflicts {}
