//! `bulk get`: objects as the server's tables, as JSON or YAML, or by name; once or as they change.

mod watch;

use clap::ValueEnum;
use serde_json::Value;

use crate::args::Global;
use crate::discovery::{Resource, Resources};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::printer::object::{self, Form};
use crate::printer::table::Table;
use crate::printer::{self, text};
use crate::server::{JSON, TABLE};
use crate::session::Session;
use crate::target::{self, Selection};

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What: `runs`, `run NAME…`, `run/NAME…`, `run,job`, `all`
    #[arg(required = true, value_name = "KIND [NAME]")]
    what: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only those with these labels, for example `breakbulk.dev/run=x,!draft`
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Only those with these fields, for example `spec.nodeName=n1`
    #[arg(long, value_name = "FIELDS")]
    field_selector: Option<String>,
    /// How to show them
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Output,
    /// Go on showing them as they change
    #[arg(short, long)]
    watch: bool,
    /// Sort by a field, for example `.metadata.creationTimestamp`
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// No header line
    #[arg(long)]
    no_headers: bool,
}

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

/// What it means.
struct Query {
    namespace: Option<String>,
    selectors: String,
    output: Output,
    sort_by: Option<String>,
    headers: bool,
}

/// A table, as the server sends it: its columns, with those only shown in wide output marked, and its rows.
#[derive(Default)]
struct Columns(Vec<(String, bool)>);

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let resources = Resources::load(&session.server).await?;
    let selections = target::parse(&args.what, &resources)?;
    let query = Query {
        namespace: (!args.all_namespaces).then(|| session.namespace.clone()),
        selectors: selectors(&args),
        output: args.output,
        sort_by: args.sort_by,
        headers: !args.no_headers,
    };
    if args.watch {
        printer::end_with_reader(Exit::Done);
        let [selection] = selections.as_slice() else {
            return Err(Failure::said("only one kind can be watched at a time"));
        };
        return watch::watch(&session, selection, &query).await;
    }
    match query.output {
        Output::Table | Output::Wide => tables(&session, &selections, &query).await,
        Output::Json | Output::Yaml | Output::Name => objects(&session, &selections, &query).await,
    }
}

fn selectors(args: &Args) -> String {
    let mut query = String::new();
    for (key, value) in [
        ("labelSelector", &args.selector),
        ("fieldSelector", &args.field_selector),
    ] {
        if let Some(value) = value {
            query.push_str(&format!("&{key}={}", escape(value)));
        }
    }
    query
}

/// A value of a query, percent-encoded.
pub(crate) fn escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// The paths to read for a selection.
fn paths(selection: &Selection, query: &Query) -> Result<Vec<String>, Failure> {
    let Selection { resource, names } = selection;
    let collection = resource.collection(query.namespace.as_deref());
    if names.is_empty() {
        return Ok(vec![format!("{collection}?limit=5000{}", query.selectors)]);
    }
    if query.namespace.is_none() && resource.namespaced {
        return Err(Failure::said("a name belongs to one namespace: leave -A away"));
    }
    Ok(names.iter().map(|name| format!("{collection}/{name}")).collect())
}

/// Reads a path and, where the server answers in pages, all pages.
async fn pages(session: &Session, path: &str, accept: &str, what: &Resource) -> Result<Vec<Value>, Failure> {
    let mut pages = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = session.server.get(&next, accept).await;
        let page = page.map_err(Failure::server(format!("get {}", what.plural)))?;
        let more = page
            .pointer("/metadata/continue")
            .and_then(Value::as_str)
            .filter(|token| !token.is_empty());
        let more = more
            .filter(|_| path.contains('?'))
            .map(|token| format!("{path}&continue={}", escape(token)));
        pages.push(page);
        match more {
            Some(path) => next = path,
            None => return Ok(pages),
        }
    }
}

async fn tables(session: &Session, selections: &[Selection], query: &Query) -> Result<Exit, Failure> {
    let several = selections.len() > 1;
    let mut exit = Exit::Done;
    let mut shown = false;
    for selection in selections {
        let (mut columns, mut rows) = (Columns::default(), Vec::new());
        for path in paths(selection, query)? {
            match pages(session, &path, TABLE, &selection.resource).await {
                Ok(pages) => pages.into_iter().for_each(|page| rows.extend(columns.take(page))),
                Err(failure) if failure.code() == Some(404) && !selection.names.is_empty() => {
                    failure.print();
                    exit = Exit::Ours;
                }
                Err(failure) => return Err(failure),
            }
        }
        sort(&mut rows, query.sort_by.as_deref());
        if rows.is_empty() {
            continue;
        }
        let mut table = columns.table(query);
        for row in &rows {
            let prefix = several.then(|| format!("{}/", selection.resource.display()));
            table.push(columns.row(row, query, &selection.resource, prefix.as_deref()));
        }
        let gap = if std::mem::replace(&mut shown, true) { "\n" } else { "" };
        let text = if query.headers {
            table.render(session.terminal)
        } else {
            table.render_rows(session.terminal)
        };
        printer::out(&format!("{gap}{text}"))?;
    }
    if !shown && exit == Exit::Done {
        let namespaced = selections.iter().any(|selection| selection.resource.namespaced);
        let place = query
            .namespace
            .as_ref()
            .filter(|_| namespaced)
            .map_or(String::new(), |n| format!(" in namespace {n}"));
        eprintln!("nothing found{place}");
    }
    Ok(exit)
}

async fn objects(session: &Session, selections: &[Selection], query: &Query) -> Result<Exit, Failure> {
    let mut found = Vec::new();
    let single = selections.len() == 1 && selections[0].names.len() == 1;
    for selection in selections {
        for path in paths(selection, query)? {
            for page in pages(session, &path, JSON, &selection.resource).await? {
                found.extend(
                    items(page, &selection.resource)
                        .into_iter()
                        .map(|item| (selection.resource.display(), item)),
                );
            }
        }
    }
    if query.output == Output::Name {
        for (kind, object) in &found {
            printer::line(&format!(
                "{kind}/{}",
                object["metadata"]["name"].as_str().unwrap_or_default()
            ))?;
        }
        return Ok(Exit::Done);
    }
    let mut all: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
    let whole = if single && all.len() == 1 {
        all.remove(0)
    } else {
        object::list(&all)
    };
    let form = if query.output == Output::Json {
        Form::Json
    } else {
        Form::Yaml
    };
    printer::out(&object::render(whole, form)?)?;
    Ok(Exit::Done)
}

/// The objects of a list, each with its kind, which lists leave out; or the object itself.
fn items(mut page: Value, resource: &Resource) -> Vec<Value> {
    let Some(items) = page.get_mut("items").map(Value::take) else {
        return vec![page];
    };
    let Value::Array(mut items) = items else {
        return Vec::new();
    };
    for item in &mut items {
        if let Some(object) = item.as_object_mut() {
            object
                .entry("apiVersion")
                .or_insert_with(|| resource.api_version().into());
            object.entry("kind").or_insert_with(|| resource.kind.clone().into());
        }
    }
    items
}

impl Columns {
    /// Takes the columns out of a table, if it has any, and gives its rows. What is no table (a server without
    /// tables) becomes rows with the name alone.
    fn take(&mut self, mut page: Value) -> Vec<Value> {
        if page["kind"] != "Table" {
            let found = page
                .get_mut("items")
                .map(Value::take)
                .unwrap_or_else(|| Value::Array(vec![page]));
            self.0 = vec![("Name".to_owned(), false)];
            let objects = found.as_array().cloned().unwrap_or_default();
            let row = |o: Value| serde_json::json!({ "cells": [o["metadata"]["name"]], "object": o });
            return objects.into_iter().map(row).collect();
        }
        let definitions = page["columnDefinitions"].as_array();
        if let Some(definitions) = definitions.filter(|definitions| !definitions.is_empty()) {
            let column = |d: &Value| {
                (
                    d["name"].as_str().unwrap_or_default().to_owned(),
                    d["priority"].as_i64() > Some(0),
                )
            };
            self.0 = definitions.iter().map(column).collect();
        }
        match page.get_mut("rows").map(Value::take) {
            Some(Value::Array(rows)) => rows,
            _ => Vec::new(),
        }
    }

    fn table(&self, query: &Query) -> Table {
        let mut header = Vec::new();
        if query.namespace.is_none() {
            header.push("NAMESPACE".to_owned());
        }
        let shown = self.0.iter().filter(|(_, wide)| !wide || query.output == Output::Wide);
        header.extend(shown.map(|(name, _)| text::cell(&name.to_uppercase())));
        Table::new(header)
    }

    fn row(&self, row: &Value, query: &Query, resource: &Resource, prefix: Option<&str>) -> Vec<String> {
        let mut cells = Vec::new();
        if query.namespace.is_none() {
            let namespace = row.pointer("/object/metadata/namespace").and_then(Value::as_str);
            cells.push(
                namespace
                    .unwrap_or(if resource.namespaced { "" } else { "-" })
                    .to_owned(),
            );
        }
        let values = row["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (index, ((_, wide), value)) in self.0.iter().zip(values).enumerate() {
            if *wide && query.output != Output::Wide {
                continue;
            }
            let cell = cell(value);
            cells.push(match prefix {
                Some(prefix) if index == 0 => format!("{prefix}{cell}"),
                _ => cell,
            });
        }
        cells
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(words) => text::cell(words),
        other => text::cell(&other.to_string()),
    }
}

/// Sorts rows by a field of their objects; by number where both are numbers.
fn sort(rows: &mut [Value], path: Option<&str>) {
    let Some(path) = path else { return };
    let path = path
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('.');
    let pointer = format!("/object/{}", path.replace('.', "/"));
    rows.sort_by(|a, b| {
        let (a, b) = (a.pointer(&pointer), b.pointer(&pointer));
        match (a.and_then(Value::as_f64), b.and_then(Value::as_f64)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.and_then(Value::as_str).cmp(&b.and_then(Value::as_str)),
        }
    });
}
