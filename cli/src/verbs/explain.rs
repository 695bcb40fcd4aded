//! `bulk explain`: the fields of a kind, from the schema the server publishes, or from ours when it publishes none.

use serde_json::Value;

use crate::args::Global;
use crate::discovery::Resources;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::printer::colour::Style;
use crate::printer::{self, Terminal, text};
use crate::server::JSON;
use crate::session::Session;

/// How deep `--recursive` goes: schemas may refer to themselves.
const MAX_DEPTH: usize = 12;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kind and a field of it, for example `pipeline.spec.jobs`
    #[arg(value_name = "KIND[.FIELD…]")]
    what: String,
    /// All fields below, by name and type
    #[arg(short, long)]
    recursive: bool,
}

/// A kind's schema and what it refers to.
struct Schemas {
    api_version: String,
    kind: String,
    root: Value,
    /// `components.schemas` of the document, for `$ref`.
    others: Value,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let mut words = args.what.split('.');
    let kind = words.next().unwrap_or_default();
    let path: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let schemas = schemas(kind, global).await?;
    let page = schemas.page(&path, args.recursive, Terminal::new(global.color))?;
    printer::line(page.trim_end())?;
    Ok(Exit::Done)
}

async fn schemas(kind: &str, global: &Global) -> Result<Schemas, Failure> {
    // Our own kinds can be explained without a server.
    let session = match Session::open(global).await {
        Ok(session) => session,
        Err(failure) => return compiled_in(kind).ok_or(failure),
    };
    let resources = match Resources::load(&session.server).await {
        Ok(resources) => resources,
        Err(failure) => return compiled_in(kind).ok_or(failure),
    };
    let resource = resources.find(kind)?;
    let root = if resource.group.is_empty() { "api" } else { "apis" };
    let path = format!("/openapi/v3/{root}/{}", resource.api_version());
    if let Ok(mut document) = session.server.get(&path, JSON).await {
        let others = document
            .pointer_mut("/components/schemas")
            .map(Value::take)
            .unwrap_or_default();
        let is_it = |schema: &&Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds.into_iter().flatten().any(|gvk| {
                gvk["kind"] == resource.kind.as_str()
                    && gvk["group"] == resource.group.as_str()
                    && gvk["version"] == resource.version.as_str()
            })
        };
        if let Some(root) = others
            .as_object()
            .into_iter()
            .flat_map(|map| map.values())
            .find(is_it)
            .cloned()
        {
            return Ok(Schemas {
                api_version: resource.api_version(),
                kind: resource.kind.clone(),
                root,
                others,
            });
        }
    }
    compiled_in(&resource.kind)
        .ok_or_else(|| Failure::said(format!("the server publishes no schema of {}", resource.kind)))
}

/// The schema of one of our own kinds.
fn compiled_in(word: &str) -> Option<Schemas> {
    for row in breakbulk_schemas::kinds::ALL {
        let crd = row.crd();
        let names = &crd.spec.names;
        let short = names
            .short_names
            .iter()
            .flatten()
            .any(|short| short.eq_ignore_ascii_case(word));
        if !short && !names.kind.eq_ignore_ascii_case(word) && !names.plural.eq_ignore_ascii_case(word) {
            continue;
        }
        let schema = crd
            .spec
            .versions
            .first()?
            .schema
            .as_ref()?
            .open_api_v3_schema
            .as_ref()?;
        let root = serde_json::to_value(schema).ok()?;
        let api_version = breakbulk_schemas::API_VERSION.to_owned();
        return Some(Schemas {
            api_version,
            kind: names.kind.clone(),
            root,
            others: Value::Null,
        });
    }
    None
}

impl Schemas {
    fn page(&self, path: &[&str], recursive: bool, terminal: Terminal) -> Result<String, Failure> {
        let mut schema = self.resolve(&self.root);
        let mut parent = None;
        for (depth, field) in path.iter().enumerate() {
            let inner = self.inner(schema);
            let properties = inner["properties"].as_object();
            match properties.and_then(|properties| properties.get(*field)) {
                Some(child) => {
                    parent = Some(inner);
                    schema = self.resolve(child);
                }
                // In a map any word is a name, where it cannot be a mistyped field.
                None if is_map(schema) && (properties.is_none() || depth + 1 < path.len()) => {
                    parent = None;
                    schema = self.resolve(&schema["additionalProperties"]);
                }
                None => {
                    let at = std::iter::once(&*self.kind).chain(path[..depth].iter().copied());
                    let names: Vec<_> = properties
                        .into_iter()
                        .flatten()
                        .map(|(name, _)| name.as_str())
                        .collect();
                    return Err(Failure::said(format!(
                        "{} has no field {field:?}; it has {}",
                        at.collect::<Vec<_>>().join("."),
                        names.join(", ")
                    )));
                }
            }
        }
        let mut page = format!("KIND:     {}\nVERSION:  {}\n", self.kind, self.api_version);
        if let Some(field) = path.last() {
            let required = parent.is_some_and(|parent| is_required(parent, field));
            let required = if required { ", required" } else { "" };
            page.push_str(&format!("FIELD:    {field} <{}>{required}\n", self.type_of(schema)));
        }
        page.push_str(&about(schema));
        let fields = self.fields(self.inner(schema), recursive, terminal);
        if !fields.is_empty() {
            page.push_str(&format!("\n{}\n{fields}", terminal.paint(Style::Bold, "FIELDS:")));
        }
        Ok(page)
    }

    /// The fields of an object, with what they are for; or, recursively, as a tree of names.
    fn fields(&self, schema: &Value, recursive: bool, terminal: Terminal) -> String {
        let mut page = String::new();
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            let child = self.resolve(child);
            let required = if is_required(schema, name) { "  required" } else { "" };
            let head = format!(
                "{} <{}>{required}",
                terminal.paint(Style::Bold, &text::cell(name)),
                self.type_of(child)
            );
            page.push_str(&format!("  {head}\n"));
            if recursive {
                self.tree(self.inner(child), 2, &mut page);
            } else {
                page.push_str(&wrap(description(child), 4));
                page.push_str(&limits(child).map_or(String::new(), |words| format!("    {words}\n")));
                page.push('\n');
            }
        }
        page
    }

    fn tree(&self, schema: &Value, depth: usize, page: &mut String) {
        if depth > MAX_DEPTH {
            return;
        }
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            let child = self.resolve(child);
            page.push_str(&format!(
                "{:width$}{} <{}>\n",
                "",
                text::cell(name),
                self.type_of(child),
                width = depth * 2
            ));
            self.tree(self.inner(child), depth + 1, page);
        }
    }

    /// Follows references and `allOf` wrappers of one.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..MAX_DEPTH {
            if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
                schema = &self.others[name];
            } else if let Some([one]) = schema["allOf"].as_array().map(Vec::as_slice)
                && schema["properties"].is_null()
            {
                schema = one;
            } else {
                break;
            }
        }
        schema
    }

    /// What lies in a list or a map: the fields of its items.
    fn inner<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let schema = self.resolve(schema);
        for of in ["items", "additionalProperties"] {
            let item = self.resolve(&schema[of]);
            if schema["properties"].is_null() && item["properties"].is_object() {
                return item;
            }
        }
        schema
    }

    fn type_of(&self, schema: &Value) -> String {
        let schema = self.resolve(schema);
        if schema["x-kubernetes-int-or-string"] == true {
            return "integer or string".to_owned();
        }
        match schema["type"].as_str() {
            Some("array") => format!("[]{}", self.type_of(&schema["items"])),
            Some("object") if schema["additionalProperties"].is_object() => {
                format!("map[string]{}", self.type_of(&schema["additionalProperties"]))
            }
            Some("object") => "Object".to_owned(),
            Some(plain) => text::cell(plain),
            None => "any".to_owned(),
        }
    }
}

fn is_map(schema: &Value) -> bool {
    schema["additionalProperties"].is_object()
}

fn about(schema: &Value) -> String {
    let mut page = String::new();
    let words = description(schema);
    if !words.is_empty() {
        page.push_str(&format!("\n{}", wrap(words, 0)));
    }
    page.push_str(&limits(schema).map_or(String::new(), |words| format!("{words}\n")));
    page
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn is_required(schema: &Value, field: &str) -> bool {
    schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|name| name == field)
}

/// What values are allowed, in words.
fn limits(schema: &Value) -> Option<String> {
    let list = |values: &Vec<Value>| {
        values
            .iter()
            .filter(|v| !v.is_null())
            .map(plain)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut words = Vec::new();
    if let Some(values) = schema["enum"].as_array() {
        words.push(format!("one of {}", list(values)));
    }
    for (key, what) in [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("pattern", "matches"),
        ("default", "default"),
    ] {
        if !schema[key].is_null() {
            words.push(format!("{what} {}", plain(&schema[key])));
        }
    }
    (!words.is_empty()).then(|| format!("({})", words.join("; ")))
}

fn plain(value: &Value) -> String {
    // A schema's bounds are written as fractions, also where the field is a whole number.
    if let Some(number) = value
        .as_f64()
        .filter(|number| number.fract() == 0.0 && number.abs() < 1e15)
    {
        return format!("{number:.0}");
    }
    value
        .as_str()
        .map_or_else(|| text::cell(&value.to_string()), text::cell)
}

/// Text in lines of at most 80 characters.
fn wrap(words: &str, indent: usize) -> String {
    let mut page = String::new();
    let mut line = " ".repeat(indent);
    for word in text::cell(words).split_whitespace() {
        if line.len() > indent && line.len() + 1 + word.len() > 80 {
            page.push_str(line.trim_end());
            page.push('\n');
            line = " ".repeat(indent);
        }
        if line.len() > indent {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.len() > indent {
        page.push_str(&line);
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::When;

    #[test]
    fn our_own_kinds_are_explained_without_a_server() {
        let schemas = compiled_in("pl").unwrap();
        let page = schemas
            .page(&["spec", "jobs"], false, Terminal::new(When::Never))
            .unwrap();
        assert!(
            page.starts_with(
                "KIND:     Pipeline\nVERSION:  breakbulk.dev/v1\nFIELD:    jobs <map[string]Object>, required\n"
            ),
            "{page}"
        );
        assert!(page.contains("  needs <[]string>\n"), "{page}");
        let run = schemas
            .page(&["spec", "jobs", "anything", "run"], false, Terminal::new(When::Never))
            .unwrap();
        assert!(run.contains("FIELD:    run <string>, required"), "{run}");
    }

    #[test]
    fn a_field_that_is_not_there_is_told_with_those_that_are() {
        let words = compiled_in("Pipeline")
            .unwrap()
            .page(&["spec", "steps"], false, Terminal::new(When::Never));
        let words = words.unwrap_err().to_string();
        assert!(
            words.starts_with("Pipeline.spec has no field \"steps\"; it has ") && words.contains("jobs"),
            "{words}"
        );
    }
}
