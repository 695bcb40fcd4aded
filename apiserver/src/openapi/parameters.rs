//! The query parameters that operations take, and what they mean.

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    Integer,
    String,
}

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) type_: Type,
    pub(super) description: &'static str,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::String => "string",
        }
    }
}

const fn text(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        type_: Type::String,
        description,
    }
}

const fn flag(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        type_: Type::Boolean,
        description,
    }
}

const fn number(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        type_: Type::Integer,
        description,
    }
}

/// On every operation.
pub(super) const PRETTY: Parameter = text("pretty", "If 'true', the answer is indented.");
const CONTINUE: Parameter = text(
    "continue",
    "The continue token of the chunk before, to get the next one. It expires after a while; the answer then is 410.",
);
const FIELD_SELECTOR: Parameter = text("fieldSelector", "Only objects whose fields match.");
const LABEL_SELECTOR: Parameter = text("labelSelector", "Only objects whose labels match.");
const LIMIT: Parameter = number("limit", "At most so many objects in one answer.");
const VERSION: Parameter = text(
    "resourceVersion",
    "Constraint on the resource version that the answer is made from.",
);
const VERSION_MATCH: Parameter = text(
    "resourceVersionMatch",
    "How resourceVersion is meant: 'Exact' or 'NotOlderThan'.",
);
const SEND_INITIAL: Parameter = flag(
    "sendInitialEvents",
    "With watch: begin with an event for every object there is, then a bookmark that says so.",
);
const TIMEOUT: Parameter = number("timeoutSeconds", "Ends the request after so many seconds.");
const BOOKMARKS: Parameter = flag(
    "allowWatchBookmarks",
    "With watch: events of type BOOKMARK may be sent.",
);
const WATCH: Parameter = flag(
    "watch",
    "Answer with a stream of changes instead of a list. Specify resourceVersion.",
);
const DRY_RUN: Parameter = text(
    "dryRun",
    "'All' goes through every stage of the request and stores nothing.",
);
const MANAGER: Parameter = text(
    "fieldManager",
    "Who makes the change: at most 128 printable characters. Required for apply patches.",
);
const VALIDATION: Parameter = text(
    "fieldValidation",
    "What happens to unknown and duplicate fields: 'Ignore' drops them, 'Warn' drops them with a warning, 'Strict' \
     refuses the request.",
);
const FORCE: Parameter = flag(
    "force",
    "With apply patches: take fields over that others own. Must be unset for other patches.",
);
const GRACE: Parameter = number("gracePeriodSeconds", "How long the object has to end; zero is at once.");
const IGNORE_STORE_READ: Parameter = flag(
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "Delete the object although it cannot be read from the store.",
);
const ORPHAN: Parameter = flag(
    "orphanDependents",
    "Deprecated: use propagationPolicy. Whether dependents are orphaned.",
);
const PROPAGATION: Parameter = text(
    "propagationPolicy",
    "What becomes of dependents: 'Orphan', 'Background' or 'Foreground'.",
);

/// Of list and watch.
pub(super) const LIST: &[Parameter] = &[
    BOOKMARKS,
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    VERSION,
    VERSION_MATCH,
    SEND_INITIAL,
    TIMEOUT,
    WATCH,
];
/// Of create and update.
pub(super) const WRITE: &[Parameter] = &[DRY_RUN, MANAGER, VALIDATION];
/// Of patch.
pub(super) const PATCH: &[Parameter] = &[DRY_RUN, MANAGER, VALIDATION, FORCE];
/// Of delete.
pub(super) const DELETE: &[Parameter] = &[DRY_RUN, GRACE, IGNORE_STORE_READ, ORPHAN, PROPAGATION];
/// Of the deletion of a collection.
pub(super) const DELETE_COLLECTION: &[Parameter] = &[
    CONTINUE,
    DRY_RUN,
    FIELD_SELECTOR,
    GRACE,
    LABEL_SELECTOR,
    LIMIT,
    ORPHAN,
    PROPAGATION,
    VERSION,
    VERSION_MATCH,
    TIMEOUT,
];
/// Of a log.
pub(super) const LOG: &[Parameter] = &[
    text("container", "The container or step whose log is read."),
    flag("follow", "Stay and send what is written from now on."),
    number("limitBytes", "End after so many bytes."),
    flag("previous", "The log of the attempt before."),
    number("sinceSeconds", "Only what was written in the last so many seconds."),
    number("tailLines", "Only the last so many lines."),
    flag("timestamps", "Begin every line with its time."),
];
