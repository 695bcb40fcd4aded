//! The operations of a resource, by path: its collection, its objects and their subresources. A model of its own, which
//! [`super::v3`] and [`super::v2`] each write in their form.

use super::merge;
use super::parameters::{self, Parameter};
use super::rows::{Kind, Row, Source, Subresource, Verb};

/// What is at a path.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// `/apis/breakbulk.dev/v1/namespaces/{namespace}/jobs/{name}`.
    pub(super) path: String,
    /// The parameters in it: name and description.
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) operations: Vec<Operation>,
}

/// Something that can be done there.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// What `x-kubernetes-action` says.
    pub(super) action: &'static str,
    pub(super) id: String,
    pub(super) tag: String,
    pub(super) description: String,
    pub(super) parameters: &'static [Parameter],
    pub(super) body: Option<Body>,
    /// The name of the schema of what comes back; none is plain text.
    pub(super) answer: Option<String>,
    pub(super) codes: &'static [(&'static str, &'static str)],
    pub(super) kind: Kind,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// An object with this schema.
    Object {
        schema: String,
        media: &'static [&'static str],
    },
    /// A patch.
    Patch { media: &'static [&'static str] },
    /// DeleteOptions, which need not be there.
    DeleteOptions,
}

/// The schemas that operations name.
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// The patches that are taken. Upstream takes no strategic merge patch for kinds that came with a definition; ours
/// take one, and clients look here before they send it.
pub(super) const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
const MEDIA: &[&str] = &["application/json", "application/yaml"];
const MEDIA_BUILTIN: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

const OK: (&str, &str) = ("200", "OK");
const CREATED: (&str, &str) = ("201", "Created");
const ACCEPTED: (&str, &str) = ("202", "Accepted");

impl Verb {
    const fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List => "get",
            Self::Create => "post",
            Self::Update => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::DeleteCollection => "deletecollection",
            other => other.method(),
        }
    }

    /// How operation ids and descriptions begin.
    const fn word(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "replace",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    const fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Get => &[],
            Self::List => parameters::LIST,
            Self::Create | Self::Update => parameters::WRITE,
            Self::Patch => parameters::PATCH,
            Self::Delete => parameters::DELETE,
            Self::DeleteCollection => parameters::DELETE_COLLECTION,
        }
    }

    const fn codes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Get | Self::List | Self::DeleteCollection => &[OK],
            Self::Create => &[OK, CREATED, ACCEPTED],
            Self::Update | Self::Patch => &[OK, CREATED],
            Self::Delete => &[OK, ACCEPTED],
        }
    }
}

/// All paths of a resource.
pub(super) fn of(row: &Row) -> Vec<Path> {
    let root = match row.kind.group.as_str() {
        "" => format!("/api/{}", row.kind.version),
        group => format!("/apis/{group}/{}", row.kind.version),
    };
    let scope = if row.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{scope}/{}", row.plural);
    let object = format!("{collection}/{{name}}");
    let mut paths = vec![
        path(
            row,
            collection,
            None,
            &[Verb::List, Verb::Create, Verb::DeleteCollection],
        ),
        path(
            row,
            object.clone(),
            None,
            &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete],
        ),
    ];
    if row.namespaced && row.verbs.contains(&Verb::List) {
        let mut everywhere = path(row, format!("{root}/{}", row.plural), None, &[Verb::List]);
        for operation in &mut everywhere.operations {
            operation.id = id(row, Verb::List, None, "ForAllNamespaces");
        }
        paths.push(everywhere);
    }
    for sub in &row.subresources {
        paths.push(path(row, format!("{object}/{}", sub.name), Some(sub), &sub.verbs));
    }
    paths.retain(|path| !path.operations.is_empty());
    paths
}

fn path(row: &Row, path: String, sub: Option<&Subresource>, verbs: &[Verb]) -> Path {
    let mut variables = Vec::new();
    if path.contains("{name}") {
        variables.push(("name", format!("name of the {}", row.kind.kind)));
    }
    if path.contains("{namespace}") {
        let scope = "object name and auth scope, such as for teams and projects";
        variables.push(("namespace", scope.to_owned()));
    }
    let operations = verbs
        .iter()
        .filter(|verb| sub.is_some() || row.verbs.contains(verb))
        .map(|verb| operation(row, *verb, sub))
        .collect();
    Path {
        path,
        variables,
        operations,
    }
}

fn operation(row: &Row, verb: Verb, sub: Option<&Subresource>) -> Operation {
    let kind = match sub {
        Some(Subresource { kind: Some(kind), .. }) => kind,
        _ => &row.kind,
    };
    let is_text = sub.is_some_and(|sub| sub.kind.is_none());
    let schema = match verb {
        Verb::List => row.list_schema_name(),
        Verb::Delete | Verb::DeleteCollection => STATUS.to_owned(),
        _ => kind.schema_name(),
    };
    let media = match row.source {
        Source::Builtin => MEDIA_BUILTIN,
        Source::Custom(_) => MEDIA,
    };
    let body = match verb {
        Verb::Get | Verb::List => None,
        Verb::Create | Verb::Update => Some(Body::Object {
            schema: schema.clone(),
            media,
        }),
        Verb::Patch => Some(Body::Patch { media: patches(row) }),
        Verb::Delete | Verb::DeleteCollection => Some(Body::DeleteOptions),
    };
    Operation {
        method: verb.method(),
        action: verb.action(),
        id: id(row, verb, sub, ""),
        tag: tag(&row.kind),
        description: describe(row, verb, sub),
        parameters: if is_text { parameters::LOG } else { verb.parameters() },
        body,
        answer: (!is_text).then_some(schema),
        codes: if is_text { &[OK] } else { verb.codes() },
        kind: kind.clone(),
    }
}

fn patches(row: &Row) -> &'static [&'static str] {
    let strategic = match row.source {
        Source::Builtin => true,
        Source::Custom(_) => merge::is_ours(&row.kind.group, &row.kind.version),
    };
    let count = PATCHES.len() - usize::from(!strategic);
    &PATCHES[..count]
}

/// `listCoreV1NamespacedConfigMap`.
fn id(row: &Row, verb: Verb, sub: Option<&Subresource>, suffix: &str) -> String {
    let scope = if row.namespaced && suffix.is_empty() {
        "Namespaced"
    } else {
        ""
    };
    format!(
        "{}{}{}{scope}{}{}{suffix}",
        verb.word(),
        camel(group_word(&row.kind)),
        camel(&row.kind.version),
        row.kind.kind,
        sub.map(|sub| camel(&sub.name)).unwrap_or_default(),
    )
}

fn group_word(kind: &Kind) -> &str {
    match kind.group.as_str() {
        "" => "core",
        group => group.strip_suffix(".k8s.io").unwrap_or(group),
    }
}

/// `rbacAuthorization_v1`.
fn tag(kind: &Kind) -> String {
    let group = camel(group_word(kind));
    let mut letters = group.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect::<String>() + "_" + &kind.version
}

/// `rbac.authorization` as `RbacAuthorization`.
fn camel(text: &str) -> String {
    let word = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    text.split(['.', '-', '_']).map(word).collect()
}

fn describe(row: &Row, verb: Verb, sub: Option<&Subresource>) -> String {
    let kind = &row.kind.kind;
    let part = sub.map(|sub| format!("{} of ", sub.name)).unwrap_or_default();
    let article = if kind.starts_with(['A', 'E', 'I', 'O', 'U']) {
        "an"
    } else {
        "a"
    };
    match verb {
        Verb::Get => format!("read {part}the specified {kind}"),
        Verb::List => format!("list or watch objects of kind {kind}"),
        Verb::Create => format!("create {part}{article} {kind}"),
        Verb::Update => format!("replace {part}the specified {kind}"),
        Verb::Patch => format!("partially update {part}the specified {kind}"),
        Verb::Delete => format!("delete {part}{article} {kind}"),
        Verb::DeleteCollection => format!("delete collection of {kind}"),
    }
}
